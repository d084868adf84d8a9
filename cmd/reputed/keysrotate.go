package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"reputed/cmd/reputed/internal/config"
	"reputed/policy/dkim"
	"reputed/policy/mail"
	"reputed/signer"
	"reputed/signer/keydir"
	"reputed/signer/watch"
)

func keysRotateCommand(e *env) *cobra.Command {
	var want rotation
	cmd := &cobra.Command{
		Use:   "rotate DOMAIN",
		Short: "put a new key in the place of the one that signs, or show how that will go",
		Long: `Make a new key for a domain, of the algorithm of each key that signs for it, publish its record where
[[signing.publish]] has the zone, or print it. The daemon goes on from there: the new key signs when every server
shows it and nobody remembers that it was not there; the record of the old one stays for mail that is still on
its way; then the old private key is destroyed, and its record emptied.

With --dry-run nothing is made. Either way the plan is printed: each step, when, and because of what. It is made
anew from what the DNS shows, whenever a step was taken.

With --json: an object with domain, made (the new keys, as of keys new) and plan (the steps: domain, selector,
algorithm, bits, from, to, when, due, needs, because).

Exit status: 0 done, or a new key is on its way already; 1 no key of the domain signs, the configuration would keep
a new one from signing, or its record could not be published; 64 wrong arguments; 66 or 78 the configuration
cannot be read or has errors; 70 the key could not be written; 75 somebody else is changing the keys; 77 the
directory of keys may not be written to.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := openKeysAt(configFlag(cmd), want.servers)
			if err != nil {
				return err
			}
			if want.domain, err = mail.ParseDomain(args[0]); err != nil {
				return status{exitUsage, err}
			}
			return want.run(cmd.Context(), e, set)
		},
	}
	cmd.Flags().BoolVar(&want.dryRun, "dry-run", false, "make nothing, and show the plan")
	cmd.Flags().BoolVar(&want.ed25519, "ed25519", false,
		"make an Ed25519 key only: in place of the one that signs, or beside the RSA key if there is none")
	serverFlag(cmd, &want.servers)
	cmd.Flags().BoolVar(&want.json, "json", false, "print JSON")
	return cmd
}

// rotation is what `keys rotate` was asked for.
type rotation struct {
	domain  mail.Domain
	dryRun  bool
	ed25519 bool
	servers []string
	json    bool
}

// rotated is what a rotation has come to. Its JSON is a promise to other programs.
type rotated struct {
	Domain mail.Domain `json:"domain"`
	Made   []storedKey `json:"made"`
	Plan   []keyStep   `json:"plan"`

	failed error // a record could not be published
}

// run makes the keys, unless it is a dry run, and prints the plan.
func (r *rotation) run(ctx context.Context, e *env, set *keySet) error {
	lives := set.of(r.domain)
	if len(lives) == 0 {
		return status{exitFailed, fmt.Errorf("there are no keys of %s in %s (make one: reputed keys new %s)", r.domain,
			set.cfg.Signing.Keys, r.domain)}
	}
	seen := lookAtKeys(ctx, e, set, lives)
	now := e.now()
	steps := r.plan(set, now, seen)
	births := slices.DeleteFunc(slices.Clone(steps), func(s signer.Step) bool { return s.To != signer.Created })
	if err := r.refuse(set, births, lives); err != nil {
		return err
	}
	out := rotated{Domain: r.domain, Made: []storedKey{}, Plan: []keyStep{}}
	if !r.dryRun {
		err := r.make(ctx, e, set.cfg, births, &out)
		if err != nil {
			return err
		}
		if set, err = readKeys(set.cfg); err != nil {
			return err
		}
		for _, k := range out.Made { // the old keys are as they were a moment ago
			life := signer.Life{ID: k.Publish.ID, State: k.State}
			seen[life.ID] = set.look(ctx, newLookerVia(e, set.cfg, nil), life)
		}
		steps = r.plan(set, now, seen)
	}
	for _, s := range steps {
		out.Plan = append(out.Plan, newKeyStep(s, now))
	}
	if r.json {
		return errors.Join(writeJSON(e.stdout, out), out.failed)
	}
	r.print(e, set, &out)
	return out.failed
}

// of gives the keys of a domain.
func (s *keySet) of(d mail.Domain) []signer.Life {
	return slices.DeleteFunc(slices.Clone(s.lives), func(l signer.Life) bool { return l.ID.Domain != d })
}

// plan gives the steps of the domain. A new key is wanted, unless one is on its way.
func (r *rotation) plan(set *keySet, now time.Time, seen map[signer.ID]dkim.Seen) []signer.Step {
	only := *set
	only.lives = set.of(r.domain)
	steps := only.plan(now, sighted(seen), true)
	if !r.ed25519 {
		return steps
	}
	born := func(s signer.Step) bool { return s.ID.Selector.IsZero() }
	fresh := slices.ContainsFunc(only.lives, func(l signer.Life) bool {
		return l.Algorithm == signer.Ed25519 && l.State.Fresh()
	})
	if fresh || slices.ContainsFunc(steps, func(s signer.Step) bool { return born(s) && s.Algorithm == signer.Ed25519 }) {
		asked := only.plan(now, sighted(seen), false)
		steps = slices.DeleteFunc(steps, func(s signer.Step) bool { return s.Algorithm != signer.Ed25519 })
		return append(steps, slices.DeleteFunc(asked, func(s signer.Step) bool { return s.Algorithm == signer.Ed25519 })...)
	}
	return append(r.first(only.ring, now), only.plan(now, sighted(seen), false)...)
}

// first plans an Ed25519 key beside the others.
func (r *rotation) first(ring *signer.Ring, now time.Time) []signer.Step {
	s := signer.Step{
		ID: signer.ID{Domain: r.domain}, Algorithm: signer.Ed25519, Bits: 256, To: signer.Created, When: now,
		Because: "an Ed25519 key was asked for",
	}
	if ring.Bars(s.ID) {
		s.Needs = signer.Configuration
	}
	published, active := s, s
	published.From, published.To = signer.Created, signer.Published
	published.Because = "when every server of the zone shows its record"
	active.From, active.To = signer.Published, signer.Active
	active.Because = "everybody can see its record"
	for _, later := range []*signer.Step{&published, &active} {
		later.When, later.Needs = time.Time{}, signer.Earlier
	}
	return []signer.Step{s, published, active}
}

// refuse says why there can be no new key, if there can be none and none is on its way.
func (r *rotation) refuse(set *keySet, births []signer.Step, lives []signer.Life) error {
	for _, b := range births {
		if b.Needs == signer.Configuration {
			return status{exitFailed, fmt.Errorf("[[domain]] names the selectors of %s, so a new key would not sign: remove "+
				"selectors from it, and run this again", r.domain)}
		}
	}
	switch {
	case len(births) > 0 || slices.ContainsFunc(lives, func(l signer.Life) bool { return l.State.Fresh() }):
		return nil
	case set.ring.Choose(r.domain).Status != signer.Usable:
		const none = "no key of %s signs, so there is none to be replaced (make one: reputed keys new %s)"
		return status{exitFailed, fmt.Errorf(none, r.domain, r.domain)}
	}
	return nil
}

// make makes the keys that are to be made, and publishes them where it may. A record that could not be published is no
// reason to stop: the daemon tries again.
func (r *rotation) make(ctx context.Context, e *env, cfg *config.Config, births []signer.Step, out *rotated) error {
	hand := watch.Hand{Dir: cfg.Signing.Keys, Now: e.now}
	hand.Selector = func(_ mail.Domain, at time.Time) (mail.Domain, error) {
		return cfg.Signing.Selector.Selector(at, randomLabel(), cfg.Hostname)
	}
	publisher, failed := newPublisher(e, cfg, nil)
	for _, b := range births {
		done, err := hand.Apply(ctx, b, "")
		if errors.Is(err, keydir.ErrUsed) {
			const other = "put {random} into signing.selector, or: reputed keys new"
			err = fmt.Errorf("%w (%s %s --selector NAME)", err, other, r.domain)
		}
		if err != nil {
			return errKeys(err)
		}
		k := storedKey{newKeyFace(done.Life), done.Path, signer.Publication{ID: done.Life.ID, Text: done.Record}}
		out.Made = append(out.Made, k)
		fmt.Fprintf(e.stderr, "reputed: wrote %s\n", k.Path)
		ours := false
		if publisher != nil {
			ours, err = publisher.Publish(ctx, done.Life.ID, done.Record)
			failed = errors.Join(failed, err)
		}
		switch {
		case ours && err == nil:
			fmt.Fprintf(e.stderr, "reputed: published %s\n", done.Life.ID)
		case !r.json:
			fmt.Fprintf(e.stderr, "reputed: publish this record:\n")
			fmt.Fprintf(e.stdout, "%s\n", k.Publish.ZoneFile())
		}
	}
	if failed != nil && len(births) > 0 {
		const by = "publish the record by hand, or try again: reputed keys publish"
		out.failed = status{exitFailed, fmt.Errorf("%w (%s %s)", failed, by, r.domain)}
	}
	return nil
}

// print writes the plan for people.
func (r *rotation) print(e *env, set *keySet, out *rotated) {
	p := e.printer()
	born := slices.ContainsFunc(out.Plan, func(s keyStep) bool { return s.To == signer.Created })
	switch {
	case born:
		p.printf("%s: what would happen\n", p.paint(bold, r.domain.String()))
	case len(out.Made) == 0:
		p.printf("%s: a new key is on its way already\n", p.paint(bold, r.domain.String()))
	default:
		p.printf("%s: what happens next\n", p.paint(bold, r.domain.String()))
	}
	printPlan(p, out.Plan, e.now())
	if !set.cfg.Signing.Watch {
		p.printf("%s\n", p.paint(amber, "the daemon does not take these steps: [signing] watch is off"))
	}
}
