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
// that was not seen everywhere just before. It does not publish again what was there and is gone, nor change a record
// that is not the key's own. It makes no keys by itself, unless [Wishes.Rotate] says so.
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
	"maps"
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
	Event  func(Event)              // is told of every change
	Keys   func()                   // the files of keys are others than they were, by our hand or by another's: read them
	Unseen func(map[signer.ID]bool) // other keys are unseen now, as [Snapshot.Unseen]

	// Speed is how many times faster than time the watch's clock goes, for demonstrations and tests with name servers of
	// their own. 0: as time does.
	Speed int
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

// Publisher changes records. It tells false if that is for somebody else to do. What is as it should be is no error.
// Record is the text of the key's own record, or "" when it is not known any more.
type Publisher interface {
	Publish(ctx context.Context, id signer.ID, record string) (ours bool, err error)
	Revoke(ctx context.Context, id signer.ID, record string) (ours bool, err error)
	Remove(ctx context.Context, id signer.ID, record string) (ours bool, err error)
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
	lives    []signer.Life // of all keys in the directory
	attempts map[jobName]*attempt
	files    files
	flying   int  // looks
	busy     bool // a step is being taken, or a record changed
	memory   *memory
	news     news
}

// news is what was not told yet.
type news struct {
	changed bool // the snapshot is not up to date
	keys    bool // the files of keys are others
	unseen  bool // other keys are unseen
	events  []Event
}

// New makes a watch that knows what the state file and the directory hold, and asks nothing before [Watch.Run]. A state
// file that cannot be read is no error: it is set aside, and an event says so.
func New(o Options) *Watch {
	w := &Watch{
		o: o, clock: newClock(o.Speed), kick: make(chan struct{}, 1), answers: make(chan answer, maxFlying+1),
		rand: o.Rand, entries: map[signer.ID]*entry{}, attempts: map[jobName]*attempt{},
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
	w.wishes = wishes
	w.read()
	w.show()
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// read takes in the keys of the directory. When that cannot be read, those that are known stay.
func (w *Watch) read() {
	now := w.clock.now()
	w.files.note(w.wishes.Dir)
	known := map[signer.ID]signer.Life{}
	for id, k := range w.memory.keys { // at the start, it is all that is known of keys whose state cannot be read
		if k.State != signer.None {
			known[id] = signer.Life{ID: id, State: k.State}
		}
	}
	for _, l := range w.lives {
		known[l.ID] = l
	}
	found := keydir.Load(w.wishes.Dir, keydir.Options{UID: w.wishes.UID, Known: known})
	if found.Unreadable != nil {
		return
	}
	records := map[signer.ID]string{}
	for _, k := range found.Keys {
		records[k.ID()] = k.Record()
	}
	w.lives = found.Lives()
	w.arrange(records, now)
	w.news.changed = true
}

// arrange makes the entries of the keys that are there.
func (w *Watch) arrange(records map[signer.ID]string, now time.Time) {
	was := w.entries
	w.entries = map[signer.ID]*entry{}
	for _, l := range w.lives {
		record, there := records[l.ID]
		e := was[l.ID]
		delete(was, l.ID)
		if e == nil {
			e = w.memory.restore(l.ID, now)
		}
		if l.State >= signer.Removed {
			if e != nil {
				e.gone = true
			}
			continue
		}
		if e == nil || there && e.record != "" && e.record != record { // another key of the same name
			e = &entry{next: now.Add(time.Duration(w.rand.Int64N(int64(firstWithin))))}
		}
		if there {
			e.record = record
		}
		e.enter(l, now)
		w.entries[l.ID] = e
	}
	for id, e := range was { // they may come back
		e.gone = true
		w.memory.keep(id, e, now)
		w.news.unseen = w.news.unseen || e.unseen
	}
	maps.DeleteFunc(w.attempts, func(n jobName, _ *attempt) bool {
		return !n.id.Selector.IsZero() && w.entries[n.id] == nil
	})
	w.memory.dirty = true
}

// Run looks and acts, until ctx ends. It is called once. The error is that the state file could not be written at the
// end.
func (w *Watch) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
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
		select {
		case <-ctx.Done():
			return w.close()
		case <-timer.C:
		case <-w.kick:
		case <-poll.C:
			w.poll()
		case a := <-w.answers:
			w.take(a)
		}
		wake := w.dispatch(launch)
		w.report()
		timer.Reset(w.clock.until(wake))
	}
}

