package spf_test

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"reputed/policy/dns"
)

// records is a small world: "TYPE name" to values. A name that has records of another type only has no data.
type records map[string][]string

// Resolve is dns.Resolver. A value "fail" is a server that does not answer.
func (r records) Resolve(_ context.Context, name string, t dns.Type) dns.Answer {
	name = strings.ToLower(name)
	values, ok := r[t.String()+" "+name]
	if !ok {
		for _, other := range []dns.Type{dns.A, dns.AAAA, dns.MX, dns.TXT, dns.PTR} {
			if _, ok := r[other.String()+" "+name]; ok {
				return dns.Answer{Status: dns.NoData, TTL: time.Minute}
			}
		}
		return dns.Answer{Status: dns.NXDomain, TTL: time.Minute}
	}
	a := dns.Answer{Status: dns.Found, TTL: time.Hour}
	for _, v := range values {
		switch {
		case v == "fail":
			return dns.Answer{Err: dns.ErrTimeout}
		case t == dns.A || t == dns.AAAA:
			a.Records = append(a.Records, dns.Record{Addr: netip.MustParseAddr(v)})
		case t == dns.TXT:
			a.Records = append(a.Records, dns.Record{Text: v})
		default:
			a.Records = append(a.Records, dns.Record{Name: strings.TrimSuffix(v, ".")})
		}
	}
	return a
}

// counting is a resolver that counts what it is asked.
type counting struct {
	dns.Resolver
	n int
}

func (c *counting) Resolve(ctx context.Context, name string, t dns.Type) dns.Answer {
	c.n++
	return c.Resolver.Resolve(ctx, name, t)
}
