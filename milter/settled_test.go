package milter_test

import (
	"context"
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

// The name of the filter says nothing over the network, where anybody can be called anything.
func TestSignsOnlyLocally(t *testing.T) {
	for _, tt := range []struct {
		addr string
		port uint16
		want byte
	}{
		{"127.0.0.1", 0, wire.ReplyContinue},
		{"203.0.113.9", 0, wire.ReplyAccept},
		{"203.0.113.9", 4000, wire.ReplyAccept},
	} {
		r := newRig(t, milter.Limits{}, nil)
		m := r.postfix()
		m.macros(wire.CmdConnect, "{daemon_name}", "exim-filter")
		m.connect(tt.addr, tt.port)
		m.send(wire.CmdMail, "<x@elsewhere.example>")
		m.want(tt.want)
	}
}
