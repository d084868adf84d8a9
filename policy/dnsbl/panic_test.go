package dnsbl_test

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"reputed/policy/dns"
	"reputed/policy/dnsbl"
)

// failing is a monitor of a list of our own in which something panics at times.
type failing struct {
	*watching
	world *world
	zone  *zone
	told  atomic.Int64 // of panics
	stack atomic.Value // of the last
	armed atomic.Bool  // whatever is at random in the monitor panics
	deaf  atomic.Bool  // who is told of events does
	slip  atomic.Value // whatever is at random, and the clock, do in this function
	left  atomic.Int64 // so often
	wish  dnsbl.Wishes
}

// slips has something panic in a function of the monitor, some times.
func (f *failing) slips(times int64, function string) {
	f.slip.Store(function)
	f.left.Store(times)
}

func (f *failing) bang() {
	if f.left.Load() > 0 && strings.Contains(string(debug.Stack()), f.slip.Load().(string)) {
		f.left.Add(-1)
		panic("a slip")
	}
}

// Uint64 is rand.Source.
func (f *failing) Uint64() uint64 {
	if f.armed.Load() {
		panic("no luck")
	}
	f.bang()
	return 7
}

// now is the clock of the host.
func (f *failing) now() time.Time {
	f.bang()
	return time.Now()
}

func (f *failing) event(dnsbl.Event) {
	if f.deaf.Load() {
		panic("no ears")
	}
}

// fail starts one, and lets it be tested and asked.
func fail(t *testing.T) *failing {
	t.Helper()
	f := &failing{watching: &watching{t: t}}
	f.world, f.zone, f.wish = local(t)
	var err error
	f.Monitor, err = dnsbl.NewMonitor(dnsbl.Options{
		Resolver: f.world, Wishes: f.wish, Rand: rand.New(f), Event: f.event, Now: f.now,
		Caught: func(any) {
			f.told.Add(1)
			f.stack.Store(string(debug.Stack()))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f.stop = sync.OnceFunc(cancel)
	var running sync.WaitGroup
	running.Go(func() {
		if err := f.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { f.stop(); running.Wait() })
	f.pass(time.Minute)
	f.wants(dnsbl.Clear, 0, "at first")
	return f
}

// list puts the address on the list, or takes it off.
func (f *failing) list(code string) {
	f.world.put(func() { f.zone.listed[oneReversed] = code })
}

func (f *failing) wants(state dnsbl.State, panics int64, when string) {
	f.t.Helper()
	if l := f.at("local"); l.State != state || f.told.Load() != panics {
		f.t.Errorf("%s: %v, told of %d panics, want %v and %d: %+v", when, l.State, f.told.Load(), state, panics, l)
	}
}

// A panic in a question costs that question. What was known counts until it is too old, and then nothing is known; what
// is asked next is known again.
func TestPanicInAQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fail(t)
		bang := func(string) (dns.Answer, bool) { panic("bang") }
		f.world.put(func() { f.world.fault = bang })
		f.pass(35 * time.Minute)
		f.wants(dnsbl.Clear, 1, "after one")
		if at := f.stack.Load().(string); !strings.Contains(at, "dnsbl.lookUp(") {
			t.Errorf("it was not there: %s", at)
		}
		f.pass(5 * 33 * time.Minute)
		l := f.at("local")
		if l.State != dnsbl.Unknown || !strings.Contains(l.Reason, "a fault of reputed itself") {
			t.Errorf("after many: %+v", l)
		}
		if asked := len(f.world.questions("", "")); f.told.Load() > int64(asked) || f.told.Load() < 5 {
			t.Errorf("told of %d panics in %d questions", f.told.Load(), asked)
		}
		f.world.put(func() { f.world.fault = nil })
		told := f.told.Load()
		f.pass(2 * time.Hour)
		f.wants(dnsbl.Clear, told, "after them")
	})
}

// A panic of the monitor itself, here when an answer is taken, leaves nothing locked and nobody unasked.
func TestPanicInATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fail(t)
		release := make(chan struct{})
		f.world.put(func() {
			f.world.fault = func(string) (dns.Answer, bool) { <-release; return dns.Answer{}, false }
		})
		f.pass(33 * time.Minute)
		f.armed.Store(true)
		close(release)
		f.pass(0)
		f.wants(dnsbl.Clear, 1, "the answer was not taken")
		f.armed.Store(false)
		before := f.at("local").Asked
		f.pass(35 * time.Minute)
		f.wants(dnsbl.Clear, 1, "after it")
		if now := f.at("local").Asked; !now.After(before) {
			t.Errorf("last asked at %v, and then at %v", before, now)
		}
		if err := f.Set(f.wish); err != nil {
			t.Error(err)
		}
	})
}

