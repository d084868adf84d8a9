package milter_test

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"reputed/milter"
	"reputed/milter/wire"
	"reputed/policy/mail"
)

// hooked is a connection at whose calls a test can do something first.
type hooked struct {
	net.Conn
	reading  func()          // before each Read
	deadline func(time.Time) // before a deadline for Read is set
	closed   atomic.Int32
}

func (h *hooked) Read(p []byte) (int, error) {
	if h.reading != nil {
		h.reading()
	}
	return h.Conn.Read(p)
}

func (h *hooked) SetReadDeadline(t time.Time) error {
	if h.deadline != nil {
		h.deadline(t)
	}
	return h.Conn.SetReadDeadline(t)
}

func (h *hooked) Close() error {
	h.closed.Add(1)
	return h.Conn.Close()
}

// drained is a server with one connection, in a bubble.
type drained struct {
	*mta
	conn   *hooked
	site   *milter.Site
	server *milter.Server
	beside sync.WaitGroup // what goes on beside the test
}

// shutDown ends the server, and tells how long that took.
func (d *drained) shutDown(t *testing.T) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	began := time.Now()
	if err := d.server.Shutdown(ctx); err != nil {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	return time.Since(began)
}

// whileDraining runs a test with a connection on which HELO was said a minute ago.
func whileDraining(t *testing.T, test func(*testing.T, *drained)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, log: new(syncBuffer)}
		site := r.newSite()
		d := &drained{site: &site, server: milter.New(milter.Options{
			Site: func() *milter.Site { return &site },
			Log:  slog.New(slog.NewTextHandler(r.log, nil)),
		})}
		ln := &chanListener{conns: make(chan net.Conn), done: make(chan struct{})}
		ended := make(chan error, 1)
		go func() { ended <- d.server.Serve(ln) }()
		ours, theirs := net.Pipe()
		d.conn = &hooked{Conn: ours}
		d.mta = &mta{t: t, conn: theirs, in: wire.NewReader(theirs)}
		ln.conns <- d.conn
		d.negotiate(6, postfixActions, postfixProtocol)
		d.connect("127.0.0.1", 4000)
		time.Sleep(time.Minute)
		synctest.Wait()
		test(t, d)
		theirs.Close()
		d.shutDown(t)
		d.beside.Wait()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// finish sends what follows MAIL, and wants the message signed.
func (d *drained) finish() {
	d.t.Helper()
	d.send(wire.CmdRcpt, "<b@elsewhere.example>")
	d.want(wire.ReplyContinue)
	if ps := d.content(plain, "x"); len(ps) != 2 || ps[1].code != wire.ReplyAccept {
		d.t.Errorf("the message: %v", ps)
	}
}

// A MAIL that comes while its connection is asked to end is answered, and the message is signed: after the connection was
// found idle and before its deadline is set; before the deadline, and not read yet; and half before, half after it.
func TestMailWhileDraining(t *testing.T) {
	envelope := wire.AppendStrings(nil, wire.CmdMail, "<a@example.org>")
	past := func(t time.Time) bool { return t.Before(time.Now()) }
	for name, test := range map[string]func(*testing.T, *drained){
		"between the look and the deadline": func(t *testing.T, d *drained) {
			answered := make(chan struct{})
			d.conn.deadline = func(at time.Time) {
				if past(at) {
					d.conn.deadline = nil
					d.raw(envelope)
					d.want(wire.ReplyContinue)
					synctest.Wait() // the next packet is waited for
					close(answered)
				}
			}
			d.beside.Go(func() { d.shutDown(t) })
			<-answered
			d.finish()
		},
		"not read yet": func(t *testing.T, d *drained) {
			first, goOn := make(chan struct{}), make(chan struct{})
			var once atomic.Bool
			d.conn.reading = func() {
				if !once.Swap(true) {
					close(first)
					<-goOn
				}
			}
			d.send(wire.CmdAbort) // so that it is about to read again
			<-first
			d.beside.Go(func() { d.raw(envelope) })
			d.beside.Go(func() { d.shutDown(t) })
			synctest.Wait()
			close(goOn)
			d.want(wire.ReplyContinue)
			d.finish()
		},
		"half of it": func(t *testing.T, d *drained) {
			d.raw(envelope[:7])
			d.beside.Go(func() { d.shutDown(t) })
			synctest.Wait()
			d.raw(envelope[7:])
			d.want(wire.ReplyContinue)
			d.finish()
		},
	} {
		t.Run(name, func(t *testing.T) { whileDraining(t, test) })
	}
}

// Who has half a packet to say, or says for ever what begins no message, goes with those who are silent.
func TestDrainedSoon(t *testing.T) {
	for name, says := range map[string]func(*drained){
		"nothing":       func(*drained) {},
		"half a packet": func(d *drained) { d.raw([]byte{0, 0, 0}) },
		"ABORT, for ever": func(d *drained) {
			d.beside.Go(func() {
				for {
					if _, err := d.mta.conn.Write(wire.Append(nil, wire.CmdAbort)); err != nil {
						return
					}
					time.Sleep(10 * time.Millisecond)
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			whileDraining(t, func(t *testing.T, d *drained) {
				says(d)
				if took := d.shutDown(t); took > 100*time.Millisecond {
					t.Errorf("it took %v", took)
				}
				if d.conn.closed.Load() != 1 {
					t.Errorf("it was closed %d times", d.conn.closed.Load())
				}
			})
		})
	}
}

// A connection that has ended, and whose guest is about to go, is not closed a second time when the time to drain is over.
func TestCutOnce(t *testing.T) {
	whileDraining(t, func(t *testing.T, d *drained) {
		goOn := make(chan struct{})
		d.site.Seal = func(*mail.Transaction) (milter.Seal, error) {
			return &slowSeal{fakeSeal{released: new(atomic.Int32)}, goOn}, nil
		}
		d.send(wire.CmdMail, "<a@example.org>")
		d.want(wire.ReplyContinue)
		d.send(wire.CmdEndHeader)
		d.send(wire.CmdQuit)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		d.beside.Go(func() { d.server.Shutdown(ctx) })
		synctest.Wait()
		if n := d.conn.closed.Load(); n != 1 {
			t.Errorf("it was closed %d times", n)
		}
		close(goOn)
	})
}

// slowSeal takes its time to be given back.
type slowSeal struct {
	fakeSeal
	goOn chan struct{}
}

func (s *slowSeal) Release() {
	<-s.goOn
	s.fakeSeal.Release()
}
