package filter

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reputed/milter/wire"
)

const returnPath = "Return-path: <ann@example.org>\n"

// pass runs a message through the milter and gives what comes out.
func pass(t testing.TB, m *milter, in string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := m.job(t).Run(t.Context(), strings.NewReader(in), &out)
	if err == nil {
		<-m.done
	}
	return out.String(), err
}

// onTheWire gives what Exim makes of a filter's output (src/transport.c, write_chunk): it sets a CR before each LF,
// whatever stands there.
func onTheWire(out string) string { return strings.ReplaceAll(out, "\n", "\r\n") }

// What the milter is told: a local client by the name that has reputed sign only, the sender of Return-path, all
// recipients as they are, Exim's id.
func TestSession(t *testing.T) {
	m := &milter{}
	j := m.job(t)
	j.Recipients = []string{"bob@example.net", "-f@example.net", `"a b"@example.net`, "--"}
	var out bytes.Buffer
	if err := j.Run(t.Context(), strings.NewReader(returnPath+"From: ann@example.org\n\nhi\n"), &out); err != nil {
		t.Fatal(err)
	}
	<-m.done
	want := []string{
		"D C{daemon_name} exim-filter", "C localhost L", "H localhost", "D Mi 1tExIm-0000-01", "M ann@example.org",
		"D Ri 1tExIm-0000-01", "R bob@example.net", "D Ri 1tExIm-0000-01", "R -f@example.net",
		"D Ri 1tExIm-0000-01", `R "a b"@example.net`, "D Ri 1tExIm-0000-01", "R --",
		"D Ti 1tExIm-0000-01", "T", "D Li 1tExIm-0000-01", "D Ni 1tExIm-0000-01", "N",
		"D Bi 1tExIm-0000-01", "D Ei 1tExIm-0000-01", "E", "A", "Q",
	}
	if diff := cmp.Diff(want, m.seen); diff != "" {
		t.Errorf("session (-want +got):\n%s", diff)
	}
}

// By another name it says that nobody has told whose the message is.
func TestUnasked(t *testing.T) {
	m := &milter{}
	j := m.job(t)
	j.Unasked = true
	if err := j.Run(t.Context(), strings.NewReader(returnPath+"From: ann@example.org\n\nhi\n"), io.Discard); err != nil {
		t.Fatal(err)
	}
	<-m.done
	if want := "D C{daemon_name} exim-filter-unasked"; m.seen[0] != want {
		t.Errorf("session %q, want %q first", m.seen, want)
	}
}

// The sender, however Return-path is written.
func TestSender(t *testing.T) {
	for in, want := range map[string]string{
		"Return-path: <>":                     "M",
		"Return-path: <ann@example.org>":      "M ann@example.org",
		"RETURN-PATH:<ann@example.org>":       "M ann@example.org",
		"Return-path: <ann@example.org>\r":    "M ann@example.org",
		`Return-path: <"<a>"@example.org>`:    `M "<a>"@example.org`,
		"Return-path: <än@example.org>":       "M än@example.org",
		"Return-path: <a@x>\nReturn-path: <>": "M",
		"A: b\nReturn-path: <a@x>\nB: c":      "M a@x",
	} {
		m := &milter{}
		if _, err := pass(t, m, in+"\nFrom: a\n\n"); err != nil {
			t.Errorf("%q: %v", in, err)
		} else if !strings.Contains(strings.Join(m.seen, "\n")+"\n", "\n"+want+"\n") {
			t.Errorf("%q: no %q in %q", in, want, m.seen)
		}
	}
}

