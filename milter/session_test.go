package milter_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"reputed/milter"
	"reputed/milter/wire"
	"reputed/policy"
	"reputed/policy/mail"
)

var plain = []string{"From: a@example.org", "Subject: hello"}

// The ordinary message: one field on top, our own final reply, the queue id that came late.
func TestSigned(t *testing.T) {
	r := newRig(t, milter.Limits{}, nil)
	m := r.postfix()
	m.macros(wire.CmdConnect, "j", "mta.example.org", "{daemon_name}", "smtpd")
	m.connect("127.0.0.1", 4000)
	m.send(wire.CmdMail, "<a@example.org>", "SIZE=100")
	m.want(wire.ReplyContinue)
	m.macros(wire.CmdRcpt, "{rcpt_mailer}", "smtp")
	m.send(wire.CmdRcpt, "<b@elsewhere.example>")
	m.want(wire.ReplyContinue)
	m.macros(wire.CmdEnd, "i", "4XqueueID")
	ps := m.content(plain, "hello\r\n")
	if len(ps) != 2 || ps[0].code != wire.ReplyInsertHeader || ps[1].code != wire.ReplyAccept {
		t.Fatalf("outcome %v", ps)
	}
	if want := "\x00\x00\x00\x00DKIM-Signature\x00 body=7;\n\tb=x\x00"; ps[0].data != want {
		t.Errorf("inserted %q, want %q: index 0, the leading space kept, folds with LF", ps[0].data, want)
	}
	rec := r.last(1)
	if rec.id != "4XqueueID" || rec.Class != policy.Ours || len(rec.Signed) != 1 || rec.client.Helo != "helo.example" {
		t.Errorf("record %+v", rec)
	}
	if want := "From: a@example.org\r\nSubject: hello\r\n"; rec.header != want {
		t.Errorf("header %q, want %q", rec.header, want)
	}
}

// The client, HELO and daemon stay known for every message of a session, and the login does not leak into the next.
func TestSessionOutlivesMessages(t *testing.T) {
	r := newRig(t, milter.Limits{}, func(s *milter.Site) {
		s.Checks = []policy.Check{refuseSubject}
		s.Rules = []policy.Rule{{Name: "test", On: map[string]policy.Action{"bad": policy.Reject}}}
	})
	m := r.postfix()
	m.connect("203.0.113.9", 4000)

	m.macros(wire.CmdMail, "{auth_type}", "PLAIN", "{auth_authen}", "bob")
	m.send(wire.CmdMail, "<one@example.org>")
	m.want(wire.ReplyContinue)
	m.send(wire.CmdRcpt, "<b@elsewhere.example>")
	m.want(wire.ReplyContinue)
	if ps := m.content([]string{"From: a@example.org", "Subject: bad"}, ""); ps[0].code != wire.ReplyCode {
		t.Fatalf("a refused message: %v", ps)
	}
	m.send(wire.CmdAbort)

	m.macros(wire.CmdMail, "{auth_type}", "PLAIN", "{auth_authen}", "bob")
	m.send(wire.CmdMail, "<two@example.org>")
	m.want(wire.ReplyContinue)
	m.send(wire.CmdRcpt, "<b@elsewhere.example>")
	m.want(wire.ReplyContinue)
	m.content(plain, "x")
	rec := r.last(2)
	if rec.client.Addr.String() != "203.0.113.9" || rec.client.Helo != "helo.example" || rec.login != "bob" ||
		rec.path != "two@example.org" {
		t.Errorf("second message: client %+v, login %q, sender %q", rec.client, rec.login, rec.path)
	}

	// No ABORT and no macros: what was bob's is not the next one's.
	m.send(wire.CmdMail, "<three@example.org>")
	m.want(wire.ReplyAccept)
	if rec := r.last(3); rec.Class != policy.Foreign || rec.login != "" {
		t.Errorf("third message: class %v, login %q", rec.Class, rec.login)
	}
	m.send(wire.CmdQuit)
	if p := m.reply(); p.code != 0 {
		t.Errorf("after quit: %v", p)
	}
}

func refuseSubject(_ context.Context, tx *mail.Transaction) []policy.Finding {
	for i := range tx.Header.Len() {
		if f := tx.Header.At(i); f.Is("Subject") && string(f.Value()) == " bad" {
			return []policy.Finding{{Rule: "test", Result: "bad", Grade: policy.Fail}}
		}
	}
	return nil
}

