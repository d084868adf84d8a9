package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	live "reputed/cmd/reputed/internal/status"
	"reputed/policy/check"
	"reputed/policy/dnsbl"
	"reputed/policy/statefile"
)

// checklist walks the checklist of this host from time to time, beside the messages, for reports to tell. It sends
// nothing, and knocks at no port of others, but fetches policies of MTA-STS where there is a record of one. It keeps its
// own pace, whatever env.haste is: nobody waits for it.
type checklist struct {
	every   func() time.Duration // 0: not now
	walk    func(context.Context) *live.Checklist
	survive func(do func()) bool           // does something, and survives a panic in it
	changed chan struct{}                  // has one when every may be another
	last    atomic.Pointer[live.Checklist] // nil: there was none
}

const (
	firstWalk = 3 * time.Minute // after the start, when lists have been asked
	walkTime  = 5 * time.Minute // what is not known by then is unknown
)

// run walks until ctx ends: some minutes after the start, and then every so often. What is wished anew counts from the
// last walk, or the start.
func (c *checklist) run(ctx context.Context) {
	begin, first := time.Now(), firstWalk+rand.N(firstWalk)
	var last time.Time // zero: it has not walked yet
	more := 0.0        // by which part of a tenth it is longer to the next
	for {
		every := c.every()
		var due <-chan time.Time // nil: never
		wait := time.Until(begin.Add(first))
		if !last.IsZero() {
			wait = time.Until(last.Add(spread(every, more)))
		}
		if every > 0 {
			due = time.After(wait)
		} else {
			c.last.Store(nil)
		}
		select {
		case <-ctx.Done():
			return
		case <-c.changed:
		case <-due:
			found := c.walkOnce(ctx)
			if ctx.Err() != nil {
				return
			}
			c.last.Store(found)
			last, more = time.Now(), rand.Float64()
		}
	}
}

// walkOnce walks. After a panic nothing is known, until the next walk.
func (c *checklist) walkOnce(ctx context.Context) (found *live.Checklist) {
	bounded, cancel := context.WithTimeout(ctx, walkTime)
	defer cancel()
	c.survive(func() { found = c.walk(bounded) })
	// It is next to all garbage, of which nothing else on an idle host would have much collected for minutes: with 10,000
	// domains that is 50 MiB.
	debug.FreeOSMemory()
	return found
}

// spread makes a time longer by a part of its tenth, so that hosts of one kind do not ask all at once.
func spread(d time.Duration, part float64) time.Duration {
	return d + time.Duration(part*float64(d)/10)
}

// wish says that every may be another by now.
func (c *checklist) wish() {
	select {
	case c.changed <- struct{}{}:
	default: // somebody has said so, and it is not heard yet
	}
}

// report gives what was found last.
func (c *checklist) report() live.Checklist {
	if last := c.last.Load(); last != nil {
		return *last
	}
	return live.Checklist{}
}

// newChecklist makes the daemon's.
func (d *daemon) newChecklist(e *env) *checklist {
	return &checklist{
		changed: make(chan struct{}, 1),
		survive: func(do func()) bool { return d.survive(ofChecklist, do) },
		every:   func() time.Duration { return time.Duration(d.current.Load().cfg.Check.Every) },
		walk:    func(ctx context.Context) *live.Checklist { return d.walkChecklist(ctx, e) },
	}
}

// walkChecklist walks once, with the configuration of this moment. What lists say is known already.
func (d *daemon) walkChecklist(ctx context.Context, e *env) *live.Checklist {
	cfg := d.current.Load().cfg
	q := &checkQuestion{cfg: cfg, configured: cfg.File != "", caught: d.caught(ofChecklist)}
	h, err := q.host(ctx, e)
	if err != nil {
		d.log.Warn("the checklist of this host cannot be walked", "err", err)
		return nil
	}
	defer q.close()
	h.Listings = listingsOf(d.lists.Snapshot())
	path := filepath.Join(cfg.StateDir, "checklist.json")
	if err := statefile.Load(path, func(text []byte) error { return json.Unmarshal(text, &h.Before) }); err != nil {
		d.log.Warn("what addresses this host had is not known", "err", err)
	}
	// How the resolver does is told of by the lists.
	items := slices.DeleteFunc(check.Items(), func(i check.Item) bool { return i.ID == "resolver" })
	sum := newSummary(items)
	h.WalkInPortions(ctx, items, sum.add)
	found := sum.checklist(e.now())
	if err := statefile.Save(path, h.Seen()); err != nil {
		d.log.Warn("what addresses this host has is not kept for the next look", "err", err)
	}
	d.log.LogAttrs(ctx, slog.LevelInfo, "walked the checklist of this host", slog.Int("fail", found.Fail),
		slog.Int("warn", found.Warn), slog.Int("unknown", found.Unknown), slog.Int("pass", found.Pass))
	return found
}

// listingsOf gives what the monitor knows as the checklist takes it.
func listingsOf(known *dnsbl.Snapshot) func(dnsbl.Subject) []dnsbl.Result {
	return func(s dnsbl.Subject) (all []dnsbl.Result) {
		listings := known.DomainListings(s.Domain)
		if s.Domain.IsZero() {
			listings = known.Listings(s.Addr)
		}
		for _, l := range listings {
			all = append(all, dnsbl.Result{
				List: l.List, Subject: s, State: l.State, Codes: l.Codes, Text: l.Text, Reason: l.Reason, Remedy: l.Remedy,
			})
		}
		return all
	}
}

// printChecklist tells what is wrong by the checklist, and counts the rest.
func printChecklist(p printer, r *live.Report) {
	c := &r.Checklist
	if c.At.IsZero() {
		return
	}
	p.printf("%s: %d pass, %d warn, %d fail, %d unknown, as of %s\n", p.paint(bold, "checklist"), c.Pass, c.Warn, c.Fail,
		c.Unknown, live.Clock(r.At, c.At))
	var rows [][]cell
	for _, f := range c.Findings {
		if bad(f.Grade) {
			reason := printable(withSubject(f.Subject, f.Reason))
			rows = append(rows, []cell{{f.Grade.String(), gradeColour(f.Grade)}, {f.Rule, plain}, {reason, plain}})
		}
	}
	p.table("  ", rows)
	if c.More > 0 {
		p.printf("  and %d more of these\n", c.More)
	}
	if c.Fail+c.Warn+c.Unknown > 0 {
		p.printf("  how to mend it: reputed check\n")
	}
}
