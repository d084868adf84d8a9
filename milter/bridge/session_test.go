package bridge_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reputed/milter/bridge"
	"reputed/milter/wire"
	"reputed/policy/mail"
)

func TestDialErrors(t *testing.T) {
	tests := []struct {
		name   string
		filter *filter
		offer  bridge.Options
		want   string
	}{
		{"a version above the offer", &filter{answer: wire.Negotiation{Version: 7}}, bridge.Options{},
			"version 7 of 6"},
		{"a version above an older MTA's", &filter{}, bridge.Options{Version: 2}, "version 6 of 2"},
		{"an action not offered", &filter{answer: wire.Negotiation{Actions: 1 << 9}}, bridge.Options{},
			"actions 0x200 of 0x1ff"},
		{"an action this MTA lacks", &filter{answer: wire.Negotiation{Actions: wire.ActQuarantine}},
			bridge.Options{Actions: wire.ActAddHeader}, "actions 0x20 of 0x1"},
		{"a bit this MTA lacks", &filter{answer: wire.Negotiation{Protocol: wire.NoHelo}},
			bridge.Options{Protocol: bridge.OfferNothing}, "protocol 0x2 of 0x0"},
		{"another answer", &filter{raw: packet(wire.ReplyContinue, "")}, bridge.Options{}, `'c' to the negotiation`},
		{"a short answer", &filter{raw: packet(wire.CmdNegotiate, "\x00\x00\x00\x06")}, bridge.Options{},
			"negotiation of 4 octets"},
		{"half an answer", &filter{raw: []byte("\x00\x00\x00\x0dO\x00")},
			bridge.Options{Timeout: 20 * time.Millisecond}, "half an answer"},
		{"no answer", &filter{silent: true}, bridge.Options{Timeout: 20 * time.Millisecond}, "no answer"},
		{"a choice of macros cut off", &filter{answer: wire.Negotiation{Macros: []byte("\x00\x00\x00\x01i")}},
			bridge.Options{}, "without end"},
		{"a choice of macros for no stage", &filter{answer: wire.Negotiation{Macros: []byte{0, 0}}}, bridge.Options{},
			"without stage"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := tt.filter.start(t)
			o.Version, o.Actions, o.Protocol = tt.offer.Version, tt.offer.Actions, tt.offer.Protocol
			if tt.offer.Timeout != 0 {
				o.Timeout = tt.offer.Timeout
			}
			s, err := bridge.Dial(t.Context(), socket, o)
			if err == nil {
				s.Close()
				t.Fatal("no error")
			}
			if !strings.HasPrefix(err.Error(),
				"milter unix:/run/100%/filter.sock: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want the socket and %q", err, tt.want)
			}
		})
	}
}

// Whoever reads it at 3 a.m. learns which socket, and what to look at.
func TestDialNobodyThere(t *testing.T) {
	_, err := bridge.Dial(t.Context(), wire.Endpoint{Network: "unix", Address: t.TempDir() + "/none"}, bridge.Options{})
	if err == nil || !strings.Contains(err.Error(), "/none: ") || !strings.Contains(err.Error(),
		"does the filter run") {
		t.Errorf("error %v, want the socket and what to look at", err)
	}
}