// One that panics in each turn rests between them. What it knew is not shown for ever; and when it is over, all is as
// before.
func TestPanicInEachTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fail(t)
		f.list("127.0.0.2")
		f.pass(3 * time.Hour)
		f.wants(dnsbl.Listed, 0, "before")
		f.armed.Store(true)
		f.pass(time.Hour)
		if n := f.told.Load(); n < 25 || n > 60 {
			t.Errorf("told of %d panics in an hour", n)
		}
		f.wants(dnsbl.Listed, f.told.Load(), "it is not too old yet")
		f.pass(2 * time.Hour)
		if l := f.Snapshot().Listed(one); len(l) > 0 {
			t.Errorf("it is too old by now: %+v", l)
		}
		f.armed.Store(false)
		told := f.told.Load()
		f.pass(2 * time.Hour)
		f.wants(dnsbl.Listed, told, "after it")
	})
}

// Who is told of events may panic over each of them; nothing waits for that.
func TestPanicOverAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fail(t)
		f.deaf.Store(true)
		f.list("127.0.0.2")
		f.pass(3 * time.Hour)
		f.wants(dnsbl.Listed, 1, "listed")
		f.list("")
		f.pass(3 * time.Hour)
		f.wants(dnsbl.Clear, 2, "clear again")
	})
}

// A test that cannot be made is made soon, and one that is cut off goes on: no list is believed for ever.
func TestPanicInATest(t *testing.T) {
	for _, function := range []string{"dnsbl.label(", "(*Monitor).takeTest("} {
		synctest.Test(t, func(t *testing.T) {
			f := fail(t)
			f.slips(1, function)
			for f.told.Load() == 0 {
				f.pass(time.Minute)
			}
			f.wants(dnsbl.Clear, 1, function)
			f.pass(15 * time.Minute)
			if h := f.Snapshot().Lists()[0]; h.Health != dnsbl.Healthy || time.Until(h.Next) < 5*time.Hour {
				t.Errorf("%s: not tested soon: %+v", function, h)
			}
			f.world.put(func() { f.zone.listed["2.0.0.127"] = "" })
			f.pass(7 * time.Hour)
			f.wants(dnsbl.Broken, 1, "another test, after "+function)
		})
	}
}

// An answer that is not taken, several times, is asked for again: nothing is taken to be under way for ever.
func TestPanicBeforeAnAnswerIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fail(t)
		f.slips(3, "(*Monitor).take(")
		f.pass(3 * time.Hour)
		f.wants(dnsbl.Clear, 3, "after three")
		before := f.at("local").Asked
		f.pass(35 * time.Minute)
		if now := f.at("local").Asked; !now.After(before) {
			t.Errorf("last asked at %v, and then at %v", before, now)
		}
	})
}

// A reload that panics leaves what is watched as it was: it is shown, asked about, and kept; and the next one finds it.
func TestPanicInAReload(t *testing.T) {
	two := netip.MustParseAddr("203.0.113.26")
	for name, reload := range map[string]func(l *dnsbl.List) dnsbl.Wishes{
		"at once": func(l *dnsbl.List) dnsbl.Wishes { return dnsbl.Wishes{Lists: []*dnsbl.List{nil, l}} },
		"after a list": func(l *dnsbl.List) dnsbl.Wishes {
			return dnsbl.Wishes{Lists: []*dnsbl.List{l, nil}, Addresses: []netip.Addr{two}}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			state := filepath.Join(t.TempDir(), "dnsbl.json")
			w, z, wishes := local(t)
			wishes.Addresses = append(wishes.Addresses, two)
			z.listed[oneReversed], z.listed["26.113.0.203"] = "127.0.0.2", "127.0.0.2"
			v := watch(t, w, state, wishes)
			v.pass(3 * time.Hour)
			wishes.Addresses = wishes.Addresses[:1]
			v.set(wishes) // the other goes to the memory
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s: it does not panic", name)
					}
				}()
				v.Set(reload(wishes.Lists[0]))
			}()
			v.want(name, "local", dnsbl.Listed, "listed local 203.0.113.25, listed local 203.0.113.26")
			v.asked()
			v.stop()
			v = watch(t, w, state, wishes)
			v.want(name+", and a restart", "local", dnsbl.Listed, "")
			wishes.Addresses = append(wishes.Addresses, two)
			v.set(wishes)
			if n := len(v.Snapshot().Listed(two)); n != 1 {
				t.Errorf("%s: what was in the memory is on %d lists", name, n)
			}
			v.stop()
			kept, err := os.ReadFile(state)
			if err != nil || strings.Count(string(kept), one.String()) != 1 || strings.Count(string(kept), two.String()) != 1 {
				t.Errorf("%s: not kept once each (%v): %s", name, err, kept)
			}
		})
	}
}
