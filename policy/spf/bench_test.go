package spf_test

import (
	"context"
	"net/netip"
	"testing"

	"reputed/policy/dns"
	"reputed/policy/spf"
)

// question is the key of a world that answers at once, so that only the evaluation is measured.
type question struct {
	name string
	t    dns.Type
}

type answers map[question]dns.Answer

func (a answers) Resolve(_ context.Context, name string, t dns.Type) dns.Answer {
	if answer, ok := a[question{name, t}]; ok {
		return answer
	}
	return dns.Answer{Status: dns.NXDomain}
}

func found(r dns.Record) dns.Answer { return dns.Answer{Status: dns.Found, Records: []dns.Record{r}} }

func BenchmarkCheck(b *testing.B) {
	addr := func(s string) dns.Record { return dns.Record{Addr: netip.MustParseAddr(s)} }
	text := func(s string) dns.Record { return dns.Record{Text: s} }
	world := answers{
		{"mx.example", dns.TXT}:    found(text("v=spf1 mx a -all")),
		{"mx.example", dns.MX}:     found(dns.Record{Name: "host.mx.example"}),
		{"host.mx.example", dns.A}: found(addr("192.0.2.1")),
		{"mx.example", dns.A}:      found(addr("192.0.2.2")),
		{"ip.example",
			dns.TXT}: found(text("v=spf1 ip4:198.51.100.0/24 ip6:2001:db8::/32 ip4:192.0.2.2 -all")),
		{"chain.example", dns.TXT}:              found(text("v=spf1 include:one.example ~all")),
		{"one.example", dns.TXT}:                found(text("v=spf1 include:two.example ~all")),
		{"two.example", dns.TXT}:                found(text("v=spf1 ip4:198.51.100.0/24 include:ip.example ~all")),
		{"macro.example", dns.TXT}:              found(text("v=spf1 exists:%{ir}._spf.%{d} -all")),
		{"2.2.0.192._spf.macro.example", dns.A}: found(addr("127.0.0.2")),
	}
	c := spf.Checker{Resolver: world}
	for _, name := range []string{"mx", "ip", "chain", "macro"} {
		q := spf.Request{IP: netip.MustParseAddr("192.0.2.2"), Helo: "mail.example.org", Sender: sender(b,
			"a@"+name+".example")}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if o := c.Check(b.Context(), q); o.Result != spf.Pass {
					b.Fatal(o)
				}
			}
		})
	}
}

// Advice is made for every message that does not pass.
func BenchmarkAdvise(b *testing.B) {
	text := "v=spf1 mx a:www.example.org include:_spf.example.net ip4:198.51.100.0/24 ip4:203.0.113.7 -all"
	for name, o := range map[string]spf.Outcome{
		"fail": {Result: spf.Fail, Domain: "example.org", Term: "-all", Texts: []string{text}},
		"mend": {Result: spf.PermError, Domain: "example.org", Err: spf.ErrSyntax, Texts: []string{text + " ipv4:192.0.2.1"}},
	} {
		o.Subject, o.IP = "example.org", netip.MustParseAddr("192.0.2.2")
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if a := spf.Advise(spf.Case{Outcomes: []spf.Outcome{o}}); a.New == "" {
					b.Fatal(a)
				}
			}
		})
	}
}
