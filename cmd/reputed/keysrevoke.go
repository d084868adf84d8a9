package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"reputed/cmd/reputed/internal/config"
	"reputed/signer"
	"reputed/signer/keydir"
)

func keysRevokeCommand(e *env) *cobra.Command {
	var yes, asJSON bool
	cmd := &cobra.Command{
		Use:   "revoke SELECTOR",
		Short: "destroy a key at once, as after a breach, and print the record that says so",
		Long: `Destroy the private key, and publish, where [[signing.publish]] has the zone, or print a record in place of
its own: one with an empty p=, which says that the key is not to be used. Where several domains have a key of
that selector, name the one by its record: s1._domainkey.example.org

It cannot be undone. Mail that is signed with the key fails verification from the moment on when the record is
published, mail that is still on its way too. For a key that nobody has stolen there is a way without harm:
reputed keys rotate DOMAIN

Without --yes it only says what would happen. Run again, it prints the record again.

With --json: an object with domain, selector, algorithm, bits, state, since and publish.

Exit status: 0 revoked; 1 revoked, and the record could not be changed; 64 wrong arguments, or without --yes;
66 or 78 the configuration cannot be read or has errors; 70 the key could not be destroyed; 75 somebody else
is changing the keys of the domain; 77 the directory of keys may not be written to.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := openKeys(configFlag(cmd))
			if err != nil {
				return err
			}
			id, err := set.one(args[0])
			if err != nil {
				return err
			}
			if !yes {
				for _, line := range set.meaning(id) {
					fmt.Fprintf(e.stderr, "reputed: %s\n", line)
				}
				return status{exitUsage, fmt.Errorf("nothing was done; to revoke the key: reputed keys revoke %s --yes", args[0])}
			}
			return revokeKey(cmd.Context(), e, set, id, asJSON)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// meaning says what it means to revoke a key.
func (s *keySet) meaning(id signer.ID) []string {
	lines := []string{
		fmt.Sprintf("the private key of %s is destroyed, and cannot be had back", id),
		"mail signed with it fails from the moment on when the record is published, mail still on its way too",
	}
	return append(lines, s.left(id)...)
}

// left says what signs for the domain without the key.
func (s *keySet) left(id signer.ID) []string {
	var others []*signer.Key
	was := signer.None
	for _, k := range s.found.Keys {
		switch {
		case k.ID() == id:
			was = k.State()
		case k.ID().Domain == id.Domain:
			others = append(others, k)
		}
	}
	if was != signer.Active {
		return nil
	}
	for _, s := range []signer.State{signer.Active, signer.Retiring} {
		for _, k := range others {
			if k.State() == s {
				return []string{fmt.Sprintf("%s signs on with %s", id.Domain, k.ID().Selector)}
			}
		}
	}
	for _, k := range others {
		if k.State().Fresh() {
			if !s.cfg.Signing.Watch {
				return []string{fmt.Sprintf("nothing signs for %s then, until: %s", id.Domain, unwatched(k.ID()))}
			}
			const until = "nothing signs for %s then, until every server shows %s: reputed keys verify %s"
			return []string{fmt.Sprintf(until, id.Domain, k.ID().Selector, k.ID())}
		}
	}
	const alone = "nothing signs for %s then, and its mail %s (signing.on_no_key); before or after it: reputed keys new %s"
	return []string{fmt.Sprintf(alone, id.Domain, keylessFate(s.cfg.Signing.OnNoKey), id.Domain)}
}

// revokeKey does it, from whatever state the key is in.
func revokeKey(ctx context.Context, e *env, set *keySet, id signer.ID, asJSON bool) error {
	var life signer.Life
	var err error
	for from := signer.Created; from < signer.Revoked; from++ {
		life, err = keydir.SetState(set.cfg.Signing.Keys, keydir.Change{
			ID: id, From: from, To: signer.Revoked, At: e.now(), Why: "revoked by hand",
		})
		if !errors.Is(err, keydir.ErrMoved) {
			break
		}
	}
	if errors.Is(err, keydir.ErrMoved) && life.State > signer.Revoked {
		return status{exitUsage, fmt.Errorf("%s is %s already: there is nothing left to revoke", id, life.State)}
	}
	if err != nil {
		return errKeys(err)
	}
	ours, failed := emptyRecord(ctx, e, set.cfg, life)
	record := signer.Publication{ID: id, Text: signer.Revocation}
	if asJSON {
		return errors.Join(writeJSON(e.stdout, storedKey{keyFace: newKeyFace(life), Publish: record}), failed)
	}
	fmt.Fprintf(e.stderr, "reputed: revoked %s; its private key is destroyed\n", id)
	if !set.cfg.Signing.Watch {
		fmt.Fprintf(e.stderr, "reputed: for the daemon to give it up: systemctl reload reputed\n")
	}
	for _, line := range set.left(id) {
		fmt.Fprintf(e.stderr, "reputed: %s\n", line)
	}
	if ours {
		fmt.Fprintf(e.stderr, "reputed: its record is emptied at the primary of the zone; to see that every server has it: "+
			"reputed keys verify %s\n", id)
		return nil
	}
	fmt.Fprintf(e.stderr, "reputed: publish this record in place of the one that is there\n")
	return errors.Join(written(fmt.Fprint(e.stdout, record.ZoneFile())), failed)
}

// emptyRecord has the record of a key say that it is revoked, where we may change it. The key is gone, whatever comes
// of that.
func emptyRecord(ctx context.Context, e *env, cfg *config.Config, l signer.Life) (ours bool, err error) {
	publisher, err := newPublisher(e, cfg, nil)
	if publisher != nil && err == nil {
		ours, err = publisher.Revoke(ctx, l.ID, l.Record)
	}
	if err != nil {
		return false, status{exitFailed, fmt.Errorf("the key is destroyed, and its record is not changed: %w", err)}
	}
	return ours, nil
}
