package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"reputed/policy/mail"
	"reputed/signer"
)

// recordFormats are the forms of a record, by what --format calls them.
var recordFormats = []string{"zone", "value", "strings", "nsupdate", "json"}

func keysRecordCommand(e *env) *cobra.Command {
	var format, cname string
	cmd := &cobra.Command{
		Use:   "record [DOMAIN|SELECTOR...]",
		Short: "print the records to publish",
		Long: `Print what the DNS is to show of each key, or of those of the domains and selectors named: the record of the
key, or, when the key is revoked, one that says so. A key is also named by its record:
s1._domainkey.example.org. It is always one TXT record, of several strings if it is long.

  --format zone      lines for a zone file (BIND, Knot, NSD)
  --format value     the text alone, for web forms: nearly all of them cut it themselves
  --format strings   the text in quoted strings of at most 255 octets, for forms that want it so
  --format nsupdate  commands for nsupdate(1) and knsupdate(1)
  --format json      an array of objects: domain, selector, name, type, ttl, value, strings, and with --cname
                     alias, the name that is to be an alias of name

With --cname the record is for a zone of yours that can be changed by itself, and the name of the key is to
be an alias of it, published once by whoever changes the zone of the domain.

Exit status: 0 done; 1 there are no keys; 64 wrong arguments; 66 or 78 the configuration cannot be read or has
errors; 70 or 77 the directory of keys cannot or may not be read.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(recordFormats, format) {
				return status{exitUsage, fmt.Errorf("--format %s: there are %s", format, strings.Join(recordFormats, ", "))}
			}
			set, err := openKeys(configFlag(cmd))
			if err != nil {
				return err
			}
			records, err := set.publications(args, cname)
			if err != nil {
				return err
			}
			return printPublications(e.stdout, records, format)
		},
	}
	cmd.Flags().StringVar(&format, "format", "zone", "print this `FORM`: "+strings.Join(recordFormats, ", "))
	cmd.Flags().StringVar(&cname, "cname", "", "put the records into this `ZONE` of yours, and aliases into the domains")
	return cmd
}

// publications gives the records of the keys that are named, or of all.
func (s *keySet) publications(names []string, cname string) (records []signer.Publication, err error) {
	chosen, err := s.choose(names)
	if err != nil {
		return nil, err
	}
	for _, l := range chosen {
		if l.State == signer.Removed && len(names) == 0 {
			continue
		}
		p := s.publication(l)
		if cname != "" {
			zone, err := mail.ParseDomain(cname)
			if err == nil {
				p.Alias, err = l.ID.Under(zone)
			}
			if err != nil {
				return nil, status{exitUsage, fmt.Errorf("--cname %w", err)}
			}
			p.Zone = zone
		}
		records = append(records, p)
	}
	if len(records) == 0 {
		return nil, status{exitFailed, s.errNoKeys()}
	}
	return records, nil
}

// printPublications prints the records in a form.
func printPublications(w io.Writer, records []signer.Publication, format string) error {
	if format == "json" {
		return writeJSON(w, records)
	}
	for _, p := range records {
		text := map[string]func() string{
			"zone":     p.ZoneFile,
			"value":    func() string { return p.Value() + "\n" },
			"strings":  func() string { return p.Quoted() + "\n" },
			"nsupdate": p.NSUpdate,
		}[format]()
		if err := written(io.WriteString(w, text)); err != nil {
			return err
		}
	}
	return nil
}
