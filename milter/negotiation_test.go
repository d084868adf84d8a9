package milter_test

import (
	"strings"
	"testing"

	"reputed/milter"
	"reputed/milter/wire"
)

// MTAs offer less than Postfix: the answer never goes beyond the offer, and every reply that could not be negotiated
// away is given.
func TestNegotiation(t *testing.T) {
	tests := []struct {
		name                       string
		version, actions, protocol uint32
	}{
		{"Postfix 3.7", 6, postfixActions, postfixProtocol},
		{"Sendmail 8.14, no macro choice", 6, 0x7f, 0x1fffff},
		{"version 2, nothing but headers", 2, 0x1f, 0x7f},
		{"version 6 without any protocol bit", 6, 0x1ff, 0},
		{"no quarantine", 6, wire.ActAddHeader, postfixProtocol},
		{"a later version", 7, 0xffff, 0xffffffff},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, milter.Limits{}, nil)
			m := r.dial()
			m.negotiate(tt.version, tt.actions, tt.protocol)
			if m.got.Version != min(tt.version, 6) || m.got.Actions&^tt.actions != 0 || m.got.Protocol&^tt.protocol != 0 {
				t.Fatalf("answer %+v goes beyond the offer", m.got)
			}
			if hasChoice := len(m.got.Macros) > 0; hasChoice != (tt.actions&wire.ActSetMacros != 0) {
				t.Errorf("macro choice sent: %v", hasChoice)
			}
			m.connect("127.0.0.1", 4000)
			m.send(wire.CmdMail, "<a@example.org>")
			m.want(wire.ReplyContinue)
			m.send(wire.CmdRcpt, "<b@elsewhere.example>")
			m.want(wire.ReplyContinue)
			m.send(wire.CmdData)
			m.expect(wire.NoReplyData)
			m.send(wire.CmdUnknown, "FOO")
			m.expect(wire.NoReplyUnknown)
			ps := m.content(plain, "x")
			if len(ps) != 2 || ps[1].code != wire.ReplyAccept {
				t.Fatalf("outcome %v", ps)
			}
			spaced := m.muted(wire.LeadingSpace)
			if got := strings.Contains(ps[0].data, "\x00 body"); got != spaced {
				t.Errorf("inserted %q, leading space agreed on: %v", ps[0].data, spaced)
			}
		})
	}
}

// An MTA that does not let us add header fields is refused at once: its mail would leave unsigned.
func TestNegotiationWithoutAdding(t *testing.T) {
	r := newRig(t, milter.Limits{}, nil)
	m := r.dial()
	offer := wire.Negotiation{Version: 6, Actions: postfixActions &^ wire.ActAddHeader, Protocol: postfixProtocol}
	m.raw(offer.Append(nil))
	if p := m.reply(); p.code != 0 {
		t.Errorf("answer %v, want the end of the connection", p)
	}
}
