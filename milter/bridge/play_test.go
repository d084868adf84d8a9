package bridge_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reputed/milter/bridge"
	"reputed/milter/wire"
)

// What Postfix tells over SMTP: addresses in brackets, the queue id once a recipient was taken, macros before each
// command, ABORT after each message.
func TestPlaySMTP(t *testing.T) {
	f := &filter{}
	s := f.dial(t)
	r, err := s.Play(message("bob@example.net", "eve@example.net"))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.End.Kind; got != bridge.Continue {
		t.Errorf("decision %v, want continue", got)
	}
	if len(r.Rcpt) != 2 {
		t.Errorf("%d answers for 2 recipients", len(r.Rcpt))
	}
	want := lines(
		`DC {daemon_name} mail.example.org`, `C "client.example\x004\x9c@192.0.2.1\x00"`, `H helo.example`,
		`DM {mail_mailer} local {auth_type} PLAIN {auth_authen} ann`, `M <ann@example.org>`,
		`DR {rcpt_mailer} smtp`, `R <bob@example.net>`,
		`DR i 4F1 {rcpt_mailer} smtp`, `R <eve@example.net>`,
		`DT i 4F1`, `T`,
		`DL i 4F1`, `L From|ann@example.org`, `DN i 4F1`, `N`,
		`DB i 4F1`, `B 7`, `DE i 4F1`, `E`, `A`, `Q`)
	if diff := cmp.Diff(want, f.transcript(t, s)); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
}

// sendmail(1): port 0, no brackets, the queue id from the start, nothing of mailers.
func TestPlayLocal(t *testing.T) {
	f := &filter{}
	s := f.dial(t)
	m := message("bob@example.net")
	m.Client.Port, m.Login, m.Sender, m.Body = 0, "", "", nil
	if _, err := s.Play(m); err != nil {
		t.Fatal(err)
	}
	want := lines(
		`DC {daemon_name} mail.example.org`, `C "client.example\x004\x00\x00192.0.2.1\x00"`, `H helo.example`,
		`DM i 4F1`, `M`, `DR i 4F1`, `R bob@example.net`, `DT i 4F1`, `T`,
		`DL i 4F1`, `L From|ann@example.org`, `DN i 4F1`, `N`, `DE i 4F1`, `E`, `A`, `Q`)
	if diff := cmp.Diff(want, f.transcript(t, s)); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
}

// Several messages go through one session: the client is told of once, a refused recipient leaves the others and gives
// no queue id, a message without any recipient ends there.
func TestPlaySeveral(t *testing.T) {
	refuse := packet(wire.ReplyCode, "550 5.7.1 no\x00")
	f := &filter{script: map[byte][][]byte{wire.CmdRcpt: {refuse, packet(wire.ReplyContinue, ""), refuse}}}
	s := f.dial(t)
	first, err := s.Play(message("no@example.net", "yes@example.net"))
	if err != nil {
		t.Fatal(err)
	}
	if got := [2]string{first.Rcpt[0].String(), first.Rcpt[1].String()}; got != [2]string{"550 5.7.1 no", "continue"} {
		t.Errorf("recipients answered %q", got)
	}
	second, err := s.Play(message("no@example.net"))
	if err != nil {
		t.Fatal(err)
	}
	if second.Connect.Kind != bridge.None || second.End.String() != "550 5.7.1 no" {
		t.Errorf("second message: connect %v, end %v; want none and the refusal", second.Connect, second.End)
	}
	got := f.transcript(t, s)
	want := lines(`DR {rcpt_mailer} smtp`, `R <no@example.net>`, `DR {rcpt_mailer} smtp`, `R <yes@example.net>`,
		`DT i 4F1`)
	if !strings.Contains(got, want) {
		t.Errorf("a refused recipient gave a queue id:\n%s", got)
	}
	want = lines(`A`, `DM {mail_mailer} local {auth_type} PLAIN {auth_authen} ann`, `M <ann@example.org>`,
		`DR {rcpt_mailer} smtp`, `R <no@example.net>`, `A`, `Q`)
	if !strings.HasSuffix(got, want) {
		t.Errorf("the second message should be\n%s\nand all is\n%s", want, got)
	}
}

