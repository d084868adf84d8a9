// Package watch looks after the keys of a directory while the daemon runs: it sees whether the world sees them, and
// takes them through their life.
//
// It looks at the record of each key in the background, and keeps what it saw over restarts. Of a key that signs and
// that nobody can see, everywhere, twice, an interval apart, it says so once, with the reason and what to do, and
// [Snapshot.Unseen] has it, for [signer.Ring.Without]. So it does when the key can be seen again. When the DNS cannot
// be asked, everything stays as it was.
//
// It takes the steps of [signer.Plan] that are due, publishes, revokes and removes records where it may, and says once
// what somebody else has to do where it may not. [Hand.Apply] takes a step for it, and for whoever else wants to.
//
// It sees when key files come, change and go, whoever does that.
//
// # What it never does
//
// It is never asked anything while a message waits: what it knows is read from [Watch.Snapshot]. It lets no key sign
// that was not seen everywhere just before. It does not publish again what was there and is gone, but says so, nor does
// it change a record that is not the key's own. It makes no keys by itself, unless [Wishes.Rotate] says so.
//
// # Two of them
//
// Several daemons and people may change the same directory. Each step is made under the lock of package keydir, from
// the state that it was planned from; who comes second looks again, and plans anew.
//
// # Standards
//
// RFC 5863, section 3.5, and RFC 6376, section 3.1 (how keys follow each other).
//
// # Security
//
// It reads records of keys and never needs a private one, but to make it. The state file holds no secret; who can
// write it can make keys seem to be seen. Key files are read as package keydir reads them.
package watch

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"reputed/policy/mail"
	"reputed/signer"
	"reputed/signer/keydir"
)

// Wishes is what may be different after a reload.
type Wishes struct {
	Dir       string               // of the keys
	Rotate    time.Duration        // how long a key signs before a new one is made; 0: the watch makes none by itself
	Queue     time.Duration        // how long the MTA keeps trying; 0: [signer.QueueLifetime]
	Bars      func(signer.ID) bool // whether the configuration keeps a key from signing, as [signer.Ring.Bars]; nil: none
	Publisher Publisher            // changes records; nil: somebody else does, and is told
	UID       *int                 // who may own keys besides root, as [keydir.Options] has it
}

// Options is what a [Watch] needs.
type Options struct {
	Wishes
	Looker Looker
	State  string        // path of the file for what is known; "" keeps it in memory only
	Poll   time.Duration // how often the directory is looked at, in true time; 0: 5 s
	Rand   *rand.Rand    // used by the watch alone; nil is a random one

	// Selector names a new key; nil: by date and at random, as s202611-k7f3q9.
	Selector func(d mail.Domain, at time.Time) (mail.Domain, error)

	// Run calls these, one at a time. They should return soon, and may call Snapshot, and Set. Nil ones are not called.
	// Keys and Unseen tell whether it could be taken in; if not, Keys is called again soon.
	Event  func(Event)                   // is told of every change
	Keys   func() bool                   // files of keys are others, by whose hand ever: read them, and [Snapshot.Unseen]
	Unseen func(map[signer.ID]bool) bool // other keys are unseen now, as [Snapshot.Unseen], and no files are others

	// Speed is how many times faster than time the watch's clock goes, for demonstrations and tests with name servers of
	// their own. 0: as time does.
	Speed int

	// Caught is told of each panic in what Run does, with what recover gave, where that was; perhaps of several at once. A
	// look that it is in tells nothing, a step is tried again, and of a domain that cannot be planned the keys stay as they
	// are. After any other the watch rests for a minute, in true time. Nil: it survives none.
	Caught func(any)
}

// Looker looks for the record of a key in the DNS.
type Looker interface {
	Look(ctx context.Context, k Key) Look
}

// Key is what is to be looked for.
type Key struct {
	ID     signer.ID
	Record string // its text, with the public key
}

// Publisher changes records, if they are not what they are to be, and tells what came of it.
type Publisher interface {
	Bring(ctx context.Context, c signer.RecordChange) (signer.Outcome, error)
}

// Watch watches keys. What it knows is read from [Watch.Snapshot].
type Watch struct {
	o        Options
	clock    clock
	snapshot atomic.Pointer[Snapshot]
	kick     chan struct{}
	answers  chan answer

	mu       sync.Mutex // guards what is below
	wishes   Wishes
	rand     *rand.Rand
	entries  map[signer.ID]*entry
	domains  map[mail.Domain]*domain
	names    []mail.Domain   // of the domains, sorted
	unsorted bool            // they are not
	looks    agenda[*entry]  // but for those that are under way
	plans    agenda[*domain] // all of them
	files    files
	flying   int  // looks
	busy     bool // a step is being taken, or a record changed
	begun    bool // Run was called
	memory   *memory
	texts    texts
	counts   Counts
	news     news
}

