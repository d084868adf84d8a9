package milter_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"reputed/milter"
	"reputed/milter/wire"
	"reputed/policy"
	"reputed/policy/mail"
)

// fakeInquiry finds a result for each mailer, which it takes for the egress.
type fakeInquiry struct {
	results       map[string]string
	ofRecipient   policy.Exemption
	circumstances policy.Exemption
	asked         *atomic.Int32
}

func (f *fakeInquiry) Egress(r *mail.Recipient) (*mail.Egress, policy.Exemption) {
	for name := range f.results {
		if name == r.Mailer || r.Mailer == "" || r.Mailer == "error" {
			return egresses[name], f.ofRecipient
		}
	}
	return nil, 0
}

func (f *fakeInquiry) Findings(e *mail.Egress) ([]policy.Finding, policy.Exemption) {
	f.asked.Add(1)
	return []policy.Finding{{Rule: "test", Result: f.results[e.Name], Grade: policy.Fail}}, f.circumstances
}

var egresses = map[string]*mail.Egress{"smtp": {Name: "smtp"}, "relay": {Name: "relay"}}

// envelopeRig is a rig whose recipients leave by the mailers smtp and relay, with a result for each.
type envelopeRig struct {
	*rig
	asked atomic.Int32
	ended atomic.Int32 // inquiries whose message is over
}

func newEnvelopeRig(t *testing.T, results map[string]string, circumstances policy.Exemption) *envelopeRig {
	e := &envelopeRig{}
	e.rig = newRig(t, milter.Limits{}, func(s *milter.Site) {
		s.Outbound.Mailers = []string{"smtp", "relay"}
		s.Rules = []policy.Rule{{
			Name: "test", Spares: policy.NullSender | policy.MayStay | policy.NotOurs | policy.MayRelay | policy.Role,
			On: map[string]policy.Action{"reject": policy.Reject, "defer": policy.Defer, "hold": policy.Hold},
		}}
		s.Inquire = func(ctx context.Context, _ *mail.Transaction) milter.Inquiry {
			context.AfterFunc(ctx, func() { e.ended.Add(1) })
			return &fakeInquiry{results, circumstances & policy.Role, circumstances &^ policy.Role, &e.asked}
		}
	})
	return e
}

// rcpt puts a recipient and gives the answer.
func rcpt(m *mta, path, mailer string) packet {
	m.macros(wire.CmdRcpt, "{rcpt_mailer}", mailer)
	m.send(wire.CmdRcpt, path)
	return m.reply()
}

// A recipient that leaves is refused where it stands; one that stays is taken, and so is the message, signed.
func TestRecipientRefused(t *testing.T) {
	r := newEnvelopeRig(t, map[string]string{"smtp": "reject", "relay": "ok"}, 0)
	m := r.postfix()
	m.connect("127.0.0.1", 4000)
	m.send(wire.CmdMail, "<a@example.org>")
	m.want(wire.ReplyContinue)
	if p := rcpt(m, "<b@elsewhere.example>", "smtp"); p.code != wire.ReplyCode || !strings.HasPrefix(p.data, "550 5.7.1") {
		t.Fatalf("a recipient that leaves by the bad egress: %v", p)
	}
	rec := r.last(1)
	if rec.Rcpt != "b@elsewhere.example" || rec.Verdict.Action != policy.Reject || rec.Class != policy.Ours {
		t.Errorf("record of the refused recipient: %+v", rec.Record)
	}
	if p := rcpt(m, "<c@elsewhere.example>", "smtp"); p.code != wire.ReplyCode {
		t.Errorf("the second one: %v", p)
	}
	for path, mailer := range map[string]string{"<d@local.example>": "local", "<e@elsewhere.example>": "relay"} {
		if p := rcpt(m, path, mailer); p.code != wire.ReplyContinue {
			t.Errorf("%s by %s: %v", path, mailer, p)
		}
	}
	if n := r.asked.Load(); n != 2 {
		t.Errorf("asked %d times about two egresses", n)
	}
	if ps := m.content(plain, "x"); len(ps) != 2 || ps[1].code != wire.ReplyAccept {
		t.Errorf("the message to those that were taken: %v", ps)
	}
	rec = r.last(3)
	if rec.Rcpt != "" || rec.Verdict.Action != policy.Log || rec.taken != 2 || len(rec.Signed) != 1 {
		t.Errorf("record of the message: %+v", rec.Record)
	}
	for _, f := range rec.Verdict.Findings {
		if f.Result == "reject" {
			t.Error("the message bears what stands against recipients that were refused")
		}
	}
}

