package dns_test

import (
	"context"
	"testing"
	"time"

	"reputed/policy/dns"
)

// An answer that is known takes no memory; only a name in capitals is written anew.
func TestCacheHitAllocations(t *testing.T) {
	c := dns.NewCache(&upstream{answer: found("v=spf1 -all", time.Hour)}, dns.CacheOptions{})
	defer c.Close()
	for name, most := range map[string]float64{"example.org": 0, "Example.ORG": 1} {
		n := testing.AllocsPerRun(100, func() {
			if a := c.Resolve(context.Background(), name, dns.TXT); a.Status != dns.Found {
				t.Fatal(a.Err)
			}
		})
		if n > most {
			t.Errorf("%s: %v allocations, at most %v", name, n, most)
		}
	}
}
