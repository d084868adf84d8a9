package milter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"reputed/milter"
	"reputed/milter/wire"
	"reputed/policy"
	"reputed/policy/mail"
)

func TestMain(m *testing.M) {
	if at := os.Getenv(aloneAt); at != "" {
		serveAlone(at)
		return
	}
	goleak.VerifyTestMain(m)
}

// What Postfix 3.7 offers.
const (
	postfixActions  = 0x1ff
	postfixProtocol = 0x1fffff
)

// mta is the other end of a connection, packet by packet. Where a test needs a whole conversation it calls message.
type mta struct {
	t    testing.TB
	conn net.Conn
	in   *wire.Reader
	got  wire.Negotiation
}

// packet is a packet received.
type packet struct {
	code byte
	data string
}

func (p packet) String() string { return fmt.Sprintf("%c %q", p.code, p.data) }

func (m *mta) send(code byte, texts ...string) {
	m.t.Helper()
	if _, err := m.conn.Write(wire.AppendStrings(nil, code, texts...)); err != nil {
		m.t.Fatalf("send %q: %v", code, err)
	}
}

func (m *mta) raw(b []byte) {
	m.t.Helper()
	if _, err := m.conn.Write(b); err != nil {
		m.t.Fatalf("send: %v", err)
	}
}

func (m *mta) macros(cmd byte, texts ...string) {
	m.t.Helper()
	var b bytes.Buffer
	b.WriteByte(cmd)
	for _, t := range texts {
		b.WriteString(t + "\x00")
	}
	m.raw(wire.Append(nil, wire.CmdMacro, b.Bytes()))
}

// reply reads one packet; the code 0 means that the connection ended.
func (m *mta) reply() packet {
	m.t.Helper()
	m.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	code, _, err := m.in.Next()
	if err != nil {
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			m.t.Fatal("no reply in 5 s")
		}
		return packet{}
	}
	data, err := m.in.Payload()
	if err != nil {
		m.t.Fatalf("reply: %v", err)
	}
	return packet{code, string(data)}
}

func (m *mta) want(code byte) packet {
	m.t.Helper()
	p := m.reply()
	if p.code != code {
		m.t.Fatalf("reply is %v, want %c", p, code)
	}
	return p
}

func (m *mta) negotiate(version, actions, protocol uint32) {
	m.t.Helper()
	m.raw(wire.Negotiation{Version: version, Actions: actions, Protocol: protocol}.Append(nil))
	p := m.want(wire.CmdNegotiate)
	n, err := wire.ParseNegotiation([]byte(p.data))
	if err != nil {
		m.t.Fatal(err)
	}
	m.got = n
}

// muted tells whether a reply was negotiated away.
func (m *mta) muted(bit uint32) bool { return m.got.Protocol&bit != 0 }

func (m *mta) expect(bit uint32) {
	m.t.Helper()
	if !m.muted(bit) {
		m.want(wire.ReplyContinue)
	}
}

func (m *mta) connect(addr string, port uint16) {
	m.t.Helper()
	p := wire.Peer{Name: "client.example", Family: wire.FamilyInet, Port: port, Addr: netip.MustParseAddr(addr)}
	if p.Addr.Is6() {
		p.Family = wire.FamilyInet6
	}
	m.raw(p.Append(nil))
	m.expect(wire.NoReplyConnect)
	m.send(wire.CmdHelo, "helo.example")
	m.expect(wire.NoReplyHelo)
}

// content sends header and body, up to and with the end, and gives all that comes back.
func (m *mta) content(header []string, body string) []packet {
	m.t.Helper()
	for _, h := range header {
		name, value, _ := strings.Cut(h, ":")
		m.send(wire.CmdHeader, name, value)
		m.expect(wire.NoReplyHeader)
	}
	m.send(wire.CmdEndHeader)
	m.expect(wire.NoReplyEOH)
	if body != "" {
		m.raw(wire.Append(nil, wire.CmdBody, []byte(body)))
		m.expect(wire.NoReplyBody)
	}
	m.send(wire.CmdEnd)
	return m.outcome()
}

