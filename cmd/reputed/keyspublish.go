package main

import (
	"context"
	"fmt"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"reputed/policy/dkim"
	"reputed/signer"
	"reputed/signer/publish"
)

func keysPublishCommand(e *env) *cobra.Command {
	var want publishing
	cmd := &cobra.Command{
		Use:   "publish [DOMAIN|SELECTOR...]",
		Short: "bring the records of keys into the DNS",
		Long: `Publish the record of each key, or of those of the domains and selectors named, by an update of its zone (RFC
2136), where [[signing.publish]] has that zone, or the one that an alias at its name leads to. The primary is
asked before and after: a record that is there is left alone, and one that is not the key's own is never
touched. The p= of a revoked key is emptied. Where there is no right to change the zone, the record to publish
by hand is printed.

With --wait, wait then until every server of the zone shows what it should, and say which ones do not.

With --json: an object with keys (domain, selector, algorithm, bits, state, since, done, publish, error, and with
--wait dns). Done is primary (the primary of the zone shows it), by-hand or failed.

Exit status: 0 every primary shows its record, with --wait every server; 1 not: a record is to be published by
hand, a server does not take it, or the time was up; 64 wrong arguments, or there are no keys; 66 or 78 the
configuration cannot be read or has errors; 77 the directory of keys may not be read.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := openKeysAt(configFlag(cmd), want.servers)
			if err != nil {
				return err
			}
			chosen, err := set.choose(args)
			if err != nil {
				return err
			}
			chosen = slices.DeleteFunc(slices.Clone(chosen), func(l signer.Life) bool { return l.State == signer.Removed })
			if len(chosen) == 0 {
				return status{exitUsage, set.errNoKeys()}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return want.run(ctx, e, set, chosen)
		},
	}
	cmd.Flags().BoolVar(&want.wait, "wait", false, "wait until every server shows the records")
	cmd.Flags().DurationVar(&want.timeout, "timeout", 0, "with --wait: end after this `TIME`; 0: wait for ever")
	serverFlag(cmd, &want.servers)
	cmd.Flags().BoolVar(&want.json, "json", false, "print JSON")
	return cmd
}

// publishing is what `keys publish` was asked for.
type publishing struct {
	wait    bool
	timeout time.Duration
	servers []string
	json    bool
}

// published is what became of the record of one key. Its JSON is a promise to other programs.
type published struct {
	keyFace
	Done    brought             `json:"done"`
	Publish *signer.Publication `json:"publish,omitempty"` // what is to be published by hand
	Error   string              `json:"error,omitempty"`
	DNS     *dkim.Seen          `json:"dns,omitempty"` // what the servers show at the end; absent without --wait

	life signer.Life
}

// brought is how far a record was brought. The words do not change.
type brought string

const (
	atPrimary brought = "primary" // the primary of the zone shows it
	byHand    brought = "by-hand" // somebody else has to publish it
	notTaken  brought = "failed"
)

// run publishes, waits if it is to, and prints.
func (w *publishing) run(ctx context.Context, e *env, set *keySet, chosen []signer.Life) error {
	publisher, err := newPublisher(e, set.cfg, nil)
	if err != nil {
		return status{exitFailed, fmt.Errorf("[[signing.publish]]: %w", err)}
	}
	line, p := e.progress(), e.printer()
	var all []published
	for _, l := range chosen {
		line.show("publishing " + l.ID.String())
		k := set.bring(ctx, publisher, l)
		if line.clear(); !w.json {
			k.print(p)
		}
		all = append(all, k)
	}
	done := !slices.ContainsFunc(all, func(k published) bool { return k.Done != atPrimary })
	if w.wait {
		done = w.await(ctx, e, set, all)
	}
	if w.json {
		if err := writeJSON(e.stdout, map[string][]published{"keys": all}); err != nil {
			return err
		}
	} else if w.wait {
		for i := range all {
			all[i].printSeen(p)
		}
	} else if slices.ContainsFunc(all, func(k published) bool { return k.Done == atPrimary }) {
		const then = "the other servers of the zone copy that from it; with --wait it is waited until every one shows it"
		fmt.Fprintf(e.stderr, "reputed: %s\n", then)
	}
	if !done {
		return status{code: exitFailed}
	}
	return nil
}

// bring publishes the record of a key, or empties it.
func (s *keySet) bring(ctx context.Context, publisher *publish.Publisher, l signer.Life) published {
	k := published{keyFace: newKeyFace(l), Done: byHand, life: l}
	record := s.publication(l)
	if publisher != nil {
		var ours bool
		var err error
		if l.State >= signer.Revoked {
			ours, err = publisher.Revoke(ctx, l.ID, l.Record)
		} else {
			ours, err = publisher.Publish(ctx, l.ID, record.Text)
		}
		switch {
		case err != nil:
			k.Done, k.Error = notTaken, err.Error()
		case ours:
			k.Done = atPrimary
		}
	}
	if k.Done != atPrimary {
		k.Publish = &record
	}
	return k
}

// print writes what became of a record.
func (k *published) print(p printer) {
	name := p.paint(bold, k.title())
	switch k.Done {
	case atPrimary:
		shows := "the primary of its zone shows the record"
		if k.State >= signer.Revoked {
			shows = "the primary of its zone shows no key any more"
		}
		p.printf("%s: %s\n", name, p.paint(green, shows))
		return
	case byHand:
		p.printf("%s: %s\n", name, p.paint(amber, "to be published by hand"))
	default:
		p.printf("%s: %s\n", name, p.paint(red, "not published"))
		p.table("  ", [][]cell{{{printable(strings.TrimPrefix(k.Error, "publish: key "+k.life.ID.String()+": ")), plain}}})
	}
	p.printf("  %s", k.Publish.ZoneFile())
}

// Times between two looks while waiting.
const (
	firstWait   = 5 * time.Second
	longestWait = 30 * time.Second
)

// await looks until every server shows what it should, the time is up, or somebody interrupts it. A look that was begun
// is taken to its end.
func (w *publishing) await(ctx context.Context, e *env, set *keySet, all []published) bool {
	up := make(<-chan time.Time) // never
	if w.timeout > 0 {
		up = time.After(w.timeout)
	}
	looker, line := newLookerVia(e, set.cfg, nil), e.progress()
	line.show("looking for " + count(len(all), "record"))
	defer line.clear()
	for wait := firstWait; ; wait = min(wait*3/2, longestWait) {
		missing := lookFor(ctx, looker, set, all)
		if missing == "" {
			return true
		}
		line.show(printable(missing))
		select {
		case <-ctx.Done():
			return false
		case <-up:
			return false
		case <-time.After(wait / time.Duration(max(e.haste, 1))):
		}
	}
}

// lookFor looks for the records once, and says of one what is missing; "": nothing.
func lookFor(ctx context.Context, looker *dkim.Looker, set *keySet, all []published) (missing string) {
	lives := make([]signer.Life, len(all))
	for i := range all {
		lives[i] = all[i].life
	}
	seen := set.looks(ctx, looker, lives, func(int, signer.ID, dkim.Seen) {})
	for i := range all {
		if of := seen[all[i].life.ID]; ctx.Err() == nil || all[i].DNS == nil { // what was cut short tells nothing new
			all[i].DNS = &of
		}
		if !all[i].shown() {
			missing = all[i].life.ID.String() + ": " + all[i].DNS.Reason
		}
	}
	return missing
}

// shown tells whether every server shows what it should.
func (k *published) shown() bool {
	if k.life.State >= signer.Revoked {
		return k.DNS.Sighting == dkim.None
	}
	return k.DNS.Sighting == dkim.All
}

// printSeen writes what the servers show in the end.
func (k *published) printSeen(p printer) {
	if k.shown() {
		p.printf("%s: %s\n", k.life.ID, printable(k.DNS.Reason))
		return
	}
	p.printf("%s: %s\n", k.life.ID, p.paint(amber, "not everywhere yet"))
	p.table("  ", [][]cell{{{printable(k.DNS.Reason), plain}}})
	p.table("    ", serverRows(k.DNS))
}