// What goes in, what the milter is shown of the body, and what comes out.
func TestMessages(t *testing.T) {
	long := strings.Repeat("x", 3<<20)
	const from = "From: a@example.org\n"
	tests := []struct{ name, in, shown, out string }{
		{"ordinary", from + "\nhi\n.\n..\nbye\n", "hi\r\n.\r\n..\r\nbye\r\n", from + "\nhi\n.\n..\nbye\n"},
		{"CRLF, as from a spool in wire format", "From: a@example.org\r\n\r\nhi\r\n\r\n", "hi\r\n\r\n", from + "\nhi\n\n"},
		{"line ends mixed", from + "\r\nhi\nbye\r\n", "hi\r\nbye\r\n", from + "\nhi\nbye\n"},
		{"a last line without end gets one, as from Exim", from + "\nhi", "hi\r\n", from + "\nhi\n"},
		{"no body", from + "\n", "", from + "\n"},
		{"a body of empty lines", from + "\n\n\n", "\r\n\r\n", from + "\n\n\n"},
		{"no header but Return-path", "\nhi\n", "hi\r\n", "\nhi\n"},
		{"a CR within a line stays", from + "\na\rb\n\rc\n", "a\rb\r\n\rc\r\n", from + "\na\rb\n\rc\n"},
		{"of two CRs at a line's end one is the line end's", from + "\na\r\r\n", "a\r\r\n", from + "\na\r\n"},
		{"a CR at the end is none of a line end", from + "\na\r", "a\r\r\n", from + "\na\r\n"},
		{"NUL", from + "\na\x00b\n", "a\x00b\r\n", from + "\na\x00b\n"},
		{"octets above 127", from + "Subject: \xff\xe4\n\n\xff\n", "\xff\r\n", from + "Subject: \xff\xe4\n\n\xff\n"},
		{"a long line", from + "\n" + long + "\n", long + "\r\n", from + "\n" + long + "\n"},
		{"folds, space before the colon, no space behind it, an empty value",
			"From : a@example.org\nTo:b,\n\tc,\n  d\nSubject:\n\n", "", "From : a@example.org\nTo:b,\n\tc,\n  d\nSubject:\n\n"},
		{"a folded line of white space does not end the header", "Subject: a\n \n b\n\nhi\n", "hi\r\n", "Subject: a\n \n b\n\nhi\n"},
		{"CRs at the end of header lines are dropped", "Subject: a\r\r\n b\r\n\r\n", "", "Subject: a\n b\n\n"},
		{"a CR within a header line stays", "Subject: a\rb\n\n", "", "Subject: a\rb\n\n"},
		{"a Return-path that the message brought along", from + "Return-path: <ann@example.org>\n\n", "",
			strings.TrimSuffix(returnPath, "\n") + "\n" + from + "\n"},
		{"what looks like a header in the body", from + "\nReturn-path: <x>\n\n", "Return-path: <x>\r\n\r\n",
			from + "\nReturn-path: <x>\n\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := spaced(nil)
			out, err := pass(t, m, returnPath+tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if out != tt.out {
				t.Errorf("out %.200q, want %.200q", out, tt.out)
			}
			if got := m.body.String(); got != tt.shown {
				t.Errorf("shown %.200q, want %.200q", got, tt.shown)
			}
			shown := strings.ReplaceAll(m.header.String(), "\n", "\r\n") + "\r\n" + m.body.String()
			if sent := onTheWire(strings.Replace(out, "From :", "From:", 1)); sent != shown {
				t.Errorf("Exim sends\n%.200q, and the milter was shown\n%.200q", sent, shown)
			}
		})
	}
}