// Postfix cannot refuse a recipient of sendmail(1): a filter that does so has a fault.
func TestPlayLocalRefusedRecipient(t *testing.T) {
	for _, code := range []byte{wire.ReplyReject, wire.ReplyTempfail} {
		f := &filter{script: map[byte][][]byte{wire.CmdRcpt: {packet(code, "")}}}
		m := message("bob@example.net")
		m.Client.Port = 0
		_, err := f.dial(t).Play(m)
		if err == nil || !strings.Contains(err.Error(), `refuses "bob@example.net"`) {
			t.Errorf("%c: error %v, want one that names the recipient", code, err)
		}
	}
}

// A decision holds as long as the protocol says: at CONNECT and HELO for the client, later for the message. Nothing is
// asked after it.
func TestDecisions(t *testing.T) {
	tests := []struct {
		name    string
		at      byte
		answer  byte
		ends    [2]string // of two messages in one session
		lasting bool      // the second message is not told of at all
	}{
		{"a client accepted", wire.CmdConnect, wire.ReplyAccept, [2]string{"accept", "accept"}, true},
		{"a client refused", wire.CmdConnect, wire.ReplyReject, [2]string{"reject", "reject"}, true},
		{"a client deferred at HELO", wire.CmdHelo, wire.ReplyTempfail, [2]string{"tempfail", "tempfail"}, true},
		{"a message accepted", wire.CmdMail, wire.ReplyAccept, [2]string{"accept", "continue"}, false},
		{"a message dropped", wire.CmdMail, wire.ReplyDiscard, [2]string{"discard", "continue"}, false},
		{"a sender refused", wire.CmdMail, wire.ReplyReject, [2]string{"reject", "continue"}, false},
		{"accepted at the first of two recipients", wire.CmdRcpt, wire.ReplyAccept, [2]string{"accept", "continue"},
			false},
		{"dropped at the first of two recipients", wire.CmdRcpt, wire.ReplyDiscard, [2]string{"discard", "continue"},
			false},
		{"refused at DATA", wire.CmdData, wire.ReplyReject, [2]string{"reject", "continue"}, false},
		{"accepted within the header", wire.CmdHeader, wire.ReplyAccept, [2]string{"accept", "continue"}, false},
		{"refused after the header", wire.CmdEndHeader, wire.ReplyReject, [2]string{"reject", "continue"}, false},
		{"accepted within the body", wire.CmdBody, wire.ReplyAccept, [2]string{"accept", "continue"}, false},
		{"refused at the end", wire.CmdEnd, wire.ReplyReject, [2]string{"reject", "continue"}, false},
		{"the client shut out at RCPT", wire.CmdRcpt, wire.ReplyShutdown, [2]string{"shutdown", "shutdown"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &filter{script: map[byte][][]byte{tt.at: {packet(tt.answer, "")}}}
			s := f.dial(t)
			before := 0
			for i, want := range tt.ends {
				r, err := s.Play(message("a@example.net", "b@example.net"))
				if err != nil {
					t.Fatal(err)
				}
				if r.End.String() != want {
					t.Errorf("message %d: %v, want %s", i+1, r.End, want)
				}
				if i == 0 && tt.at == wire.CmdRcpt && len(r.Rcpt) != 1 {
					t.Errorf("%d recipients were told, want 1", len(r.Rcpt))
				}
				if i == 0 {
					f.mu.Lock()
					before = len(f.seen)
					last := f.seen[len(f.seen)-1]
					f.mu.Unlock()
					if last != "A" && last[0] != tt.at {
						t.Errorf("after the decision came %s", last)
					}
				}
			}
			after := strings.Count(f.transcript(t, s), "\n") + 1
			if tt.lasting && after != before+1 { // QUIT
				t.Errorf("%d packets followed a decision about the client", after-before)
			}
		})
	}
}
