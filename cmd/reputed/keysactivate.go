package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reputed/policy/dkim"
	"reputed/policy/mail"
	"reputed/signer"
	"reputed/signer/keydir"
)

func keysActivateCommand(e *env) *cobra.Command {
	var want activating
	cmd := &cobra.Command{
		Use:   "activate DOMAIN SELECTOR",
		Short: "have a new key sign though not every server of its zone can be asked about it",
		Long: `Have a new key sign at once, without waiting until every server of its zone was seen to show it: for a server that
is gone for long and still among the NS records, which would hold the key back for as long. Better is to mend that
server, or to take it out of the NS records.

First every server is asked, and it is printed what each shows now. A key that a server shows otherwise, or does not
have, does not sign: nothing is done then. Nor is anything done where nobody at all shows the key. The keys before it
go on as after any rotation: the daemon retires them, and destroys none before every server shows the new one.

Without --yes it only says what would happen.

With --json: an object with domain, selector, algorithm, bits, state, since, activated, refused (why it was not) and
dns.

Exit status: 0 the key signs, or did so already; 1 refused, as said above, or because the key is past its time or the
configuration keeps it from signing; 64 wrong arguments, or without --yes; 66 or 78 the configuration cannot be read
or has errors; 70 the state of the key could not be written; 75 somebody else is changing the keys of the domain; 77
the directory of keys may not be written to.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := openKeysAt(configFlag(cmd), want.servers)
			if err != nil {
				return err
			}
			return want.run(cmd.Context(), e, set, args)
		},
	}
	cmd.Flags().BoolVar(&want.yes, "yes", false, "do it")
	serverFlag(cmd, &want.servers)
	cmd.Flags().BoolVar(&want.json, "json", false, "print JSON")
	return cmd
}

// activating is what `keys activate` was asked for.
type activating struct {
	yes     bool
	servers []string
	json    bool
}

// activated is what has become of a key. Its JSON is a promise to other programs.
type activated struct {
	keyFace
	Activated bool      `json:"activated"`
	Refused   string    `json:"refused,omitempty"` // why it was not
	DNS       dkim.Seen `json:"dns"`
}

// run asks, tells, and does it, if it is to.
func (a *activating) run(ctx context.Context, e *env, set *keySet, args []string) error {
	life, err := set.named(args[0], args[1])
	if err != nil {
		return err
	}
	seen := lookAtKeys(ctx, e, set, []signer.Life{life})[life.ID]
	out := activated{keyFace: newKeyFace(life), Refused: set.refuses(life, &seen), DNS: seen}
	if !a.json {
		out.print(e.printer())
	}
	err = a.do(e, set, life, &out)
	if a.json {
		return errors.Join(writeJSON(e.stdout, out), err)
	}
	return err
}

// named gives the key of a domain and a selector.
func (s *keySet) named(domain, selector string) (signer.Life, error) {
	d, err := mail.ParseDomain(domain)
	if err != nil {
		return signer.Life{}, status{exitUsage, fmt.Errorf("%q is not a domain", domain)}
	}
	for _, l := range s.of(d) {
		if of, err := mail.ParseDomain(selector); err == nil && l.ID.Selector == of {
			return l, nil
		}
	}
	return signer.Life{}, status{exitUsage, fmt.Errorf("there is no key of %s with selector %q in %s (see: reputed keys list)",
		d, selector, s.cfg.Signing.Keys)}
}

// refuses says why a key must not sign; "": nothing speaks against it.
func (s *keySet) refuses(l signer.Life, seen *dkim.Seen) string {
	shows := func(v *dkim.Verdict) bool { return v != nil && v.Result.Verifies() }
	switch v := seen.Resolver; {
	case l.State == signer.Active:
		return ""
	case !l.State.Fresh():
		return fmt.Sprintf("it is %s, and a key never goes back: reputed keys new %s", l.State, l.ID.Domain)
	case s.key(l.ID) == nil:
		return "its private key cannot be used: reputed keys list"
	case s.ring.Bars(l.ID):
		return fmt.Sprintf("[[domain]] names other selectors of %s: add this one there first", l.ID.Domain)
	case len(seen.Lagging) > 0:
		return fmt.Sprintf("%s can be asked, and does not show it: mail that is signed with it would fail",
			strings.Join(seen.Lagging, ", "))
	case v != nil && v.Result != dkim.Transient && !shows(v):
		return "the resolver can be asked, and does not show it: " + v.Reason
	case seen.Sighting == dkim.Unknown:
		return "nobody shows it who could be asked"
	}
	return ""
}

// do has the key sign, if nothing speaks against it.
func (a *activating) do(e *env, set *keySet, l signer.Life, out *activated) error {
	switch {
	case out.Refused != "":
		return status{exitFailed, fmt.Errorf("%s does not sign: %s", l.ID, out.Refused)}
	case l.State == signer.Active:
		fmt.Fprintf(e.stderr, "reputed: %s signs already\n", l.ID)
		return nil
	}
	for _, line := range set.consequences(l, &out.DNS) {
		fmt.Fprintf(e.stderr, "reputed: %s\n", line)
	}
	if !a.yes {
		return status{exitUsage, fmt.Errorf("nothing was done; to have the key sign: reputed keys activate %s %s --yes",
			l.ID.Domain, l.ID.Selector)}
	}
	why := "activated by hand"
	if len(out.DNS.Silent) > 0 {
		why += ", though nothing was known of " + strings.Join(out.DNS.Silent, ", ")
	}
	for from := l.State; from < signer.Active; from++ {
		c := keydir.Change{ID: l.ID, From: from, To: from + 1, At: e.now(), Why: why}
		life, err := keydir.SetState(set.cfg.Signing.Keys, c)
		if err != nil {
			return errKeys(err)
		}
		out.keyFace = newKeyFace(life)
	}
	out.Activated = true
	then := "the daemon takes it up by itself"
	if !set.cfg.Signing.Watch {
		then = "for the daemon to take it up: systemctl reload reputed"
	}
	fmt.Fprintf(e.stderr, "reputed: %s is active; %s\n", l.ID, then)
	return nil
}

// consequences says what it means that a key signs now.
func (s *keySet) consequences(l signer.Life, seen *dkim.Seen) (lines []string) {
	if len(seen.Silent) > 0 {
		lines = append(lines, fmt.Sprintf("nothing is known of %s: where that answers others, and without the key, mail fails",
			strings.Join(seen.Silent, ", ")))
	}
	var others []string
	for _, k := range s.of(l.ID.Domain) {
		if k.State == signer.Active && k.Algorithm == l.Algorithm {
			others = append(others, k.ID.Selector.String())
		}
	}
	if len(others) == 0 {
		return lines
	}
	if seen.Negative > 0 {
		lines = append(lines, fmt.Sprintf("who asked before the record was there may remember that for %v",
			seen.Negative.Round(time.Second)))
	}
	return append(lines, fmt.Sprintf("%s signs no more then, and stays until every server shows %s",
		strings.Join(others, ", "), l.ID.Selector))
}

// print writes for people what each server shows.
func (a *activated) print(p printer) {
	p.printf("%s\n", p.paint(bold, a.title()))
	p.table("  ", [][]cell{{{printable(a.DNS.Reason), plain}}})
	p.table("    ", serverRows(&a.DNS))
}
