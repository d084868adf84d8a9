package policy_test

import (
	"slices"
	"testing"

	"reputed/policy"
	"reputed/policy/mail"
)

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParsePath(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// The first route that fits takes the mail; what the MTA does not say fits no restriction.
func TestRoutes(t *testing.T) {
	name := func(n string) *mail.Egress { return &mail.Egress{Name: n} }
	bulk := policy.Senders{Domain: domain(t, "news.example"), Below: true}
	boss := policy.Senders{Local: "Boss", Domain: domain(t, "example.org")}
	routes := policy.Routes{
		{Egress: name("bulk"), Senders: []policy.Senders{bulk}},
		{Egress: name("boss"), Senders: []policy.Senders{boss}, Mailers: []string{"smtp"}},
		{Egress: name("submission"), Daemons: []string{"ORIGINATING"}, Mailers: []string{"smtp"}},
		{Egress: name("slow"), Mailers: []string{"slow"}},
		{Egress: name("default")},
	}
	tests := []struct {
		sender, daemon, mailer string
		want                   string
		why                    string
	}{
		{"a@x.example", "smtpd", "smtp", "default", "nothing else fits"},
		{"a@b.news.example", "smtpd", "smtp", "bulk", "below the domain"},
		{"a@news.example", "smtpd", "smtp", "default", "the domain itself is not below it"},
		{"boss@example.org", "smtpd", "smtp", "boss", "the one sender, in any case"},
		{"boss@example.org", "smtpd", "", "", "the MTA does not name the mailer, on which it depends"},
		{"a@b.news.example", "smtpd", "", "bulk", "nor does it, but the first that fits is for every mailer"},
		{"boss@example.org", "smtpd", "SLOW", "slow", "another mailer, in any case"},
		{"ann@example.org", "originating", "smtp", "submission", "by the service"},
		{"", "originating", "smtp", "submission", "a bounce"},
		{"boss@example.org", "originating", "smtp", "boss", "the first that fits"},
	}
	for _, tt := range tests {
		got := name("")
		if e := routes.For(address(t, tt.sender), tt.daemon).Choose(&mail.Recipient{Mailer: tt.mailer}); e != nil {
			got = e
		}
		if got.Name != tt.want {
			t.Errorf("%s by %s to mailer %q (%s): %q, want %q", tt.sender, tt.daemon, tt.mailer, tt.why, got.Name, tt.want)
		}
	}
	if got := routes[:4].For(mail.Address{}, "").Choose(&mail.Recipient{Mailer: "smtp"}); got != nil {
		t.Errorf("no route fits, and %s is chosen", got.Name)
	}
	one := name("one")
	same := policy.Routes{{Egress: one, Mailers: []string{"slow"}}, {Egress: one}}
	if got := same.Choose(&mail.Recipient{}); got != one {
		t.Errorf("both routes lead to the same egress, and %v is chosen", got)
	}
}

func TestRewrites(t *testing.T) {
	rs := policy.Rewrites{
		{From: policy.Senders{Local: "root", Domain: domain(t, "web1.internal")}, To: address(t, "admin@example.org")},
		{From: policy.Senders{Domain: domain(t, "web1.internal")}, To: mail.Address{Domain: domain(t, "example.org")}},
		{From: policy.Senders{Domain: domain(t, "example.org")}, To: mail.Address{Domain: domain(t, "example.net")}},
	}
	for _, tt := range []struct{ in, want, why string }{
		{"root@web1.internal", "admin@example.org", "the one address"},
		{"cron@web1.internal", "cron@example.org", "the domain; and one rule only"},
		{"ann@example.org", "ann@example.net", "a rule applies to what comes in"},
		{"ann@elsewhere.example", "ann@elsewhere.example", "no rule"},
		{"", "", "a bounce stays a bounce"},
	} {
		if got := rs.Apply(address(t, tt.in)); got.String() != tt.want {
			t.Errorf("%s (%s): %s, want %s", tt.in, tt.why, got, tt.want)
		}
	}
	all := policy.Rewrites{{To: address(t, "x@example.org")}}
	if got := all.Apply(mail.Address{}); !got.IsZero() {
		t.Errorf("the null sender became %s", got)
	}
}

// What only observes, and what knows the egress by a guess, says what it would do.
func TestDecideWould(t *testing.T) {
	found := []policy.Finding{{Rule: "spf", Result: "fail", Grade: policy.Fail}}
	rule := policy.Rule{Name: "spf", On: map[string]policy.Action{"fail": policy.Reject}, Spares: policy.NullSender}
	if v := policy.Decide([]policy.Rule{rule}, found, policy.Guessed); v.Action != policy.Log || v.Would != policy.Reject || v.Rule != "" {
		t.Errorf("a guess: %+v", v)
	}
	if v := policy.Decide([]policy.Rule{rule}, found, policy.Guessed|policy.NullSender); v.Would != policy.Log {
		t.Errorf("a bounce would not be refused either: %+v", v)
	}
	rule.Observe = true
	if v := policy.Decide([]policy.Rule{rule}, found, 0); v.Action != policy.Log || v.Would != policy.Reject {
		t.Errorf("observing: %+v", v)
	}
}

// A message is judged by parts: its recipients, its header.
func TestJoin(t *testing.T) {
	shared := make([]policy.Finding, 1, 8)
	hold := policy.Verdict{Action: policy.Hold, Rule: "a", Findings: shared}
	reject := policy.Verdict{Action: policy.Reject, Rule: "b", Reply: policy.Reply{Code: 550}, Findings: []policy.Finding{{Rule: "b"}}}
	would := policy.Verdict{Would: policy.Defer}
	for _, v := range []policy.Verdict{hold.Join(reject).Join(would), reject.Join(would).Join(hold), would.Join(hold).Join(reject)} {
		if v.Action != policy.Reject || v.Rule != "b" || v.Reply.Code != 550 || v.Would != policy.Defer || len(v.Findings) != 2 {
			t.Errorf("%+v", v)
		}
	}
	if shared[:2][1].Rule != "" {
		t.Error("joining wrote into the findings of a part")
	}
}

// Which of several ways a sender's mail may take.
func TestRoutesOf(t *testing.T) {
	way := func(name string) *mail.Egress { return &mail.Egress{Name: name} }
	a, b, c, d := way("bulk"), way("relayed"), way("news"), way("rest")
	news := domain(t, "news.example")
	all := policy.Routes{
		{Egress: a, Daemons: []string{"bulk"}},
		{Egress: b, Mailers: []string{"relay"}},
		{Egress: c, Senders: []policy.Senders{{Domain: news}}},
		{Egress: d},
		{Egress: way("never"), Daemons: []string{"late"}},
	}
	for _, tt := range []struct {
		why    string
		sender mail.Address
		want   []*mail.Egress
	}{
		{"any sender: all but those for others, up to the one for all", mail.Address{Local: "ann", Domain: domain(t, "example.org")},
			[]*mail.Egress{a, b, d}},
		{"the route for him takes all his mail", mail.Address{Local: "ann", Domain: news}, []*mail.Egress{a, b, c}},
		{"a bounce has no sender", mail.Address{}, []*mail.Egress{a, b, d}},
	} {
		if got := all.Of(tt.sender); !slices.Equal(got, tt.want) {
			var names []string
			for _, g := range got {
				names = append(names, g.Name)
			}
			t.Errorf("%s: %v", tt.why, names)
		}
	}
}
