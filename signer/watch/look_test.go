package watch_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reputed/signer"
	"reputed/signer/watch"
)

// Each result of a look, and what becomes of a key that signs when it lasts. The words are those of package dkim.
func TestResults(t *testing.T) {
	const (
		nothing = "" // no event
		unseen  = "unseen"
		partly  = "partly"
	)
	for _, tt := range []struct {
		results string
		look    watch.Look
		want    string
		why     string
	}{
		{"match odd weak strict testing", watch.Look{Sighting: signer.Everywhere}, nothing, "receivers verify"},
		{
			"too-short wrong-hash no-email mismatch wrong-type revoked broken several wildcard nodata nxdomain",
			watch.Look{Sighting: signer.Nowhere}, unseen, "receivers do not verify, wherever they ask",
		},
		{"mismatch nxdomain", watch.Look{Sighting: signer.Partly, Lagging: true}, partly, "some receivers do not verify"},
		{"match", watch.Look{Sighting: signer.Partly}, nothing, "a server that cannot be asked proves nothing"},
		{"transient", watch.Look{}, nothing, "nothing is known"},
	} {
		for result := range strings.FieldsSeq(tt.results) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{}
				h := newHost(t, w)
				h.key("s1", signer.Active, day)
				h.start()
				pass(time.Hour)
				look := tt.look
				look.Result, look.Reason, look.Advice = result, "the reason", "the advice"
				w.put(func() { w.answer = func(watch.Key) (watch.Look, bool) { return look, true } })
				pass(3 * time.Hour)
				var want []string
				if tt.want != nothing {
					want = []string{fmt.Sprintf("%s s1 active %s", tt.want, result)}
				}
				if got := h.told(); !slices.Equal(got, want) {
					t.Errorf("%s: %s: %q", result, tt.why, got)
				}
				for _, e := range h.happened() {
					if !strings.Contains(e.String(), "the reason (the advice)") {
						t.Error(e)
					}
				}
				k, ok := h.Snapshot().Key(ident(t, "s1"))
				if want := tt.want == unseen; !ok || k.Unseen != want || h.Snapshot().Unseen()[k.Life.ID] != want {
					t.Errorf("%s: %s: %+v", result, tt.why, k)
				}
				if (k.Blind != "") != (result == "transient") {
					t.Errorf("%s: %+v", result, k)
				}
				if h.signs() != "s1" {
					t.Errorf("%s: signs with %q: an unverifiable signature is no worse than none", result, h.signs())
				}
			})
		}
	}
}

// A key counts as gone, and as back, when it was seen so twice, an interval apart. The last good key signs meanwhile.
func TestHysteresis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{ttl: 5 * time.Minute, negative: 20 * time.Minute}
		h := newHost(t, w)
		old := h.key("s1", signer.Retiring, 2*day)
		key := h.key("s2", signer.Active, day)
		h.start()
		pass(time.Hour)
		if h.signs() != "s2" || len(h.told()) != 0 {
			t.Fatal(h.signs(), h.told())
		}
		id, record := key.ID(), key.Record()

		w.set(id, "") // for the time of one look: a zone that is loaded anew
		h.forget()
		h.until(10*time.Minute, "a look", func() bool { return len(w.lookedFor(id)) == 1 })
		w.set(id, record)
		pass(time.Hour)
		if len(h.told()) != 0 {
			t.Error("a short absence: ", h.told())
		}

		w.set(id, "")
		h.forget()
		gone := time.Now()
		h.until(time.Hour, "unseen", func() bool { return h.signs() == "s1" })
		if took := time.Since(gone); took < 5*time.Minute || took > 12*time.Minute {
			t.Errorf("after %v", took)
		}
		if looks := w.lookedFor(id); len(looks) != 2 || looks[1].Sub(looks[0]) < 5*time.Minute {
			t.Errorf("looks: %v", looks)
		}
		w.set(id, "v=DKIM1; p=T1RIRVI=")
		pass(time.Hour)
		w.set(id, "")
		pass(2 * day)
		want := []string{"unseen s2 active nxdomain", "unseen s2 active mismatch", "unseen s2 active nxdomain"}
		if got := h.told(); !slices.Equal(got, want) {
			t.Errorf("each change is told once: %q", got)
		}

		h.forget()
		w.set(id, record)
		h.until(time.Hour, "seen", func() bool { return h.signs() == "s2" })
		if looks := w.lookedFor(id); looks[len(looks)-1].Sub(looks[0]) < 20*time.Minute {
			t.Errorf("others remember for 20 minutes that it was not there: %v", looks)
		}
		pass(day)
		if got := h.told(); !slices.Equal(got, []string{"seen s2 active match"}) {
			t.Errorf("%q", got)
		}

		w.set(id, "") // both are gone
		w.set(old.ID(), "")
		pass(2 * time.Hour)
		if h.signs() != "s2" {
			t.Errorf("signs with %q", h.signs())
		}
	})
}

// What was seen once, at the beginning, and not again, counts for nothing later.
func TestSeenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		h := newHost(t, w)
		key := h.key("s1", signer.Active, day)
		for range 3 {
			w.set(key.ID(), "")
			h.forget()
			if h.Watch == nil {
				h.start()
			}
			h.until(time.Hour, "a look", func() bool { return len(w.lookedFor(key.ID())) == 1 })
			w.set(key.ID(), key.Record())
			pass(time.Hour)
			if len(h.told()) != 0 {
				t.Errorf("%q", h.told())
			}
		}
	})
}

