package main

import (
	"context"
	"fmt"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"reputed/policy/dkim"
	"reputed/signer"
)

// manyLooks is how many keys are looked for at once.
const manyLooks = 8

// lookAtKeys finds out what the DNS shows of keys, until all are found or somebody interrupts it, and says how far it
// is.
func lookAtKeys(ctx context.Context, e *env, s *keySet, lives []signer.Life) map[signer.ID]dkim.Seen {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	line := e.progress()
	line.show("asking about " + count(len(lives), "key"))
	defer line.clear()
	return s.looks(ctx, newLookerVia(e, s.cfg), lives, func(done int, id signer.ID, seen dkim.Seen) {
		line.show(fmt.Sprintf("%d of %d: %s: %s", done, len(lives), id, seen.Sighting))
	})
}

// looks looks for keys, some at once, and tells of each. A key that is removed is not looked for.
func (s *keySet) looks(ctx context.Context, looker *dkim.Looker, lives []signer.Life,
	each func(done int, id signer.ID, seen dkim.Seen)) map[signer.ID]dkim.Seen {
	seen := make(map[signer.ID]dkim.Seen, len(lives))
	var mu sync.Mutex
	var running sync.WaitGroup
	free := make(chan struct{}, manyLooks)
	for _, l := range lives {
		if l.State == signer.Removed {
			continue
		}
		free <- struct{}{}
		running.Go(func() {
			defer func() { <-free }()
			of := s.look(ctx, looker, l)
			mu.Lock()
			defer mu.Unlock()
			seen[l.ID] = of
			each(len(seen), l.ID, of)
		})
	}
	running.Wait()
	return seen
}

// look finds out what the DNS shows of one key.
func (s *keySet) look(ctx context.Context, looker *dkim.Looker, l signer.Life) dkim.Seen {
	want := dkim.Want{Domain: l.ID.Domain, Selector: l.ID.Selector}
	if k := s.key(l.ID); k != nil {
		want.Public = k.Public()
		return looker.Look(ctx, want)
	}
	seen := remains(looker.Look(ctx, want))
	if l.State == signer.Retiring && seen.Publish != "" { // it is there, as it should be
		seen.Publish, seen.Advice, seen.Lagging = "", "", nil
		seen.Reason += "; whether it is the right one is not known, as the private key is gone"
	}
	return seen
}

// remains makes of what was seen of a key whose private one is gone, and with it the knowledge of the public one, how
// much of the world still sees a key under its name.
func remains(seen dkim.Seen) dkim.Seen {
	var still, rid []string
	var worst dkim.Verdict
	note := func(host string, v dkim.Verdict) {
		switch {
		case v.Result == dkim.Transient:
		case v.Result == dkim.Revoked, v.Result.Missing():
			rid = append(rid, host)
		case !slices.Contains(still, host):
			still, worst = append(still, host), v
		}
	}
	for i := range seen.Servers {
		server := &seen.Servers[i]
		if server.Verdict.Result == dkim.WrongType { // there is no type to compare it with
			server.Verdict.Result = dkim.Mismatch
		}
		note(server.Host, server.Verdict)
	}
	if seen.Via == dkim.Resolver && seen.Resolver != nil {
		note("the resolver", *seen.Resolver)
	}
	seen.Lagging = nil
	switch {
	case len(still) > 0:
		seen.Sighting, seen.Result, seen.Publish, seen.Lagging = dkim.All, worst.Result, signer.Revocation, still
		seen.Reason = fmt.Sprintf("%s still has the record of a key (%s)", seen.Name, strings.Join(still, ", "))
		seen.Advice = "publish the record of a revoked key at " + seen.At + " in place of what is there"
		if len(rid) > 0 {
			seen.Sighting = dkim.Partly
		}
	case len(rid) > 0:
		seen.Sighting, seen.Advice, seen.Publish = dkim.None, "", ""
		seen.Reason = fmt.Sprintf("no key stands at %s any more (%s)", seen.Name, seen.Result)
	}
	return seen
}

var sightings = map[dkim.Sighting]signer.Sighting{
	dkim.Unknown: signer.Unknown, dkim.None: signer.Nowhere, dkim.Partly: signer.Partly, dkim.All: signer.Everywhere,
}

// sighted gives what was seen as a plan takes it. One look does not tell since when it is so.
func sighted(seen map[signer.ID]dkim.Seen) map[signer.ID]signer.Seen {
	all := make(map[signer.ID]signer.Seen, len(seen))
	for id, of := range seen {
		all[id] = signer.Seen{Sighting: sightings[of.Sighting], NegativeTTL: of.Negative}
	}
	return all
}

// plan tells what is to happen to keys.
func (s *keySet) plan(now time.Time, seen map[signer.ID]signer.Seen, asked bool) []signer.Step {
	return signer.Plan(now, s.lives, seen, signer.PlanOptions{
		Rotate: time.Duration(s.cfg.Signing.Rotate), Asked: asked,
		Retire: signer.RetireTime(time.Duration(s.cfg.Signing.QueueLifetime)), Bars: s.ring.Bars,
	})
}
