package milter_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"reputed/milter"
	"reputed/milter/wire"
	"reputed/policy"
	"reputed/policy/mail"
)

// What the transport filter of Exim's sends was taken in before: it is signed, or waits, and no more is asked about its
// envelope.
func TestSignsOnly(t *testing.T) {
	unix := wire.Peer{Name: "localhost", Family: wire.FamilyUnix}
	tests := []struct {
		name   string
		sender string
		header []string
		action policy.Action // what the header leads to
		ours   bool          // for a fault of this host's
		code   byte          // of the last packet
		text   string
	}{
		{"signed", "<a@example.org>", plain, policy.Log, false, wire.ReplyAccept, ""},
		{"forwarded by Exim itself in the sender's name: Exim said whose it is", "<x@elsewhere.example>",
			append([]string{"Received: x", "Received: y"}, plain...), policy.Log, false, wire.ReplyAccept, ""},
		{"what Exim took in, or an operator released, is not refused again", "<a@example.org>", plain, policy.Reject,
			false, wire.ReplyAccept, ""},
		{"nor held again", "<a@example.org>", plain, policy.Hold, false, wire.ReplyAccept, ""},
		{"nor made to wait for what it is", "<a@example.org>", plain, policy.Defer, false, wire.ReplyAccept, ""},
		{"it waits while this host cannot sign it", "<a@example.org>", plain, policy.Defer, true, wire.ReplyCode, "451 4.7.1 no"},
		{"also where it would have been refused", "<a@example.org>", plain, policy.Reject, true, wire.ReplyCode, "451 4.7.1 no"},
		{"a bounce", "<>", plain, policy.Reject, false, wire.ReplyAccept, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, milter.Limits{}, func(s *milter.Site) {
				s.Inquire = func(context.Context, *mail.Transaction) milter.Inquiry {
					t.Error("the envelope is asked about")
					return nil
				}
				s.Checks = []policy.Check{func(context.Context, *mail.Transaction) []policy.Finding {
					return []policy.Finding{{Rule: "test", Result: "bad", Grade: policy.Fail}}
				}}
				s.Rules = []policy.Rule{{
					Name: "test", Trouble: tt.ours, Spares: policy.NullSender | policy.AllStay, On: map[string]policy.Action{"bad": tt.action},
					Replies: map[string]policy.Reply{"bad": {Code: 550, Enhanced: "5.7.1", Text: "no"}},
				}}
				s.Outbound.LocalDomains = []mail.Domain{mustDomain(t, "local.example")}
			})
			m := r.postfix()
			m.macros(wire.CmdConnect, "{daemon_name}", "exim-filter")
			m.raw(unix.Append(nil))
			m.send(wire.CmdMail, tt.sender)
			m.want(wire.ReplyContinue)
			m.send(wire.CmdRcpt, "<b@local.example>") // by a transport to other hosts, whatever the domain
			m.want(wire.ReplyContinue)
			m.macros(wire.CmdEnd, "i", "1abcde-000000-00")
			ps := m.content(tt.header, "x")
			last := ps[len(ps)-1]
			if last.code != tt.code || !strings.HasPrefix(last.data, tt.text) {
				t.Fatalf("outcome %v, want %c %s", ps, tt.code, tt.text)
			}
			rec := r.last(1)
			if signed := len(rec.Signed) == 1; signed != (tt.code == wire.ReplyAccept) {
				t.Errorf("signed: %v", signed)
			}
			if rec.Class != policy.Ours || rec.Why != "exim took it in" || rec.id != "1abcde-000000-00" {
				t.Errorf("record %+v", rec.Record)
			}
		})
	}
}