// A key whose record is there already when it is made is nothing to speak of.
func TestPublishedBefore(t *testing.T) {
	for _, publisher := range []watch.Publisher{nil, &world{foreign: true}} {
		synctest.Test(t, func(t *testing.T) {
			h := newHost(t, &world{negative: time.Hour})
			h.opt.Publisher = publisher
			h.key("s1", signer.Active, day)
			h.key("s2", signer.Created, time.Hour)
			h.start()
			h.mail(2 * time.Hour)
			if got := h.told(watch.Wanted); len(got) != 0 || h.states() != "s1=retiring s2=active" {
				t.Errorf("%q, %s", got, h.states())
			}
		})
	}
}

// lookedFor gives when a key was looked for.
func (w *world) lookedFor(id signer.ID) (at []time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.looks {
		if l.id == id {
			at = append(at, l.at)
		}
	}
	return at
}

// What a resolver says may be what it remembers: twice is after that.
func TestResolver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		h := newHost(t, w)
		id := h.key("s1", signer.Active, day).ID()
		h.start()
		pass(time.Hour)
		h.forget()
		w.put(func() {
			w.answer = func(watch.Key) (watch.Look, bool) {
				return watch.Look{
					Sighting: signer.Nowhere, Via: watch.ViaResolver, Result: "nxdomain", Negative: 40 * time.Minute,
				}, true
			}
		})
		h.until(2*time.Hour, "unseen", func() bool { return h.Snapshot().Unseen()[id] })
		if looks := w.lookedFor(id); looks[len(looks)-1].Sub(looks[0]) < 40*time.Minute {
			t.Errorf("%v", looks)
		}
		if k, _ := h.Snapshot().Key(id); k.Look.Via != watch.ViaResolver {
			t.Errorf("%+v", k)
		}
	})
}

// How often a key is looked for.
func TestPace(t *testing.T) {
	for _, tt := range []struct {
		state       signer.State
		age         time.Duration
		ttl         time.Duration
		least, most time.Duration
		why         string
	}{
		{signer.Active, day, 0, 5 * time.Minute, 6 * time.Minute, "the TTL is not known"},
		{signer.Active, day, time.Second, 5 * time.Minute, 6 * time.Minute, "no oftener, whatever the TTL"},
		{signer.Active, day, time.Hour, time.Hour, 66 * time.Minute, "as the TTL is"},
		{signer.Active, day, 7 * day, 6 * time.Hour, 7 * time.Hour, "no rarer, whatever the TTL"},
		{signer.Retiring, 0, time.Hour, time.Hour, 66 * time.Minute, "it may have to stand in"},
		{signer.Created, 10 * day, 7 * day, 5 * time.Minute, 6 * time.Minute, "it is waited for"},
		{signer.Created, time.Minute, 7 * day, 30 * time.Second, 5 * time.Minute, "it has just been made"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{ttl: tt.ttl}
			h := newHost(t, w)
			id := h.key("s1", tt.state, tt.age).ID()
			if tt.state.Fresh() {
				w.set(id, "")
			}
			h.start()
			pass(min(20*tt.most, 8*day/2))
			if tt.age == time.Minute {
				h.stop()
				if gaps := w.gaps(id); gaps[0] > 33*time.Second || gaps[len(gaps)-1] < gaps[0] {
					t.Errorf("%s: %v", tt.why, gaps)
				}
			}
			gaps := w.gaps(id)
			if len(gaps) < 10 {
				t.Errorf("%s: only %d looks", tt.why, len(gaps))
			}
			different := false
			for _, g := range gaps {
				different = different || g != gaps[0]
				if g < tt.least || g > tt.most+tt.most/10 {
					t.Errorf("%s: %v", tt.why, g)
				}
			}
			if !different {
				t.Errorf("%s: no jitter", tt.why)
			}
		})
	}
}

// Many keys, and servers that do not answer: few looks at once, each ends, and none is forgotten.
func TestManyKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{hang: true, ttl: 6 * time.Hour}
		h := newHost(t, w)
		var ids []signer.ID
		for i := range 100 {
			ids = append(ids, h.key(fmt.Sprintf("s1@d%d.example", i), signer.Active, day).ID())
		}
		h.start()
		pass(10 * time.Minute)
		w.put(func() {
			if w.hang = false; w.most != 8 {
				t.Errorf("%d at once", w.most)
			}
		})
		pass(2 * time.Hour)
		for _, id := range ids {
			if k, _ := h.Snapshot().Key(id); k.Seen.Sighting != signer.Everywhere {
				t.Errorf("%+v", k)
			}
		}
		if len(h.told()) != 0 {
			t.Error(h.told())
		}
	})
}

// A day without the DNS changes nothing, and ends within an hour.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		h := newHost(t, w)
		gone := h.key("s1", signer.Retiring, 2*day).ID()
		h.key("s2", signer.Active, day)
		w.set(gone, "")
		h.start()
		pass(time.Hour)
		before := h.told()
		unseen := h.Snapshot().Unseen()
		if !unseen[gone] || h.signs() != "s2" {
			t.Fatal(unseen, h.signs())
		}
		w.put(func() { w.out = true })
		pass(12 * time.Hour)
		h.restart()
		pass(12 * time.Hour)
		if got := h.Snapshot().Unseen(); !got[gone] || len(got) != 1 || h.signs() != "s2" || !slices.Equal(h.told(), before) {
			t.Errorf("%v, %s, %q", got, h.signs(), h.told())
		}
		if n := len(w.gaps(gone)); n > 80 {
			t.Errorf("asked %d times", n)
		}
		w.put(func() { w.out = false })
		w.set(gone, h.record(gone))
		h.until(2*time.Hour+10*time.Minute, "seen again", func() bool { return len(h.Snapshot().Unseen()) == 0 })
	})
}

// record gives that of a key, as the watch knows it.
func (h *host) record(id signer.ID) string {
	k, _ := h.Snapshot().Key(id)
	return k.Record
}
