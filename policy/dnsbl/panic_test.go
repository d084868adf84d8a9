package dnsbl_test

import (
	"context"
	"math/rand/v2"
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
	wish  dnsbl.Wishes
}

// Uint64 is rand.Source.
func (f *failing) Uint64() uint64 {
	if f.armed.Load() {
		panic("no luck")
	}
	return 7
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
		Resolver: f.world, Wishes: f.wish, Rand: rand.New(f), Event: f.event,
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