// outcome reads up to the final reply.
func (m *mta) outcome() []packet {
	m.t.Helper()
	var ps []packet
	for {
		p := m.reply()
		ps = append(ps, p)
		switch p.code {
		case wire.ReplyInsertHeader, wire.ReplyQuarantine:
		default:
			return ps
		}
	}
}

// rig is a server with scripted policy.
type rig struct {
	t        testing.TB
	server   *milter.Server
	log      *syncBuffer
	ln       net.Listener
	site     milter.Site
	mu       sync.Mutex
	records  []record
	released atomic.Int32         // seals given back
	told     func(*policy.Record) // of each record, besides; nil: nobody
}

// record keeps what is only valid during the call.
type record struct {
	policy.Record
	client    mail.Client
	login, id string
	path      string
	header    string
	taken     int // recipients
}

// fakeSeal signs with the length of what it saw.
type fakeSeal struct {
	n        int
	err      error
	released *atomic.Int32
}

func (f *fakeSeal) Write(p []byte) (int, error) { f.n += len(p); return len(p), f.err }
func (f *fakeSeal) Existing() []mail.Signed     { return nil }
func (f *fakeSeal) Release()                    { f.released.Add(1) }
func (f *fakeSeal) Fields() ([]mail.Field, []mail.Signed, error) {
	value := fmt.Sprintf(" body=%d;\r\n\tb=x", f.n)
	return []mail.Field{mail.NewField("DKIM-Signature", value)}, []mail.Signed{{Algorithm: "fake"}}, f.err
}

// newRig starts a server that takes mail of loopback for its own, holds example.org, and seals with fakeSeal. Limits
// and parts of the site can be changed first.
func newRig(t testing.TB, limits milter.Limits, change func(*milter.Site)) *rig {
	t.Helper()
	r := &rig{t: t, log: new(syncBuffer)}
	r.site = r.newSite()
	if change != nil {
		change(&r.site)
	}
	r.server = milter.New(milter.Options{
		Site:   func() *milter.Site { return &r.site },
		Done:   r.done,
		Log:    slog.New(slog.NewTextHandler(r.log, nil)),
		Limits: limits,
	})
	r.serve()
	return r
}

// newSite is the policy, as it is without changes.
func (r *rig) newSite() milter.Site {
	own := mustDomain(r.t, "example.org")
	return milter.Site{
		Outbound: &policy.Outbound{
			Networks:      policy.NewNetworks([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, nil),
			Authenticated: true,
			Daemons:       []string{"ORIGINATING"},
			Mailers:       []string{"smtp"},
		},
		Own:     func(a mail.Address) bool { return a.Domain == own },
		Seal:    func(*mail.Transaction) (milter.Seal, error) { return &fakeSeal{released: &r.released}, nil },
		OnError: policy.Defer,
	}
}

// serve lets the server listen until the test ends.
func (r *rig) serve() {
	t := r.t
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.ln = ln
	ended := make(chan error, 1)
	go func() { ended <- r.server.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := r.server.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
		if t.Failed() {
			t.Log("log of the server:\n" + r.log.String())
		}
	})
}

func (r *rig) done(rec *policy.Record) {
	if r.told != nil {
		r.told(rec)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, record{
		Record: *rec, client: *rec.Tx.Client, login: rec.Tx.Login, id: rec.Tx.QueueID,
		path: rec.Tx.Path, header: string(rec.Tx.Header.Raw()), taken: rec.Tx.RecipientCount,
	})
}

// last gives the newest record, once there are n.
func (r *rig) last(n int) record {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.records) != n {
		r.t.Fatalf("%d records, want %d", len(r.records), n)
	}
	return r.records[n-1]
}

func (r *rig) dial() *mta {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.ln.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return &mta{t: r.t, conn: conn, in: wire.NewReader(conn)}
}

// postfix dials and negotiates as Postfix does.
func (r *rig) postfix() *mta {
	r.t.Helper()
	m := r.dial()
	m.negotiate(6, postfixActions, postfixProtocol)
	return m
}

func mustDomain(t testing.TB, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// syncBuffer is a buffer that a server may write to while a test reads it.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// eventually polls until the condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("not within 10 s: %s", what)
}
