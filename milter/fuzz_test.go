package milter_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"reputed/milter"
	"reputed/milter/wire"
	"reputed/policy"
)

// chanListener hands out connections made in the process.
type chanListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *chanListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *chanListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *chanListener) Addr() net.Addr { return &net.UnixAddr{Name: "fuzz", Net: "unix"} }

// model is what a stream of packets must lead to.
type model struct {
	answered []byte // the commands that get an answer
	ended    bool   // it ends the connection, or in the midst of a packet
	trusted  bool   // something in it may make a message ours
}

// take follows a stream up to the packet that ends the connection.
func (m *model) take(stream []byte) {
	*m = model{}
	for len(stream) > 0 {
		var size uint32
		if len(stream) >= 5 {
			size = binary.BigEndian.Uint32(stream)
		}
		if size == 0 || size > wire.MaxPacket+1 || int(size) > len(stream)-4 || !m.packet(stream[4], stream[5:4+size]) {
			m.ended = true
			return
		}
		stream = stream[4+size:]
	}
}

// packet tells whether the connection goes on after a packet.
func (m *model) packet(code byte, data []byte) bool {
	if !strings.ContainsRune("BEL", rune(code)) && len(data) > wire.MaxCommand {
		return false
	}
	switch code {
	case 'A', 'B', 'H', 'K', 'N':
	case 'E', 'M', 'R', 'T', 'U': // what is left when Postfix's offer is taken
		m.answered = append(m.answered, code)
	case 'D':
		m.trusted = m.trusted || bytes.Contains(data, []byte("{auth_")) || bytes.Contains(data, []byte("{daemon_name}"))
		_, err := wire.Macros{}.Merge(data)
		return err == nil
	case 'L':
		_, _, err := wire.SplitHeader(data)
		return err == nil
	case 'C':
		_, rest, ok := bytes.Cut(data, []byte{0})
		if !ok || len(rest) == 0 {
			return false
		}
		family := rest[0]
		if family == '4' || family == '6' {
			if len(rest) < 3 {
				return false
			}
			rest = rest[2:]
		}
		text, _, _ := strings.Cut(string(rest[1:]), "\x00")
		addr, _ := netip.ParseAddr(strings.TrimPrefix(text, "IPv6:"))
		m.trusted = m.trusted || family == 'L' || addr.Unmap().IsLoopback()
	default:
		return false
	}
	return true
}

// after is what is sent after the fuzzed packets, when the connection still stands: a stranger's mail, and one of ours.
func after() []byte {
	stranger := wire.Peer{Name: "h", Family: wire.FamilyInet, Port: 4000, Addr: netip.MustParseAddr("203.0.113.9")}
	local := wire.Peer{Name: "h", Family: wire.FamilyInet, Port: 4000, Addr: netip.MustParseAddr("127.0.0.1")}
	var b []byte
	b = stranger.Append(wire.Append(b, wire.CmdQuitNew))
	b = wire.AppendStrings(b, wire.CmdMail, "<x@example.org>")
	b = local.Append(wire.Append(b, wire.CmdQuitNew))
	b = wire.AppendStrings(b, wire.CmdMail, "<a@example.org>")
	b = wire.AppendStrings(b, wire.CmdRcpt, "<b@elsewhere.example>")
	b = wire.AppendStrings(b, wire.CmdHeader, "From", " a@example.org")
	return wire.Append(wire.Append(b, wire.CmdEndHeader), wire.CmdEnd)
}

// answers are the forms of the answers to a command.
var answers = map[byte]string{'M': "[ac]", 'R': "[cy]", 'T': "c", 'U': "c", 'E': "[iq]*[ay]"}

