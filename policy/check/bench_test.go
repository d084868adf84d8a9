package check_test

import (
	"net/netip"
	"testing"
	"time"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dns"
	"reputed/policy/dnsbl"
	"reputed/policy/mail"
	"reputed/policy/spf"
)

// envelopeOnce gives the work on the envelope of a message: SPF of "v=spf1 mx a -all" for an address over a warm cache,
// and its listings.
func envelopeOnce(t testing.TB) func() {
	_, resolver := zone(t, `
example.org.     TXT "v=spf1 mx a -all"
example.org.     MX  10 mx.example.org.
mx.example.org.  A   203.0.113.26
example.org.     A   203.0.113.25
`)
	cache := dns.NewCache(resolver, dns.CacheOptions{})
	t.Cleanup(cache.Close)
	e := egress(t, "", "203.0.113.25")
	envelope := check.Envelope{
		Routes: policy.Routes{{Egress: e}},
		Holds:  func(mail.Domain) bool { return true },
		SPF:    &check.SPF{Checker: &spf.Checker{Resolver: cache}, Memory: cache, Deadline: time.Second},
		DNSBL:  &check.DNSBL{Listed: func(netip.Addr) []dnsbl.Listing { return nil }, Acts: func(*dnsbl.List) bool { return true }},
	}
	tx := &mail.Transaction{Client: &mail.Client{}, Path: "a@example.org"}
	tx.ReversePath, _ = mail.ParsePath(tx.Path)
	return func() {
		if found, _ := envelope.Begin(t.Context(), tx).Findings(e); found[0].Result != "pass" {
			t.Fatal(found)
		}
	}
}

// decideOnce gives the decision on a message against which nothing stands, as nearly all.
func decideOnce(t testing.TB) func() {
	rules := []policy.Rule{
		check.HeaderRule(), check.FromRule(), check.KeyRule(policy.Log, policy.Defer),
		check.SPFRule(map[string]policy.Action{"fail": policy.Reject}, false), check.DNSBLRule(policy.Defer, false),
	}
	found := []policy.Finding{
		{Rule: "from", Result: "pass", Grade: policy.Pass}, {Rule: "spf", Result: "pass", Grade: policy.Pass},
	}
	return func() {
		if v := policy.Decide(rules, found, 0); v.Action != policy.Log {
			t.Fatal(v)
		}
	}
}

func BenchmarkEnvelope(b *testing.B) { bench(b, envelopeOnce(b)) }

func BenchmarkDecide(b *testing.B) { bench(b, decideOnce(b)) }

func bench(b *testing.B, once func()) {
	b.ReportAllocs()
	for b.Loop() {
		once()
	}
}

// What each takes of memory, which does not depend on chance.
func TestAllocations(t *testing.T) {
	for name, tt := range map[string]struct {
		once func()
		most float64
	}{"envelope": {envelopeOnce(t), 12}, "decision": {decideOnce(t), 0}} {
		if n := testing.AllocsPerRun(100, tt.once); n > tt.most {
			t.Errorf("%s: %v allocations, at most %v", name, n, tt.most)
		}
	}
}
