package milter_test

import (
	"bytes"
	"net"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"reputed/milter"
	"reputed/milter/wire"
)

// played is a connection on which an MTA says what it says all at once. What it is answered is counted.
type played struct {
	said     bytes.Reader
	answered int
	ended    chan struct{}
}

func (p *played) Read(b []byte) (int, error) { return p.said.Read(b) }
func (p *played) Write(b []byte) (int, error) {
	p.answered += len(b)
	return len(b), nil
}
func (p *played) Close() error {
	p.ended <- struct{}{}
	return nil
}
func (p *played) LocalAddr() net.Addr              { return &net.UnixAddr{Net: "unix"} }
func (p *played) RemoteAddr() net.Addr             { return &net.UnixAddr{Net: "unix"} }
func (p *played) SetDeadline(time.Time) error      { return nil }
func (p *played) SetReadDeadline(time.Time) error  { return nil }
func (p *played) SetWriteDeadline(time.Time) error { return nil }

// player gives a server connections on which the same is said.
type player struct {
	text   []byte
	conn   *played
	next   chan net.Conn
	server *milter.Server
}

func newPlayer(tb testing.TB, server *milter.Server, text []byte) *player {
	p := &player{text: text, conn: &played{ended: make(chan struct{}, 1)}, next: make(chan net.Conn), server: server}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(p) }()
	tb.Cleanup(func() {
		server.Shutdown(tb.Context())
		if err := <-ended; err != nil {
			tb.Errorf("serve: %v", err)
		}
	})
	return p
}

func (p *player) Accept() (net.Conn, error) {
	if conn, ok := <-p.next; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}
func (p *player) Close() error {
	defer func() { recover() }() // closed already: by Shutdown, and by Serve
	close(p.next)
	return nil
}
func (p *player) Addr() net.Addr { return &net.UnixAddr{Net: "unix"} }

// play plays one connection until its memory is left to the next, and gives how much was answered.
func (p *player) play() int {
	p.conn.said.Reset(p.text)
	p.conn.answered = 0
	p.next <- p.conn
	<-p.conn.ended
	for open, _ := p.server.Connections(); open > 0; open, _ = p.server.Connections() {
		runtime.Gosched()
	}
	return p.conn.answered
}

// oneMessage is what Postfix says for a message of 12 header fields and 4 KB.
func oneMessage() (text []byte) {
	text = wire.Negotiation{Version: 6, Actions: postfixActions, Protocol: postfixProtocol}.Append(text)
	text = wire.AppendStrings(text, wire.CmdMacro, "Cj", "mail.example.org", "{daemon_name}", "mail.example.org")
	text = wire.Append(text, wire.CmdConnect, []byte("client.example.org\x004\x9c\x40127.0.0.1\x00"))
	text = wire.AppendStrings(text, wire.CmdHelo, "client.example.org")
	text = wire.AppendStrings(text, wire.CmdMail, "<ann@example.org>")
	text = wire.AppendStrings(text, wire.CmdMacro, "R{rcpt_mailer}", "smtp")
	text = wire.AppendStrings(text, wire.CmdRcpt, "<friend@elsewhere.example>")
	text = wire.AppendStrings(text, wire.CmdMacro, "Ni", "4000000001")
	for _, name := range []string{
		"Received", "Message-ID", "Date", "MIME-Version", "User-Agent", "Content-Language", "To", "Subject",
		"Content-Type", "Content-Transfer-Encoding", "X-Mailer-Note",
	} {
		text = wire.AppendStrings(text, wire.CmdHeader, name, " some words, as they stand in a field")
	}
	text = wire.AppendStrings(text, wire.CmdHeader, "From", " Ann <ann@example.org>")
	text = wire.Append(text, wire.CmdEndHeader)
	text = wire.Append(text, wire.CmdBody, bytes.Repeat([]byte("some words in a line of text, as people write\r\n"), 87))
	text = wire.Append(text, wire.CmdEnd)
	return wire.Append(text, wire.CmdQuit)
}

// What the milter path costs of a message by itself: a connection, all packets, the judgement, the answers; neither a
// socket nor a signature.
func BenchmarkConnection(b *testing.B) {
	p := newPlayer(b, newRig(b, milter.Limits{}, nil).server, oneMessage())
	b.ReportAllocs()
	for b.Loop() {
		if p.play() < 100 {
			b.Fatal("no answer")
		}
	}
}

// A connection for each message is how MTAs work, so what a connection takes counts: its buffers are left to the next
// one, and answers need none, which were 40 KiB.
func TestConnectionMemory(t *testing.T) {
	const plays = 400
	p := newPlayer(t, newRig(t, milter.Limits{}, nil).server, oneMessage())
	p.play()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // the collector empties pools
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range plays {
		p.play()
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / plays; n > mostOctets {
		t.Errorf("%d octets for a message, at most %d", n, mostOctets)
	}
}
