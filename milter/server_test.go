package milter_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"reputed/milter"
	"reputed/milter/wire"
	"reputed/policy"
)

// begin starts a message of ours and gets as far as its header.
func begin(m *mta) {
	m.t.Helper()
	m.connect("127.0.0.1", 4000)
	m.send(wire.CmdMail, "<a@example.org>")
	m.want(wire.ReplyContinue)
	m.send(wire.CmdRcpt, "<b@elsewhere.example>")
	m.want(wire.ReplyContinue)
}

// countWrites counts the writes of a server's connection.
type countWrites struct {
	net.Conn
	n *atomic.Int32
}

func (c countWrites) Write(p []byte) (int, error) {
	c.n.Add(1)
	return c.Conn.Write(p)
}

// countingListener hands out connections that count.
type countingListener struct {
	net.Listener
	n *atomic.Int32
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countWrites{c, l.n}, nil
}

// The inserted field and the final reply leave in one write: apart, they cost a delayed ACK on TCP.
func TestOneWrite(t *testing.T) {
	r := newRig(t, milter.Limits{}, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int32
	go r.server.Serve(countingListener{ln, &n})
	r.ln = ln
	m := r.postfix()
	begin(m)
	before := n.Load()
	if ps := m.content(plain, "x"); len(ps) != 2 {
		t.Fatalf("outcome %v", ps)
	}
	if got := n.Load() - before; got != 1 {
		t.Errorf("%d writes for header, body and end, want 1", got)
	}
}

// Peers that send rubbish, stall or say nothing are let go, and all they held is given back (TestMain counts). None of
// them gets a reply that was not agreed on.
func TestBadPeers(t *testing.T) {
	negotiation := wire.Negotiation{Version: 6, Actions: postfixActions, Protocol: postfixProtocol}.Append(nil)
	then := func(packet ...byte) []byte { return append(bytes.Clone(negotiation), packet...) }
	large := func(code byte) []byte { return then(wire.Append(nil, code, make([]byte, wire.MaxCommand+1))...) }
	tests := []struct {
		name  string
		sent  []byte
		reply bool // to the negotiation
	}{
		{"nothing at all", nil, false},
		{"an empty packet", []byte{0, 0, 0, 0}, false},
		{"a huge packet", []byte{0xff, 0xff, 0xff, 0xff, 'B'}, false},
		{"half a length", []byte{0, 0}, false},
		{"half a packet", []byte{0, 0, 1, 0, 'O', 1, 2}, false},
		{"no negotiation", wire.AppendStrings(nil, wire.CmdMail, "<a@example.org>"), false},
		{"a short negotiation", []byte{0, 0, 0, 3, 'O', 1, 2}, false},
		{"negotiated, then silence", negotiation, true},
		{"negotiated, then half", then(0, 0, 1, 0, 'M', '<'), true},
		{"negotiated twice", then(negotiation...), true},
		{"an unknown command", then(0, 0, 0, 1, 'Z'), true},
		{"macros without end", then(0, 0, 0, 3, 'D', 'M', 'i'), true},
		{"a header field without NUL", then(0, 0, 0, 2, 'L', 'x'), true},
		{"a short CONNECT", then(0, 0, 0, 1, 'C'), true},
		{"a CONNECT without port", then(0, 0, 0, 4, 'C', 'x', 0, '4'), true},
		{"a CONNECT with half a port", then(0, 0, 0, 5, 'C', 'x', 0, '6', 1), true},
		{"large macros", large(wire.CmdMacro), true},
		{"a large CONNECT", large(wire.CmdConnect), true},
		{"a large HELO", large(wire.CmdHelo), true},
		{"a large sender", large(wire.CmdMail), true},
		{"a large recipient", large(wire.CmdRcpt), true},
		{"a large unknown command", large(wire.CmdUnknown), true},
	}
	r := newRig(t, milter.Limits{PacketTimeout: 50 * time.Millisecond, IdleTimeout: 100 * time.Millisecond}, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", r.ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.Write(tt.sent)
			conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			var codes []byte
			in := wire.NewReader(conn)
			for {
				code, _, err := in.Next()
				if err == io.EOF || err != nil && strings.Contains(err.Error(), "reset") {
					break
				}
				if err != nil {
					t.Fatalf("the connection stays open: %v", err)
				}
				codes = append(codes, code)
			}
			if want := strings.Repeat("O", map[bool]int{true: 1}[tt.reply]); string(codes) != want {
				t.Errorf("it got %q, want %q", codes, want)
			}
		})
	}
	begin(r.postfix()) // others are served all the while
}