// What Exim took in while nobody answered it is told apart here: a stranger's leaves as it came, ours is signed, or waits
// where it cannot be, for nobody has refused it.
func TestUnasked(t *testing.T) {
	const exims, another = "Received: from x by mail.example.org", "Received: from far away"
	tests := []struct {
		name   string
		sender string
		header []string
		class  policy.Class
		signed bool
		text   string // of the refusal
	}{
		{"a program's", "<a@example.org>", []string{exims, "From: a@example.org"}, policy.Ours, true, ""},
		{"a program's, whose sender is not ours", "<x@elsewhere.example>", []string{exims, "From: a@example.org"}, policy.Ours,
			true, ""},
		{"a bounce of this host", "<>", []string{exims, "From: a@example.org"}, policy.Ours, true, ""},
		{"sent on for a stranger", "<x@elsewhere.example>", []string{exims, another, "From: a@example.org"}, policy.Relayed,
			false, ""},
		{"a stranger's bounce", "<>", []string{exims, another, "From: a@example.org"}, policy.Relayed, false, ""},
		{"sent on in our name", "<a@example.org>", []string{exims, another, "From: a@example.org"}, policy.Ours, true, ""},
		{"Received taken out", "<a@example.org>", []string{"From: a@example.org"}, policy.Ours, true, ""},
		{"Received taken out: perhaps a stranger's", "<x@elsewhere.example>", []string{"From: a@example.org"}, policy.Relayed,
			false, ""},
		{"several From fields", "<a@example.org>", []string{exims, "From: a@example.org", "From:"}, policy.Ours, false,
			"451 4.6.0 message has several From fields"},
		{"several of a bounce", "<>", []string{exims, "From: a@example.org", "From: b@example.org"}, policy.Ours, false,
			"451 4.6.0 "},
		{"several of a stranger's", "<x@elsewhere.example>", []string{exims, another, "From: a@x.example", "From:"},
			policy.Relayed, false, ""},
		{"more header than can be", "<a@example.org>", append([]string{exims, "From: a@example.org"}, largeFields(7<<20)...),
			policy.Ours, false, "451 4.3.0 "},
		{"what would be refused at SMTP time", "<a@example.org>", []string{exims, "From: bad@example.org"}, policy.Ours, true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, milter.Limits{}, func(s *milter.Site) {
				s.Inquire = func(context.Context, *mail.Transaction) milter.Inquiry {
					t.Error("the envelope is asked about")
					return nil
				}
				s.Checks = []policy.Check{func(_ context.Context, tx *mail.Transaction) []policy.Finding {
					return []policy.Finding{{Rule: "test", Result: tx.Author.Addresses[0].Local, Grade: policy.Fail}}
				}}
				s.Rules = []policy.Rule{{Name: "test", On: map[string]policy.Action{"bad": policy.Reject}}}
			})
			m := r.postfix()
			m.macros(wire.CmdConnect, "{daemon_name}", "exim-filter-unasked")
			m.raw(wire.Peer{Name: "localhost", Family: wire.FamilyUnix}.Append(nil))
			m.send(wire.CmdMail, tt.sender)
			m.want(wire.ReplyContinue)
			m.send(wire.CmdRcpt, "<b@elsewhere.example>")
			m.want(wire.ReplyContinue)
			ps := m.content(tt.header, "x")
			last := ps[len(ps)-1]
			if refused := last.code == wire.ReplyCode; refused != (tt.text != "") || !strings.HasPrefix(last.data, tt.text) {
				t.Fatalf("outcome %v, want %q", ps, tt.text)
			}
			rec := r.last(1)
			if signed := len(rec.Signed) == 1; signed != tt.signed || signed != (len(ps) == 2) || rec.Class != tt.class {
				t.Errorf("signed: %v, record %+v", signed, rec.Record)
			}
			if unasked := rec.Why == "exim took it in, unasked"; unasked != (tt.class == policy.Ours) {
				t.Errorf("why: %s", rec.Why)
			}
		})
	}
}

// largeFields gives header fields of so many octets and more.
func largeFields(size int) []string {
	return slices.Repeat([]string{"X: " + strings.Repeat("x", 100<<10)}, size/(100<<10)+1)
}

// Exim counts no fields: all that it takes in can be signed.
func TestManyFields(t *testing.T) {
	many := slices.Repeat([]string{"A:"}, mail.MaxHeaderFields+100)
	for _, daemon := range []string{"exim-filter", "exim-filter-unasked"} {
		for _, more := range [][]string{many, largeFields(2 * mail.MaxHeaderSize)} {
			r := newRig(t, milter.Limits{}, nil)
			m := r.postfix()
			m.macros(wire.CmdConnect, "{daemon_name}", daemon)
			m.raw(wire.Peer{Name: "localhost", Family: wire.FamilyUnix}.Append(nil))
			m.send(wire.CmdMail, "<a@example.org>")
			m.want(wire.ReplyContinue)
			m.content(append([]string{"Received: x", "From: a@example.org"}, more...), "x")
			if rec := r.last(1); len(rec.Signed) != 1 || strings.Count(rec.header, "\r\n") != len(more)+2 {
				t.Errorf("%s: %d fields of %d, record %+v", daemon, strings.Count(rec.header, "\r\n"), len(more)+2, rec.Record)
			}
		}
	}
}

// The name of the filter says nothing over the network, where anybody can be called anything.
func TestSignsOnlyLocally(t *testing.T) {
	for _, tt := range []struct {
		daemon string
		addr   string
		port   uint16
		want   byte
	}{
		{"exim-filter", "127.0.0.1", 0, wire.ReplyContinue},
		{"exim-filter", "203.0.113.9", 0, wire.ReplyAccept},
		{"exim-filter", "203.0.113.9", 4000, wire.ReplyAccept},
		{"exim-filter-unasked", "203.0.113.9", 4000, wire.ReplyAccept},
	} {
		r := newRig(t, milter.Limits{}, nil)
		m := r.postfix()
		m.macros(wire.CmdConnect, "{daemon_name}", tt.daemon)
		m.connect(tt.addr, tt.port)
		m.send(wire.CmdMail, "<x@elsewhere.example>")
		m.want(tt.want)
	}
}