// Whose mail it is, by what the MTA says; and that re-injected mail is left alone.
func TestClasses(t *testing.T) {
	received := append([]string{"Received: from elsewhere"}, plain...)
	tests := []struct {
		name   string
		addr   string
		port   uint16
		macros []string
		sender string
		header []string
		accept bool // at MAIL, and nothing more
		class  policy.Class
	}{
		{"stranger", "203.0.113.9", 25000, nil, "<x@example.org>", nil, true, policy.Foreign},
		{"stranger on IPv6", "2001:db8::9", 25000, nil, "<x@example.org>", nil, true, policy.Foreign},
		{"stranger whose port the MTA does not know", "203.0.113.9", 0, nil, "<x@example.org>", nil, true, policy.Foreign},
		{"logged in", "203.0.113.9", 25000, []string{"{auth_authen}", "bob"}, "<x@example.org>", plain, false, policy.Ours},
		{"logged in, already Received", "203.0.113.9", 25000, []string{"{auth_authen}", "bob"}, "<x@a.example>", received,
			false, policy.Ours},
		{"daemon", "203.0.113.9", 25000, []string{"{daemon_name}", "originating"}, "<x@a.example>", plain,
			false, policy.Ours},
		{"trusted network", "127.0.0.2", 25000, nil, "<x@a.example>", plain, false, policy.Ours},
		{"sendmail(1)", "127.0.0.1", 0, nil, "x@a.example", plain, false, policy.Ours},
		{"re-injected inbound", "127.0.0.1", 25000, nil, "<x@a.example>", received, false, policy.Relayed},
		{"re-injected outbound", "127.0.0.1", 25000, nil, "<x@example.org>", received, false, policy.Ours},
		{"re-injected bounce", "127.0.0.1", 25000, nil, "<>", received, false, policy.Relayed},
		{"a bounce of our own", "127.0.0.1", 0, nil, "", plain, false, policy.Ours},
		{"forwarded by sendmail(1)", "127.0.0.1", 0, nil, "x@a.example", received, false, policy.Relayed},
		{"sender that is no address", "127.0.0.1", 25000, nil, "<x@[192.0.2.1]>", received, false, policy.Relayed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, milter.Limits{}, nil)
			m := r.postfix()
			m.connect(tt.addr, tt.port)
			m.macros(wire.CmdMail, tt.macros...)
			m.send(wire.CmdMail, tt.sender)
			if tt.accept {
				m.want(wire.ReplyAccept)
			} else {
				m.want(wire.ReplyContinue)
				m.send(wire.CmdRcpt, "<b@elsewhere.example>")
				m.want(wire.ReplyContinue)
				ps := m.content(tt.header, "x")
				if signed := len(ps) == 2; signed != (tt.class == policy.Ours) {
					t.Errorf("outcome %v", ps)
				}
			}
			if rec := r.last(1); rec.Class != tt.class || rec.Why == "" {
				t.Errorf("class %v (%s), want %v", rec.Class, rec.Why, tt.class)
			}
		})
	}
}

// Header bytes reach the signature as they are: NUL, spaces before the colon, folds, 8-bit.
func TestHeaderBytes(t *testing.T) {
	r := newRig(t, milter.Limits{}, nil)
	m := r.postfix()
	m.connect("127.0.0.1", 4000)
	m.send(wire.CmdMail, "<a@example.org>")
	m.want(wire.ReplyContinue)
	m.raw(wire.Append(nil, wire.CmdHeader, []byte("X-Nul\x00 a\x00b\x00")))
	m.raw(wire.Append(nil, wire.CmdHeader, []byte("Subject\x00\t fold\n ed \xff\x00")))
	m.raw(wire.Append(nil, wire.CmdHeader, []byte("X-Empty\x00\x00")))
	m.content(plain[:1], "")
	want := "X-Nul: a\x00b\r\nSubject:\t fold\r\n ed \xff\r\nX-Empty:\r\nFrom: a@example.org\r\n"
	if rec := r.last(1); rec.header != want {
		t.Errorf("header %q, want %q", rec.header, want)
	}
}

