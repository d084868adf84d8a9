package milter

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Gate lets connections in from listeners: so many at once and no more, until it is shut. Make one with [NewGate].
type Gate struct {
	log      *slog.Logger
	places   chan struct{} // one per connection that may be open
	draining atomic.Bool
	stop     chan struct{} // closed when draining begins

	mu        sync.Mutex
	listeners map[net.Listener]bool
	guests    map[Guest]bool
	running   sync.WaitGroup // guests, and listeners
}

// Guest is a connection that was let in.
type Guest interface {
	Run()   // serves it until it ends, and closes it
	Drain() // asks it to end as soon as it has answered what is in hand; called while Run runs, perhaps before
	Cut()   // closes it at once; called while Run runs, perhaps before
}

// NewGate makes a gate with so many places. Troubles of listeners are logged.
func NewGate(places int, log *slog.Logger) *Gate {
	return &Gate{
		log:       log,
		places:    make(chan struct{}, places),
		stop:      make(chan struct{}),
		listeners: map[net.Listener]bool{},
		guests:    map[Guest]bool{},
	}
}

// Draining tells that Shutdown began. It tells so before any guest is asked to end.
func (g *Gate) Draining() bool { return g.draining.Load() }

// Open tells how many guests there are, and how many there may be.
func (g *Gate) Open() (open, limit int) { return len(g.places), cap(g.places) }

// Serve lets in the connections of a listener until [Gate.Shutdown], and returns nil then. It closes the listener. At
// the limit of connections, of each listener one more is taken, which waits, and then no more. An error of Accept, such
// as having no file descriptor left, is logged and tried again.
func (g *Gate) Serve(ln net.Listener, guest func(net.Conn) Guest) error {
	defer ln.Close()
	if !g.track(ln) {
		return nil
	}
	defer g.running.Done()
	for pause := time.Duration(0); ; {
		conn, err := ln.Accept()
		if err == nil {
			pause = 0
			select {
			case g.places <- struct{}{}:
				g.start(guest(conn))
				continue
			case <-g.stop:
				conn.Close()
				return nil
			}
		}
		if g.draining.Load() {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return err
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

// track takes the listener in, unless the gate is being shut.
func (g *Gate) track(ln net.Listener) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining.Load() {
		return false
	}
	g.listeners[ln] = true
	g.running.Add(1)
	return true
}

// start runs a guest, who holds a place.
func (g *Gate) start(guest Guest) {
	g.mu.Lock()
	g.guests[guest] = true
	g.running.Add(1)
	g.mu.Unlock()
	go func() {
		defer g.finish(guest)
		guest.Run()
	}()
}

func (g *Gate) finish(guest Guest) {
	g.mu.Lock()
	delete(g.guests, guest)
	g.mu.Unlock()
	<-g.places
	g.running.Done()
}

// Shutdown lets nobody in any more, asks all guests to end, and returns when they have. When ctx ends first, what is
// left is cut off and ctx's error returned.
func (g *Gate) Shutdown(ctx context.Context) error {
	g.mu.Lock()
	if !g.draining.Swap(true) {
		close(g.stop)
	}
	for ln := range g.listeners {
		ln.Close()
	}
	for guest := range g.guests {
		guest.Drain()
	}
	g.mu.Unlock()

	ended := make(chan struct{})
	go func() {
		g.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	for guest := range g.guests {
		guest.Cut()
	}
	g.mu.Unlock()
	<-ended
	return ctx.Err()
}