// The context ends whatever waits, and says so.
func TestContext(t *testing.T) {
	f := &filter{script: map[byte][][]byte{wire.CmdMail: {nil}}} // it never answers
	ctx, cancel := context.WithCancel(context.Background())
	o := f.start(t)
	o.Timeout = 20 * time.Second
	s, err := bridge.Dial(ctx, socket, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	begin := time.Now()
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := s.Mail("<a@example.org>", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
	if took := time.Since(begin); took >= o.Timeout {
		t.Errorf("it took %v: the time-out ended it, not the context", took)
	}
}

// Steps and replies that the filter does without. The macros of an unwanted step are told all the same, as by Postfix.
func TestWishes(t *testing.T) {
	tests := []struct {
		name        string
		bit         uint32
		gone, stays string
	}{
		{"no connect", wire.NoConnect, "\nC ", "DC "}, {"no helo", wire.NoHelo, "\nH ", "\nM "},
		{"no mail", wire.NoMail, "\nM ", "DM "}, {"no rcpt", wire.NoRcpt, "\nR ", "DR "},
		{"no data", wire.NoData, "\nT", "DT "}, {"no header", wire.NoHeader, "\nL ", "DL "},
		{"no end of header", wire.NoEndHeader, "\nN", "DN "}, {"no body", wire.NoBody, "\nB ", "\nE"},
		{"no reply to connect", wire.NoReplyConnect, "?", "\nE"}, {"no reply to helo", wire.NoReplyHelo, "?", "\nE"},
		{"no reply to mail", wire.NoReplyMail, "?", "\nE"}, {"no reply to rcpt", wire.NoReplyRcpt, "?", "\nE"},
		{"no reply to data", wire.NoReplyData, "?", "\nE"}, {"no reply to header", wire.NoReplyHeader, "?", "\nE"},
		{"no reply to end of header", wire.NoReplyEOH, "?", "\nE"}, {"no reply to body", wire.NoReplyBody, "?", "\nE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &filter{answer: wire.Negotiation{Protocol: tt.bit}}
			s := f.dial(t)
			r, err := s.Play(message("bob@example.net"))
			if err != nil || r.End.Kind != bridge.Continue {
				t.Fatalf("end %v, error %v", r.End, err)
			}
			got := f.transcript(t, s)
			if strings.Contains("\n"+got, tt.gone) || !strings.Contains(got, tt.stays) {
				t.Errorf("should hold %q and not %q:\n%s", tt.stays, tt.gone, got)
			}
		})
	}
}

// Macros leave together with their command, and commands without reply together with the next that has one.
func TestWrites(t *testing.T) {
	f := &filter{answer: wire.Negotiation{Protocol: wire.NoReplyConnect | wire.NoReplyHelo | wire.NoReplyMail}}
	s := f.dial(t)
	if _, err := s.Play(message("bob@example.net")); err != nil {
		t.Fatal(err)
	}
	f.transcript(t, s)
	// The negotiation; CONNECT, HELO, MAIL and RCPT; DATA; a header field; its end; body; end; ABORT; QUIT.
	if f.writes != 9 {
		t.Errorf("%d writes, want 9", f.writes)
	}
}

// A filter of an old version knows no DATA, and is told no macros for it.
func TestOldVersion(t *testing.T) {
	f := &filter{answer: wire.Negotiation{Version: 3}}
	s := f.dial(t)
	if _, err := s.Play(message("bob@example.net")); err != nil {
		t.Fatal(err)
	}
	if got := f.transcript(t, s); strings.Contains(got, "\nT") || strings.Contains(got, "DT") {
		t.Errorf("version 3 was told of DATA:\n%s", got)
	}
}

// A filter that chooses its macros gets these, and none at the stages it leaves out.
func TestMacroChoice(t *testing.T) {
	f := &filter{answer: wire.Negotiation{Actions: wire.ActSetMacros,
		Macros: []byte("\x00\x00\x00\x02{auth_authen}\x00\x00\x00\x00\x05i,j\x00")}}
	s := f.dial(t)
	if _, err := s.Play(message("bob@example.net")); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.SplitSeq(f.transcript(t, s), "\n") {
		if line[0] == 'D' {
			got = append(got, line)
		}
	}
	want := []string{"DM {auth_authen} ann", "DB i 4F1", "DE i 4F1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("macros (-want +got):\n%s", diff)
	}
}

func TestMailArguments(t *testing.T) {
	f := &filter{}
	s := f.dial(t)
	if _, err := s.Mail("<a@example.org>", []string{"SIZE=10", "BODY=8BITMIME"}); err != nil {
		t.Fatal(err)
	}
	if got, want := f.transcript(t, s), "M <a@example.org>|SIZE=10|BODY=8BITMIME\nQ"; got != want {
		t.Errorf("packets %q, want %q", got, want)
	}
}

// How a field travels: folds as LF, the space after the colon kept only if that was agreed on.
func TestHeaderOnTheWire(t *testing.T) {
	tests := []struct{ raw, plain, spaced string }{
		{"Subject: hello", "L Subject|hello", "L Subject| hello"},
		{"Subject:  two", "L Subject| two", "L Subject|  two"},
		{"Subject:\ttab", "L Subject|\ttab", "L Subject|\ttab"},
		{"Subject:none", "L Subject|none", "L Subject|none"},
		{"Subject: a\r\n b", "L Subject|a\n b", "L Subject| a\n b"},
		{"Subject : before", "L Subject|before", "L Subject| before"},
		{"Subject:", "L Subject|", "L Subject|"},
	}
	for _, tt := range tests {
		for protocol, want := range map[uint32]string{0: tt.plain, wire.LeadingSpace: tt.spaced} {
			f := &filter{answer: wire.Negotiation{Protocol: protocol}}
			s := f.dial(t)
			name, value, _ := strings.Cut(tt.raw, ":")
			if _, err := s.Header(mail.NewField(name, value)); err != nil {
				t.Fatal(err)
			}
			if got := f.transcript(t, s); got != want+"\nQ" {
				t.Errorf("%q with protocol %#x: %q, want %q", tt.raw, protocol, got, want)
			}
		}
	}
}

// zeros is a body of any size.
type zeros struct{ left int }

func (z *zeros) Read(p []byte) (int, error) {
	n := min(len(p), z.left)
	if z.left -= n; z.left == 0 {
		return n, io.EOF // together with data, as readers may
	}
	return n, nil
}

// A body goes in pieces of 64 KiB less one, the last octets too, and takes no memory of its size.
func TestBodyStreams(t *testing.T) {
	const size = 50 << 20
	for _, protocol := range []uint32{0, wire.NoReplyBody} {
		f := &filter{answer: wire.Negotiation{Protocol: protocol}}
		s := f.dial(t)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := s.Body(&zeros{left: size}); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		f.transcript(t, s)
		if f.body != size || f.seen[0] != "B 65535" || f.seen[len(f.seen)-2] != "B 800" {
			t.Errorf("%d octets of %d; pieces %s … %s", f.body, size, f.seen[0], f.seen[len(f.seen)-2])
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
			t.Errorf("%d octets allocated for a body of %d", used, size)
		}
	}
}

// A filter that has seen enough of a body gets no more of it; one that has seen enough recipients, no more of them.
func TestSkip(t *testing.T) {
	f := &filter{script: map[byte][][]byte{
		wire.CmdBody: {packet(wire.ReplySkip, "")}, wire.CmdRcpt: {packet(wire.ReplySkip, "")},
	}}
	s := f.dial(t)
	m := message("a@example.net", "b@example.net")
	m.Body = &zeros{left: 200000}
	r, err := s.Play(m)
	if err != nil || r.End.Kind != bridge.Continue {
		t.Fatalf("end %v, error %v", r.End, err)
	}
	got := f.transcript(t, s)
	if strings.Count(got, "\nB ") != 1 || strings.Count(got, "\nR ") != 1 || !strings.Contains(got, "\nE") {
		t.Errorf("one piece of body and one recipient should be there, and the end:\n%s", got)
	}
}

// Answers that no filter may give at that point.
func TestWrongAnswers(t *testing.T) {
	tests := []struct {
		name  string
		at    byte
		reply []byte
		offer uint32
		want  string
	}{
		{"an unknown answer", wire.CmdMail, packet('z', ""), 0, `unknown answer 'z'`},
		{"a change before the end", wire.CmdMail, packet(wire.ReplyAddHeader, "A\x00b\x00"), 0, `unknown answer 'h'`},
		{"a client dropped", wire.CmdConnect, packet(wire.ReplyDiscard, ""), 0, `'d' is not for 'C'`},
		{"skip at the end", wire.CmdEnd, packet(wire.ReplySkip, ""), 0, `'s' is not for 'E'`},
		{"skip to an MTA without it", wire.CmdBody, packet(wire.ReplySkip, ""), bridge.OfferNothing,
			`'s' is not for 'B'`},
		{"something behind the answer", wire.CmdMail, packet(wire.ReplyAccept, "x"), 0, `1 octets behind it`},
		{"no packet", wire.CmdMail, []byte{0, 0, 0, 0}, 0, `no command`},
		{"a packet without measure", wire.CmdMail, []byte{0x7f, 0, 0, 0}, 0, `at most`},
		{"a body in replacement nobody takes", wire.CmdEnd, packet(wire.ReplyReplaceBody, "x"), 0, `replaces the body`},
		{"a field without name", wire.CmdEnd, packet(wire.ReplyAddHeader, "\x00b\x00"), 0, `without name`},
		{"a name that is two fields", wire.CmdEnd, packet(wire.ReplyAddHeader, "A: b\r\nC\x00b\x00"), 0, `field name`},
		{"a name with a colon", wire.CmdEnd, packet(wire.ReplyInsertHeader, indexed(0, "A:", "b")), 0, `field name`},
		{"an index cut off", wire.CmdEnd, packet(wire.ReplyInsertHeader, "\x00\x00"), 0, `of 2 octets`},
		{"a recipient cut off", wire.CmdEnd, packet(wire.ReplyAddRcpt, "<a@b>"), 0, `text without end`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &filter{script: map[byte][][]byte{tt.at: {tt.reply}}}
			o := f.start(t)
			o.Protocol = tt.offer
			s, err := bridge.Dial(t.Context(), socket, o)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if r, err := s.Play(message("bob@example.net")); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("end %v, error %v, want %q", r.End, err, tt.want)
			}
		})
	}
}