// Changes are made as Postfix makes them, in their order.
func TestChanges(t *testing.T) {
	const in = "Received: 1\nReceived: 2\nFrom: a\nreceived: 3\n\nhi\n"
	tests := []struct {
		name   string
		script map[byte][]byte
		want   string
	}{
		{"none", changes(), in},
		{"on top", changes(insert(0, "DKIM-Signature", " v=1;\n\tb=x")), "DKIM-Signature: v=1;\n\tb=x\n" + in},
		{"two on top: the last one is topmost", changes(insert(0, "A", " 1"), insert(0, "B", " 2")), "B: 2\nA: 1\n" + in},
		{"in the middle", changes(insert(2, "A", " 1")), "Received: 1\nReceived: 2\nA: 1\nFrom: a\nreceived: 3\n\nhi\n"},
		{"below all", changes(insert(99, "A", " 1")), "Received: 1\nReceived: 2\nFrom: a\nreceived: 3\nA: 1\n\nhi\n"},
		{"at the end", changes(add("A", " 1")), "Received: 1\nReceived: 2\nFrom: a\nreceived: 3\nA: 1\n\nhi\n"},
		{"the second of the name is another one", changes(change(2, "Received", " x")),
			"Received: 1\nReceived: x\nFrom: a\nreceived: 3\n\nhi\n"},
		{"names are the same in any case", changes(change(3, "RECEIVED", "")), "Received: 1\nReceived: 2\nFrom: a\n\nhi\n"},
		{"deletions count anew", changes(change(1, "Received", ""), change(1, "Received", "")), "From: a\nreceived: 3\n\nhi\n"},
		{"what is not there is put last", changes(change(4, "Received", " x")),
			"Received: 1\nReceived: 2\nFrom: a\nreceived: 3\nReceived: x\n\nhi\n"},
		{"or is not deleted", changes(change(4, "Received", ""), change(1, "To", "")), in},
		{"all fields", changes(change(1, "Received", ""), change(1, "Received", ""), change(1, "Received", ""),
			change(1, "From", "")), "\nhi\n"},
		{"a body in its place, in pieces", changes(replace("new\r"), replace("\nbody\r\n")),
			"Received: 1\nReceived: 2\nFrom: a\nreceived: 3\n\nnew\nbody\n"},
		{"an empty body in its place", changes(replace("")), "Received: 1\nReceived: 2\nFrom: a\nreceived: 3\n\n"},
		{"a body without line end", changes(replace("new")), "Received: 1\nReceived: 2\nFrom: a\nreceived: 3\n\nnew\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := pass(t, spaced(tt.script), returnPath+in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}

// What Exim takes for fields without a name passes where it stands. The milter does not see it, so its places are counted
// without.
func TestNameless(t *testing.T) {
	const in = ": x\nFrom : a\n:\x00\n y\nTo:b\n: " + "z\n\nhi\n"
	tests := []struct {
		name   string
		script map[byte][]byte
		want   string
	}{
		{"no change", changes(), in},
		{"on top", changes(insert(0, "A", " 1")), "A: 1\n" + in},
		{"in the middle", changes(insert(1, "A", " 1"), insert(2, "B", " 2")),
			": x\nFrom : a\nA: 1\nB: 2\n:\x00\n y\nTo:b\n: z\n\nhi\n"},
		{"below all", changes(insert(9, "A", " 1")), strings.Replace(in, "z\n", "z\nA: 1\n", 1)},
		{"one less", changes(change(1, "From", "")), strings.Replace(in, "From : a\n", "", 1)},
	}
	for _, tt := range tests {
		m := spaced(tt.script)
		got, err := pass(t, m, returnPath+in)
		if err != nil || got != tt.want || m.header.String() != "From: a\nTo:b\n" {
			t.Errorf("%s: %q, want %q, error %v; shown %q", tt.name, got, tt.want, err, &m.header)
		}
	}
	large := ": " + strings.Repeat("x", 2*wire.MaxPacket) + "\nFrom: a\n\n"
	if got, err := pass(t, spaced(nil), returnPath+large); err != nil || got != large {
		t.Errorf("a large one: %d octets of %d, error %v", len(got), len(large), err)
	}
}

// A milter that does not ask for the leading space gets values without, and its own get one.
func TestLeadingSpace(t *testing.T) {
	m := spaced(changes(insert(0, "A", "1")))
	m.want.Protocol = 0
	got, err := pass(t, m, returnPath+"From: a\nTo:b\n\n")
	if err != nil || got != "A: 1\nFrom: a\nTo:b\n\n" || m.header.String() != "From:a\nTo:b\n" {
		t.Errorf("%q, %v; shown %q", got, err, &m.header)
	}
}

// A milter that accepts early sees no more, and the message goes on as it is.
func TestAcceptedEarly(t *testing.T) {
	for _, code := range []byte{wire.CmdConnect, wire.CmdMail, wire.CmdRcpt, wire.CmdHeader, wire.CmdEndHeader, wire.CmdBody} {
		m := spaced(map[byte][]byte{code: wire.Append(nil, wire.ReplyAccept)})
		got, err := pass(t, m, returnPath+"From: a\n\nhi\n")
		if err != nil || got != "From: a\n\nhi\n" {
			t.Errorf("at %c: %q, %v", code, got, err)
		}
	}
}

// Whatever else the milter says, the message waits: nothing is written.
func TestRefused(t *testing.T) {
	reply := func(code byte, texts ...string) []byte { return wire.AppendStrings(nil, code, texts...) }
	commands := []byte{wire.CmdNegotiate, wire.CmdConnect, wire.CmdHelo, wire.CmdMail, wire.CmdRcpt, wire.CmdData,
		wire.CmdHeader, wire.CmdEndHeader, wire.CmdBody, wire.CmdEnd}
	tests := []struct {
		name   string
		answer []byte
		want   string // in the error; "" is any
		at     []byte
	}{
		{"reject", reply(wire.ReplyReject), "reject", commands[1:4]},
		{"reject", reply(wire.ReplyReject), "", commands[4:]},
		{"tempfail", reply(wire.ReplyTempfail), "", commands[1:]},
		{"a reply", reply(wire.ReplyCode, "451 4.7.1 not now"), "", commands[1:]},
		{"a reply", reply(wire.ReplyCode, "550 5.7.1 never"), "550 5.7.1 never", commands[9:]},
		{"discard", reply(wire.ReplyDiscard), "discard", commands[3:4]},
		{"discard", reply(wire.ReplyDiscard), "", commands[1:]},
		{"shutdown", reply(wire.ReplyShutdown), "", commands[1:]},
		{"the end", nil, "", commands},
		{"half a packet", []byte{0, 0, 0, 9, 'a'}, "", nil},
		{"no milter", []byte("220 mail.example.org ESMTP\r\n"), "", commands[:1]},
		{"an unknown answer", reply('z'), "", commands},
		{"a quarantine", append(reply(wire.ReplyQuarantine, "look"), reply(wire.ReplyAccept)...), "cannot make", commands[9:]},
		{"a sender", append(reply(wire.ReplyChangeFrom, "<x>"), reply(wire.ReplyAccept)...), "cannot make", commands[9:]},
		{"a recipient", append(reply(wire.ReplyAddRcpt, "<x>"), reply(wire.ReplyAccept)...), "cannot make", commands[9:]},
		{"one less", append(reply(wire.ReplyDeleteRcpt, "<x>"), reply(wire.ReplyAccept)...), "cannot make", commands[9:]},
		{"changes, and no answer", insert(0, "A", " 1"), "", nil},
		{"power over the envelope", wire.Negotiation{Version: 6, Actions: wire.ActAddRcpt}.Append(nil), "more than was offered", commands[:1]},
		{"a hold", wire.Negotiation{Version: 6, Actions: wire.ActQuarantine}.Append(nil), "more than was offered", commands[:1]},
	}
	for _, tt := range tests {
		for _, code := range tt.at {
			m := spaced(map[byte][]byte{code: tt.answer})
			got, err := pass(t, m, returnPath+"From: a\n\nhi\n")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s at %c: error %v, want %q", tt.name, code, err, tt.want)
			}
			if got != "" {
				t.Errorf("%s at %c: %q was written", tt.name, code, got)
			}
		}
	}
}

// What is no message as Exim writes it, or none that a milter can be shown.
func TestNoMessage(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"nothing", "", "no message came"},
		{"no header", "\n", "no field Return-path"},
		{"no Return-path", "From: a\n\nhi\n", "no field Return-path"},
		{"only in the body", "From: a\n\n" + returnPath, "no field Return-path"},
		{"cut off in the first line", "Return-pa", "ends within its header"},
		{"cut off behind a line", returnPath + "From: a\n", "line 3: the message ends within its header"},
		{"cut off in a line", returnPath + "From: a\nTo: b", "ends within its header"},
		{"no brackets", "Return-path: a@example.org\n\n", "not a Return-path"},
		{"one bracket", "Return-path: <\n\n", "not a Return-path"},
		{"two lines of it", "Return-path: <a\n b>\n\n", "not a Return-path"},
		{"an empty second line of it", "Return-path: <a>\n \n\n", "not a Return-path"},
		{"no colon", returnPath + "From: a\nhi\n\n", `before line 4: not a header field: "hi"`},
		{"a blank in a name", returnPath + "From me: a\n\n", "not a header field"},
		{"a name that is folded", returnPath + "From\n : a\n\n", "not a header field"},
		{"a control character in a name", returnPath + "\x01: a\n\n", "not a header field"},
		{"a fold of nothing", " a\n" + returnPath + "\n", "not a header field"},
		{"an mbox line", "From ann Mon Jan 1\n" + returnPath + "\n", "not a header field"},
		{"NUL in a name", returnPath + "A\x00: a\n\n", "not a header field"},
		{"NUL in a value", returnPath + "A: a\x00\n\n", "header field A holds NUL"},
		{"NUL in the sender", "Return-path: <a\x00>\n\n", "holds NUL"},
		{"a field above what milters take", returnPath + "A: " + strings.Repeat("x", wire.MaxPacket) + "\n\n", "more than a milter takes"},
		{"as many in folds", returnPath + "A: a" + strings.Repeat("\n x", wire.MaxPacket/3) + "\n\n", "more than a milter takes"},
		{"a line above all bounds", returnPath + strings.Repeat("x", maxHeader), "the header has more than"},
		{"lines above all bounds", returnPath + strings.Repeat("A: b\n", maxHeader/4), "the header has more than"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := pass(t, &milter{}, tt.in)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if got != "" {
				t.Errorf("%q was written", got)
			}
		})
	}
}

