package dnsbl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"reputed/policy/dns"
	"reputed/policy/mail"
)

// Wishes is what is to be watched: every address at every list of addresses, every domain at every list of domains.
type Wishes struct {
	Lists     []*List      // see [Catalogue.Select]
	Addresses []netip.Addr // those that the world cannot see are passed over
	Domains   []mail.Domain
}

// How much is watched at most.
const (
	MaxAddresses = 256
	MaxDomains   = 5000
)

// ErrTooMany is what the error for wishes beyond the bounds is.
var ErrTooMany = errors.New("too many to be watched")

// subjects gives what is to be watched, in order and within the bounds.
func (w Wishes) subjects() ([]Subject, error) {
	var addresses, domains []Subject
	for _, a := range w.Addresses {
		if s := Address(a); mail.SeenByWorld(s.Addr) {
			addresses = append(addresses, s)
		}
	}
	for _, d := range w.Domains {
		if !d.IsZero() {
			domains = append(domains, Domain(d))
		}
	}
	var errs []error
	addresses, errs = within(addresses, MaxAddresses, "addresses", errs)
	domains, errs = within(domains, MaxDomains, "domains", errs)
	return slices.Concat(addresses, domains), errors.Join(errs...)
}

// within puts subjects in order, and cuts off what is too much.
func within(subjects []Subject, most int, what string, errs []error) ([]Subject, []error) {
	slices.SortFunc(subjects, bySubject)
	subjects = slices.Compact(subjects)
	if len(subjects) <= most {
		return subjects, errs
	}
	return subjects[:most], append(errs, fmt.Errorf("%d %s are %w: at most %d", len(subjects), what, ErrTooMany, most))
}

// Options is what a [Monitor] needs.
type Options struct {
	Resolver dns.Resolver // should have no cache of its own: the monitor keeps the time of answers
	Wishes   Wishes
	State    string      // path of the file for what is known; "" keeps it in memory only
	Event    func(Event) // told of every change, by Run, one at a time; it should return soon; nil tells nobody
	Rand     *rand.Rand  // used by the monitor alone; nil is a random one

	Now func() time.Time // the clock of the host; nil is time.Now

	// Speed is how many times faster than time the monitor's clock goes, for demonstrations and tests with lists of
	// their own: no list of others allows it. 0: as time does.
	Speed int

	// Caught is told of each panic in what Run does, with what recover gave, where that was; perhaps of several at once.
	// What a question was about is not known then. After one beside the questions the monitor rests for a minute, in true
	// time. Nil: it survives none.
	Caught func(any)
}

// Monitor watches addresses and domains at lists, in the background. What it knows is read from [Monitor.Snapshot].
type Monitor struct {
	clock    clock
	resolver dns.Resolver
	event    func(Event)
	caught   func(any)
	snapshot atomic.Pointer[Snapshot]
	kick     chan struct{}
	answers  chan answer

	mu        sync.Mutex // guards what is below
	rand      *rand.Rand
	watches   []*watch
	cells     map[Subject][]*cell // of all watches
	operators map[string]*operator
	flying    int
	resolving resolving
	memory    *memory
	changed   map[Subject]bool // what the snapshot does not show yet
	anew      bool             // it shows nothing yet
	events    []Event          // not told yet
	looked    time.Time        // when stale verdicts were last looked for
}