// Failures of our own defer mail of ours, let other mail pass, and never end the session.
func TestFailures(t *testing.T) {
	boom := errors.New("boom")
	panics := func(context.Context, *mail.Transaction) []policy.Finding { panic("in a check") }
	tests := []struct {
		name   string
		sender string
		header []string
		change func(*milter.Site)
		code   byte
		text   string
	}{
		{"the signature cannot be begun", "<a@example.org>", plain,
			func(s *milter.Site) {
				s.Seal = func(*mail.Transaction) (milter.Seal, error) { return nil, boom }
			}, 'y', "451 4.3.0"},
		{"the signature fails", "<a@example.org>", plain,
			func(s *milter.Site) {
				s.Seal = func(*mail.Transaction) (milter.Seal, error) {
					return &fakeSeal{err: boom, released: new(atomic.Int32)}, nil
				}
			}, 'y', "451 4.3.0"},
		{"a panic", "<a@example.org>", plain,
			func(s *milter.Site) { s.Checks = []policy.Check{panics} }, 'y', "451 4.3.0"},
		{"a panic at MAIL", "<a@example.org>", plain,
			func(s *milter.Site) { s.Outbound = nil }, 'y', "451 4.3.0"},
		{"a panic, and the operator wants mail to pass", "<a@example.org>", plain,
			func(s *milter.Site) { s.Checks, s.OnError = []policy.Check{panics}, policy.Log }, 'a', ""},
		{"a failure while mail of another's passes", "<a@a.example>", append([]string{"Received: x"}, plain...),
			func(s *milter.Site) { s.Checks = []policy.Check{panics} }, 'a', ""},
		{"nothing to sign with is no failure", "<a@example.org>", plain,
			func(s *milter.Site) {
				s.Seal = func(*mail.Transaction) (milter.Seal, error) { return nil, fmt.Errorf("x: %w", milter.ErrUnsigned) }
			}, 'a', ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, milter.Limits{}, tt.change)
			m := r.postfix()
			m.connect("127.0.0.1", 4000)
			for range 2 { // the session goes on
				m.send(wire.CmdMail, tt.sender)
				m.want(wire.ReplyContinue)
				m.send(wire.CmdRcpt, "<b@elsewhere.example>")
				m.want(wire.ReplyContinue)
				ps := m.content(tt.header, "x")
				last := ps[len(ps)-1]
				if len(ps) != 1 || last.code != tt.code || !strings.HasPrefix(last.data, tt.text) {
					t.Errorf("outcome %v, want %c %s", ps, tt.code, tt.text)
				}
				m.send(wire.CmdAbort)
			}
		})
	}
}

// Commands in an order that the protocol does not know: the message is deferred, the session lives.
func TestOutOfOrder(t *testing.T) {
	tests := map[string][]byte{
		"RCPT before MAIL":         {wire.CmdRcpt},
		"end before MAIL":          {},
		"body before MAIL":         {wire.CmdBody},
		"header field before MAIL": {wire.CmdHeader},
		"end of header first":      {wire.CmdEndHeader},
	}
	for name, cmds := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, milter.Limits{}, nil)
			m := r.postfix()
			m.connect("127.0.0.1", 4000)
			for _, c := range cmds {
				m.send(c, "x", "y")
				if c == wire.CmdRcpt {
					m.want(wire.ReplyContinue)
				}
			}
			m.send(wire.CmdEnd)
			if ps := m.outcome(); ps[0].code != wire.ReplyCode {
				t.Errorf("outcome %v", ps)
			}
			m.send(wire.CmdAbort)
			m.send(wire.CmdMail, "<a@example.org>")
			m.want(wire.ReplyContinue)
			if ps := m.content(plain, "x"); len(ps) != 2 {
				t.Errorf("the next message: %v", ps)
			}
		})
	}
}

