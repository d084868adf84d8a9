package watch_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"reputed/signer"
	"reputed/signer/watch"
)

// bomb panics as often as it is told to, and hears of panics.
type bomb struct {
	left atomic.Int64
	in   atomic.Value // the function that it panics in; nil: any

	mu     sync.Mutex
	stacks []string // where each was
}

func (b *bomb) bang() {
	if b.left.Load() <= 0 {
		return
	}
	if in, only := b.in.Load().(string); only && !strings.Contains(string(debug.Stack()), in) {
		return
	}
	if b.left.Add(-1) >= 0 {
		panic("bang")
	}
}

// Uint64 is rand.Source.
func (b *bomb) Uint64() uint64 {
	b.bang()
	return 7
}

func (b *bomb) caught(any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stacks = append(b.stacks, string(debug.Stack()))
}

// told gives how many panics there were.
func (b *bomb) told() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.stacks)
}

// want wants that a panic was told of, and that each was in a function.
func (b *bomb) want(t *testing.T, panics int, function string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.stacks) != panics {
		t.Errorf("told of %d panics, want %d", len(b.stacks), panics)
	}
	for _, s := range b.stacks {
		if !strings.Contains(s, function) {
			t.Errorf("not in %s: %s", function, s)
		}
	}
}

// fail makes a host in which something may panic.
func fail(t *testing.T, w *world) (*host, *bomb) {
	h, b := newHost(t, w), &bomb{}
	h.opt.Caught = b.caught
	return h, b
}

// A panic in a look tells nothing of the key, which goes on signing, and the next look counts.
func TestPanicInALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		h, b := fail(t, w)
		id := h.key("s1", signer.Active, 9*day).ID()
		h.start()
		pass(time.Hour)
		h.forget()
		w.put(func() { w.answer = func(watch.Key) (watch.Look, bool) { b.bang(); return watch.Look{}, false } })
		b.left.Store(3)
		h.until(3*day, "it cannot be looked for", func() bool { return b.told() == 3 })
		k, _ := h.Snapshot().Key(id)
		if h.signs() != "s1" || k.Seen.Sighting != signer.Everywhere || !strings.Contains(k.Blind, "a fault of reputed itself") {
			t.Errorf("signs with %q: %+v", h.signs(), k)
		}
		pass(day)
		if k, _ := h.Snapshot().Key(id); k.Blind != "" || len(h.told()) != 0 {
			t.Errorf("after them: %+v, %q", k, h.told())
		}
		b.want(t, 3, "(*world).Look")
		if n := h.Snapshot().Counts; n.Blind != 3 {
			t.Errorf("%+v", n)
		}
	})
}

// A panic while a record is changed is a step that failed: it is said once, and the step is taken later.
func TestPanicInAStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		h, b := fail(t, w)
		h.opt.Publisher = w
		id := h.key("s1", signer.Created, 0).ID()
		w.put(func() {
			w.changes = nil
			w.after = func(string) error { b.bang(); return nil }
		})
		b.left.Store(1)
		h.start()
		h.until(day, "the key signs", func() bool {
			k, _ := h.Snapshot().Key(id)
			return k.Life.State == signer.Active
		})
		b.want(t, 1, "(*world).Bring")
		got := h.happened()
		if len(h.told(watch.Failed)) != 1 || !strings.Contains(got[0].String(), "a fault of reputed itself") {
			t.Errorf("%v", got)
		}
	})
}

