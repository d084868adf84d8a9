package milter_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
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

// Peers that send rubbish, stall or say nothing are let go, and all they held is given back (TestMain counts).
func TestBadPeers(t *testing.T) {
	negotiation := wire.Negotiation{Version: 6, Actions: postfixActions, Protocol: postfixProtocol}.Append(nil)
	tests := map[string][]byte{
		"nothing at all":             nil,
		"an empty packet":            {0, 0, 0, 0},
		"a huge packet":              {0xff, 0xff, 0xff, 0xff, 'B'},
		"half a length":              {0, 0},
		"half a packet":              {0, 0, 1, 0, 'O', 1, 2},
		"no negotiation":             wire.AppendStrings(nil, wire.CmdMail, "<a@example.org>"),
		"a short negotiation":        {0, 0, 0, 3, 'O', 1, 2},
		"negotiated, then silence":   negotiation,
		"negotiated, then half":      append(bytes.Clone(negotiation), 0, 0, 1, 0, 'M', '<'),
		"an unknown command":         append(bytes.Clone(negotiation), 0, 0, 0, 1, 'Z'),
		"macros without end":         append(bytes.Clone(negotiation), 0, 0, 0, 3, 'D', 'M', 'i'),
		"a header field without NUL": append(bytes.Clone(negotiation), 0, 0, 0, 2, 'L', 'x'),
		"a short CONNECT":            append(bytes.Clone(negotiation), 0, 0, 0, 1, 'C'),
		"a CONNECT without address":  append(bytes.Clone(negotiation), 0, 0, 0, 4, 'C', 'x', 0, '4'),
	}
	r := newRig(t, milter.Limits{PacketTimeout: 50 * time.Millisecond, IdleTimeout: 100 * time.Millisecond}, nil)
	for name, bytes := range tests {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", r.ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.Write(bytes)
			conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			if _, err := io.Copy(io.Discard, conn); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("the connection stays open: %v", err)
			}
		})
	}
	begin(r.postfix()) // others are served all the while
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
	first.content(plain, "x")
	second.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := second.conn.Read(make([]byte, 1)); err == nil {
		t.Fatal("the second connection was answered at the limit")
	}
	first.conn.Close()
	second.want(wire.CmdNegotiate)
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

func TestListenUnix(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "new", "milter.sock")
	at := wire.Endpoint{Network: "unix", Address: path}
	ln, err := milter.Listen(at, milter.Access{Mode: 0o600})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v, %v", info, err)
	}
	if ln.Addr().String() != path {
		t.Errorf("address %s", ln.Addr())
	}
	if _, err := milter.Listen(at, milter.Access{}); err == nil || !strings.Contains(err.Error(), "another process answers there") {
		t.Errorf("a second listener: %v", err)
	}
	ln.Close()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket stays behind: %v", err)
	}

	// What a killed process leaves behind is replaced.
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	ln, err = milter.Listen(at, milter.Access{})
	if err != nil {
		t.Fatalf("stale socket: %v", err)
	}
	defer ln.Close()
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("left over: %v", entries)
	}

	plain := filepath.Join(dir, "file")
	os.WriteFile(plain, []byte("precious"), 0o600)
	if _, err := milter.Listen(wire.Endpoint{Network: "unix", Address: plain}, milter.Access{}); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("a plain file: %v", err)
	}
	if _, err := milter.Listen(wire.Endpoint{Network: "unix", Address: filepath.Join(dir, "s")}, milter.Access{Group: "no-such-group"}); err == nil {
		t.Error("an unknown group was accepted")
	}
}