// Verdicts, as the MTA hears them.
func TestVerdicts(t *testing.T) {
	tests := []struct {
		name    string
		port    uint16
		sender  string
		actions uint32
		action  policy.Action
		codes   string // of the packets that come back
		text    string
	}{
		{"log", 4000, "<a@example.org>", postfixActions, policy.Log, "ia", ""},
		{"hold: signed and quarantined", 4000, "<a@example.org>", postfixActions, policy.Hold, "iqa", ""},
		{"hold where the MTA cannot: later", 4000, "<a@example.org>", wire.ActAddHeader, policy.Hold, "y", "451 4.7.1"},
		{"defer", 4000, "<a@example.org>", postfixActions, policy.Defer, "y", "451 4.7.1 100%% no"},
		{"reject", 4000, "<a@example.org>", postfixActions, policy.Reject, "y", "550 5.7.1 100%% no"},
		{"defer of sendmail(1) is a hold", 0, "a@example.org", postfixActions, policy.Defer, "iqa", ""},
		{"reject of sendmail(1)", 0, "a@example.org", postfixActions, policy.Reject, "y", "550 5.7.1"},
		{"reject of sendmail(1) that would bounce to a stranger", 0, "a@a.example", postfixActions, policy.Reject, "iqa", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, milter.Limits{}, func(s *milter.Site) {
				s.Checks = []policy.Check{func(context.Context, *mail.Transaction) []policy.Finding {
					return []policy.Finding{{Rule: "test", Result: "bad", Grade: policy.Fail}}
				}}
				s.Rules = []policy.Rule{{
					Name: "test", On: map[string]policy.Action{"bad": tt.action},
					Replies: map[string]policy.Reply{"bad": {Code: 550, Enhanced: "5.7.1", Text: "100% no"}},
				}}
			})
			m := r.dial()
			m.negotiate(6, tt.actions, postfixProtocol)
			m.connect("127.0.0.1", tt.port)
			m.send(wire.CmdMail, tt.sender)
			m.want(wire.ReplyContinue)
			m.send(wire.CmdRcpt, "b@elsewhere.example")
			m.want(wire.ReplyContinue)
			ps := m.content(plain, "x")
			var codes string
			for _, p := range ps {
				codes += string(p.code)
			}
			if codes != tt.codes || !strings.HasPrefix(ps[len(ps)-1].data, tt.text) {
				t.Errorf("outcome %v, want %s %s", ps, tt.codes, tt.text)
			}
		})
	}
}

// A header beyond the limits is cut, and never signed.
func TestHugeHeader(t *testing.T) {
	r := newRig(t, milter.Limits{}, func(s *milter.Site) {
		s.Seal = func(tx *mail.Transaction) (milter.Seal, error) {
			if tx.Cut {
				return nil, milter.ErrUnsigned
			}
			return nil, errors.New("not cut")
		}
	})
	m := r.postfix()
	m.connect("127.0.0.1", 4000)
	m.send(wire.CmdMail, "<a@example.org>")
	m.want(wire.ReplyContinue)
	many := make([]string, mail.MaxHeaderFields+5)
	for i := range many {
		many[i] = "X: y"
	}
	if ps := m.content(many, ""); ps[0].code != wire.ReplyAccept {
		t.Errorf("outcome %v", ps)
	}
}

// Recipients beyond the limit are counted and not kept.
func TestManyRecipients(t *testing.T) {
	var kept, counted int
	r := newRig(t, milter.Limits{}, func(s *milter.Site) {
		s.Checks = []policy.Check{func(_ context.Context, tx *mail.Transaction) []policy.Finding {
			kept, counted = len(tx.Recipients), tx.RecipientCount
			return nil
		}}
	})
	m := r.postfix()
	m.connect("127.0.0.1", 4000)
	m.send(wire.CmdMail, "<a@example.org>")
	m.want(wire.ReplyContinue)
	for range mail.MaxRecipients + 3 {
		m.send(wire.CmdRcpt, "<b@elsewhere.example>")
		m.want(wire.ReplyContinue)
	}
	m.content(plain, "")
	if kept != mail.MaxRecipients || counted != mail.MaxRecipients+3 {
		t.Errorf("kept %d, counted %d", kept, counted)
	}
}

// Sendmail tags IPv6 addresses.
func TestTaggedIPv6(t *testing.T) {
	r := newRig(t, milter.Limits{}, nil)
	m := r.postfix()
	m.raw(wire.Append(nil, wire.CmdConnect, []byte("h\x006\x10\x00IPv6:2001:db8::9\x00")))
	m.send(wire.CmdMail, "<a@example.org>")
	m.want(wire.ReplyAccept)
	if got := r.last(1).client.Addr.String(); got != "2001:db8::9" {
		t.Errorf("client %s", got)
	}
}

// An address stands for a client only where the family says that it is one: behind any other, 127.0.0.1 would make a
// stranger's mail ours.
func TestAddressOfNoFamily(t *testing.T) {
	for family, want := range map[byte]policy.Class{wire.FamilyInet: policy.Ours, wire.FamilyUnknown: policy.Foreign} {
		r := newRig(t, milter.Limits{}, nil)
		m := r.postfix()
		text := "client.example\x00" + string(family)
		if family == wire.FamilyInet {
			text += "\x0f\xa0"
		}
		m.raw(wire.Append(nil, wire.CmdConnect, []byte(text+"127.0.0.1\x00")))
		m.send(wire.CmdMail, "<a@example.org>")
		got := m.reply()
		if is := map[byte]policy.Class{wire.ReplyAccept: policy.Foreign, wire.ReplyContinue: policy.Ours}[got.code]; is != want {
			t.Errorf("family %q: %v", family, got)
		}
	}
}
