package policy_test

import (
	"net/netip"
	"testing"

	"reputed/policy"
	"reputed/policy/mail"
)

// Mail that this host hands to itself is not vouched for, unless its sender is one of ours. Each condition counts: a
// row changes one thing of the first.
func TestFinish(t *testing.T) {
	loopback := mail.Client{Addr: netip.MustParseAddr("127.0.0.1"), Port: 4000}
	tests := []struct {
		name     string
		client   mail.Client
		login    string
		class    policy.Class
		sender   string
		received bool
		want     policy.Class
	}{
		{"handed back by a content filter", loopback, "", policy.Ours, "x@elsewhere.example", true, policy.Relayed},
		{"by IPv6", mail.Client{Addr: netip.MustParseAddr("::1")}, "", policy.Ours, "x@elsewhere.example", true,
			policy.Relayed},
		{"by an IPv4 address in IPv6 clothes", mail.Client{Addr: netip.MustParseAddr("::ffff:127.0.0.1")}, "",
			policy.Ours, "x@elsewhere.example", true, policy.Relayed},
		{"by sendmail(1), as sieve and .forward do", mail.Client{Local: true}, "", policy.Ours, "x@elsewhere.example",
			true, policy.Relayed},
		{"a bounce handed back", loopback, "", policy.Ours, "", true, policy.Relayed},
		{"a sender that is no address", loopback, "", policy.Ours, "rubbish", true, policy.Relayed},
		{"a sender of ours", loopback, "", policy.Ours, "x@example.org", true, policy.Ours},
		{"new here", loopback, "", policy.Ours, "x@elsewhere.example", false, policy.Ours},
		{"a bounce of this host", loopback, "", policy.Ours, "", false, policy.Ours},
		{"logged in", loopback, "ann", policy.Ours, "x@elsewhere.example", true, policy.Ours},
		{"of another host", mail.Client{Addr: netip.MustParseAddr("192.0.2.1")}, "", policy.Ours,
			"x@elsewhere.example", true, policy.Ours},
		{"of a client without address", mail.Client{}, "", policy.Ours, "x@elsewhere.example", true, policy.Ours},
		{"a stranger's stays a stranger's", loopback, "", policy.Foreign, "x@elsewhere.example", true, policy.Foreign},
	}
	ours := domain(t, "example.org")
	for _, tt := range tests {
		tx := mail.Transaction{Client: &tt.client, Login: tt.login, Path: tt.sender, Header: new(mail.Header)}
		tx.ReversePath, _ = mail.ParsePath(tt.sender)
		tx.Header.Add([]byte("From"), []byte(" x@example.org"))
		if tt.received {
			tx.Header.Add([]byte("RECEIVED"), []byte(" from elsewhere.example"))
		}
		class, why := new(policy.Outbound).Finish(&tx, tt.class, "as it was",
			func(a mail.Address) bool { return a.Domain == ours })
		if class != tt.want {
			t.Errorf("%s: %v (%s), want %v", tt.name, class, why, tt.want)
		}
		if changed := why != "as it was"; changed != (class != tt.class) {
			t.Errorf("%s: the reason is %q for %v", tt.name, why, class)
		}
	}
}

func TestReplies(t *testing.T) {
	tests := []struct{ in, temporary, permanent policy.Reply }{
		{ // a refusal, as a rule has it
			policy.Reply{Code: 550, Enhanced: "5.7.23", Text: "no"},
			policy.Reply{Code: 451, Enhanced: "4.7.23", Text: "no"},
			policy.Reply{Code: 550, Enhanced: "5.7.23", Text: "no"},
		},
		{ // a permanent code of its own is kept
			policy.Reply{Code: 552, Enhanced: "5.3.4", Text: "large"},
			policy.Reply{Code: 451, Enhanced: "4.3.4", Text: "large"},
			policy.Reply{Code: 552, Enhanced: "5.3.4", Text: "large"},
		},
		{ // from temporary to permanent
			policy.Reply{Code: 451, Enhanced: "4.7.1", Text: "later"},
			policy.Reply{Code: 451, Enhanced: "4.7.1", Text: "later"},
			policy.Reply{Code: 550, Enhanced: "5.7.1", Text: "later"},
		},
		{ // no enhanced code
			policy.Reply{Code: 550, Text: "no"},
			policy.Reply{Code: 451, Text: "no"},
			policy.Reply{Code: 550, Text: "no"},
		},
	}
	for _, tt := range tests {
		if got := tt.in.Temporary(); got != tt.temporary {
			t.Errorf("%+v made temporary is %+v", tt.in, got)
		}
		if got := tt.in.Permanent(); got != tt.permanent {
			t.Errorf("%+v made permanent is %+v", tt.in, got)
		}
	}
	if r := (policy.Reply{}); !r.IsZero() || r.String() != "" {
		t.Errorf("no reply is %q", r)
	}
	if r := policy.Trouble(); r != r.Temporary() || r.Code != 451 || r.Enhanced != "4.3.0" {
		t.Errorf("our own trouble is %v", r)
	}
}

// A rule without a reply of its own, the exemptions one by one and together, and what becomes of equals.
func TestDecideEdges(t *testing.T) {
	fail := policy.Finding{Rule: "r", Result: "bad", Grade: policy.Fail}
	for _, grade := range []policy.Grade{policy.Pass, policy.Warn, policy.Fail} { // the result acts, not the grade
		f := fail
		f.Grade = grade
		v := policy.Decide([]policy.Rule{{Name: "r", On: map[string]policy.Action{"bad": policy.Reject}}},
			[]policy.Finding{f}, 0)
		if v.Action != policy.Reject || v.Reply.String() != "550 5.7.1 mail refused by policy" {
			t.Errorf("grade %v: %v %q", grade, v.Action, v.Reply)
		}
	}
	rule := policy.Rule{Name: "r", On: map[string]policy.Action{"bad": policy.Defer},
		Spares: policy.NullSender | policy.AllStay}
	for exempt, want := range map[policy.Exemption]policy.Action{
		0: policy.Defer, policy.NullSender: policy.Log, policy.AllStay: policy.Log, policy.LocalPort: policy.Hold,
		policy.NoBounce: policy.Defer, policy.LocalPort | policy.AllStay: policy.Log,
	} {
		if v := policy.Decide([]policy.Rule{rule}, []policy.Finding{fail}, exempt); v.Action != want {
			t.Errorf("exemption %d: %v, want %v", exempt, v.Action, want)
		}
	}
	// A hold that was a refusal has no reply, and a Hold of another finding before it stays the deciding one.
	rules := []policy.Rule{rule, {Name: "h", On: map[string]policy.Action{"bad": policy.Hold}}}
	v := policy.Decide(rules, []policy.Finding{{Rule: "h", Result: "bad", Grade: policy.Fail}, fail}, policy.LocalPort)
	if v.Action != policy.Hold || v.Rule != "h" || !v.Reply.IsZero() {
		t.Errorf("%+v", v)
	}
}
