package signer_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"reputed/policy/mail"
	"reputed/signer"
)

// world is a domain whose keys live by plans, among people and servers that are slow, fail and forget.
type world struct {
	t       *testing.T
	rand    *rand.Rand
	clock   time.Time     // what really passes
	slow    time.Duration // by how much the clock that is seen was set back
	opt     signer.PlanOptions
	lives   map[signer.ID]signer.Life
	records map[signer.ID][2]bool // which of two servers shows the key
	seen    map[signer.ID]signer.Seen
	was     map[signer.ID]map[signer.State]time.Time // when, by the real clock
	shown   map[signer.ID]bool                       // every server was seen to show it
	wrong   map[signer.ID]bool                       // one of its times is of a clock that was ahead
	lapse   bool                                     // records may vanish by mistake
	made    int
	history []string
}

func newWorld(t *testing.T, seed uint64, lapse bool) *world {
	w := &world{
		t: t, rand: rand.New(rand.NewPCG(seed, 1)), clock: fixedTime(), lapse: lapse,
		lives: map[signer.ID]signer.Life{}, records: map[signer.ID][2]bool{}, seen: map[signer.ID]signer.Seen{},
		was: map[signer.ID]map[signer.State]time.Time{}, shown: map[signer.ID]bool{}, wrong: map[signer.ID]bool{},
	}
	if w.rand.IntN(2) == 0 {
		w.opt.Rotate = time.Duration(1+w.rand.IntN(200)) * day
	}
	for _, algorithm := range []string{signer.RSA, signer.Ed25519} {
		for range w.rand.IntN(3) { // imported, and in use
			id := w.newID()
			w.lives[id] = signer.Life{ID: id, Algorithm: algorithm, State: signer.Active}
			w.records[id] = [2]bool{true, true}
		}
		if w.rand.IntN(2) == 0 {
			w.create(algorithm)
		}
	}
	return w
}

// all gives the keys in a settled order, so that a history can be had again.
func (w *world) all() []signer.Life {
	lives := slices.Collect(maps.Values(w.lives))
	slices.SortFunc(lives, func(a, b signer.Life) int {
		return strings.Compare(a.ID.Selector.String(), b.ID.Selector.String())
	})
	return lives
}

func (w *world) now() time.Time { return w.clock.Add(-w.slow) }

func (w *world) newID() signer.ID {
	w.made++
	s, err := mail.ParseDomain(fmt.Sprintf("s%03d", w.made))
	if err != nil {
		w.t.Fatal(err)
	}
	return signer.ID{Domain: domain(w.t, "example.org"), Selector: s}
}

func (w *world) create(algorithm string) {
	id := w.newID()
	w.lives[id] = signer.Life{ID: id, Algorithm: algorithm}
	w.enter(id, signer.Created)
}

// came gives the time since when a key was there and signed, by the real clock.
func (w *world) came(l signer.Life) time.Time {
	if t, ok := w.was[l.ID][signer.Active]; ok {
		return t
	}
	return l.Came
}

// follows tells whether a key took over after another was there. One that says so by a clock that was ahead is believed
// when that time has come, for then nobody can tell.
func (w *world) follows(l signer.Life) bool {
	return slices.ContainsFunc(w.all(), func(k signer.Life) bool {
		wrong := w.wrong[k.ID] && !k.Since().After(w.now())
		return k.State == signer.Active && k.Algorithm == l.Algorithm &&
			(wrong || !w.was[k.ID][signer.Active].Before(w.came(l)))
	})
}

// drop puts a key that is in use elsewhere among the others.
func (w *world) drop(algorithm string) {
	id := w.newID()
	w.history = append(w.history, fmt.Sprintf("%v %v: put here", w.clock.Sub(fixedTime()), id.Selector))
	w.lives[id] = signer.Life{ID: id, Algorithm: algorithm, State: signer.Active, Came: w.clock}
	w.records[id] = [2]bool{true, true}
}

func (w *world) failf(format string, args ...any) {
	w.t.Helper()
	for _, h := range w.history[max(0, len(w.history)-40):] {
		w.t.Log(h)
	}
	w.t.Fatalf(format, args...)
}

// enter takes a key to a state, once.
func (w *world) enter(id signer.ID, to signer.State) {
	l := w.lives[id]
	w.history = append(w.history, fmt.Sprintf("%v %v: %v > %v", w.clock.Sub(fixedTime()), id.Selector, l.State, to))
	if !l.State.Before(to) || !l.Times[to].IsZero() {
		w.failf("%v goes from %v to %v", id, l.State, to)
	}
	if w.was[id] == nil {
		w.was[id] = map[signer.State]time.Time{}
	}
	w.was[id][to] = w.clock
	at := w.now()
	if to <= signer.Active && !w.wrong[id] && w.rand.IntN(20) == 0 { // somebody's clock is ahead, for this once
		w.wrong[id] = true
		at = at.Add(time.Duration(w.rand.Int64N(int64(100 * day))))
	}
	w.lives[id] = l.Enter(to, at, "")
	switch {
	case to == signer.Retiring && !l.Since().After(w.now()) && !w.follows(l):
		w.failf("%v gives way, and no key took over after it was there", id)
	case to == signer.Active && !w.shown[id]:
		w.failf("%v signs, and not everybody has seen it", id)
	case to == signer.Revoked && w.clock.Sub(w.was[id][signer.Retiring]) < 7*day:
		w.failf("%v is revoked %v after it signed last", id, w.clock.Sub(w.was[id][signer.Retiring]))
	case to == signer.Revoked && !slices.ContainsFunc(w.all(), func(k signer.Life) bool {
		return k.State == signer.Active && w.seen[k.ID].Sighting == signer.Everywhere
	}):
		w.failf("%v is revoked, and no key that signs can be seen", id)
	case to == signer.Revoked:
		delete(w.records, id) // the servers have an empty p=
	}
}