// The end of a message: whatever the filter still does first, then the decision.
func TestEnd(t *testing.T) {
	f := &filter{script: map[byte][][]byte{wire.CmdEnd: {packets(
		packet(wire.ReplyProgress, ""),
		packet(wire.ReplyInsertHeader, indexed(0, "DKIM-Signature", "v=1;\n\tb=x")),
		packet(wire.ReplyReplaceBody, "new "),
		packet(wire.ReplyReplaceBody, "body\r\n"),
		packet(wire.ReplyAddRcpt, "<c@example.net>\x00"),
		packet(wire.ReplyAddRcptArgs, "<d@example.net>\x00NOTIFY=NEVER\x00"),
		packet(wire.ReplyDeleteRcpt, "<b@example.net>\x00"),
		packet(wire.ReplyChangeFrom, "<z@example.org>\x00\x00"),
		packet(wire.ReplyQuarantine, "have a look\x00"),
		packet(wire.ReplyAccept, ""),
	)}}}
	o := f.start(t)
	var body bytes.Buffer
	o.Body = &body
	s, err := bridge.Dial(t.Context(), socket, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := s.Play(message("b@example.net"))
	if err != nil {
		t.Fatal(err)
	}
	want := bridge.Outcome{End: bridge.Reply{Kind: bridge.Accept}, Changes: []bridge.Change{
		{Kind: bridge.InsertHeader, Name: "DKIM-Signature", Value: " v=1;\r\n\tb=x"},
		{Kind: bridge.AddRcpt, Value: "<c@example.net>"},
		{Kind: bridge.AddRcpt, Value: "<d@example.net>"},
		{Kind: bridge.DeleteRcpt, Value: "<b@example.net>"},
		{Kind: bridge.ChangeFrom, Value: "<z@example.org>"},
		{Kind: bridge.Quarantine, Value: "have a look"},
	}}
	if diff := cmp.Diff(want, r.Outcome); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
	if body.String() != "new body\r\n" {
		t.Errorf("body %q", body.String())
	}
}
