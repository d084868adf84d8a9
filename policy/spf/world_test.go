package spf_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"reputed/policy/dns"
)

// records is a small world: "TYPE name" to values. CNAME is an alias, and a first label * a wildcard.
type records map[string][]string

var allTypes = []dns.Type{dns.A, dns.AAAA, dns.MX, dns.TXT, dns.PTR}

// Resolve is dns.Resolver. A value "fail" is a server that does not answer. A name that has records of another type
// only has no data.
func (r records) Resolve(ctx context.Context, name string, t dns.Type) dns.Answer {
	name = strings.ToLower(name)
	if to := r["CNAME "+name]; to != nil {
		return r.Resolve(ctx, to[0], t)
	}
	exists := func(name string) bool {
		return slices.ContainsFunc(allTypes, func(t dns.Type) bool { return r[t.String()+" "+name] != nil })
	}
	owner := name
	for up := name; up != "" && !exists(owner); {
		_, up, _ = strings.Cut(up, ".")
		owner = "*." + up
	}
	values := r[t.String()+" "+owner]
	switch {
	case values == nil && exists(owner):
		return dns.Answer{Status: dns.NoData, Name: name, TTL: time.Minute}
	case values == nil:
		return dns.Answer{Status: dns.NXDomain, Name: name, TTL: time.Minute}
	}
	a := dns.Answer{Status: dns.Found, Name: name, TTL: time.Hour}
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