// The largest packets that an MTA sends are taken: long recipients, many macros, and far larger fields and bodies.
func TestLargePackets(t *testing.T) {
	r := newRig(t, milter.Limits{}, nil)
	m := r.postfix()
	m.connect("127.0.0.1", 4000)
	m.macros(wire.CmdMail, "{auth_authen}", strings.Repeat("x", wire.MaxCommand-100))
	m.send(wire.CmdMail, "<"+strings.Repeat("a", 1000)+"@example.org>", "ENVID="+strings.Repeat("x", 2000))
	m.want(wire.ReplyContinue)
	m.send(wire.CmdRcpt, "<"+strings.Repeat("b", 2000)+"@elsewhere.example>", "ORCPT="+strings.Repeat("x", 2000))
	m.want(wire.ReplyContinue)
	m.send(wire.CmdHeader, "X-Large", strings.Repeat("x", 100<<10))
	m.send(wire.CmdHeader, "From", "a@example.org")
	m.send(wire.CmdEndHeader)
	m.raw(wire.Append(nil, wire.CmdEnd, make([]byte, 100<<10)))
	if ps := m.outcome(); len(ps) != 2 || !strings.Contains(ps[0].data, "body=102400;") {
		t.Errorf("outcome %v", ps)
	}
}

// A peer that trickles a packet is let go when the packet's time is over, however lively it is.
func TestTrickle(t *testing.T) {
	r := newRig(t, milter.Limits{PacketTimeout: 100 * time.Millisecond}, nil)
	m := r.postfix()
	m.connect("127.0.0.1", 4000)
	m.raw([]byte{0, 0, 0x10, 0, 'L'})
	for end := time.Now().Add(5 * time.Second); ; {
		if _, err := m.conn.Write([]byte{'x'}); err != nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal("still connected after 5 s")
		}
		time.Sleep(5 * time.Millisecond) // the trickle itself
	}
}

// QUIT_NC ends the SMTP session and keeps the connection; what was known of the client is gone.
func TestQuitNew(t *testing.T) {
	r := newRig(t, milter.Limits{}, nil)
	m := r.postfix()
	begin(m)
	m.content(plain, "x")
	m.send(wire.CmdQuitNew)
	m.send(wire.CmdMail, "<a@example.org>")
	m.want(wire.ReplyAccept)
	if rec := r.last(2); rec.Class != policy.Foreign || rec.client.Addr.IsValid() {
		t.Errorf("class %v, client %+v", rec.Class, rec.client)
	}
}

// A seal is given back however the message ends.
func TestRelease(t *testing.T) {
	ends := map[string]func(*mta){
		"end of message": func(m *mta) { m.send(wire.CmdEnd); m.outcome(); m.send(wire.CmdAbort) },
		"abort":          func(m *mta) { m.send(wire.CmdAbort) },
		"quit":           func(m *mta) { m.send(wire.CmdQuit) },
		"disconnect":     func(m *mta) { m.conn.Close() },
		"a bad packet":   func(m *mta) { m.raw([]byte{0, 0, 0, 0}) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, milter.Limits{}, nil)
			m := r.postfix()
			begin(m)
			m.send(wire.CmdEndHeader)
			end(m)
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if err := r.server.Shutdown(ctx); err != nil {
				t.Fatal(err)
			}
			if got := r.released.Load(); got != 1 {
				t.Errorf("released %d times", got)
			}
		})
	}
}

// failingListener fails as a process without file descriptors does, then works.
type failingListener struct {
	net.Listener
	fails atomic.Int32
}

func (l *failingListener) Accept() (net.Conn, error) {
	if l.fails.Add(-1) >= 0 {
		return nil, syscall.EMFILE
	}
	return l.Listener.Accept()
}