// close ends the watch. A step that is being taken is taken to its end, or can be taken again.
func (w *Watch) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.memory.write(w.entries, w.clock.now())
}

// poll looks whether files have changed.
func (w *Watch) poll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.files.changed(w.wishes.Dir) {
		w.read()
		w.news.keys = true
	}
}

// reread takes in at once what has changed, as a step was taken.
func (w *Watch) reread() {
	if fingerprint(w.wishes.Dir) != w.files.known {
		w.read()
		w.news.keys = true
	}
}

// answer is what came of a look, or of a step.
type answer struct {
	entry *entry
	look  Look
	job   *job // nil: it is a look
	done  Done
	err   error
}

// take takes an answer.
func (w *Watch) take(a answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock.now()
	w.news.changed, w.memory.dirty = true, true
	if a.job != nil {
		w.busy = false
		w.finish(a, now)
		return
	}
	w.flying--
	e := a.entry
	e.away = false
	if e.gone {
		return
	}
	was := e.unseen
	if event, is := e.take(a.look, now); is {
		w.news.events = append(w.news.events, event)
	}
	w.news.unseen = w.news.unseen || e.unseen != was
	e.next = e.asked.Add(spread(e.interval(now), w.rand))
}

// How long the watch sleeps at most, and how often it writes what it knows.
const (
	longestSleep = 10 * time.Minute
	writeEvery   = 10 * time.Minute // and at once when something is told
)

// dispatch begins what is due, and says when to look again.
func (w *Watch) dispatch(launch func(func(context.Context) answer)) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock.now()
	wake := now.Add(longestSleep)
	soon := func(t time.Time) {
		if t.Before(wake) {
			wake = t
		}
	}
	if w.memory.dirty {
		soon(w.memory.written.Add(writeEvery))
	}
	if j := w.next(now, soon); j != nil {
		w.busy = true
		launch(j.do)
	}
	for _, e := range w.entries { // in any order, so that nobody is always last
		switch {
		case e.away || e.record == "":
		case e.next.After(now):
			soon(e.next)
		case w.flying < maxFlying:
			launch(w.look(e, now))
		}
	}
	return wake
}

// look begins a look.
func (w *Watch) look(e *entry, now time.Time) func(context.Context) answer {
	e.away, e.asked = true, now
	e.next = now.Add(spread(e.interval(now), w.rand)) // even if no answer is ever taken
	w.flying++
	looker, key := w.o.Looker, Key{ID: e.life.ID, Record: e.record}
	return func(ctx context.Context) answer {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return answer{entry: e, look: looker.Look(ctx, key)}
	}
}

// report shows what has changed, tells of it, and writes it down.
func (w *Watch) report() {
	w.mu.Lock()
	w.show()
	now := w.clock.now()
	if err := w.memory.writeSoon(w.entries, now, len(w.news.events) > 0); err != nil {
		w.news.events = append(w.news.events, Event{Change: LostMemory, At: now, Reason: err.Error()})
	}
	n := w.news
	w.news = news{}
	unseen := w.snapshot.Load().Unseen()
	w.mu.Unlock()
	if n.keys && w.o.Keys != nil {
		w.o.Keys()
	}
	if n.unseen && w.o.Unseen != nil {
		w.o.Unseen(unseen)
	}
	if w.o.Event == nil {
		return
	}
	for _, e := range n.events {
		w.o.Event(e)
	}
}

// moved tells of errors that only mean that somebody else was quicker.
func moved(err error) bool { return errors.Is(err, keydir.ErrMoved) || errors.Is(err, keydir.ErrBusy) }