// NewMonitor makes a monitor that knows what the state file holds, and asks nothing before [Monitor.Run]. The error is
// for wishes beyond the bounds: what is within them is watched nevertheless. A state file that cannot be read is no
// error: it is set aside, and an event says so.
func NewMonitor(o Options) (*Monitor, error) {
	m := &Monitor{
		clock: newClock(o.Now, o.Speed), resolver: o.Resolver, event: o.Event, caught: o.Caught, rand: o.Rand,
		kick: make(chan struct{}, 1), answers: make(chan answer, maxFlying),
		operators: map[string]*operator{}, changed: map[Subject]bool{},
	}
	if m.rand == nil {
		m.rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	m.snapshot.Store(&Snapshot{})
	var err error
	m.memory, err = openMemory(o.State)
	m.memory.busy = m.clock.start
	if err != nil {
		m.events = append(m.events, Event{Change: LostMemory, At: m.clock.now(), Reason: err.Error()})
	}
	return m, m.Set(o.Wishes)
}

// Snapshot gives what is known now. It never waits.
func (m *Monitor) Snapshot() *Snapshot { return m.snapshot.Load() }

// Set changes what is watched. What was watched before and still is keeps its time; what is new is asked as soon as its
// list and its operator allow. The error is that of [NewMonitor].
func (m *Monitor) Set(w Wishes) error {
	subjects, err := w.subjects()
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.clock.now()
	m.arrange(w.Lists, subjects, now)
	m.publish(now)
	select {
	case m.kick <- struct{}{}:
	default:
	}
	return err
}

// Run asks, until ctx ends. It is called once, and again if it ended in a panic. The error is that the state file could
// not be written at the end.
func (m *Monitor) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var flights sync.WaitGroup
	defer flights.Wait()
	defer cancel()
	launch := func(ask func(context.Context) answer) {
		flights.Go(func() { m.answers <- ask(ctx) }) // which has room for all that fly
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for failed := 0; ; {
		hear := func() {}
		select {
		case <-ctx.Done():
			return m.close()
		case <-timer.C:
		case <-m.kick:
		case a := <-m.answers:
			hear = func() { m.take(a) }
		}
		var wake time.Time
		if m.survive(func() {
			hear()
			wake = m.dispatch(launch)
			m.report()
		}) {
			failed = 0
			timer.Reset(m.clock.until(wake))
			continue
		}
		failed++
		m.rest(ctx, failed)
		timer.Reset(0)
	}
}

// tick is the longest sleep: what becomes stale meanwhile is shown then, and what is new is written.
const tick = time.Minute

// dispatch asks what is due, and says when to look again.
func (m *Monitor) dispatch(launch func(func(context.Context) answer)) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.clock.now()
	wake := now.Add(tick)
	for _, o := range m.operators { // in any order, so that nobody is always last
		for m.flying < maxFlying {
			q, at := o.ready(now)
			if q == nil {
				if !at.IsZero() && at.Before(wake) {
					wake = at
				}
				break
			}
			if ask := m.begin(o, q, now); ask != nil {
				launch(ask)
			}
		}
	}
	if at := m.memory.written.Add(m.memory.pace(now)); m.memory.dirty && at.Before(wake) {
		return later(now, at)
	}
	return wake
}

const keepRemedy = "see that state_dir is a directory that the daemon may write, with room in it; until then, " +
	"whenever it starts it asks every list anew"

// close ends the monitor.
func (m *Monitor) close() error {
	err := errPanic
	m.survive(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		err = m.memory.write(m.watches, m.clock.now())
	})
	return err
}

// report shows what has changed, writes it down, and tells of it.
func (m *Monitor) report() {
	for _, e := range m.show() {
		if m.event != nil {
			m.survive(func() { m.event(e) })
		}
	}
}

// show shows what has changed, and writes it down. It gives what is to be told.
func (m *Monitor) show() []Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.clock.now()
	if m.clock.set(now) {
		m.redate(now)
	}
	if now.Sub(m.looked) >= tick {
		m.lookForStale(now)
	}
	m.publish(now)
	if err := m.writeSoon(now); err != nil {
		m.events = append(m.events, Event{Change: NotKept, At: now, Reason: err.Error(), Remedy: keepRemedy})
	}
	events := m.events
	m.events = nil
	return events
}

// writeSoon writes what is known down, if it is time to.
func (m *Monitor) writeSoon(now time.Time) error {
	again, err := m.memory.failing, errPanic
	whole := m.survive(func() { err = m.memory.writeSoon(m.watches, now, len(m.events) > 0) })
	if !whole && again { // it was said already
		return nil
	}
	return err
}

// lookForStale finds what the snapshot shows and is known no more.
func (m *Monitor) lookForStale(now time.Time) {
	m.looked = now
	for _, w := range m.watches {
		for _, c := range w.cells {
			if c.shown == c.verdict && c.verdict != Unknown && now.After(c.until) {
				m.changed[*c.subject] = true
			}
		}
	}
}

// publish makes the snapshot that shows what has changed.
func (m *Monitor) publish(now time.Time) {
	if !m.anew && len(m.changed) == 0 {
		return
	}
	last := m.snapshot.Load()
	s := &Snapshot{resolver: m.resolving.ResolverHealth, lists: last.lists}
	if m.anew {
		s.of = make(map[Subject]*standing, len(m.cells))
		s.lists = make([]ListHealth, len(m.watches))
		for i, w := range m.watches {
			s.lists[i] = ListHealth{w.list, w.health, past(w.since, now), w.tested, w.next, w.reason, w.remedy}
		}
		for subject := range m.cells {
			s.of[subject] = m.standing(subject, now)
		}
	} else {
		s.of = maps.Clone(last.of)
		for subject := range m.changed {
			s.of[subject] = m.standing(subject, now)
		}
	}
	m.anew = false
	clear(m.changed)
	m.snapshot.Store(s)
}

// standing shows a subject.
func (m *Monitor) standing(subject Subject, now time.Time) *standing {
	cells := m.cells[subject]
	s := &standing{others: make([]glance, 0, len(cells))}
	for _, c := range cells {
		var why *excuse
		if c.shown, why = c.state(now); c.shown == Listed {
			s.listed = append(s.listed, c.listing(now))
			continue
		}
		s.others = append(s.others, c.glance(c.shown, why, now))
	}
	slices.SortStableFunc(s.listed, func(a, b Listing) int { return cmp.Compare(b.Severity, a.Severity) })
	return s
}
