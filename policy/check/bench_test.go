package check_test

import (
	"net/netip"
	"testing"
	"time"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dns"
	"reputed/policy/dns/dnstest"
	"reputed/policy/dnsbl"
	"reputed/policy/mail"
	"reputed/policy/spf"
)

// What the envelope of a message costs: SPF of "v=spf1 mx a -all" for an address over a warm cache, and its listings.
func BenchmarkEnvelope(b *testing.B) {
	server, err := dnstest.Start(`
example.org.     TXT "v=spf1 mx a -all"
example.org.     MX  10 mx.example.org.
mx.example.org.  A   203.0.113.26
example.org.     A   203.0.113.25
`)
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	cache := dns.NewCache(dns.NewClient(dns.Options{Servers: []netip.AddrPort{server.AddrPort()}}), dns.CacheOptions{})
	defer cache.Close()
	e := egress(b, "", "203.0.113.25")
	envelope := check.Envelope{
		Routes: policy.Routes{{Egress: e}},
		Holds:  func(mail.Domain) bool { return true },
		SPF:    &check.SPF{Checker: &spf.Checker{Resolver: cache}, Memory: cache, Deadline: time.Second},
		DNSBL:  &check.DNSBL{Listed: func(netip.Addr) []dnsbl.Listing { return nil }, Acts: func(*dnsbl.List) bool { return true }},
	}
	tx := &mail.Transaction{Client: &mail.Client{}, Path: "a@example.org"}
	tx.ReversePath, _ = mail.ParsePath(tx.Path)
	b.ReportAllocs()
	for b.Loop() {
		if found, _ := envelope.Begin(b.Context(), tx).Findings(e); found[0].Result != "pass" {
			b.Fatal(found)
		}
	}
}

// What the decision costs, of a message against which nothing stands, as nearly all.
func BenchmarkDecide(b *testing.B) {
	rules := []policy.Rule{
		check.HeaderRule(), check.FromRule(), check.KeyRule(policy.Log, policy.Defer),
		check.SPFRule(map[string]policy.Action{"fail": policy.Reject}, false), check.DNSBLRule(policy.Defer, false),
	}
	found := []policy.Finding{
		{Rule: "from", Result: "pass", Grade: policy.Pass}, {Rule: "spf", Result: "pass", Grade: policy.Pass},
	}
	b.ReportAllocs()
	for b.Loop() {
		if v := policy.Decide(rules, found, 0); v.Action != policy.Log {
			b.Fatal(v)
		}
	}
}
