package bridge_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"reputed/milter/bridge"
	"reputed/milter/wire"
	"reputed/policy/mail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// filter is a milter that answers as its script says, and keeps what it saw.
type filter struct {
	answer wire.Negotiation // to the negotiation; version 0 is 6
	raw    []byte           // in place of answer
	silent bool             // it answers nothing at all

	// script holds the answers to each command, in order: whole packets. Where it has none, the answer is continue.
	script map[byte][][]byte

	mu     sync.Mutex
	seen   []string // packets as text
	writes int      // how many times the MTA wrote
	body   int      // octets of body
	done   chan struct{}
}

// texts takes texts, each ended by NUL, apart.
func texts(data []byte) []string {
	return strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
}

// packets makes an answer of several packets.
func packets(ps ...[]byte) (all []byte) {
	for _, p := range ps {
		all = append(all, p...)
	}
	return all
}

func packet(code byte, data string) []byte { return wire.Append(nil, code, []byte(data)) }

// indexed is the data of a change that has an index.
func indexed(i uint32, name, value string) string {
	return string(binary.BigEndian.AppendUint32(nil, i)) + name + "\x00" + value + "\x00"
}

// countingConn counts writes, and gives each of them to the filter as one.
type countingConn struct {
	net.Conn
	f *filter
}

func (c countingConn) Write(p []byte) (int, error) {
	c.f.mu.Lock()
	c.f.writes++
	c.f.mu.Unlock()
	return c.Conn.Write(p)
}

// start runs the filter, and gives options that lead to it.
func (f *filter) start(t testing.TB) bridge.Options {
	t.Helper()
	here, there := net.Pipe()
	f.done = make(chan struct{})
	go func() {
		defer close(f.done)
		defer there.Close()
		f.serve(there)
	}()
	t.Cleanup(func() { here.Close(); <-f.done })
	return bridge.Options{
		Timeout: 5 * time.Second,
		Dialer:  func(context.Context, wire.Endpoint) (net.Conn, error) { return countingConn{here, f}, nil },
	}
}

var socket = wire.Endpoint{Network: "unix", Address: "/run/100%/filter.sock"}

// dial starts a session with the filter.
func (f *filter) dial(t testing.TB) *bridge.Session {
	t.Helper()
	s, err := bridge.Dial(t.Context(), socket, f.start(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func (f *filter) serve(conn net.Conn) {
	in := wire.NewReader(conn)
	for {
		code, _, err := in.Next()
		if err != nil {
			return
		}
		data, err := in.Payload()
		if err != nil {
			return
		}
		f.note(code, data)
		if out := f.reply(code); len(out) > 0 {
			if _, err := conn.Write(out); err != nil {
				return
			}
		}
	}
}

func (f *filter) note(code byte, data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch code {
	case wire.CmdBody:
		f.body += len(data)
		f.seen = append(f.seen, fmt.Sprintf("B %d", len(data)))
	case wire.CmdConnect:
		f.seen = append(f.seen, fmt.Sprintf("C %q", data))
	case wire.CmdNegotiate:
	case wire.CmdMacro:
		f.seen = append(f.seen, fmt.Sprintf("D%c %s", data[0], strings.Join(texts(data[1:]), " ")))
	default:
		f.seen = append(f.seen, strings.TrimSpace(fmt.Sprintf("%c %s", code, strings.Join(texts(data), "|"))))
	}
}

func (f *filter) reply(code byte) []byte {
	if next := f.script[code]; len(next) > 0 {
		f.script[code] = next[1:]
		return next[0]
	}
	mute := uint32(0)
	switch code {
	case wire.CmdNegotiate:
		if f.silent || f.raw != nil {
			return f.raw
		}
		if f.answer.Version == 0 {
			f.answer.Version = 6
		}
		return f.answer.Append(nil)
	case wire.CmdMacro, wire.CmdAbort, wire.CmdQuit:
		return nil
	case wire.CmdConnect:
		mute = wire.NoReplyConnect
	case wire.CmdHelo:
		mute = wire.NoReplyHelo
	case wire.CmdMail:
		mute = wire.NoReplyMail
	case wire.CmdRcpt:
		mute = wire.NoReplyRcpt
	case wire.CmdData:
		mute = wire.NoReplyData
	case wire.CmdHeader:
		mute = wire.NoReplyHeader
	case wire.CmdEndHeader:
		mute = wire.NoReplyEOH
	case wire.CmdBody:
		mute = wire.NoReplyBody
	}
	if f.answer.Protocol&mute != 0 {
		return nil
	}
	return packet(wire.ReplyContinue, "")
}

// transcript ends the session and gives all that the filter saw, one packet a line.
func (f *filter) transcript(t testing.TB, s *bridge.Session) string {
	t.Helper()
	if err := s.Quit(); err != nil {
		t.Fatalf("quit: %v", err)
	}
	<-f.done
	return strings.Join(f.seen, "\n")
}

// message is an ordinary message; recipients leave by smtp.
func message(recipients ...string) bridge.Message {
	m := bridge.Message{
		Client: wire.Peer{Name: "client.example", Family: wire.FamilyInet, Port: 40000,
			Addr: netip.MustParseAddr("192.0.2.1")},
		Helo: "helo.example", Daemon: "mail.example.org", Login: "ann", Sender: "ann@example.org", Mailer: "local",
		QueueID: "4F1",
		Header:  new(mail.Header),
		Body:    strings.NewReader("hello\r\n"),
	}
	m.Header.Add([]byte("From"), []byte(" ann@example.org"))
	for _, r := range recipients {
		m.Recipients = append(m.Recipients, bridge.Recipient{Path: r, Mailer: "smtp"})
	}
	return m
}

func lines(ls ...string) string { return strings.Join(ls, "\n") }
