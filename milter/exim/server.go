package exim

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"reputed/milter"
	"reputed/policy/mail"
)

// Server answers questions. Make one with [New].
type Server struct {
	opt    Options
	log    *slog.Logger
	gate   *milter.Gate
	panics *milter.Panics
	budget *milter.Budget // of what questions take
	early  chan struct{}  // one place for each message whose envelope is asked about ahead
	begun  sync.WaitGroup // those that are
	asked  questions
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
	n := o.Limits.Connections
	panics := milter.NewPanics(o.Log, "exim", steps...)
	return &Server{
		opt: o, log: o.Log, gate: milter.NewGate(n, o.Log, panics), panics: panics, early: make(chan struct{}, n),
		budget: milter.NewBudget(o.Limits.Kept),
	}
}

// steps are those of a question that a panic may be in.
var steps = []string{
	string(AtMail), string(AtRcpt), string(AtData), string(AtLocal), "selector", "ahead", "trouble", milter.InConnection,
}

// Serve takes connections from a listener until [Server.Shutdown], and returns nil then. It closes the listener. How it
// fares at the limit of connections, and when Accept fails, is told at [milter.Gate.Serve].
func (s *Server) Serve(ln net.Listener) error {
	return s.gate.Serve(ln, func(conn net.Conn) milter.Guest { return &visit{conn, s} })
}

// Shutdown takes no more connections, answers those that are there, and returns when all have ended. When ctx ends
// first, what is left is cut off and ctx's error returned.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.gate.Shutdown(ctx); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { // what was asked ahead ends by itself
		s.begun.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ahead lets go on what is asked about an envelope, until the answers are there. They are wanted again at RCPT, where
// they come from a cache. When too many are asked ahead, the last ones are asked when they are wanted; and so are those
// whose question is large, for it is kept meanwhile, and not counted any more.
func (s *Server) ahead(q *asking) {
	const large = 4 << 10
	if q.request.octets > large {
		q.End()
		return
	}
	select {
	case s.early <- struct{}{}:
	default:
		q.End()
		return
	}
	s.begun.Go(func() {
		defer func() { <-s.early }()
		s.guard("ahead", func() {
			defer q.End()
			q.Recipient(&mail.Recipient{Stay: mail.Leaves})
		})
	})
}

// visit is a connection, with its one question.
type visit struct {
	net.Conn
	server *Server
}

// Run answers the question.
func (v *visit) Run() {
	defer v.Close()
	s := v.server
	v.SetDeadline(time.Now().Add(s.opt.Limits.Timeout))
	stage, text, err := v.hear()
	if err == io.EOF {
		return // somebody looked whether we are there
	}
	v.SetDeadline(time.Now().Add(s.opt.Limits.Timeout))
	if _, err := io.WriteString(v, text+"\n"); err != nil {
		s.log.Warn("exim did not wait for the answer", "stage", string(stage), "err", err)
		return
	}
	v.leave()
}

// hear reads the question and gives the answer. Nothing of the question is kept when it returns: the other side takes as
// long as it likes to read. io.EOF means that there was none.
func (v *visit) hear() (stage Stage, text string, err error) {
	s := v.server
	share := s.budget.Share()
	defer share.Restart(0)
	r, err := ReadRequest(counted{v, share}, s.opt.Limits.Request)
	if err == io.EOF {
		return "", "", err
	}
	s.asked.count(r, err)
	stage, text = Stage(short(string(r.Stage))), r.Stage.trouble() // whatever stands there is not kept whole
	switch {
	case errors.Is(err, errCrowded):
		s.log.Error("exim's question must wait", "stage", string(stage), "err", err)
	case err != nil:
		s.log.Error("exim asks what cannot be answered", "stage", string(stage), "err", err,
			"remedy", "compare its ACLs with those that came with this release")
	default:
		text = s.answer(r)
	}
	return stage, text, nil
}

// counted reads a question, as far as there is room for it.
type counted struct {
	io.Reader
	share *milter.Share
}

// errCrowded is why a question was not read to its end.
var errCrowded = errors.New("all questions in hand together take too much")

func (c counted) Read(p []byte) (int, error) {
	const copies = 4 // its lines, their values, what is made of these
	n, err := c.Reader.Read(p)
	if !c.share.Keep(copies * n) {
		return 0, errCrowded
	}
	return n, err
}

// lingering is how long the other side has to read the answer and go.
const lingering = time.Second

// leave ends the connection so that the answer arrives: what was not read yet would have it thrown away.
func (v *visit) leave() {
	if half, ok := v.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		v.SetDeadline(time.Now().Add(lingering))
		io.Copy(io.Discard, io.LimitReader(v, int64(v.server.opt.Limits.Request)))
	}
}

// Drain lets the question be answered, which has its time.
func (v *visit) Drain() {}

// Cut ends the connection.
func (v *visit) Cut() { v.Close() }