// As much header as there may be, and a field as large as milters take.
func TestLargeHeader(t *testing.T) {
	fields := strings.Repeat("A: b\n", 100000) + "To: " + strings.Repeat("c,\n d", (wire.MaxPacket-10)/5) + "\n"
	m := spaced(changes(insert(0, "DKIM-Signature", " x"), change(50000, "A", "")))
	m.want.Protocol |= wire.NoReplyHeader
	got, err := pass(t, m, returnPath+fields+"\nhi\n")
	if err != nil {
		t.Fatal(err)
	}
	if m.header.String() != fields || got != "DKIM-Signature: x\n"+fields[len("A: b\n"):]+"\nhi\n" {
		t.Errorf("%d octets shown, %d written, of %d", m.header.Len(), len(got), len(fields))
	}
}

// The longest that the milter may take, for each answer and for all. Time is the test's.
func TestDeadlines(t *testing.T) {
	answering := func(silent byte) func(net.Conn) { return (&milter{silent: silent}).serve }
	tests := []struct {
		name  string
		serve func(net.Conn) // nil: there is no connection
		want  time.Duration
	}{
		{"no connection", nil, connectTime},
		{"takes nothing", func(net.Conn) {}, answerTime},
		{"no negotiation", answering(wire.CmdNegotiate), answerTime},
		{"no answer to MAIL", answering(wire.CmdMail), answerTime},
		{"no answer at the end", answering(wire.CmdEnd), answerTime},
		{"busy for ever", busy, milterTime},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := net.Pipe()
				defer there.Close()
				if tt.serve != nil {
					go tt.serve(there)
				}
				j := &Job{Recipients: []string{"bob@example.net"}}
				j.Dialer = func(ctx context.Context, _ wire.Endpoint) (net.Conn, error) {
					if tt.serve != nil {
						return here, nil
					}
					<-ctx.Done()
					return nil, ctx.Err()
				}
				start := time.Now()
				var out bytes.Buffer
				err := j.Run(t.Context(), strings.NewReader(returnPath+"From: a\n\nhi\n"), &out)
				if took := time.Since(start); err == nil || took != tt.want || out.Len() > 0 {
					t.Errorf("error %v after %v, want one after %v; %d octets written", err, took, tt.want, out.Len())
				}
				time.Sleep(time.Minute) // the milter sees that the connection is gone
			})
		})
	}
}

