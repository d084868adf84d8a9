package milter

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Server serves milter connections. Make one with [New].
type Server struct {
	opt    Options
	log    *slog.Logger
	gate   *Gate
	panics *Panics
	memory sync.Pool // of *memory
	budget *Budget   // of what sessions keep

	madeRoom atomic.Int64 // when a connection was last looked for that keeps too much: Unix time in nanoseconds
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
	panics := NewPanics(o.Log, "milter", steps...)
	return &Server{
		opt: o, log: o.Log, gate: NewGate(o.Limits.Connections, o.Log, panics), panics: panics,
		budget: NewBudget(o.Limits.Kept),
	}
}

// steps are those of a session that a panic may be in.
var steps = []string{
	"connect", "helo", "mail", "rcpt", "header", "end of header", "body", "end of message", "failure", "abort", "quit",
	"release", InConnection,
}

func (s *Server) site() *Site { return s.opt.Site() }

// Serve takes connections from a listener until [Server.Shutdown], and returns nil then. It closes the listener. Over TCP
// it takes those of hosts that Options.Allowed allows. How it fares at the limit of connections, and when Accept fails,
// is told at [Gate.Serve].
func (s *Server) Serve(ln net.Listener) error {
	ln = &admitting{Listener: ln, allowed: s.opt.Allowed, log: s.log, now: s.opt.Now}
	return s.gate.Serve(ln, func(conn net.Conn) Guest {
		counted := &answers{Conn: conn, since: time.Now()}
		return visitor{s.newLink(counted), counted}
	})
}

// visitor is a connection as the gate sees it.
type visitor struct {
	*link
	answers *answers
}

// New tells that no message was heard of: there was no answer, or only that to the negotiation.
func (v visitor) New() bool { return v.answers.n.Load() <= 1 }

// Quiet tells how long ago the last answer was. Octets that lead to none do not count, so a trickle is quiet.
func (v visitor) Quiet() time.Duration {
	return time.Since(v.answers.since) - time.Duration(v.answers.last.Load())
}

// InHand tells that a message is, and for how long.
func (v visitor) InHand() (time.Duration, bool) {
	begun := v.begun.Load()
	return v.server.opt.Now().Sub(v.born) - time.Duration(begun), begun > 0
}

// answers counts what was answered on a connection.
type answers struct {
	net.Conn
	since time.Time
	n     atomic.Int64
	last  atomic.Int64 // how long after since, in nanoseconds
	over  atomic.Bool
}

// Close closes it once: a gate may cut off who is about to leave.
func (a *answers) Close() error {
	if a.over.Swap(true) {
		return net.ErrClosed
	}
	return a.Conn.Close()
}

func (a *answers) Write(p []byte) (int, error) {
	a.last.Store(int64(time.Since(a.since)))
	a.n.Add(1)
	return a.Conn.Write(p)
}

// Shutdown takes no more connections, closes those that are between messages, lets the others answer the message in
// hand, and returns when all have ended. When ctx ends first, what is left is cut off and ctx's error returned.
func (s *Server) Shutdown(ctx context.Context) error { return s.gate.Shutdown(ctx) }

// Panics tells how many panics were survived, by the step that they were in.
func (s *Server) Panics() map[string]uint64 { return s.panics.Counts() }

// Connections tells how many connections are open, and how many may be.
func (s *Server) Connections() (open, limit int) { return s.gate.Open() }
