package wire_test

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"

	"reputed/milter/wire"
)

// take reads all packets, as "code data", until the error.
func take(r *wire.Reader) (all []string, err error) {
	for {
		code, size, err := r.Next()
		if err != nil {
			return all, err
		}
		data, err := r.Payload()
		if err != nil {
			return all, err
		}
		if len(data) != size {
			return all, errors.New("the size is not that of the data")
		}
		all = append(all, string(code)+" "+string(data))
	}
}

func TestReader(t *testing.T) {
	big := strings.Repeat("x", 70_000)
	three := wire.Append(wire.Append(wire.AppendStrings(nil, 'M', "<a@b>", "SIZE=1"), 'N'), 'B', []byte(big))
	tests := []struct {
		name string
		in   []byte
		want []string
		err  error
	}{
		{"three packets", three, []string{"M <a@b>\x00SIZE=1\x00", "N ", "B " + big}, io.EOF},
		{"nothing", nil, nil, io.EOF},
		{"half a length", []byte{0, 0}, nil, io.ErrUnexpectedEOF},
		{"a length without command", []byte{0, 0, 0, 5}, nil, io.ErrUnexpectedEOF},
		{"half the data", []byte{0, 0, 0, 5, 'B', 1, 2}, nil, io.ErrUnexpectedEOF},
		{"no command", []byte{0, 0, 0, 0, 'B'}, nil, wire.ErrPacket},
		{"beyond the limit", []byte{0, 2, 0, 2, 'B'}, nil, wire.ErrPacket},
		{"the largest length there is", []byte{0xff, 0xff, 0xff, 0xff, 'B'}, nil, wire.ErrPacket},
	}
	for _, tt := range tests {
		for name, in := range map[string]io.Reader{
			"at once": bytes.NewReader(tt.in), "octet by octet": iotest.OneByteReader(bytes.NewReader(tt.in)),
			"data with the error": iotest.DataErrReader(bytes.NewReader(tt.in)),
		} {
			got, err := take(wire.NewReader(in))
			if strings.Join(got, "|") != strings.Join(tt.want, "|") || !errors.Is(err, tt.err) {
				t.Errorf("%s, %s: %.80q, %v; want %v", tt.name, name, got, err, tt.err)
			}
		}
	}
	if _, _, err := wire.NewReader(bytes.NewReader([]byte{0, 0, 0, 0})).Next(); !errors.Is(err, wire.ErrPacket) {
		t.Errorf("an empty packet is refused before the next one comes: %v", err)
	}
}

// A packet may be taken piece by piece, in part, or not at all; the next one is found all the same.
func TestChunks(t *testing.T) {
	body := strings.Repeat("0123456789", 10_000)
	piece := wire.Append(nil, 'B', []byte(body))
	in := wire.Append(bytes.Repeat(piece, 3), 'N')
	r := wire.NewReader(iotest.HalfReader(bytes.NewReader(in)))
	if !r.Between() {
		t.Error("not between packets at the beginning")
	}
	var got strings.Builder
	r.Next()
	for {
		p, err := r.Chunk()
		if err == io.EOF {
			break
		}
		if err != nil || len(p) > 16<<10 {
			t.Fatalf("a piece of %d octets, %v", len(p), err)
		}
		got.Write(p)
	}
	if got.String() != body {
		t.Error("the pieces are not the body")
	}
	r.Next()
	first, _ := r.Chunk()
	n := len(first)
	rest, err := r.Payload()
	if err != nil || n+len(rest) != len(body) {
		t.Errorf("a piece and the rest: %d and %d octets, %v", n, len(rest), err)
	}
	r.Next() // skipped whole
	if code, size, err := r.Next(); code != 'N' || size != 0 || err != nil {
		t.Errorf("after a skipped packet: %q, %d, %v", code, size, err)
	}
}

// greedy counts what is asked of it, and has little to give.
type greedy struct{ most int }

