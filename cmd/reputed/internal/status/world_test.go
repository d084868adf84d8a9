package status_test

import (
	"net/netip"
	"testing"
	"time"

	"reputed/cmd/reputed/internal/maillog"
	"reputed/cmd/reputed/internal/status"
	"reputed/policy"
	"reputed/policy/dns"
	"reputed/policy/dnsbl"
	"reputed/policy/mail"
)

func domain(s string) mail.Domain {
	d, err := mail.ParseDomain(s)
	if err != nil {
		panic(err)
	}
	return d
}

func at(hour int) time.Time { return time.Date(2026, time.November, 24, hour, 0, 0, 0, time.UTC) }

var (
	critical = &dnsbl.List{
		ID: "critical", Name: "The Critical List", Tier: dnsbl.Critical,
		LookupURL: "https://critical.example/look", RemovalURL: "https://critical.example/remove",
	}
	minor   = &dnsbl.List{ID: "minor", Name: "A Minor List", LookupURL: "https://minor.example/"}
	domains = &dnsbl.List{ID: "names", Name: "Names", Domains: true}
)

func acts(l *dnsbl.List) bool { return l.Tier == dnsbl.Critical }

// on makes the listing of something on a list.
func on(l *dnsbl.List, severity dnsbl.Severity, meaning string) dnsbl.Listing {
	return dnsbl.Listing{
		List: l, State: dnsbl.Listed, Severity: severity, Since: at(3), Asked: at(9), Next: at(10),
		Codes: []dnsbl.Match{{Code: dnsbl.Code{Meaning: meaning, Severity: severity}}},
	}
}

func clearOf(l *dnsbl.List) dnsbl.Listing {
	return dnsbl.Listing{List: l, State: dnsbl.Clear, Since: at(1), Asked: at(9), Next: at(10)}
}

func silence(l *dnsbl.List) dnsbl.Listing {
	return dnsbl.Listing{List: l, State: dnsbl.Unknown, Reason: "no answer within 5s", Remedy: "wait"}
}

// listings says how addresses stand.
var listings = map[string][]dnsbl.Listing{
	"203.0.113.25": {on(critical, dnsbl.Block, "spam source"), clearOf(minor)},
	"203.0.113.26": {on(minor, dnsbl.Block, "bad neighbourhood"), clearOf(critical)},
	"203.0.113.27": {on(critical, dnsbl.Warn, "no reverse name"), clearOf(minor)},
	"203.0.113.28": {on(critical, dnsbl.Info, "new"), clearOf(minor)},
	"203.0.113.29": {silence(critical), clearOf(minor)},
	"203.0.113.30": {silence(minor), clearOf(critical)},
	"203.0.113.31": {silence(critical), clearOf(minor)},
	"203.0.113.99": {clearOf(critical), clearOf(minor)},
	"2001:db8::25": {on(minor, dnsbl.Block, "bad neighbourhood"), on(critical, dnsbl.Block, "snowshoe")},
}

func listingsOf(a netip.Addr) []dnsbl.Listing { return listings[a.String()] }

func egress(addresses ...string) *mail.Egress {
	e := &mail.Egress{Name: "default", Hostname: domain("mail.example.org")}
	for _, a := range addresses {
		e.Addresses = append(e.Addresses, netip.MustParseAddr(a))
	}
	return e
}

// report is of a daemon that does well, but for what is changed.
func report(change func(*status.Report)) *status.Report {
	r := &status.Report{
		At: at(12), Started: at(0), Version: "v1.2.3", Hostname: domain("mail.example.org"),
		Config: "/etc/reputed/reputed.toml", Reload: status.Reload{At: at(8), OK: true}, Mode: "enforce",
		Counts: maillog.Counts{Foreign: 7, Signed: 5, Deferred: 1},
		Rules: status.Rules([]policy.Rule{
			{Name: "dnsbl", On: map[string]policy.Action{"listed": policy.Defer}},
		}),
		Egresses: status.Egresses(policy.Routes{{Egress: egress("203.0.113.99")}}, listingsOf, acts),
		Domains: status.Domains([]mail.Domain{domain("example.org")},
			func(mail.Domain) []dnsbl.Listing { return []dnsbl.Listing{clearOf(domains)} }),
		Lists: status.Lists([]dnsbl.ListHealth{{List: critical, Health: dnsbl.Healthy, Tested: at(6)}, {List: minor, Health: dnsbl.Healthy}}, acts),
		Resolver: status.NewResolver(dnsbl.ResolverHealth{Health: dnsbl.Healthy}, status.Asked{
			Servers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53")},
			Client:  dns.ClientStats{Queries: 10, Found: 8, Timeout: 2}, Cache: dns.CacheStats{Hits: 90, Misses: 10},
			Lists: dns.ClientStats{Queries: 40, NXDomain: 39, Refused: 1, TCP: 1},
		}),
		Keys:     []status.Key{{Domain: domain("example.org"), Selector: domain("s1"), Algorithm: "rsa-sha256", Bits: 2048}},
		KeyWatch: status.KeyWatch{Looks: 40, Blind: 3, Steps: 2, Records: 1},
	}
	if change != nil {
		change(r)
	}
	return r
}

func leaveBy(ways ...*mail.Egress) func(*status.Report) {
	var routes policy.Routes
	for _, w := range ways {
		routes = append(routes, policy.Route{Egress: w})
	}
	return func(r *status.Report) { r.Egresses = status.Egresses(routes, listingsOf, acts) }
}

func TestReloads(t *testing.T) {
	var r status.Reloads
	if got := r.Last(); !got.At.IsZero() {
		t.Errorf("%+v", got)
	}
	r.Note(at(1), nil)
	if got := r.Last(); !got.OK || got.Error != "" || got.At != at(1) {
		t.Errorf("%+v", got)
	}
	r.Note(at(2), dnsbl.ErrTooMany)
	if got := r.Last(); got.OK || got.Error != dnsbl.ErrTooMany.Error() {
		t.Errorf("%+v", got)
	}
}
