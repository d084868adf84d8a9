package milter

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"reputed/milter/wire"
)

// Server serves milter connections. Make one with [New].
type Server struct {
	opt      Options
	log      *slog.Logger
	slots    chan struct{} // one per connection that may be open
	draining atomic.Bool
	stop     chan struct{} // closed when draining begins

	mu        sync.Mutex
	listeners map[net.Listener]bool
	links     map[*link]bool
	running   sync.WaitGroup // connections, and their listeners
}

// New makes a server. Options.Site must be set.
func New(o Options) *Server {
	o.Limits = o.Limits.withDefaults()
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{
		opt:       o,
		log:       o.Log,
		slots:     make(chan struct{}, o.Limits.Connections),
		stop:      make(chan struct{}),
		listeners: map[net.Listener]bool{},
		links:     map[*link]bool{},
	}
}

func (s *Server) site() *Site { return s.opt.Site() }

// Serve takes connections from a listener until [Server.Shutdown], and returns nil then. It closes the listener. At the
// limit of connections, of each listener one more is taken, which waits, and then no more. An error of Accept, such as
// having no file descriptor left, is logged and tried again.
func (s *Server) Serve(ln net.Listener) error {
	defer ln.Close()
	if !s.track(ln) {
		return nil
	}
	defer s.running.Done()
	for pause := time.Duration(0); ; {
		conn, err := ln.Accept()
		if err == nil {
			pause = 0
			select {
			case s.slots <- struct{}{}:
				s.start(conn)
				continue
			case <-s.stop:
				conn.Close()
				return nil
			}
		}
		if s.draining.Load() {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		s.log.Error("cannot accept a connection, trying again", "at", ln.Addr().String(), "err", err, "pause", pause)
		select {
		case <-time.After(pause):
		case <-s.stop:
			return nil
		}
	}
}

// track takes the listener in, unless the server is being stopped.
func (s *Server) track(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	s.listeners[ln] = true
	s.running.Add(1)
	return true
}

// start serves a connection, which holds a slot.
func (s *Server) start(conn net.Conn) {
	l := &link{Conn: conn, server: s, session: newSession(s), gone: make(chan struct{})}
	l.packets = wire.NewReader(socket{l})
	l.packets.Max = s.opt.Limits.Packet
	s.mu.Lock()
	s.links[l] = true
	s.running.Add(1)
	s.mu.Unlock()
	go func() {
		defer s.finish(l)
		l.serve()
	}()
}

func (s *Server) finish(l *link) {
	s.mu.Lock()
	delete(s.links, l)
	s.mu.Unlock()
	<-s.slots
	s.running.Done()
}

// Shutdown takes no more connections, closes those that are between messages, lets the others answer the message in
// hand, and returns when all have ended. When ctx ends first, what is left is cut off and ctx's error returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.draining.Swap(true) {
		close(s.stop)
	}
	for ln := range s.listeners {
		ln.Close()
	}
	for l := range s.links {
		if !l.busy.Load() {
			l.Conn.SetReadDeadline(time.Unix(1, 0))
		}
	}
	s.mu.Unlock()

	ended := make(chan struct{})
	go func() {
		s.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for l := range s.links {
		l.Conn.Close()
	}
	s.mu.Unlock()
	<-ended
	return ctx.Err()
}