func (g *greedy) Read(p []byte) (int, error) {
	g.most = max(g.most, len(p))
	return 0, io.ErrNoProgress
}

// A length costs nothing until the data come.
func TestLengthAloneCostsNothing(t *testing.T) {
	g := &greedy{}
	r := wire.NewReader(io.MultiReader(bytes.NewReader([]byte{0, 1, 0xff, 0, 'B'}), g))
	r.Next()
	r.Payload()
	if g.most > 32<<10 {
		t.Errorf("a buffer of %d octets for a packet that has not come", g.most)
	}
}

func TestMacros(t *testing.T) {
	m := wire.Macros{}
	for _, data := range []string{
		"C{daemon_name}\x00smtpd\x00j\x00host\x00{i}\x004Xq\x00", "M{auth_authen}\x00bob\x00j\x00other\x00",
		"R{rcpt_mailer}\x00smtp\x00",
	} {
		if grown, err := m.Merge([]byte(data)); grown <= 0 || err != nil {
			t.Fatal(grown, err)
		}
	}
	if n, again := m.Forget("{rcpt_mailer}"), m.Forget("{rcpt_mailer}"); n != -64-len("{rcpt_mailer}smtp") || again != 0 {
		t.Errorf("forgotten: %d, then %d", n, again)
	}
	for name, want := range map[string]string{"{daemon_name}": "smtpd", "j": "other", "i": "4Xq", "{auth_authen}": "bob"} {
		if m[name] != want {
			t.Errorf("%s is %q, want %q", name, m[name], want)
		}
	}
	for _, bad := range []string{"", "Mi", "Mi\x00x", "Mi\x00"} {
		if _, err := m.Merge([]byte(bad)); !errors.Is(err, wire.ErrPacket) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for i := range 1000 {
		m.Merge([]byte("M{x" + strings.Repeat("y", i) + "}\x00z\x00"))
	}
	if len(m) != 256 {
		t.Errorf("%d macros kept", len(m))
	}
	m.Merge([]byte("Mj\x00still\x00"))
	if m["j"] != "still" {
		t.Error("a full set does not take new values")
	}
}

func TestSplitHeader(t *testing.T) {
	for in, want := range map[string][2]string{
		"Subject\x00 x\x00":        {"Subject", " x"},
		"Subject\x00\x00":          {"Subject", ""},
		"Subject\x00a\x00b\x00":    {"Subject", "a\x00b"},
		"Subject\x00 no end":       {"Subject", " no end"},
		"X\x00 folded\n\tmore\x00": {"X", " folded\n\tmore"},
	} {
		name, value, err := wire.SplitHeader([]byte(in))
		if string(name) != want[0] || string(value) != want[1] || err != nil {
			t.Errorf("%q: %q, %q, %v", in, name, value, err)
		}
	}
	for _, bad := range []string{"", "Subject", "\x00x\x00"} {
		if _, _, err := wire.SplitHeader([]byte(bad)); !errors.Is(err, wire.ErrPacket) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestNegotiation(t *testing.T) {
	choice := wire.MacroChoice(map[wire.Stage]string{wire.StageEnd: "i"})
	n := wire.Negotiation{Version: 6, Actions: 1, Protocol: 2, Macros: choice}
	code, size, r := byte(0), 0, wire.NewReader(bytes.NewReader(n.Append(nil)))
	code, size, _ = r.Next()
	data, err := r.Payload()
	if err != nil || code != wire.CmdNegotiate || size != len(data) {
		t.Fatal(code, size, err)
	}
	got, err := wire.ParseNegotiation(data)
	if err != nil || got.Version != 6 || got.Actions != 1 || got.Protocol != 2 || !bytes.Equal(got.Macros, n.Macros) {
		t.Errorf("%+v, %v", got, err)
	}
	if stages := bytes.Count(n.Macros, []byte{0}); stages < 7 {
		t.Errorf("a choice that leaves stages out: %q", n.Macros)
	}
	if _, err := wire.ParseNegotiation(data[:11]); !errors.Is(err, wire.ErrPacket) {
		t.Errorf("a short one: %v", err)
	}
}

func TestPeer(t *testing.T) {
	tests := []struct {
		peer wire.Peer
		want string
	}{
		{wire.Peer{Name: "h", Family: wire.FamilyInet, Port: 25, Addr: netip.MustParseAddr("192.0.2.1")},
			"h\x004\x00\x19192.0.2.1\x00"},
		{wire.Peer{Name: "h", Family: wire.FamilyInet6, Port: 25, Addr: netip.MustParseAddr("2001:db8::1")},
			"h\x006\x00\x192001:db8::1\x00"},
		{wire.Peer{Name: "h", Family: wire.FamilyUnix, Path: "/s"}, "h\x00L\x00\x00/s\x00"},
		{wire.Peer{Name: "h", Family: wire.FamilyUnknown}, "h\x00U"},
	}
	for _, tt := range tests {
		if got := string(tt.peer.Append(nil)[5:]); got != tt.want {
			t.Errorf("%+v is %q, want %q", tt.peer, got, tt.want)
		}
	}
}

func TestEndpoints(t *testing.T) {
	tests := []struct {
		in, network, address string // no network: an error
		loopback             bool
	}{
		{"unix:/run/reputed/milter.sock", "unix", "/run/reputed/milter.sock", true},
		{"local:/run/x", "unix", "/run/x", true},
		{"/run/x", "unix", "/run/x", true},
		{"inet:127.0.0.1:8891", "tcp", "127.0.0.1:8891", true},
		{"inet:8891@127.0.0.1", "tcp", "127.0.0.1:8891", true},
		{"inet:8891@localhost", "tcp", "localhost:8891", true},
		{"inet:8891", "tcp", "localhost:8891", true},
		{"inet:[::1]:8891", "tcp", "[::1]:8891", true},
		{"inet6:8891@::1", "tcp", "[::1]:8891", true},
		{"inet6:8891@[::1]", "tcp", "[::1]:8891", true},
		{"inet:192.0.2.1:8891", "tcp", "192.0.2.1:8891", false},
		{"inet:0.0.0.0:8891", "tcp", "0.0.0.0:8891", false},
		{"inet:mail.example.org:8891", "tcp", "mail.example.org:8891", false},
		{"", "", "", false},
		{"unix:", "", "", false},
		{"inet:", "", "", false},
		{"inet:127.0.0.1", "", "", false},
		{"inet:127.0.0.1:smtp", "", "", false},
		{"inet:127.0.0.1:70000", "", "", false},
		{"inet:8891@", "", "", false},
		{"fifo:/run/x", "", "", false},
		{"127.0.0.1:8891", "", "", false},
		{"unix:/" + strings.Repeat("x", 106), "unix", "/" + strings.Repeat("x", 106), true}, // as long as sun_path takes
		{"unix:/" + strings.Repeat("x", 107), "", "", false},
	}
	for _, tt := range tests {
		e, err := wire.ParseEndpoint(tt.in)
		if e.Network != tt.network || e.Address != tt.address || (err == nil) != (tt.network != "") {
			t.Errorf("%q: %+v, %v", tt.in, e, err)
			continue
		}
		if err != nil {
			if !errors.Is(err, wire.ErrEndpoint) {
				t.Errorf("%q: %v", tt.in, err)
			}
			continue
		}
		if e.Loopback() != tt.loopback {
			t.Errorf("%q: loopback %v", tt.in, e.Loopback())
		}
		if again, err := wire.ParseEndpoint(e.String()); err != nil || again != e {
			t.Errorf("%q is written %s and read %+v, %v", tt.in, e, again, err)
		}
	}
}

// Whatever comes, in whatever pieces: what is read is what a plain reading gives, and nothing is read beyond the limit.
func FuzzReader(f *testing.F) {
	f.Add(wire.Append(wire.Append(nil, 'M', []byte("x\x00")), 'B', []byte("body")), uint8(1))
	f.Add([]byte{0, 0, 0, 0}, uint8(0))
	f.Add([]byte{0, 0, 4, 1, 'B'}, uint8(2))
	f.Fuzz(func(t *testing.T, in []byte, piecewise uint8) {
		const most = 1024
		r := wire.NewReader(iotest.HalfReader(bytes.NewReader(in)))
		r.Max = most
		rest := in
		for {
			code, size, err := r.Next()
			if err != nil {
				break
			}
			if size > most || len(rest) < 5 || code != rest[4] {
				t.Fatalf("packet %q of %d octets from %q", code, size, rest)
			}
			var data []byte
			if piecewise%2 == 0 {
				data, err = r.Payload()
			} else {
				for err == nil {
					var p []byte
					p, err = r.Chunk()
					data = append(data, p...)
				}
				if err == io.EOF {
					err = nil
				}
			}
			if err != nil {
				break
			}
			if !bytes.Equal(data, rest[5:5+size]) {
				t.Fatalf("data %q from %q", data, rest)
			}
			rest = rest[5+size:]
		}
	})
}

// Macros that are taken are those that were sent, and a broken packet stays an error.
func FuzzMacros(f *testing.F) {
	f.Add([]byte("Mi\x004Xq\x00{a}\x00b\x00"))
	f.Add([]byte("M{i}\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := wire.Macros{}
		if _, err := m.Merge(data); err != nil {
			return
		}
		for name, value := range m {
			if !bytes.Contains(data, []byte(value+"\x00")) || !bytes.Contains(data, []byte(name)) {
				t.Fatalf("macro %q=%q from %q", name, value, data)
			}
		}
		wire.SplitHeader(data)
		wire.ParseNegotiation(data)
	})
}

// An endpoint that is taken is taken again as it is written.
func FuzzEndpoint(f *testing.F) {
	for _, s := range []string{"unix:/x", "inet:1@[::1]", "inet:[::1]:1", "local:x", "inet6:1@a:b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := wire.ParseEndpoint(s)
		if err != nil {
			return
		}
		if again, err := wire.ParseEndpoint(e.String()); err != nil || again != e {
			t.Fatalf("%q: %+v is written %q and read %+v, %v", s, e, e.String(), again, err)
		}
	})
}

// A packet for which there is no room is skipped, and those behind it are read; the buffer asks for what it takes beyond
// its ordinary size, and gives it back with the next packet.
func TestGrow(t *testing.T) {
	const big = 100 << 10
	for _, room := range []int{0, 40 << 10, big - 16<<10, 1 << 20} {
		var text []byte
		for range 3 {
			text = wire.Append(text, wire.CmdHeader, make([]byte, big))
			text = wire.Append(text, wire.CmdHeader, make([]byte, 12<<10))
		}
		r := wire.NewReader(bytes.NewReader(text))
		taken, most := 0, 0
		r.Grow = func(n int) bool {
			if taken+n > room {
				return false
			}
			taken += n
			most = max(most, taken)
			return true
		}
		for i := range 6 {
			if _, _, err := r.Next(); err != nil {
				t.Fatal(err)
			}
			if i%2 == 1 && taken > 16<<10 {
				t.Errorf("with room for %d, %d octets are kept behind the large one", room, taken)
			}
			data, err := r.Payload()
			if fits := i%2 == 1 || room >= big-16<<10; fits != (err == nil) || !fits && err != wire.ErrRoom {
				t.Errorf("with room for %d, packet %d: %d octets, %v", room, i, len(data), err)
			}
		}
		if r.Reset(nil); taken != 0 || most > big {
			t.Errorf("with room for %d, at most %d octets were taken, and %d in the end", room, most, taken)
		}
	}
}
