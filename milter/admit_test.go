package milter

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// arrivals is a listener to which connections come as they are written down.
type arrivals struct{ queue []net.Addr }

var errNoMore = errors.New("no more")

func (a *arrivals) Accept() (net.Conn, error) {
	if len(a.queue) == 0 {
		return nil, errNoMore
	}
	c := &arrival{from: a.queue[0]}
	a.queue = a.queue[1:]
	return c, nil
}
func (a *arrivals) Close() error   { return nil }
func (a *arrivals) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4zero, Port: 8891} }

type arrival struct {
	net.Conn
	from   net.Addr
	closed bool
}

func (a *arrival) RemoteAddr() net.Addr      { return a.from }
func (a *arrival) Close() error              { a.closed = true; return nil }
func (a *arrival) Read([]byte) (int, error)  { return 0, io.EOF }
func (a *arrival) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func tcp(addr string) net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 4000))
}

// Who comes to a milter socket, and whether he gets in: whoever does can have any mail signed.
func TestAdmitting(t *testing.T) {
	allowed := func(a netip.Addr) bool { return netip.MustParsePrefix("203.0.113.0/28").Contains(a) }
	for _, tt := range []struct {
		why     string
		from    net.Addr
		allowed func(netip.Addr) bool
		want    bool
	}{
		{"a host of the list", tcp("203.0.113.9"), allowed, true},
		{"the same, as a socket of both families shows it", tcp("::ffff:203.0.113.9"), allowed, true},
		{"its neighbour", tcp("203.0.113.16"), allowed, false},
		{"a host of the other family", tcp("2001:db8::1"), allowed, false},
		{"this host", tcp("127.0.0.1"), allowed, true},
		{"this host, and no list", tcp("127.0.0.1"), nil, true},
		{"this host over IPv6", tcp("::1"), nil, true},
		{"this host, as a socket of both families shows it", tcp("::ffff:127.0.0.1"), nil, true},
		{"another, and no list", tcp("203.0.113.9"), nil, false},
		{"a neighbour on the link", tcp("fe80::1"), nil, false},
		{"an address that means this host on some systems", tcp("0.0.0.0"), nil, false},
		{"who may write to the unix socket", &net.UnixAddr{Net: "unix"}, nil, true},
	} {
		a := &admitting{
			Listener: &arrivals{queue: []net.Addr{tt.from}}, allowed: tt.allowed,
			log: slog.New(slog.DiscardHandler), now: time.Now,
		}
		if conn, err := a.Accept(); (conn != nil) != tt.want || (err == nil) != tt.want {
			t.Errorf("%s: %v, %v", tt.why, conn, err)
		}
	}
}

// A stranger is let go, and the next is taken. The log is not filled, and loses nobody.
func TestStrangers(t *testing.T) {
	var log bytes.Buffer
	now := time.Unix(0, 0)
	from := &arrivals{queue: []net.Addr{
		tcp("198.51.100.1"), tcp("198.51.100.2"), tcp("198.51.100.3"), tcp("127.0.0.1"), tcp("198.51.100.4"),
	}}
	a := &admitting{
		Listener: from, log: slog.New(slog.NewTextHandler(&log, nil)), now: func() time.Time { return now },
	}
	if conn, err := a.Accept(); err != nil || conn.(*arrival).from.String() != "127.0.0.1:4000" || conn.(*arrival).closed {
		t.Fatalf("%v, %v", conn, err)
	}
	now = now.Add(strangersLogged)
	if _, err := a.Accept(); err != errNoMore {
		t.Fatal(err)
	}
	if lines := log.String(); strings.Count(lines, "\n") != 2 || !strings.Contains(lines, "198.51.100.1:4000") ||
		!strings.Contains(lines, "from=198.51.100.4:4000 at=0.0.0.0:8891 others=2 remedy=\"milter.allow") {
		t.Error(lines)
	}
}