// busy is a milter that says for ever that it works on it.
func busy(conn net.Conn) {
	go io.Copy(io.Discard, conn)
	for {
		if _, err := conn.Write(wire.Append(nil, wire.ReplyProgress)); err != nil {
			return
		}
		time.Sleep(10 * time.Second)
	}
}

// shortWriter takes so many octets, and then says that there is no room.
type shortWriter int

var errFull = errors.New("no room")

func (s *shortWriter) Write(p []byte) (int, error) {
	if len(p) > int(*s) {
		return int(*s), errFull
	}
	*s -= shortWriter(len(p))
	return len(p), nil
}

// However little cannot be written, it is an error.
func TestWriteErrors(t *testing.T) {
	message := returnPath + "From: a\n\n" + strings.Repeat("0123456789abcde\n", 10000)
	size := len(message) - len(returnPath)
	for room := 0; room <= size; room += 1 + size/50 {
		w := shortWriter(room)
		if err := spaced(nil).job(t).Run(t.Context(), strings.NewReader(message), &w); !errors.Is(err, errFull) {
			t.Errorf("room for %d octets of %d: error %v", room, size, err)
		}
	}
	w := shortWriter(size - 1)
	if err := spaced(nil).job(t).Run(t.Context(), strings.NewReader(message), &w); !errors.Is(err, errFull) {
		t.Errorf("room for all but one octet: error %v", err)
	}
}

