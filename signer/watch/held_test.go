package watch_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reputed/signer"
	"reputed/signer/keydir"
	"reputed/signer/watch"
)

// What was at the primary already was not changed, and nobody is told that it was.
func TestNothingChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{delays: []time.Duration{2 * time.Hour}} // the only server that is asked lags behind the primary
		h := newHost(t, w)
		h.opt.Publisher = w
		id := h.key("s1", signer.Created, time.Minute).ID()
		w.put(func() { w.changes[0].at = time.Now() })
		h.start()
		pass(50 * time.Minute)
		if got := h.Snapshot().Counts; len(h.told()) != 0 || got.Records != 0 || got.Failures != 0 || got.Looks == 0 {
			t.Errorf("%q, %+v", h.told(), got)
		}
		pass(2 * time.Hour)
		want := []string{"held s1 created nxdomain", "step s1 published ", "step s1 active "}
		if got := h.told(); !slices.Equal(got, want) || h.Snapshot().Counts.Steps != 2 {
			t.Errorf("%q", got)
		}
		w.set(id, "")
		h.key("s2", signer.Created, time.Minute)
		w.put(func() { w.changes = w.changes[:len(w.changes)-1] })
		pass(time.Hour)
		if got := h.told(watch.Wrote); !slices.Equal(got, []string{"published s2 published "}) {
			t.Errorf("one that was missing: %q", got)
		}
	})
}

// A new key that only silent servers hold back waits for as long as they are silent. That is said once, with the way
// out, and ends when it is taken.
func TestHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		h := newHost(t, w)
		h.key("s1", signer.Active, 9*day)
		id := h.key("s2", signer.Created, time.Hour).ID()
		silent := watch.Look{
			Sighting: signer.Partly, Result: "match", Via: "authority", Reason: "ns1 shows the key; of ns2 nothing is known",
			Advice: "look again later",
		}
		w.answer = func(k watch.Key) (watch.Look, bool) { return silent, k.ID == id }
		h.start()
		pass(50 * time.Minute)
		if got := h.told(); len(got) != 0 {
			t.Errorf("too early: %q", got)
		}
		pass(day)
		h.restart()
		pass(day)
		want := []string{"held s2 created match"}
		if k, _ := h.Snapshot().Key(id); !slices.Equal(h.told(), want) || !k.Held || h.states() != "s1=active s2=created" {
			t.Fatalf("%q, %s, %+v", h.told(), h.states(), k)
		}
		if got := h.happened()[0].String(); !strings.Contains(got, "of ns2 nothing is known (look again later; or, if it is to "+
			"sign all the same: reputed keys activate example.org s2)") {
			t.Error(got)
		}
		h.forget()
		for from := signer.Created; from < signer.Active; from++ { // as that command does
			if _, err := keydir.SetState(h.dir, keydir.Change{ID: id, From: from, To: from + 1, At: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		pass(30 * day)
		if k, _ := h.Snapshot().Key(id); k.Held || h.states() != "s1=retiring s2=active" || h.signs() != "s2" {
			t.Errorf("%s, signs with %s; the last key that is seen everywhere stays: %+v", h.states(), h.signs(), k)
		}
		if got := h.told(); !slices.Equal(got, []string{"step s1 retiring "}) {
			t.Errorf("%q", got)
		}
		w.put(func() { w.answer = nil })
		pass(day)
		if got := h.states(); got != "s1=revoked s2=active" {
			t.Errorf("the server is back: %s", got)
		}
	})
}

// A new key that is held back by a server which lags, or that nobody shows, is told of as well: once for each, by name,
// and without the way that is not open.
func TestLaggingHolds(t *testing.T) {
	for _, tt := range []struct {
		look watch.Look
		says string
		why  string
	}{
		{watch.Look{Sighting: signer.Partly, Lagging: true, Result: "mismatch"}, "mismatch", "a server lags"},
		{watch.Look{Sighting: signer.Nowhere, Result: "nxdomain"}, "nxdomain", "nobody shows it"},
		{watch.Look{Result: "transient"}, "transient", "nobody can be asked, and never could"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{}
			h := newHost(t, w)
			h.key("s1", signer.Active, 9*day)
			id := h.key("s2", signer.Created, time.Hour).ID()
			look := tt.look
			look.Reason, look.Advice = "ns1 shows the key; ns2 does not", "have ns2 transfer the zone"
			w.answer = func(k watch.Key) (watch.Look, bool) { return look, k.ID == id }
			h.start()
			pass(50 * time.Minute)
			if got := h.told(watch.HeldBack); len(got) != 0 {
				t.Errorf("%s: too early: %q", tt.why, got)
			}
			pass(day)
			h.restart()
			pass(day)
			if got := h.told(watch.HeldBack); !slices.Equal(got, []string{"held s2 created " + tt.says}) {
				t.Fatalf("%s: %q", tt.why, got)
			}
			for _, e := range h.happened() {
				if got := e.String(); e.Change == watch.HeldBack && !strings.HasSuffix(got,
					"not seen everywhere: ns1 shows the key; ns2 does not (have ns2 transfer the zone)") {
					t.Errorf("%s: %s", tt.why, got)
				}
			}
			if k, _ := h.Snapshot().Key(id); !k.Held || k.Look.Reason != look.Reason {
				t.Errorf("%s: %+v", tt.why, k)
			}
			w.put(func() { w.answer = nil })
			pass(day)
			if k, _ := h.Snapshot().Key(id); k.Held || k.Life.State != signer.Active {
				t.Errorf("%s: it is over, and %+v", tt.why, k)
			}
		})
	}
}

