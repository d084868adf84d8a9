//go:build integration

package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"reputed/milter/bridge"
	"reputed/milter/wire"
	"reputed/policy/mail"
)

// load is mail that comes by the milter socket from several clients at once, each of which sends one message after the
// other.
type load struct {
	socket  string
	by      dialer            // nil: through the socket
	keys    map[string]string // records of those that sign there, by name
	clients int
	fresh   bool                // each message has a connection of its own
	message func(n int) mailing // nil: ann@example.org's
	pause   time.Duration       // between messages of a client
}

// mailing is a message to send.
type mailing struct {
	sender string
	rcpts  int // 0 is one
	fields []string
	body   func() io.Reader // nil: a few words
}

// tally is what came of it.
type tally struct {
	sent     int
	signed   int
	unsigned int       // accepted as they were
	deferred int       // 4xx
	refused  int       // 5xx
	broken   int       // no answer
	cut      int       // sessions that were ended by the other side
	what     []string  // what was not signed, and how
	kept     []passed  // of what was signed
	since    time.Time // the first of it
	took     []time.Duration
	lasted   time.Duration
}

func (a *tally) add(b tally) {
	a.sent, a.signed, a.unsigned = a.sent+b.sent, a.signed+b.signed, a.unsigned+b.unsigned
	a.deferred, a.refused, a.broken = a.deferred+b.deferred, a.refused+b.refused, a.broken+b.broken
	a.cut += b.cut
	a.what, a.took = append(a.what, b.what...), append(a.took, b.took...)
	a.kept = append(a.kept, b.kept...)
	if a.since.IsZero() || !b.since.IsZero() && b.since.Before(a.since) {
		a.since = b.since
	}
}

// rate is in messages per second.
func (a *tally) rate() float64 { return float64(a.sent) / a.lasted.Seconds() }

// percentile sorts the times.
func (a *tally) percentile(p int) time.Duration {
	if len(a.took) == 0 {
		return 0
	}
	slices.Sort(a.took)
	return a.took[min(len(a.took)-1, len(a.took)*p/100)]
}

// whole wants every message to have been signed, and what was kept to verify.
func (a *tally) whole(t testing.TB, what string) {
	t.Helper()
	if a.signed != a.sent || a.sent == 0 {
		t.Errorf("%s: of %d messages %d signed, %d unsigned, %d deferred, %d refused, %d without answer: %q", what,
			a.sent, a.signed, a.unsigned, a.deferred, a.refused, a.broken, a.what[:min(len(a.what), 5)])
	}
	a.verified(t, what)
}

// during sends while something is done.
func (l load) during(ctx context.Context, do func()) tally {
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	return l.until(ctx, func(int) bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
}

// count sends so many messages.
func (l load) count(ctx context.Context, n int) tally {
	return l.until(ctx, func(sent int) bool { return sent >= n })
}

// until sends until it is over, which is asked before each message, with how many have begun.
func (l load) until(ctx context.Context, over func(begun int) bool) (all tally) {
	var mu sync.Mutex
	begun := 0
	next := func() (n int, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if over(begun) {
			return 0, false
		}
		begun++
		return begun - 1, true
	}
	start := time.Now()
	var running sync.WaitGroup
	for range max(l.clients, 1) {
		running.Go(func() {
			c := client{load: l, ctx: ctx}
			for n, ok := next(); ok; n, ok = next() {
				c.send(n)
				time.Sleep(l.pause)
			}
			c.hangUp()
			mu.Lock()
			defer mu.Unlock()
			all.add(c.tally)
		})
	}
	running.Wait()
	all.lasted = time.Since(start)
	return all
}

// client is one of those who send.
type client struct {
	load
	tally
	ctx     context.Context
	session *bridge.Session // nil: none is open
}

func (c *client) hangUp() {
	if c.session != nil {
		c.session.Quit()
		c.session = nil
	}
}

// send sends a message, and counts what becomes of it.
func (c *client) send(n int) {
	m, start := c.mailing(n), time.Now()
	r, err := c.play(n, m)
	took := time.Since(start)
	c.sent++
	c.took = append(c.took, took)
	if err != nil && c.session != nil {
		c.session.Close()
		c.session = nil
		c.cut++
	}
	switch wrong := c.astray(m, r); {
	case err != nil && r.End.Kind == bridge.None: // what comes after the answer does not count
		c.broken++
	case r.End.Kind == bridge.Accept && wrong == nil:
		if c.since.IsZero() {
			c.since = time.Now()
		}
		if c.signed++; kept(c.sent - 1) {
			c.kept = append(c.kept, passed{n, m, r.Changes, c.keys})
		}
		return
	case r.End.Kind == bridge.Accept || r.End.Kind == bridge.Continue:
		c.unsigned++
		err = errors.Join(err, wrong)
	case r.End.Code/100 == 4 || r.End.Kind == bridge.Tempfail:
		c.deferred++
	default:
		c.refused++
	}
	c.what = append(c.what, fmt.Sprintf("%d: %v %v", n, r.End, err))
}

// loopback is a client on this host.
var loopback = wire.Peer{Name: "localhost", Family: wire.FamilyInet, Port: 4000, Addr: netip.MustParseAddr("127.0.0.1")}

// mailing gives a message to send.
func (l *load) mailing(n int) mailing {
	if l.message == nil {
		return mailing{sender: "ann@example.org"}
	}
	return l.message(n)
}

func (c *client) play(n int, m mailing) (r bridge.Result, err error) {
	if c.session == nil {
		if c.session, err = c.dial(c.ctx); err != nil {
			c.session = nil
			return r, err
		}
	}
	r, err = c.session.Play(m.bridge(n))
	if c.fresh && err == nil {
		c.hangUp()
	}
	return r, err
}

// bridge gives the message as Postfix would show it.
func (m mailing) bridge(n int) bridge.Message {
	h := new(mail.Header)
	for _, f := range slices.Concat(m.fields, []string{"From: " + m.sender, fmt.Sprintf("Subject: number %d", n)}) {
		name, value, _ := strings.Cut(f, ":")
		h.Add([]byte(name), []byte(value))
	}
	b := bridge.Message{Client: loopback, Sender: m.sender, QueueID: fmt.Sprintf("Q%d", n), Header: h}
	for i := range max(m.rcpts, 1) {
		b.Recipients = append(b.Recipients, bridge.Recipient{Path: fmt.Sprintf("friend%d@world.example", i), Mailer: "smtp"})
	}
	if b.Body = strings.NewReader("some text  \r\n.\r\n"); m.body != nil {
		b.Body = m.body()
	}
	return b
}

// dialer connects to a milter.
type dialer func(context.Context) (net.Conn, error)

// unix connects to its socket.
func unix(socket string) dialer {
	return func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "unix", socket) }
}

func (l *load) dial(ctx context.Context) (*bridge.Session, error) {
	by := l.by
	if by == nil {
		by = unix(l.socket)
	}
	at := wire.Endpoint{Network: "unix", Address: l.socket}
	return bridge.Dial(ctx, at, bridge.Options{
		Dialer: func(ctx context.Context, _ wire.Endpoint) (net.Conn, error) { return by(ctx) },
	})
}

func (d *daemon) dial(ctx context.Context) *bridge.Session {
	d.t.Helper()
	s, err := (&load{socket: d.socket}).dial(ctx)
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}
