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
		pass(time.Hour)
		if got := h.Snapshot().Counts; len(h.told()) != 0 || got.Records != 0 || got.Failures != 0 || got.Looks == 0 {
			t.Errorf("%q, %+v", h.told(), got)
		}
		pass(2 * time.Hour)
		want := []string{"step s1 published ", "step s1 active "}
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
		if got := h.events[0].String(); !strings.Contains(got, "of ns2 nothing is known (look again later; or, if it is to "+
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