// An input that fails before its end is no message, wherever it fails.
func TestReadErrors(t *testing.T) {
	message := returnPath + "From: a\n\nhi\nbye\n"
	for n := range len(message) {
		in := io.MultiReader(strings.NewReader(message[:n]), iotest.ErrReader(errFull))
		var out bytes.Buffer
		if err := spaced(nil).job(t).Run(t.Context(), in, &out); !errors.Is(err, errFull) || out.Len() > 0 {
			t.Errorf("after %d octets: error %v, %d octets written", n, err, out.Len())
		}
	}
}

// lines is a message of many lines, read once.
func bigMessage(size int) io.Reader {
	return io.MultiReader(strings.NewReader(returnPath+"From: a\n\n"), &repeated{text: strings.Repeat("0123456789abcde\n", 4096), left: size})
}

type repeated struct {
	text string
	left int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.text[:min(len(r.text), r.left)])
	n -= n % 16
	r.left -= n
	return n, nil
}

// A large body is in a file that nobody sees, not in memory; one in replacement too.
func TestLargeBody(t *testing.T) {
	const size = 50 << 20
	for _, replaced := range []bool{false, true} {
		dir := t.TempDir()
		t.Setenv("TMPDIR", dir)
		m := spaced(nil)
		m.count, m.want.Protocol = true, m.want.Protocol|wire.NoReplyBody
		if replaced {
			body := replace(strings.Repeat("0123456789abcd\r\n", 4000))
			m.script = changes(bytes.Repeat(body, size/64000+1))
		}
		var before, after runtime.MemStats
		out := new(countWriter)
		j := m.job(t)
		runtime.ReadMemStats(&before)
		if err := j.Run(t.Context(), bigMessage(size), out); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
			t.Errorf("%d octets allocated for a body of %d", used, size)
		}
		want := size + len("From: a\n\n")
		if replaced {
			want = (size/64000+1)*4000*len("0123456789abcd\n") + len("From: a\n\n")
		}
		if int(*out) != want || m.octets != size+size/16 {
			t.Errorf("%d octets written, want %d; %d shown", *out, want, m.octets)
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
			t.Errorf("%v is left in the directory, %v", files, err)
		}
	}
}

type countWriter int

func (c *countWriter) Write(p []byte) (int, error) { *c += countWriter(len(p)); return len(p), nil }

// Where a large body cannot be kept, the message waits.
func TestNoRoom(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()+"/missing")
	out := new(countWriter)
	if err := spaced(nil).job(t).Run(t.Context(), bigMessage(maxMemory+16), out); err == nil || *out > 0 {
		t.Errorf("error %v, %d octets written", err, *out)
	}
	if err := spaced(nil).job(t).Run(t.Context(), bigMessage(maxMemory), out); err != nil {
		t.Errorf("what fits into memory needs no file: %v", err)
	}
}
