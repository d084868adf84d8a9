package check_test

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"reputed/policy"
	"reputed/policy/dns/dnstest"
)

// dnsFaults are the ways in which name servers go wrong.
var dnsFaults = map[string]dnstest.Fault{
	"too late":               {Delay: time.Second},
	"silent":                 {Kind: dnstest.Drop},
	"SERVFAIL":               {Kind: dnstest.ServFail},
	"REFUSED":                {Kind: dnstest.Refused},
	"truncated over TCP too": {Kind: dnstest.TruncateAll},
	"another id":             {Kind: dnstest.WrongID},
	"another question":       {Kind: dnstest.WrongQuestion},
	"garbage":                {Kind: dnstest.Garbage},
	"records that are none":  {Kind: dnstest.Broken},
	"aliases in a loop":      {Kind: dnstest.Loop},
	"it ends at an alias":    {Kind: dnstest.Short},
	"silent once":            {Kind: dnstest.Drop, Times: 1},
	"SERVFAIL, then well":    {Kind: dnstest.ServFail, Times: 1},
	"no EDNS":                {Kind: dnstest.NoEDNS},
	"truncated over UDP":     {Kind: dnstest.Truncate},
	"lame":                   {Kind: dnstest.NoAA},
	"a resolver that lies":   {Kind: dnstest.Lie, Addr: netip.MustParseAddr("192.0.2.1")},
}

// withFaults does something for each way to go wrong, all at once, for it is mostly waiting.
func withFaults(prepare func(name string, fault dnstest.Fault) func()) {
	var running sync.WaitGroup
	for name, fault := range dnsFaults {
		running.Go(prepare(name, fault))
	}
	running.Wait()
}

// Whatever goes wrong in the DNS, a good record never fails, one that forbids never passes, and what is not known says
// why.
func TestSPFItemsUnderFaults(t *testing.T) {
	t.Parallel()
	items := []string{"spf", "spfsingle", "spfcost", "spfall", "spfptr"}
	withFaults(func(name string, fault dnstest.Fault) func() {
		server, _ := zone(t, spfZone)
		server.Fault(".", fault)
		resolver := client(server)
		return func() {
			for _, who := range []string{"good.example", "strict.example", "world.example"} {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				start := time.Now()
				h := sender(t, resolver, who, egress(t, "", "203.0.113.25"))
				for _, id := range items {
					for _, f := range ask(t, ctx, id, h) {
						if f.Grade != policy.Unknown && f.Grade != soundly(id, who) {
							t.Errorf("%s: %s of %s: %s (%v): %s", name, id, who, f.Result, f.Grade, f.Reason)
						}
					}
				}
				if took := time.Since(start); took > 4*time.Second {
					t.Errorf("%s: it took %v", name, took)
				}
			}
		}
	})
}

// soundly is what an item says of a domain when nothing is wrong.
func soundly(id, who string) policy.Grade {
	bad := map[string]string{"spf": "strict.example", "spfall": "world.example"}
	if bad[id] == who {
		return policy.Fail
	}
	return policy.Pass
}