// Whatever packets come after the negotiation, in whatever order: no panic, each command has its answer, nothing else
// is answered, a stranger's message is never ours. And whatever came before: a stranger is a stranger in the next
// session, and mail of ours is signed.
func FuzzServer(f *testing.F) {
	message := func(packets ...[]byte) (all []byte) {
		for _, p := range packets {
			all = append(all, p...)
		}
		return all
	}
	f.Add(message(
		wire.Append(nil, 'C', []byte("h\x004\x10\x00127.0.0.1\x00")), wire.AppendStrings(nil, 'M', "<a@example.org>"),
		wire.AppendStrings(nil, 'R', "<b@c>"), wire.AppendStrings(nil, 'L', "From", " a@example.org"),
		wire.Append(nil, 'N'), wire.Append(nil, 'B', []byte("body\r\n")), wire.Append(nil, 'E'), wire.Append(nil, 'A'),
		wire.Append(nil, 'K'), wire.Append(nil, 'D', []byte("Mi\x00x\x00")), wire.AppendStrings(nil, 'M', ""),
		wire.Append(nil, 'E'),
	))
	f.Add(message(
		wire.Append(nil, 'D', []byte("C{daemon_name}\x00ORIGINATING\x00")),
		wire.Append(nil, 'C', []byte("h\x006\x10\x00IPv6:2001:db8::1\x00")), wire.AppendStrings(nil, 'H', "x"),
		wire.Append(nil, 'D', []byte("M{auth_authen}\x00bob\x00{auth_type}\x00PLAIN\x00")),
		wire.AppendStrings(nil, 'M', "<a@example.org>"), wire.AppendStrings(nil, 'R', "<b@c>"), wire.Append(nil, 'A'),
	))
	f.Add(message(wire.Append(nil, 'C', []byte("h\x00L\x00\x00/s\x00")), wire.AppendStrings(nil, 'M', "a@example.org")))
	f.Add(message(wire.Append(nil, 'C', []byte("h\x004\x10\x00203.0.113.9\x00")), wire.AppendStrings(nil, 'M', "a@b")))
	for _, c := range []byte("ABCDEHKLMNOQRTUZ") {
		f.Add(message(wire.Append(nil, c), wire.Append(nil, 'E')))
	}
	f.Fuzz(func(t *testing.T, packets []byte) {
		var m model
		m.take(packets)
		whole := !m.ended
		if !whole { // the beginning of what follows belongs to its last packet
			m.take(append(bytes.Clone(packets), after()...))
		}
		want := "^O"
		for _, c := range m.answered {
			want += answers[c]
		}
		if whole {
			want += "accia" // the stranger's MAIL; ours, its recipient, its end
		}
		r := newRig(t, milter.Limits{}, nil)
		stream := wire.Negotiation{Version: 6, Actions: postfixActions, Protocol: postfixProtocol}.Append(nil)
		got := r.replies(append(append(stream, packets...), after()...))
		if !regexp.MustCompile(want + "$").MatchString(got) {
			t.Errorf("replies %s, want %s", got, want)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		ours := 0
		for _, rec := range r.records {
			if rec.Class == policy.Ours {
				ours++
			}
		}
		if whole {
			ours--
		}
		if ours > 0 && !m.trusted {
			t.Errorf("%d messages of strangers are ours", ours)
		}
		if log := r.log.String(); strings.Contains(log, "panic") {
			t.Errorf("%s", log)
		}
		if t.Failed() {
			t.Fatalf("packets %q", packets)
		}
	})
}

// replies plays a stream to the server, and gives the codes of all that comes back.
func (r *rig) replies(stream []byte) (codes string) {
	r.t.Helper()
	ln := &chanListener{conns: make(chan net.Conn), done: make(chan struct{})}
	go r.server.Serve(ln)
	ours, theirs := socketPair(r.t)
	defer ours.Close()
	ln.conns <- theirs
	ours.SetDeadline(time.Now().Add(10 * time.Second))
	go func() {
		ours.Write(stream) // the server may let go before the end
		ours.CloseWrite()
	}()
	for in := wire.NewReader(ours); ; {
		code, _, err := in.Next()
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				r.t.Errorf("the connection stays open")
			}
			return codes
		}
		codes += string(code)
	}
}

// socketPair gives the ends of a connection, of which one direction can be closed.
func socketPair(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		conn, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = conn.(*net.UnixConn)
	}
	return ends[0], ends[1]
}
