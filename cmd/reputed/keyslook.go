package main

import (
	"context"
	"fmt"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"reputed/policy/check"
	"reputed/policy/dkim"
	"reputed/policy/parallel"
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
	return s.looks(ctx, newLookerVia(e, s.cfg, nil), lives, func(done int, id signer.ID, seen dkim.Seen) {
		line.show(fmt.Sprintf("%d of %d: %s: %s", done, len(lives), id, seen.Sighting))
	})
}

// looks looks for keys, some at once, and tells of each. A key that is removed is not looked for.
func (s *keySet) looks(ctx context.Context, looker *dkim.Looker, lives []signer.Life,
	each func(done int, id signer.ID, seen dkim.Seen)) map[signer.ID]dkim.Seen {
	seen := make(map[signer.ID]dkim.Seen, len(lives))
	var mu sync.Mutex
	parallel.AtMost(manyLooks, len(lives), func(i int) {
		l := lives[i]
		if l.State == signer.Removed {
			return
		}
		of := s.look(ctx, looker, l)
		mu.Lock()
		defer mu.Unlock()
		seen[l.ID] = of
		each(len(seen), l.ID, of)
	})
	return seen
}

// look finds out what the DNS shows of one key.
func (s *keySet) look(ctx context.Context, looker *dkim.Looker, l signer.Life) dkim.Seen {
	k := judgedKey(l)
	if held := s.key(l.ID); held != nil {
		k.Public = held.Public()
	}
	return check.LookAtKey(ctx, looker, &k)
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