// A panic of who is told of keys that are others has him told again, and nobody waits for that; one of who is told of
// events loses that event.
func TestPanicOfThoseWhoAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, b := fail(t, &world{})
		keys := h.opt.Keys
		h.opt.Keys = func() bool { b.bang(); return keys() }
		h.key("s1@one.example", signer.Active, 9*day)
		h.start()
		pass(time.Hour)
		h.forget()
		b.left.Store(1)
		h.key("s2", signer.Active, 8*day)
		h.until(time.Hour, "s2 signs", func() bool { return h.signs() == "s2" })
		b.want(t, 1, "watch_test.TestPanicOfThoseWhoAreTold")
		h.stop()
		events := h.opt.Event
		h.opt.Event = func(e watch.Event) { b.bang(); events(e) }
		b.left.Store(1)
		h.start()
		h.world.set(ident(t, "s1@one.example"), "")
		h.world.set(ident(t, "s2"), "")
		pass(day)
		if n := len(h.told(watch.BecameUnseen)); n != 1 || len(h.Snapshot().Unseen()) != 2 {
			t.Errorf("%d of 2 events are told, after a panic: %q", n, h.told())
		}
		b.want(t, 2, "watch_test.TestPanicOfThoseWhoAreTold")
	})
}

// A panic of the watch itself, here when an answer is taken, leaves nothing locked, and no key that is not looked for.
// While each turn panics, it rests between them.
func TestPanicInATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		h, b := fail(t, w)
		h.opt.Rand = rand.New(b)
		id := h.key("s1", signer.Active, 9*day).ID()
		h.start()
		pass(time.Hour)
		b.left.Store(1)
		pass(7 * time.Hour)
		b.want(t, 1, "(*Watch).hear")
		h.forget()
		pass(7 * time.Hour)
		if n := len(w.gaps(id)); n == 0 {
			t.Error("it is not looked for any more")
		}
		h.Set(h.opt.Wishes)
		before := b.told()
		b.left.Store(1e6)
		h.forget()
		pass(10 * time.Hour)
		if n := b.told() - before; n < 60 || n > 600 {
			t.Errorf("%d panics in ten hours", n)
		}
		b.left.Store(0)
		pass(7 * time.Hour)
		h.forget()
		pass(7 * time.Hour)
		if n := len(w.gaps(id)); n == 0 {
			t.Error("it is not looked for any more, after many")
		}
	})
}

// A domain that cannot be planned keeps nothing from the others, and its own keys stay what they are.
func TestPanicInAPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		h, b := fail(t, w)
		h.opt.Publisher = w
		h.opt.Bars = func(id signer.ID) bool {
			if id.Domain.String() == "bad.example" {
				panic("bang")
			}
			return false
		}
		h.key("s1@bad.example", signer.Created, time.Minute)
		h.key("s1@good.example", signer.Created, time.Minute)
		h.start()
		pass(day)
		for domain, want := range map[string]signer.State{"bad.example": signer.Created, "good.example": signer.Active} {
			if k, ok := h.Snapshot().Key(ident(t, "s1@"+domain)); !ok || k.Life.State != want {
				t.Errorf("%s: %+v", domain, k)
			}
		}
		if n := b.told(); n == 0 || n > 1000 {
			t.Errorf("%d panics in a day", n)
		}
	})
}

// Keys that cannot be taken in are read again, although nobody touches their files any more.
func TestPanicWhileReading(t *testing.T) {
	for name, why := range map[string]string{
		"s1@one.example": "another key of the same name, in a directory that is there",
		"s1@two.example": "in a new one",
	} {
		synctest.Test(t, func(t *testing.T) {
			h, b := fail(t, &world{ttl: time.Hour})
			h.opt.Rand = rand.New(b)
			h.key("s1@one.example", signer.Active, 9*day)
			h.start()
			pass(time.Hour)
			h.forget()
			b.in.Store("(*arranging).scatter")
			b.left.Store(1)
			files, err := filepath.Glob(filepath.Join(h.dir, ident(t, name).Domain.String(), "*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			}
			key := h.key(name, signer.Active, 8*day)
			h.until(time.Hour, why, func() bool {
				h.mu.Lock()
				defer h.mu.Unlock()
				k, _ := h.Snapshot().Key(key.ID())
				return k.Record == key.Record() && h.reads > 0
			})
			b.want(t, 1, "(*arranging).scatter")
			h.forget()
			pass(2 * day)
			if n := len(h.world.gaps(key.ID())); n < 40 || n > 50 { // every hour
				t.Errorf("%s: looked for %d times in two days", why, n+1)
			}
		})
	}
}
