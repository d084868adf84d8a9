package policy_test

import (
	"net/netip"
	"strings"
	"testing"

	"reputed/policy"
	"reputed/policy/mail"
)

func domain(t testing.TB, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func prefixes(t testing.TB, s string) (ps []netip.Prefix) {
	t.Helper()
	for f := range strings.FieldsSeq(s) {
		p, err := netip.ParsePrefix(f)
		if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
	return ps
}

func TestNetworks(t *testing.T) {
	n := policy.NewNetworks(
		prefixes(t, "10.0.0.0/8 10.1.2.3/32 192.0.2.0/24 2001:db8::/32 198.51.100.7/32"),
		prefixes(t, "10.1.0.0/16 192.0.2.128/25 198.51.100.7/32"))
	tests := []struct {
		addr string
		want bool
		why  string
	}{
		{"10.2.0.1", true, "within"},
		{"10.1.9.9", false, "excluded by a longer prefix"},
		{"10.1.2.3", true, "and let in again by a longer one"},
		{"192.0.2.127", true, "the half that is not excluded"},
		{"192.0.2.128", false, "the half that is"},
		{"198.51.100.7", false, "in and out at the same length: out"},
		{"::ffff:10.2.0.1", true, "an IPv4 address in IPv6 clothes"},
		{"2001:db8::1", true, "IPv6"},
		{"2001:db8::1%eth0", true, "with a zone"},
		{"2001:db9::1", false, "elsewhere"},
		{"0.0.0.0", false, "nobody"},
	}
	for _, tt := range tests {
		if _, got := n.Contains(netip.MustParseAddr(tt.addr)); got != tt.want {
			t.Errorf("%s (%s): %v", tt.addr, tt.why, got)
		}
	}
	if _, got := n.Contains(netip.Addr{}); got {
		t.Error("no address at all is in the networks")
	}
	if _, got := (policy.Networks{}).Contains(netip.MustParseAddr("127.0.0.1")); got {
		t.Error("the zero value holds loopback")
	}
}

func TestClassify(t *testing.T) {
	o := policy.Outbound{Authenticated: true, Daemons: []string{"ORIGINATING"},
		Networks: policy.NewNetworks(prefixes(t, "192.0.2.0/24"), nil)}
	stranger := mail.Client{Addr: netip.MustParseAddr("203.0.113.9"), Daemon: "smtpd"}
	tests := []struct {
		name string
		o    policy.Outbound
		tx   mail.Transaction
		want policy.Class
		why  string
	}{
		{"a stranger", o, mail.Transaction{Client: &stranger}, policy.Foreign, "not trusted, not authenticated"},
		{"no address", o, mail.Transaction{Client: &mail.Client{}}, policy.Foreign, "not trusted, not authenticated"},
		{"trusted", o, mail.Transaction{Client: &mail.Client{Addr: netip.MustParseAddr("192.0.2.9")}}, policy.Ours,
			"network 192.0.2.0/24"},
		{"logged in", o, mail.Transaction{Client: &stranger, Login: "bob"}, policy.Ours, "authenticated"},
		{"logged in without a name", o, mail.Transaction{Client: &stranger, AuthType: "EXTERNAL"}, policy.Ours,
			"authenticated"},
		{"by the name of the service", o, mail.Transaction{Client: &mail.Client{Daemon: "originating"}}, policy.Ours,
			"daemon ORIGINATING"},
		{"sendmail(1)", o, mail.Transaction{Client: &mail.Client{Local: true}}, policy.Ours, "local submission"},
		{"logged in, where that does not count", policy.Outbound{}, mail.Transaction{Client: &stranger, Login: "bob"},
			policy.Foreign, "not trusted, not authenticated"},
	}
	for _, tt := range tests {
		if class, why := tt.o.Classify(&tt.tx); class != tt.want || why != tt.why {
			t.Errorf("%s: %v, %s", tt.name, class, why)
		}
	}
}

func TestStay(t *testing.T) {
	o := policy.Outbound{Mailers: []string{"smtp", "Relay"}, LocalDomains: []mail.Domain{domain(t, "local.example")}}
	tests := []struct {
		mailer, domain string
		want           mail.Stay
	}{
		{"smtp", "a.example", mail.Leaves},
		{"relay", "a.example", mail.Leaves},
		{"lmtp", "a.example", mail.Stays},
		{"error", "a.example", mail.StayUnknown},
		{"", "a.example", mail.Leaves},
		{"", "local.example", mail.Stays},
		{"smtp", "local.example", mail.Leaves},
	}
	for _, tt := range tests {
		r := mail.Recipient{Mailer: tt.mailer, Addr: mail.Address{Local: "x", Domain: domain(t, tt.domain)}}
		if got := o.Stay(&r); got != tt.want {
			t.Errorf("mailer %q, domain %s: %d, want %d", tt.mailer, tt.domain, got, tt.want)
		}
	}
	if got := o.Stay(&mail.Recipient{Path: "root"}); got != mail.StayUnknown {
		t.Errorf("a recipient without domain: %d", got)
	}
	o.LocalDomains = nil
	r := mail.Recipient{Addr: mail.Address{Local: "x", Domain: domain(t, "a.example")}}
	if got := o.Stay(&r); got != mail.StayUnknown {
		t.Errorf("no mailer, and no domain is said to stay: %d", got)
	}
}

func TestDecide(t *testing.T) {
	rules := []policy.Rule{
		{
			Name: "a",
			On: map[string]policy.Action{"log": policy.Log, "hold": policy.Hold, "defer": policy.Defer,
				"reject": policy.Reject},
			Replies: map[string]policy.Reply{
				"reject": {Code: 550, Enhanced: "5.7.23", Text: "no {subject}"},
				"defer":  {Code: 550, Enhanced: "5.7.23", Text: "later"},
			},
			Spares: policy.NullSender,
		},
		{Name: "b", On: map[string]policy.Action{"reject": policy.Reject, "defer": policy.Defer}, Trouble: true},
	}
	find := func(rule, result string) policy.Finding {
		return policy.Finding{Rule: rule, Result: result, Grade: policy.Fail, Subject: "x.example"}
	}
	unknown := find("a", "reject")
	unknown.Grade = policy.Unknown
	tests := []struct {
		name   string
		found  []policy.Finding
		exempt policy.Exemption
		want   policy.Action
		rule   string
		reply  string
	}{
		{"nothing found", nil, 0, policy.Log, "", ""},
		{"logged", []policy.Finding{find("a", "log")}, 0, policy.Log, "", ""},
		{"a result that the rule does not name", []policy.Finding{find("a", "other")}, 0, policy.Log, "", ""},
		{"a finding without rule", []policy.Finding{find("c", "reject")}, 0, policy.Log, "", ""},
		{"held", []policy.Finding{find("a", "hold")}, 0, policy.Hold, "a", ""},
		{"deferred, the reply made temporary", []policy.Finding{find("a", "defer")}, 0, policy.Defer, "a",
			"451 4.7.23 later"},
		{"rejected, with its subject", []policy.Finding{find("a", "reject")}, 0, policy.Reject, "a",
			"550 5.7.23 no x.example"},
		{"the strongest wins", []policy.Finding{find("a", "hold"), find("b", "defer"), find("a", "log")}, 0, policy.Defer,
			"b", "451 4.7.1 mail refused by policy"},
		{"among equals the first", []policy.Finding{find("a", "reject"), find("b", "reject")}, 0, policy.Reject, "a",
			"550 5.7.23 no x.example"},
		{"unknown never acts", []policy.Finding{unknown}, 0, policy.Log, "", ""},
		{"spared", []policy.Finding{find("a", "reject")}, policy.NullSender, policy.Log, "", ""},
		{"spared by one rule only", []policy.Finding{find("a", "reject"), find("b", "defer")}, policy.NullSender,
			policy.Defer, "b", "451 4.7.1 mail refused by policy"},
		{"sendmail(1): a defer is a hold", []policy.Finding{find("a", "defer")}, policy.LocalPort, policy.Hold, "a", ""},
		{"sendmail(1): a fault of ours stays a defer", []policy.Finding{find("b", "defer")}, policy.LocalPort, policy.Defer,
			"b", "451 4.7.1 mail refused by policy"},
		{"sendmail(1): a reject bounces to our own sender", []policy.Finding{find("a", "reject")}, policy.LocalPort,
			policy.Reject, "a", "550 5.7.23 no x.example"},
		{"sendmail(1): and is a hold for a stranger's", []policy.Finding{find("a", "reject")},
			policy.LocalPort | policy.NoBounce, policy.Hold, "a", ""},
	}
	for _, tt := range tests {
		v := policy.Decide(rules, tt.found, tt.exempt)
		if v.Action != tt.want || v.Rule != tt.rule || v.Reply.String() != tt.reply || len(v.Findings) != len(tt.found) {
			t.Errorf("%s: %v by %q, reply %q", tt.name, v.Action, v.Rule, v.Reply)
		}
	}
}

func TestActionText(t *testing.T) {
	for a := policy.Log; a <= policy.Reject; a++ {
		text, err := a.MarshalText()
		var again policy.Action
		if err != nil || again.UnmarshalText(text) != nil || again != a {
			t.Errorf("%v: %s, %v", a, text, err)
		}
	}
	for g := policy.Pass; g <= policy.Unknown; g++ {
		text, err := g.MarshalText()
		again := policy.Grade(9)
		if err != nil || again.UnmarshalText(text) != nil || again != g || again.UnmarshalText([]byte("good")) == nil {
			t.Errorf("%v: %s, %v", g, text, err)
		}
	}
	var a policy.Action
	err := a.UnmarshalText([]byte("drop"))
	if err == nil || !strings.Contains(err.Error(), `"drop" is not an action (log, hold, defer, reject)`) {
		t.Errorf("%v", err)
	}
	if policy.Action(9).String() != "9" || policy.Grade(9).String() != "9" {
		t.Error("a value that does not exist")
	}
}
