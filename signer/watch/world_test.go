package watch_test

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"reputed/signer"
	"reputed/signer/watch"
)

// world is the DNS: what the servers of all zones show, and when.
type world struct {
	mu       sync.Mutex
	changes  []change
	delays   []time.Duration // of each server: how long it takes to show a change; none: one server, at once
	ttl      time.Duration
	negative time.Duration
	answer   func(k watch.Key) (watch.Look, bool) // instead of what the servers show; nil: nothing
	out      bool                                 // nobody can be asked
	hang     bool                                 // nobody answers, ever
	foreign  bool                                 // updates are for somebody else to make
	refuse   error                                // of updates
	after    func(what string) error              // after an update was made; nil: nothing
	looks    []looked
	waits    int // looks that wait for an answer
	most     int // that waited at once
}

// change is of the record of a key, at the primary.
type change struct {
	at   time.Time
	id   signer.ID
	text string // "": removed
}

type looked struct {
	at time.Time
	id signer.ID
}

// shows gives the record of a key as a server has it, and since when.
func (w *world) shows(id signer.ID, delay time.Duration, now time.Time) (text string, since time.Time) {
	for _, c := range w.changes {
		if c.id == id && !c.at.Add(delay).After(now) {
			text, since = c.text, c.at.Add(delay)
		}
	}
	return text, since
}

func (w *world) servers() []time.Duration {
	if len(w.delays) == 0 {
		return []time.Duration{0}
	}
	return w.delays
}

// Look is watch.Looker.
func (w *world) Look(ctx context.Context, k watch.Key) watch.Look {
	now := time.Now()
	w.mu.Lock()
	w.looks = append(w.looks, looked{now, k.ID})
	hang, out := w.hang, w.out
	w.waits++
	w.most = max(w.most, w.waits)
	w.mu.Unlock()
	if hang {
		<-ctx.Done()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waits--
	if hang || out {
		return watch.Look{Result: "transient", Reason: "nobody answers", Advice: "look again later"}
	}
	if w.answer != nil {
		if l, is := w.answer(k); is {
			return l
		}
	}
	return w.look(k, now)
}

// look brings together what the servers show.
func (w *world) look(k watch.Key, now time.Time) watch.Look {
	good, bad := 0, ""
	for _, delay := range w.servers() {
		switch text, _ := w.shows(k.ID, delay, now); text {
		case k.Record:
			good++
		case "":
			bad = "nxdomain"
		case signer.Revocation:
			bad = "revoked"
		default:
			bad = "mismatch"
		}
	}
	l := watch.Look{Result: bad, Via: "authority", Reason: "the servers show " + bad, TTL: w.ttl, Negative: w.negative}
	switch {
	case good == len(w.servers()):
		l.Sighting, l.Result, l.Reason = signer.Everywhere, "match", "every server shows the key"
	case good == 0:
		l.Sighting, l.TTL, l.Advice = signer.Nowhere, 0, "publish the record"
	default:
		l.Sighting, l.Lagging = signer.Partly, true
	}
	return l
}

// put changes the world.
func (w *world) put(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	do()
}

// set changes the record of a key, by hand.
func (w *world) set(id signer.ID, text string) {
	w.put(func() { w.changes = append(w.changes, change{time.Now(), id, text}) })
}

// Bring is watch.Publisher.
func (w *world) Bring(_ context.Context, c signer.RecordChange) (signer.Outcome, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	there, _ := w.shows(c.ID, 0, now)
	what := map[string]string{"": "remove", signer.Revocation: "revoke"}[c.Want]
	outcome := signer.AsItWas
	switch {
	case w.foreign:
		return signer.Elsewhere, nil
	case w.refuse != nil:
		return signer.AsItWas, w.refuse
	case there != "" && there != c.Own && there != signer.Revocation:
		return signer.AsItWas, errors.New("it is not the record of this key")
	case there == c.Want, there == "" && c.Want == signer.Revocation:
	default:
		outcome = signer.Changed
		w.changes = append(w.changes, change{now, c.ID, c.Want})
	}
	if w.after != nil {
		return outcome, w.after(cmp.Or(what, "publish"))
	}
	return outcome, nil
}

// everybody tells since when everybody sees a key, whatever they may remember; zero: they do not.
func (w *world) everybody(k *signer.Key, now time.Time) (since time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, delay := range w.servers() {
		text, at := w.shows(k.ID(), delay, now)
		if text != k.Record() {
			return time.Time{}
		}
		if at.After(since) {
			since = at
		}
	}
	return since
}

// gaps gives the times between looks for a key.
func (w *world) gaps(id signer.ID) (gaps []time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var last time.Time
	for _, l := range w.looks {
		if l.id != id {
			continue
		}
		if !last.IsZero() {
			gaps = append(gaps, l.at.Sub(last))
		}
		last = l.at
	}
	return gaps
}
