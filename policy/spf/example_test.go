package spf_test

import (
	"context"
	"fmt"
	"net/netip"

	"reputed/policy/spf"
)

// Mail of example.org leaves from two addresses, and the record knows one of them.
func Example() {
	checker := spf.Checker{Resolver: records{
		"TXT example.org": {"v=spf1 mx -all"}, "MX example.org": {"mx.example.org"}, "A mx.example.org": {"192.0.2.25"},
	}}
	var found []spf.Outcome
	for _, ip := range []string{"192.0.2.25", "2001:db8::25"} {
		o := checker.Check(context.Background(), spf.Request{IP: netip.MustParseAddr(ip), Domain: "example.org"})
		fmt.Println(ip, o.Result, "by", o.Term)
		found = append(found, o)
	}
	advice := spf.Advise(spf.Case{Outcomes: found})
	fmt.Println(advice.ZoneLine())
	// Output:
	// 192.0.2.25 pass by mx
	// 2001:db8::25 fail by -all
	// example.org. IN TXT "v=spf1 mx ip6:2001:db8::25 -all"
}