// New makes a watch that knows what the state file and the directory hold, and asks nothing before [Watch.Run]. A state
// file that cannot be read is no error: it is set aside, and an event says so.
func New(o Options) *Watch {
	w := &Watch{
		o: o, clock: newClock(o.Speed), kick: make(chan struct{}, 1), answers: make(chan answer, maxFlying+1),
		rand: o.Rand, entries: map[signer.ID]*entry{}, domains: map[mail.Domain]*domain{},
		texts: texts{},
	}
	if w.rand == nil {
		w.rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	w.o.Poll = cmp.Or(o.Poll, 5*time.Second)
	w.snapshot.Store(&Snapshot{})
	var err error
	if w.memory, err = recall(o.State); err != nil {
		w.news.events = append(w.news.events, Event{Change: LostMemory, At: w.clock.now(), Reason: err.Error()})
	}
	w.Set(o.Wishes)
	return w
}

// Snapshot gives what is known now. It never waits.
func (w *Watch) Snapshot() *Snapshot { return w.snapshot.Load() }

// Set changes what is wished, and reads the directory of keys. What is known of keys that are still there stays.
func (w *Watch) Set(wishes Wishes) {
	w.mu.Lock()
	defer w.mu.Unlock()
	same := !w.begun && wishes.Dir == w.wishes.Dir && wishes.UID == w.wishes.UID // they were read just now
	w.wishes = wishes
	for _, name := range w.names {
		w.touch(name)
	}
	if !same || !w.files.known.equal(fingerprint(wishes.Dir)) {
		w.read()
	}
	w.show(w.clock.now())
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// Run looks and acts, until ctx ends. It is called once, and again if it ended in a panic. The error is that the state
// file could not be written at the end.
func (w *Watch) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	w.mu.Lock()
	w.begun = true
	w.mu.Unlock()
	var flights sync.WaitGroup
	defer flights.Wait()
	defer cancel()
	launch := func(fly func(context.Context) answer) {
		flights.Go(func() { w.answers <- fly(ctx) }) // which has room for all that fly
	}
	timer, poll := time.NewTimer(0), time.NewTicker(w.o.Poll)
	defer timer.Stop()
	defer poll.Stop()
	for {
		begin := func() {}
		select {
		case <-ctx.Done():
			return w.close()
		case <-timer.C:
		case <-w.kick:
		case <-poll.C:
			begin = w.poll
		case a := <-w.answers:
			begin = func() { w.hear(a) }
		}
		var wake time.Time
		if !w.survive(func() {
			begin()
			w.dispatch(launch)
			w.report()
			wake = w.wake()
		}) {
			w.rest(ctx)
		}
		timer.Reset(w.clock.until(wake))
	}
}

// close ends the watch. A step that is being taken is taken to its end, or can be taken again.
func (w *Watch) close() error {
	err := errPanic
	w.survive(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		err = w.memory.write(w.entries, w.clock.now())
	})
	return err
}

// answer is what came of a look, or of a step.
type answer struct {
	entry *entry
	look  Look
	job   *job // nil: it is a look
	done  Done
	err   error
}

// hear takes an answer.
func (w *Watch) hear(a answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock.now()
	w.news.changed, w.memory.dirty = true, true
	if a.job != nil {
		w.busy = false
		w.finish(a, now)
		w.touch(a.job.step.ID.Domain)
		return
	}
	w.flying--
	w.counts.Looks++
	e := a.entry
	e.away = false
	if e.gone {
		return
	}
	was := e.unseen
	if event, is := e.take(w.texts.share(a.look), now); is {
		w.news.events = append(w.news.events, event)
	}
	if e.blind > 0 {
		w.counts.Blind++
	}
	w.news.unseen = w.news.unseen || e.unseen != was
	e.next = e.asked.Add(spread(e.interval(now), w.rand))
	w.schedule(e)
	w.touch(e.life.ID.Domain)
}

const (
	longestSleep = 10 * time.Minute
	longestIdle  = 6 * time.Hour // of a domain for which there is nothing to do
)

// dispatch begins what is due.
func (w *Watch) dispatch(launch func(func(context.Context) answer)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock.now()
	if j := w.job(now); j != nil {
		w.busy = true
		launch(func(ctx context.Context) answer {
			a := answer{job: j, entry: j.entry, err: errPanic}
			w.survive(func() { a = j.do(ctx) })
			return a
		})
	}
	for w.flying < maxFlying { // in the order of their times, so that nobody is always last
		e, ok := w.looks.first()
		if !ok || e.next.After(now) {
			break
		}
		launch(w.look(e, now))
	}
}

// wake says when to look again.
func (w *Watch) wake() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	wake := w.clock.now().Add(longestSleep)
	soon := func(is bool, t time.Time) {
		if is && t.Before(wake) {
			wake = t
		}
	}
	if e, ok := w.looks.first(); ok {
		soon(w.flying < maxFlying, e.next) // else an answer will come
	}
	if d, ok := w.plans.first(); ok {
		soon(!w.busy, d.next)
	}
	soon(w.memory.dirty, w.memory.written.Add(w.writeAgain()))
	soon(w.news.changed, w.news.shown.Add(w.pace(showPace)))
	soon(w.news.keys || w.news.unseen, w.news.told.Add(w.pace(readPace)))
	return wake
}

// look begins a look.
func (w *Watch) look(e *entry, now time.Time) func(context.Context) answer {
	e.away, e.asked = true, now
	w.schedule(e)
	w.flying++
	looker, key := w.o.Looker, Key{ID: e.life.ID, Record: e.record}
	return func(ctx context.Context) answer {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		a := answer{entry: e, look: Look{Result: "transient", Reason: errPanic.Error()}}
		w.survive(func() { a.look = looker.Look(ctx, key) })
		return a
	}
}

// moved tells of errors that only mean that somebody else was quicker.
func moved(err error) bool { return errors.Is(err, keydir.ErrMoved) || errors.Is(err, keydir.ErrBusy) }
