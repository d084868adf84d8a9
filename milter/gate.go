package milter

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Gate lets connections in from listeners: so many at once and no more, until it is shut. Make one with [NewGate].
type Gate struct {
	log      *slog.Logger
	panics   *Panics
	places   chan struct{} // one per connection that may be open
	draining atomic.Bool
	stop     chan struct{} // closed when draining begins

	mu        sync.Mutex
	listeners map[net.Listener]bool
	guests    map[Guest]time.Time // since when
	listening sync.WaitGroup
	running   sync.WaitGroup // guests
}

// Guest is a connection that was let in.
type Guest interface {
	Run()   // serves it until it ends, and closes it
	Drain() // asks it to end as soon as it has answered what is in hand; may be called before Run, and after
	Cut()   // closes it at once; may be called before Run, and after
}

// Visitor is a guest that may stay for long, and tells how it gets on.
type Visitor interface {
	Guest
	New() bool                     // it was let in, and nothing that it wants was answered yet
	Quiet() time.Duration          // since it was answered last, or let in
	InHand() (time.Duration, bool) // for how long there is something that Drain would wait for, and whether there is
}

const (
	welcome  = time.Second      // a guest has so long to say what it wants, whoever else waits
	overlong = 30 * time.Second // what has been in hand for so long without an answer may be cut off for others,
	overdue  = 5 * time.Minute  // and what has been for so long, whatever was answered
)

// NewGate makes a gate with so many places. Troubles of listeners are logged, and panics of guests told.
func NewGate(places int, log *slog.Logger, panics *Panics) *Gate {
	return &Gate{
		log:       log,
		panics:    panics,
		places:    make(chan struct{}, places),
		stop:      make(chan struct{}),
		listeners: map[net.Listener]bool{},
		guests:    map[Guest]time.Time{},
	}
}

// Draining tells that guests are to end. It tells so before any of them is asked to.
func (g *Gate) Draining() bool { return g.draining.Load() }

// Open tells how many guests there are, and how many there may be.
func (g *Gate) Open() (open, limit int) { return len(g.places), cap(g.places) }