// pass lets time pass, and things happen in the DNS.
func (w *world) pass() {
	spans := []time.Duration{time.Minute, time.Hour, 5 * time.Hour, day, 9 * day}
	w.clock = w.clock.Add(time.Duration(w.rand.Int64N(int64(spans[w.rand.IntN(len(spans))]))))
	if w.rand.IntN(50) == 0 {
		w.slow += time.Duration(w.rand.Int64N(int64(3 * day)))
	}
	if w.rand.IntN(100) == 0 {
		w.drop([]string{signer.RSA, signer.Ed25519}[w.rand.IntN(2)])
	}
	for _, l := range w.all() {
		id := l.ID
		r := w.records[id]
		if l.State.Fresh() && w.rand.IntN(3) == 0 {
			r[w.rand.IntN(2)] = true
			w.records[id] = r
		}
		if w.lapse && l.State < signer.Revoked && w.rand.IntN(100) == 0 {
			delete(w.records, id)
		}
		if w.lapse && l.State == signer.Active && w.rand.IntN(10) == 0 {
			w.records[id] = [2]bool{true, true} // mended
		}
	}
}

// look asks the DNS, which may not answer.
func (w *world) look() {
	for _, l := range w.all() {
		id := l.ID
		r, s := w.records[id], signer.Partly
		switch {
		case w.rand.IntN(5) == 0:
			s = signer.Unknown
		case r[0] && r[1]:
			s, w.shown[id] = signer.Everywhere, true
		case !r[0] && !r[1]:
			s = signer.Nowhere
		}
		if old := w.seen[id]; old.Sighting != s {
			w.seen[id] = signer.Seen{Sighting: s, Since: w.now(), NegativeTTL: time.Duration(w.rand.IntN(3)) * time.Hour}
		}
	}
}

// act takes the steps that are due, and may be interrupted after any of them.
func (w *world) act() {
	for _, s := range signer.Plan(w.now(), w.all(), w.seen, w.opt) {
		if !s.Due(w.now()) {
			continue
		}
		if w.rand.IntN(4) == 0 {
			return
		}
		if s.To == signer.Created {
			w.create(s.Algorithm)
			continue
		}
		if w.lives[s.ID].State != s.From {
			w.failf("%v > %v of a key that is %v", s.From, s.To, w.lives[s.ID].State)
		}
		w.enter(s.ID, s.To)
	}
	w.settled()
}

// settled checks what holds when all steps that were due are taken.
func (w *world) settled() {
	followers := map[string]int{}
	for _, l := range w.lives {
		if l.State == signer.Active && !l.Times[signer.Published].IsZero() {
			followers[l.Algorithm]++
		}
	}
	for algorithm, n := range followers {
		if n > 1 {
			w.failf("%d keys sign with %s", n, algorithm)
		}
	}
	w.opt.Asked = false
	for _, s := range signer.Plan(w.now(), w.all(), w.seen, w.opt) {
		if s.Due(w.now()) && s.To != signer.Revoked { // which may have waited for one that became active just now
			w.failf("more to do, and at once: %+v", s)
		}
	}
}

// visible checks that mail is signed with a key that can be seen, if ever it was.
func (w *world) visible(was map[string]bool) {
	for _, algorithm := range []string{signer.RSA, signer.Ed25519} {
		active, seen := 0, false
		for id, l := range w.lives {
			if l.Algorithm != algorithm {
				continue
			}
			if l.State == signer.Active {
				active++
			}
			seen = seen || (l.State == signer.Active || l.State == signer.Retiring) && w.records[id] == [2]bool{true, true}
		}
		if was[algorithm] && active == 0 {
			w.failf("no key signs with %s any more", algorithm)
		}
		if was[algorithm] && !seen && !w.lapse {
			w.failf("nobody sees a key of %s any more", algorithm)
		}
		was[algorithm] = was[algorithm] || active > 0
	}
}

// Whatever the DNS, the clock and interruptions do: no key signs before everybody has seen it, records outlive their
// use, a domain that signs goes on to sign with a key that can be seen, no key comes to a state twice, and keys do not
// heap up.
func TestPlanAnyHistory(t *testing.T) {
	rotations := 0
	for seed := range uint64(200) {
		w := newWorld(t, seed, seed%4 == 0)
		signs := map[string]bool{}
		for range 300 {
			w.pass()
			w.look()
			w.opt.Asked = w.rand.IntN(40) == 0
			w.act()
			w.visible(signs)
		}
		for _, l := range w.lives {
			if l.State == signer.Removed {
				rotations++
			}
		}
	}
	if rotations < 500 {
		t.Errorf("only %d keys came to their end: this proves little", rotations)
	}
	t.Logf("%d keys came to their end", rotations)
}
