package spf_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"reputed/policy/dns"
	"reputed/policy/mail"
	"reputed/policy/spf"
)

func through(t *testing.T, via string, addrs ...string) *mail.Egress {
	t.Helper()
	e := &mail.Egress{Hostname: domain(t, "mail.example.org")}
	if via != "" {
		e.Via = domain(t, via)
	}
	for _, a := range addrs {
		e.Addresses = append(e.Addresses, netip.MustParseAddr(a))
	}
	return e
}

// What an audit says of all ways together.
func TestAudit(t *testing.T) {
	world := records{
		"TXT good.example":     {"v=spf1 ip4:203.0.113.25 include:_spf.esp.example -all"},
		"TXT _spf.esp.example": {"v=spf1 ip4:198.51.100.0/24 a:out.esp.example ~all"},
		"A out.esp.example":    {"198.51.100.1"},
		"TXT six.example":      {"v=spf1 ip4:203.0.113.25 a:four.example -all"},
		"A four.example":       {"203.0.113.9"},
		"TXT fail.example":     {"fail"},
		"TXT *.wild.example":   {"v=spf1 -all"},
		"MX *.wild.example":    {"mx.example.org"},
		"TXT many.example":     {"v=spf1 mx -all"},
		"MX many.example":      strings.Split(strings.Repeat("mx.example.org ", 11), " "),
	}
	for _, tt := range []struct {
		why, domain    string
		ways           []*mail.Egress
		results        string // "-": beside
		lookups, voids int
		wrong          error
		fix            string
	}{
		{"an address", "good.example", []*mail.Egress{through(t, "", "203.0.113.25")}, "pass", 2, 0, nil, ""},
		{"a smarthost whose name is reached", "good.example", []*mail.Egress{through(t, "_spf.esp.example", "203.0.113.99")},
			"pass", 2, 0, nil, ""},
		{"a smarthost that is not, and whose address is", "six.example", []*mail.Egress{through(t, "x.example", "203.0.113.25")},
			"temperror- pass", 1, 0, nil, ""},
		{"two ways, and the costlier address", "six.example",
			[]*mail.Egress{through(t, "", "203.0.113.25"), through(t, "", "2001:db8::25")},
			"pass fail", 1, 1, nil,
			`six.example. IN TXT "v=spf1 ip4:203.0.113.25 a:four.example ip6:2001:db8::25 -all"`},
		{"no way is known: an address of IPv6 costs more", "good.example", nil, "", 2, 1, nil, ""},
		{"nothing is known", "fail.example", []*mail.Egress{through(t, "", "203.0.113.25")}, "temperror", 0, 0, nil, ""},
		{"what is wrong for good is told", "many.example", []*mail.Egress{through(t, "", "203.0.113.25")},
			"permerror", 1, 0, spf.ErrHosts,
			`many.example. IN TXT "v=spf1 ip4:203.0.113.25 mx -all"`},
	} {
		c := spf.Checker{Resolver: world}
		a := c.Audit(context.Background(), spf.Request{Domain: tt.domain}, tt.ways)
		var results []string
		for _, w := range a.Ways {
			r := string(w.Known())
			if w.Beside {
				r += "-"
			}
			results = append(results, r)
		}
		if got := strings.Join(results, " "); got != tt.results {
			t.Errorf("%s: %q, want %q", tt.why, got, tt.results)
		}
		if a.Cost.Lookups != tt.lookups || a.Cost.Voids != tt.voids || !errors.Is(a.Cost.Wrong, tt.wrong) {
			t.Errorf("%s: cost %+v", tt.why, a.Cost)
		}
		if got := a.Advice.ZoneLine(); got != tt.fix {
			t.Errorf("%s: fix %s", tt.why, got)
		}
	}

	c := spf.Checker{Resolver: world, Random: func() string { return "random" }}
	a := c.Audit(t.Context(), spf.Request{Domain: "sub.wild.example"}, []*mail.Egress{through(t, "", "203.0.113.25")})
	if !strings.Contains(a.Advice.Reason, dns.MX.String()+", "+dns.TXT.String()+") from a wildcard") {
		t.Errorf("nothing is said of the wildcard: %s", a.Advice.Reason)
	}
}
