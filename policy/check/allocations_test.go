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

// What the envelope of a message takes, when all that SPF asks for is known.
func TestEnvelopeAllocations(t *testing.T) {
	_, resolver := zone(t, `
example.org.     TXT "v=spf1 mx a -all"
example.org.     MX  10 mx.example.org.
mx.example.org.  A   203.0.113.26
example.org.     A   203.0.113.25
`)
	cache := dns.NewCache(resolver, dns.CacheOptions{})
	defer cache.Close()
	e := egress(t, "", "203.0.113.25")
	envelope := check.Envelope{
		Routes: policy.Routes{{Egress: e}},
		Holds:  func(mail.Domain) bool { return true },
		SPF:    &check.SPF{Checker: &spf.Checker{Resolver: cache}, Memory: cache, Deadline: time.Second},
		DNSBL:  &check.DNSBL{Listed: func(netip.Addr) []dnsbl.Listing { return nil }, Acts: func(*dnsbl.List) bool { return true }},
	}
	tx := &mail.Transaction{Client: &mail.Client{}, Path: "a@example.org"}
	tx.ReversePath, _ = mail.ParsePath(tx.Path)
	n := testing.AllocsPerRun(100, func() {
		if found, _ := envelope.Begin(t.Context(), tx).Findings(e); found[0].Result != "pass" {
			t.Fatal(found)
		}
	})
	if n > 12 {
		t.Errorf("%v allocations, at most 12", n)
	}
}

// The decision takes no memory, when nothing stands against a message.
func TestDecideAllocations(t *testing.T) {
	rules := []policy.Rule{
		check.HeaderRule(), check.FromRule(), check.KeyRule(policy.Log, policy.Defer),
		check.SPFRule(map[string]policy.Action{"fail": policy.Reject}, false), check.DNSBLRule(policy.Defer, false),
	}
	found := []policy.Finding{
		{Rule: "from", Result: "pass", Grade: policy.Pass}, {Rule: "spf", Result: "pass", Grade: policy.Pass},
	}
	if n := testing.AllocsPerRun(100, func() { policy.Decide(rules, found, 0) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