// What the resolver shows while all servers are silent does not outweigh what one of them said before.
func TestResolverDoubted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		h := newHost(t, w)
		h.key("s1", signer.Active, 9*day)
		id := h.key("s2", signer.Created, time.Hour).ID()
		say := func(l watch.Look) {
			w.put(func() { w.answer = func(k watch.Key) (watch.Look, bool) { return l, k.ID == id } })
		}
		lagging := watch.Look{Sighting: signer.Partly, Lagging: true, Via: "authority", Negative: time.Minute}
		silent := watch.Look{Sighting: signer.Partly, Via: "authority", Negative: time.Minute}
		resolver := watch.Look{Sighting: signer.Everywhere, Via: watch.ViaResolver, Reason: "the resolver shows it"}
		say(lagging)
		h.start()
		pass(2 * time.Hour)
		say(resolver)
		pass(2 * time.Hour)
		h.restart()
		pass(2 * time.Hour)
		k, _ := h.Snapshot().Key(id)
		if h.states() != "s1=active s2=created" || k.Seen.Sighting != signer.Partly ||
			!strings.Contains(k.Blind, "shows it; when servers of the zone could be asked last, not all of them showed") {
			t.Fatalf("%s, %+v", h.states(), k)
		}
		say(silent) // the one that lagged is silent now, which clears nothing up
		pass(time.Hour)
		say(resolver)
		pass(2 * time.Hour)
		if got := h.states(); got != "s1=active s2=created" {
			t.Fatal(got)
		}
		pass(day)
		if got := h.states(); got != "s1=retiring s2=active" {
			t.Errorf("nobody could ask a server for a day: the resolver has to do, and %s", got)
		}
	})
}

// The record of a new key that was there and is taken away is not published again: whoever did so may have meant it.
// That is said each time.
func TestTakenAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{negative: 10 * time.Hour}
		h := newHost(t, w)
		h.opt.Publisher = w
		h.key("s1", signer.Active, 9*day)
		key := h.key("s2", signer.Created, time.Minute)
		id := key.ID()
		w.put(func() { w.changes = w.changes[:len(w.changes)-1] })
		h.start()
		pass(time.Hour)
		if got := h.told(); !slices.Equal(got, []string{"published s2 published "}) {
			t.Fatalf("%q", got)
		}
		h.forget()
		w.set(id, "")
		pass(30 * time.Minute)
		h.restart()
		pass(30 * time.Minute)
		if text, _ := w.shows(id, 0, time.Now()); text != "" {
			t.Error("it is there again")
		}
		if got := h.told(watch.Wanted); !slices.Equal(got, []string{"wanted s2 published "}) {
			t.Fatalf("%q", h.told())
		}
		const says = "publish this record, which was there and is gone, if the key is to sign: s2._domainkey.example.org"
		if got := h.happened()[0].String(); !strings.Contains(got, says) {
			t.Error(got)
		}
		pass(day)
		if got := h.states(); got != "s1=active s2=created" {
			t.Error(got)
		}
		for range 2 {
			h.forget()
			w.set(id, key.Record())
			pass(time.Hour)
			w.set(id, "")
			pass(time.Hour)
			if got := h.told(watch.Wanted); !slices.Equal(got, []string{"wanted s2 published "}) {
				t.Errorf("%q", h.told())
			}
		}
		w.set(id, key.Record())
		pass(day)
		if got := h.states(); got != "s1=retiring s2=active" {
			t.Error(got)
		}
	})
}

// Who could not take in what was told is told again.
func TestToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, &world{})
		h.key("s1", signer.Active, 9*day)
		calls, trouble := 0, true
		h.opt.Keys = func() bool { h.mu.Lock(); defer h.mu.Unlock(); calls++; return !trouble }
		h.start()
		pass(time.Hour)
		h.key("s2", signer.Active, time.Hour)
		pass(30 * time.Minute)
		h.mu.Lock()
		if calls < 30 || calls > 200 {
			t.Errorf("told %d times", calls)
		}
		calls, trouble = 0, false
		h.mu.Unlock()
		pass(time.Hour)
		if calls != 1 {
			t.Errorf("it was taken in, and told %d times", calls)
		}
	})
}
