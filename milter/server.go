package milter

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Server serves milter connections. Make one with [New].
type Server struct {
	opt    Options
	log    *slog.Logger
	gate   *Gate
	memory sync.Pool // of *memory
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
	return &Server{opt: o, log: o.Log, gate: NewGate(o.Limits.Connections, o.Log)}
}

func (s *Server) site() *Site { return s.opt.Site() }

// Serve takes connections from a listener until [Server.Shutdown], and returns nil then. It closes the listener. Over TCP
// it takes those of hosts that Options.Allowed allows. How it fares at the limit of connections, and when Accept fails,
// is told at [Gate.Serve].
func (s *Server) Serve(ln net.Listener) error {
	ln = &admitting{Listener: ln, allowed: s.opt.Allowed, log: s.log, now: s.opt.Now}
	return s.gate.Serve(ln, func(conn net.Conn) Guest { return s.newLink(conn) })
}

// Shutdown takes no more connections, closes those that are between messages, lets the others answer the message in
// hand, and returns when all have ended. When ctx ends first, what is left is cut off and ctx's error returned.
func (s *Server) Shutdown(ctx context.Context) error { return s.gate.Shutdown(ctx) }

// Connections tells how many connections are open, and how many may be.
func (s *Server) Connections() (open, limit int) { return s.gate.Open() }
