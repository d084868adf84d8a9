package dnsbl_test

import (
	"context"
	"fmt"
	"net/netip"

	"reputed/policy/dns"
	"reputed/policy/dnsbl"
)

// A resolver that finds one address on Spamhaus ZEN, which lists its own test entry too.
func spamhaus(_ context.Context, name string, t dns.Type) dns.Answer {
	listed := name == "25.113.0.203.zen.spamhaus.org" || name == "2.0.0.127.zen.spamhaus.org"
	switch {
	case listed && t == dns.A:
		return dns.Answer{Status: dns.Found, Records: []dns.Record{{Addr: netip.MustParseAddr("127.0.0.4")}}}
	case listed && t == dns.TXT:
		return dns.Answer{Status: dns.Found, Records: []dns.Record{{Text: "see check.spamhaus.org for 203.0.113.25"}}}
	}
	return dns.Answer{Status: dns.NXDomain}
}

func ExampleQuery() {
	catalogue, err := dnsbl.Builtin()
	if err != nil {
		panic(err)
	}
	zen, _ := catalogue.List("spamhaus-zen")
	subject := dnsbl.Address(netip.MustParseAddr("203.0.113.25"))
	r := dnsbl.Query(context.Background(), dns.ResolverFunc(spamhaus), zen, subject)
	fmt.Println(r.State, r.Severity(), r.Codes[0].Pattern, r.Codes[0].Meaning)
	fmt.Println(r.Text)
	// Output:
	// listed block 127.0.0.4 XBL: host that is taken over, or open proxy
	// see check.spamhaus.org for 203.0.113.25
}

func ExampleMonitor() {
	catalogue, err := dnsbl.Builtin()
	if err != nil {
		panic(err)
	}
	lists, err := catalogue.Select([]string{"default", "-uceprotect-1"})
	if err != nil {
		panic(err)
	}
	egress := netip.MustParseAddr("203.0.113.25")
	monitor, err := dnsbl.NewMonitor(dnsbl.Options{
		Resolver: dns.ResolverFunc(spamhaus),
		Wishes:   dnsbl.Wishes{Lists: lists, Addresses: []netip.Addr{egress}},
		Event:    func(e dnsbl.Event) { fmt.Println(e) },
	})
	if err != nil {
		panic(err)
	}
	// go monitor.Run(ctx), and then, for each message:
	fmt.Println(len(monitor.Snapshot().Listed(egress)), "lists have it")
	// Output:
	// 0 lists have it
}