// What becomes of a message whose egress has a result, by how it comes in.
func TestEnvelopeVerdicts(t *testing.T) {
	tests := []struct {
		name          string
		result        string
		circumstances policy.Exemption
		addr          string
		port          uint16
		sender        string
		mailer        string
		header        []string
		atRcpt        byte
		want          string // what follows the header
	}{
		{"over SMTP", "reject", 0, "127.0.0.1", 4000, "<a@example.org>", "smtp", nil, wire.ReplyCode, ""},
		{"deferred", "defer", 0, "127.0.0.1", 4000, "<a@example.org>", "smtp", nil, wire.ReplyCode, ""},
		{"held: the message, for a recipient cannot be", "hold", 0, "127.0.0.1", 4000, "<a@example.org>", "smtp", plain,
			wire.ReplyContinue, "insert quarantine accept"},
		{"passing through, perhaps: it turns out not to", "reject", 0, "127.0.0.1", 4000, "<x@elsewhere.example>", "smtp",
			plain,
			wire.ReplyContinue, "reply 550"},
		{"passing through", "reject", 0, "127.0.0.1", 4000, "<x@elsewhere.example>", "smtp",
			append([]string{"Received: from elsewhere"}, plain...), wire.ReplyContinue, "accept"},
		{"to a postmaster", "reject", policy.Role, "127.0.0.1", 4000, "<a@example.org>", "smtp", plain, wire.ReplyContinue,
			"insert accept"},
		{"a bounce", "reject", 0, "127.0.0.1", 4000, "<>", "smtp", plain, wire.ReplyContinue, "insert accept"},
		{"it may stay: a virtual alias", "reject", 0, "127.0.0.1", 4000, "<a@example.org>", "error", plain,
			wire.ReplyContinue, "insert accept"},
		{"a guess", "reject", policy.Guessed, "127.0.0.1", 4000, "<a@example.org>", "smtp", plain, wire.ReplyContinue,
			"insert accept"},
		{"forwarded, the sender not ours", "reject", policy.NotOurs, "127.0.0.1", 4000, "<x@elsewhere.example>", "smtp",
			append([]string{"Received: from elsewhere"}, plain...), wire.ReplyContinue, "accept"},
		{"sendmail(1): refused at the end, for Postfix cannot take it at RCPT", "reject", 0, "127.0.0.1", 0,
			"a@example.org", "smtp", plain,
			wire.ReplyContinue, "reply 550"},
		{"sendmail(1): deferred is held", "defer", 0, "127.0.0.1", 0, "a@example.org", "smtp", plain,
			wire.ReplyContinue, "insert quarantine accept"},
		{"sendmail(1): a stranger's is held, for the bounce would go to him", "reject", 0, "127.0.0.1", 0,
			"x@elsewhere.example", "smtp", plain,
			wire.ReplyContinue, "insert quarantine accept"},
		{"sendmail(1): where it goes is not known", "reject", 0, "127.0.0.1", 0, "a@example.org", "", plain,
			wire.ReplyContinue, "insert accept"},
		{"sendmail(1): forwarded", "reject", 0, "127.0.0.1", 0, "x@elsewhere.example", "smtp",
			append([]string{"Received: from elsewhere"}, plain...), wire.ReplyContinue, "accept"},
	}
	replies := map[byte]string{
		wire.ReplyInsertHeader: "insert", wire.ReplyQuarantine: "quarantine", wire.ReplyAccept: "accept",
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newEnvelopeRig(t, map[string]string{"smtp": tt.result}, tt.circumstances)
			m := r.postfix()
			m.connect(tt.addr, tt.port)
			m.send(wire.CmdMail, tt.sender)
			m.want(wire.ReplyContinue)
			if p := rcpt(m, "<b@elsewhere.example>", tt.mailer); p.code != tt.atRcpt {
				t.Fatalf("at RCPT: %v", p)
			}
			if tt.header == nil {
				return
			}
			var got []string
			for _, p := range m.content(tt.header, "x") {
				if p.code == wire.ReplyCode {
					got = append(got, "reply "+p.data[:3])
				} else {
					got = append(got, replies[p.code])
				}
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("%s, want %s", s, tt.want)
			}
			if rec := r.last(1); tt.circumstances&policy.Guessed != 0 && rec.Verdict.Would != policy.Reject {
				t.Errorf("it is not said what would have been: %+v", rec.Verdict)
			}
		})
	}
}

// However a message ends, nothing more is asked for it.
func TestInquiryEnds(t *testing.T) {
	r := newEnvelopeRig(t, map[string]string{"smtp": "ok"}, 0)
	m := r.postfix()
	m.connect("127.0.0.1", 4000)
	begin := func() {
		m.send(wire.CmdMail, "<a@example.org>")
		m.want(wire.ReplyContinue)
	}
	begin()
	m.send(wire.CmdAbort)
	begin() // no ABORT between
	begin()
	rcpt(m, "<b@elsewhere.example>", "smtp")
	m.content(plain, "x")
	m.send(wire.CmdAbort)
	begin()
	m.conn.Close()
	eventually(t, "four inquiries end", func() bool { return r.ended.Load() == 4 })
}

// Beyond the recipients that are kept, each one is still judged.
func TestRecipientRefusedBeyondLimit(t *testing.T) {
	r := newEnvelopeRig(t, map[string]string{"smtp": "ok", "relay": "reject"}, 0)
	m := r.postfix()
	m.connect("127.0.0.1", 4000)
	m.send(wire.CmdMail, "<a@example.org>")
	m.want(wire.ReplyContinue)
	for range mail.MaxRecipients {
		if p := rcpt(m, "<b@elsewhere.example>", "smtp"); p.code != wire.ReplyContinue {
			t.Fatal(p)
		}
	}
	if p := rcpt(m, "<c@elsewhere.example>", "relay"); p.code != wire.ReplyCode {
		t.Errorf("recipient %d: %v", mail.MaxRecipients+1, p)
	}
}