func TestAcceptErrors(t *testing.T) {
	r := newRig(t, milter.Limits{}, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	failing := &failingListener{Listener: ln}
	failing.fails.Store(3)
	go r.server.Serve(failing)
	r.ln = ln
	begin(r.postfix())
	if log := r.log.String(); strings.Count(log, "cannot accept a connection") != 3 {
		t.Errorf("log %s", log)
	}
}

// At the limit a connection waits in the kernel until another ends.
func TestConnectionLimit(t *testing.T) {
	r := newRig(t, milter.Limits{Connections: 1}, nil)
	first := r.postfix()
	second := r.dial()
	second.raw(wire.Negotiation{Version: 6, Actions: postfixActions, Protocol: postfixProtocol}.Append(nil))
	begin(first) // served, while the second waits
	if open, limit := r.server.Connections(); open != 1 || limit != 1 {
		t.Errorf("%d connections of %d: one that waits is not open", open, limit)
	}
	first.content(plain, "x")
	second.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := second.conn.Read(make([]byte, 1)); err == nil {
		t.Fatal("the second connection was answered at the limit")
	}
	first.conn.Close()
	second.want(wire.CmdNegotiate)
}

// A listener that waits for a connection takes none of the places: with as many listeners as places all of them serve.
func TestConnectionLimitOfListeners(t *testing.T) {
	r := newRig(t, milter.Limits{Connections: 1}, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go r.server.Serve(ln)
	first := r.postfix()
	first.send(wire.CmdQuit)
	r.ln = ln
	begin(r.postfix())
}

// What waits at the limit is let go at the end.
func TestShutdownAtLimit(t *testing.T) {
	r := newRig(t, milter.Limits{Connections: 1}, nil)
	busy := r.postfix()
	begin(busy)
	waiting := r.dial()
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		ended <- r.server.Shutdown(ctx)
	}()
	if p := waiting.reply(); p.code != 0 {
		t.Errorf("the waiting connection got %v", p)
	}
	if ps := busy.content(plain, "x"); len(ps) != 2 || ps[1].code != wire.ReplyAccept {
		t.Errorf("the message in hand: %v", ps)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Shutdown answers the message in hand, closes connections between messages at once, and takes none.
func TestShutdown(t *testing.T) {
	r := newRig(t, milter.Limits{}, nil)
	busy, quiet := r.postfix(), r.postfix()
	begin(busy)
	quiet.connect("127.0.0.1", 4000)
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		ended <- r.server.Shutdown(ctx)
	}()
	if p := quiet.reply(); p.code != 0 {
		t.Errorf("the quiet connection got %v", p)
	}
	if ps := busy.content(plain, "x"); len(ps) != 2 || ps[1].code != wire.ReplyAccept {
		t.Errorf("the message in hand: %v", ps)
	}
	if p := busy.reply(); p.code != 0 {
		t.Errorf("after its message the busy connection got %v", p)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", r.ln.Addr().String()); err == nil {
		conn.Close()
		t.Error("a new connection was accepted")
	}
}

// When the time to drain is over, what is left is cut off.
func TestShutdownDeadline(t *testing.T) {
	r := newRig(t, milter.Limits{}, nil)
	m := r.postfix()
	begin(m)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != context.DeadlineExceeded {
		t.Errorf("shutdown: %v", err)
	}
	if p := m.reply(); p.code != 0 {
		t.Errorf("got %v", p)
	}
}

// A body of any size streams: pieces reach the signature as they come, whatever the size of the packets.
func TestLargeBody(t *testing.T) {
	r := newRig(t, milter.Limits{}, nil)
	m := r.postfix()
	begin(m)
	for _, h := range plain {
		name, value, _ := strings.Cut(h, ":")
		m.send(wire.CmdHeader, name, value)
	}
	m.send(wire.CmdEndHeader)
	chunk := wire.Append(nil, wire.CmdBody, make([]byte, 65535))
	const chunks = 200
	for range chunks {
		m.raw(chunk)
	}
	m.raw(wire.Append(nil, wire.CmdEnd, []byte("tail")))
	ps := m.outcome()
	if want := "body=13107004;"; !strings.Contains(ps[0].data, want) {
		t.Errorf("signature %q, want %s", ps[0].data, want)
	}
}
