package main

import (
	"context"
	"crypto"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"reputed/policy/dkim"
	"reputed/signer"
	"reputed/signer/keydir"
)

func keysImportCommand(e *env) *cobra.Command {
	var selector string
	var offline, asJSON bool
	var servers []string
	cmd := &cobra.Command{
		Use:   "import FILE DOMAIN",
		Short: "take over a private key that is in use elsewhere",
		Long: `Copy a private key in PEM, RSA or Ed25519, into the key directory. It is taken for one whose record is
published, and signs at once (active): a running daemon notices it within seconds.

The selector is that of its record; without one given, the name of FILE without what stands behind the last
dot is taken. What the DNS shows under that name is held against the key first. Where another key or none
stands there, it is likely that the selector is another: then nothing is written, unless --offline is given.

With --json: an object with domain, selector, algorithm, bits, state, path and publish.

Exit status: 0 done; 1 the DNS shows another key or none, the selector was used before, or FILE holds no
usable key; 64 wrong arguments; 66 FILE or the configuration cannot be read; 70 the key could not be written;
75 the DNS did not answer, or somebody else is changing the keys of the domain; 77 the directory of keys may
not be written to; 78 the configuration has errors.`,
		Example: `  reputed keys import /etc/opendkim/keys/mail.private example.org
  reputed keys import key.pem example.org --selector s1`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := openKeysAt(configFlag(cmd), servers)
			if err != nil {
				return err
			}
			key, private, err := readKey(e, args[0], args[1], selector)
			if err != nil {
				return err
			}
			if !offline {
				if err := set.seenBeforehand(cmd.Context(), e, key); err != nil {
					return err
				}
			}
			return importKey(e, set, key, private, asJSON)
		},
	}
	cmd.Flags().StringVar(&selector, "selector", "", "the `NAME` under which the record of the key is published")
	cmd.Flags().BoolVar(&offline, "offline", false, "do not ask the DNS")
	serverFlag(cmd, &servers)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// readKey reads the private key that is to be imported.
func readKey(e *env, file, domain, selector string) (*signer.Key, crypto.Signer, error) {
	if base := filepath.Base(file); selector == "" {
		selector = strings.TrimSuffix(base, filepath.Ext(base))
	}
	id, err := newID(domain, selector)
	if err != nil {
		return nil, nil, status{exitUsage, err}
	}
	text, err := readInput(e, []string{file})
	if err != nil {
		return nil, nil, err
	}
	key, private, err := keydir.Parse(id, file, text)
	if err != nil {
		return nil, nil, status{exitFailed, err}
	}
	return key, private, nil
}

// seenBeforehand tells whether the DNS shows the key. A key that signs and that nobody can see does harm.
func (s *keySet) seenBeforehand(ctx context.Context, e *env, key *signer.Key) error {
	beside := keySet{cfg: s.cfg, found: keydir.Found{Keys: []*signer.Key{key}}}
	seen := lookAtKeys(ctx, e, &beside, []signer.Life{key.Life()})[key.ID()]
	const anyway = "with --offline it is imported all the same"
	switch seen.Sighting {
	case dkim.All:
		return nil
	case dkim.Partly:
		fmt.Fprintf(e.stderr, "reputed: %s\n", printable(seen.Reason))
		return nil
	case dkim.None:
		return status{exitFailed, fmt.Errorf("not imported: %s; is %q the right selector? (%s)",
			printable(seen.Reason), key.ID().Selector, anyway)}
	}
	return status{exitTemporary, fmt.Errorf("not imported: %s (%s)", printable(seen.Reason), anyway)}
}

// importKey puts the key into the directory.
func importKey(e *env, set *keySet, key *signer.Key, private crypto.Signer, asJSON bool) error {
	path, err := keydir.Store(set.cfg.Signing.Keys, key.ID(), private)
	if err != nil {
		return errKeys(err)
	}
	fmt.Fprintf(e.stderr, "reputed: wrote %s\n", path)
	if asJSON {
		record := signer.Publication{ID: key.ID(), Text: key.Record()}
		return writeJSON(e.stdout, storedKey{newKeyFace(key.Life()), path, record})
	}
	if key.Weak() {
		fmt.Fprintf(e.stderr, "reputed: an RSA key of %d bits is weak; when it works: reputed keys rotate %s\n",
			key.Bits(), key.ID().Domain)
	}
	when := "after: systemctl reload reputed"
	if set.cfg.Signing.Watch {
		when = "a few seconds later, if the daemon runs"
	}
	fmt.Fprintf(e.stderr, "reputed: it signs for %s %s\n", key.ID().Domain, when)
	return printRecord(e.stdout, key)
}