// Serve lets in the connections of a listener until [Gate.Shutdown], and returns nil then. It closes the listener. At
// the limit of connections, of each listener one more is taken, which waits, and then no more; and the [Visitor] makes
// way that has been quiet for longest, if nothing of it is in hand, or only what has been so for too long: half a minute
// without an answer, or five minutes with answers. An error of Accept, such as having no file descriptor left, is logged
// and tried again.
func (g *Gate) Serve(ln net.Listener, guest func(net.Conn) Guest) error {
	defer ln.Close()
	if !g.track(ln) {
		return nil
	}
	defer g.listening.Done()
	for pause := time.Duration(0); ; {
		conn, err := g.accept(ln)
		if err == nil {
			pause = 0
			if !g.place() {
				conn.Close()
				return nil
			}
			g.admit(conn, guest)
			continue
		}
		if g.stopped() {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		noFiles := errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
		if noFiles && g.makeWay("file descriptors") {
			pause = 0 // there is one in a moment
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		g.log.Error("cannot accept a connection, trying again", "at", ln.Addr().String(), "err", err, "pause", pause)
		select {
		case <-time.After(pause):
		case <-g.stop:
			return nil
		}
	}
}

// accept takes a connection. A panic over it is an error: the next may be another.
func (g *Gate) accept(ln net.Listener) (conn net.Conn, err error) {
	defer func() {
		if v := recover(); v != nil {
			g.panics.Caught(InConnection, v)
			err = errors.New("panic, see the log")
		}
	}()
	return ln.Accept()
}

// admit lets a connection in, for which there is a place. A panic before it is a guest costs the connection.
func (g *Gate) admit(conn net.Conn, guest func(net.Conn) Guest) {
	defer func() {
		if v := recover(); v != nil {
			g.panics.Caught(InConnection, v)
			conn.Close()
			<-g.places
		}
	}()
	g.start(guest(conn))
}

// place takes a place, and waits for one if it must. It is false when the gate is shut before there is one.
func (g *Gate) place() bool {
	select {
	case g.places <- struct{}{}: // also while the gate is shut: who is in was let in
		return true
	default:
	}
	for {
		g.makeWay("connections")
		select {
		case g.places <- struct{}{}:
			return true
		case <-g.stop:
			return false
		case <-time.After(welcome / 10):
		}
	}
}

// makeWay lets the visitor go that is missed least, and tells whether there is one. A panic in a visitor leaves it where
// it is.
func (g *Gate) makeWay(lack string) (gone bool) {
	defer func() {
		if v := recover(); v != nil {
			g.panics.Caught(InConnection, v)
		}
	}()
	idle, late, old := g.missedLeast()
	switch {
	case idle != nil:
		g.log.Warn("at the limit of "+lack+": the connection that was quiet for longest makes way", "quiet", idle.Quiet())
		idle.Drain()
	case late != nil:
		g.log.Warn("at the limit of "+lack+": a message that does not go on makes way", "quiet", late.Quiet())
		late.Cut()
	case old != nil:
		age, _ := old.InHand()
		g.log.Warn("at the limit of "+lack+": the message that has been in hand for longest makes way", "since", age)
		old.Cut()
	default:
		return false
	}
	return true
}

// missedLeast gives those who may make way, where there are such: of whom nothing is in hand, who was quiet for longest;
// of the others, who was quiet for longest, and for too long; and whose message takes the longest, and too long.
func (g *Gate) missedLeast() (idle, late, old Visitor) {
	g.mu.Lock()
	defer g.mu.Unlock()
	oldest := overdue
	for guest := range g.guests {
		v, ok := guest.(Visitor)
		if !ok {
			continue
		}
		age, inHand := v.InHand()
		switch {
		case !inHand && v.Quiet() >= welcome:
			idle = quieter(idle, v)
		case inHand && v.Quiet() >= overlong:
			late = quieter(late, v)
		case inHand && age >= oldest:
			old, oldest = v, age
		}
	}
	return idle, late, old
}

// quieter gives the one that has been quiet for longer; a may be nil.
func quieter(a, b Visitor) Visitor {
	if a == nil || b.Quiet() > a.Quiet() {
		return b
	}
	return a
}

// track takes the listener in, unless the gate is being shut.
func (g *Gate) track(ln net.Listener) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped() {
		return false
	}
	g.listeners[ln] = true
	g.listening.Add(1)
	return true
}

// start runs a guest, who holds a place.
func (g *Gate) start(guest Guest) {
	g.mu.Lock()
	g.guests[guest] = time.Now()
	g.running.Add(1)
	g.mu.Unlock()
	go func() {
		defer g.finish(guest)
		defer g.survive(guest)
		guest.Run()
	}()
}

// survive ends a guest that panicked outside of all that it guards. It costs the connection, not the process.
func (g *Gate) survive(guest Guest) {
	if v := recover(); v != nil {
		g.panics.Caught(InConnection, v)
		guest.Cut()
	}
}

func (g *Gate) finish(guest Guest) {
	g.mu.Lock()
	delete(g.guests, guest)
	g.mu.Unlock()
	<-g.places
	g.running.Done()
}

// stopped tells that nobody is let in any more.
func (g *Gate) stopped() bool {
	select {
	case <-g.stop:
		return true
	default:
		return false
	}
}

// Shutdown lets nobody in any more, asks all guests to end, and returns when they have. Who came in a moment ago, and
// could not say yet what he wants, has a moment for that: he came before the end. When ctx ends first, what is left is
// cut off and ctx's error returned.
func (g *Gate) Shutdown(ctx context.Context) error {
	g.mu.Lock()
	if !g.stopped() {
		close(g.stop)
	}
	for ln := range g.listeners {
		ln.Close()
	}
	g.mu.Unlock()
	g.listening.Wait() // whom they have taken is in now
	ended := make(chan struct{})
	go func() {
		g.running.Wait()
		close(ended)
	}()
	g.hearNew(ctx)
	g.draining.Store(true)
	for _, guest := range g.present() {
		guest.Drain()
	}

	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	for _, guest := range g.present() {
		guest.Cut()
	}
	<-ended
	return ctx.Err()
}

// present gives all guests. They are asked to go without the lock, which those who go need.
func (g *Gate) present() []Guest {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Keys(g.guests))
}

// hearNew waits until no guest is new.
func (g *Gate) hearNew(ctx context.Context) {
	const look = 2 * time.Millisecond
	for ctx.Err() == nil && g.anyNew() {
		time.Sleep(look)
	}
}

func (g *Gate) anyNew() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for guest, since := range g.guests {
		if v, ok := guest.(Visitor); ok && v.New() && time.Since(since) < welcome {
			return true
		}
	}
	return false
}
