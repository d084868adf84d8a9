package dns_test

import (
	"context"
	"testing"
	"time"

	"reputed/policy/dns"
)

func BenchmarkCacheHit(b *testing.B) {
	u := &upstream{answer: found("v=spf1 -all", time.Hour)}
	c := dns.NewCache(u, dns.CacheOptions{})
	defer c.Close()
	ctx := context.Background()
	for _, name := range []string{"example.org", "Example.ORG"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if a := c.Resolve(ctx, name, dns.TXT); a.Status != dns.Found {
					b.Fatal(a.Err)
				}
			}
		})
	}
}

func BenchmarkCacheHitParallel(b *testing.B) {
	u := &upstream{answer: found("v=spf1 -all", time.Hour)}
	c := dns.NewCache(u, dns.CacheOptions{})
	defer c.Close()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			c.Resolve(context.Background(), "example.org", dns.TXT)
		}
	})
}
