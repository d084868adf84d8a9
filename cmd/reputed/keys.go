package main

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reputed/policy/mail"
	"reputed/signer"
	"reputed/signer/keydir"
)

func keysCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "make keys",
	}
	cmd.AddCommand(keysNewCommand(e))
	return cmd
}

// newKey is what `keys new` was asked for.
type newKey struct {
	bits     int
	ed25519  bool
	selector string
}

func keysNewCommand(e *env) *cobra.Command {
	var want newKey
	cmd := &cobra.Command{
		Use:   "new DOMAIN...",
		Short: "make a key for each domain, and print the record to publish",
		Long: `Make a key for each domain, under a selector that sorts by month and cannot be guessed, write it to the
key directory, and print the record to publish in the DNS.

A running daemon does not use the key before it is told to: publish the record, see that it is there,
and run: systemctl reload reputed

Exit status: 0 done; 64 wrong arguments; 66 the configuration file cannot be read; 70 the key could not
be written; 78 the configuration has errors.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, _, err := loadConfig(configFlag(cmd))
			if err != nil {
				return err
			}
			if !slices.Contains([]int{2048, 3072, 4096}, want.bits) {
				return status{exitUsage, fmt.Errorf("--rsa %d: RSA keys have 2048, 3072 or 4096 bits here", want.bits)}
			}
			for _, arg := range args {
				if err := makeKey(e, cfg.Signing.Keys, arg, want); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&want.bits, "rsa", 2048, "make an RSA key of so many `BITS`: 2048, 3072 or 4096")
	cmd.Flags().BoolVar(&want.ed25519, "ed25519", false, "make an Ed25519 key, which not every receiver can verify yet")
	cmd.Flags().StringVar(&want.selector, "selector", "", "use this selector `NAME`")
	cmd.MarkFlagsMutuallyExclusive("rsa", "ed25519")
	return cmd
}

func makeKey(e *env, dir, name string, want newKey) error {
	id, err := newID(name, want.selector, e.now())
	if err != nil {
		return status{exitUsage, err}
	}
	private, err := generate(want)
	if err != nil {
		return status{exitFault, err}
	}
	key, err := signer.NewKey(id, private)
	if err != nil {
		return status{exitFault, err}
	}
	path, err := keydir.Store(dir, id, private)
	if err != nil {
		return status{exitFault, err}
	}
	fmt.Fprintf(e.stderr, "reputed: wrote %s\n", path)
	fmt.Fprintf(e.stderr, "reputed: publish this record, then run: systemctl reload reputed\n")
	return printRecord(e.stdout, key)
}

func newID(name, selector string, now time.Time) (signer.ID, error) {
	d, err := mail.ParseDomain(name)
	if err != nil {
		return signer.ID{}, err
	}
	if selector == "" {
		selector = newSelector(now)
	}
	s, err := signer.ParseSelector(selector)
	if err != nil {
		return signer.ID{}, fmt.Errorf("--selector %w", err)
	}
	return signer.ID{Domain: d, Selector: s}, nil
}

// newSelector gives a name that sorts by time and cannot be guessed, so that nobody learns from the DNS which keys will
// come (RFC 6376, section 3.1 asks that selectors are not used again).
func newSelector(now time.Time) string {
	return "s" + now.UTC().Format("200601") + "-" + strings.ToLower(rand.Text()[:6])
}

func generate(want newKey) (crypto.Signer, error) {
	if want.ed25519 {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return rsa.GenerateKey(rand.Reader, want.bits)
}

// printRecord prints the record as a line of a zone file, in strings of at most 255 octets (RFC 1035, section 3.3.14).
func printRecord(w io.Writer, key *signer.Key) error {
	var quoted []string
	for part := range slices.Chunk([]byte(key.Record()), 255) {
		quoted = append(quoted, `"`+string(part)+`"`)
	}
	_, err := fmt.Fprintf(w, "%s. IN TXT ( %s )\n", key.ID(), strings.Join(quoted, " "))
	return err
}
