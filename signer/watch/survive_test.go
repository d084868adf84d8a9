package watch

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"reputed/policy/mail"
	"reputed/signer"
	"reputed/signer/keydir"
)

// brittle is a watch of a directory with a key of each of some domains, in which a test breaks something.
type brittle struct {
	*Watch
	t      *testing.T
	told   atomic.Int64
	panics atomic.Int64
}

// silent is a Looker that nobody answers, and a Publisher.
type silent struct{}

func (silent) Look(context.Context, Key) Look {
	return Look{Result: "transient", Reason: "nobody answers"}
}

func (silent) Bring(context.Context, signer.RecordChange) (signer.Outcome, error) {
	return signer.AsItWas, nil
}

func breakable(t *testing.T, domains ...string) *brittle {
	t.Helper()
	dir := t.TempDir()
	b := &brittle{t: t}
	b.Watch = New(Options{
		Wishes: Wishes{Dir: filepath.Join(dir, "keys"), Publisher: silent{}},
		Looker: silent{}, State: filepath.Join(dir, "watch.json"),
		Event:  func(Event) { b.told.Add(1) },
		Caught: func(any) { b.panics.Add(1) },
	})
	if err := os.Mkdir(b.wishes.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b.create(domains...)
	b.read()
	return b
}

// create puts a key of each domain into the directory.
func (b *brittle) create(domains ...string) {
	b.t.Helper()
	for _, name := range domains {
		_, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			b.t.Fatal(err)
		}
		n := keydir.New{ID: signer.ID{Domain: parse(b.t, name), Selector: parse(b.t, "s1")}, Private: private, At: time.Now()}
		if _, err := keydir.Create(b.wishes.Dir, n); err != nil {
			b.t.Fatal(err)
		}
	}
}

func parse(t *testing.T, name string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// fails does what panics.
func (b *brittle) fails(do func()) {
	b.t.Helper()
	if b.survive(do) {
		b.t.Error("there was no panic")
	}
}

// What cannot be written down for a fault of our own is said once, as where there is no room. It keeps nothing from
// being told, and is written when it can be.
func TestPanicWhileWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breakable(t)
		do := func(what func()) {
			b.mu.Lock()
			what()
			b.mu.Unlock()
			time.Sleep(longestSleep + time.Minute)
			synctest.Wait()
		}
		lost := signer.ID{Domain: parse(t, "one.example"), Selector: parse(t, "s1")}
		spoil := func() { b.memory.keys[lost], b.memory.dirty = nil, true }
		mend := func() { delete(b.memory.keys, lost) }
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := b.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		for _, step := range []struct {
			do           func()
			told, panics int64
			why          string
		}{
			{spoil, 1, 1, "the first time"},
			{func() {}, 1, 2, "it was said"},
			{func() { b.tell(Event{Change: Stepped}) }, 2, 3, "of what else is new they are told"},
			{mend, 2, 3, "it is written"},
			{spoil, 3, 4, "again"},
			{mend, 3, 4, "at last"},
		} {
			if do(step.do); b.told.Load() != step.told || b.panics.Load() < step.panics {
				t.Errorf("%s: told of %d events and %d panics, want %d and %d",
					step.why, b.told.Load(), b.panics.Load(), step.told, step.panics)
			}
		}
		cancel()
		running.Wait()
		if _, err := os.Stat(b.memory.path); err != nil {
			t.Error(err)
		}
	})
}

// A domain for which it cannot be said what to do is not the next one again, and again: others come before.
func TestPanicOverADomain(t *testing.T) {
	b := breakable(t, "bad.example", "good.example")
	now := b.clock.now()
	bad, good := b.domains[parse(t, "bad.example")], b.domains[parse(t, "good.example")]
	bad.entries[0], good.next = nil, now
	b.plans.put(good)
	b.fails(func() { b.job(now) })
	if j := b.job(now); j == nil || j.step.ID.Domain.String() != "good.example" {
		t.Errorf("%+v", j)
	}
	if due := bad.next.Sub(now); due <= 0 || due > time.Hour {
		t.Errorf("it is tried again in %v", due)
	}
}

// Where the keys of one domain cannot be taken in, those of all others are, then or when they are read again.
func TestPanicWhileTakingIn(t *testing.T) {
	b := breakable(t, "bad.example")
	var others []string
	for i := range 20 {
		others = append(others, fmt.Sprintf("d%02d.example", i))
	}
	b.create(others...)
	bad := b.domains[parse(t, "bad.example")]
	good := bad.entries[0]
	bad.entries[0] = nil
	for len(b.domains) <= len(others) { // each time some of them come before the bad one
		b.fails(b.read)
	}
	bad.entries[0] = good
	b.read()
	b.show(b.clock.now())
	if n := len(b.Snapshot().Keys); n != 21 {
		t.Errorf("%d keys are shown", n)
	}
}

// Keys that cannot be taken in leave those of their domain as they were.
func TestPanicWhileArranging(t *testing.T) {
	b := breakable(t, "one.example")
	d := b.domains[parse(t, "one.example")]
	e := d.entries[0]
	other := signer.Life{ID: signer.ID{Domain: d.name, Selector: parse(t, "s2")}, State: signer.Created}
	lives := []signer.Life{other, d.lives[0]}
	memory := b.memory
	b.memory = nil
	b.fails(func() { (&arranging{watch: b.Watch, now: b.clock.now()}).arrange(d, lives) })
	b.memory = memory
	if len(d.lives) != 1 || len(d.entries) != 1 || d.entries[0] != e || e.gone || b.entries[e.life.ID] != e || e.place == 0 {
		t.Errorf("%+v", d)
	}
}

// What is not shown for a panic is shown later.
func TestPanicWhileShowing(t *testing.T) {
	b := breakable(t, "one.example")
	d := b.domains[parse(t, "one.example")]
	e := d.entries[0]
	d.entries[0] = nil
	b.fails(func() { b.latest() })
	d.entries[0] = e
	time.Sleep(b.pace(showPace))
	if b.latest(); len(b.Snapshot().Keys) != 1 {
		t.Error("it is not shown")
	}
}
