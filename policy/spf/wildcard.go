package spf

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"reputed/policy/dns"
)

// Wildcard gives the types of records that a domain has by a wildcard only: it has what its sibling has, which nobody
// has made. Once it has a record of its own, no wildcard answers for it any more: RFC 4592, section 2.2.1. Sibling is
// the first label of that name, and best random.
func (c *Checker) Wildcard(ctx context.Context, domain, sibling string) []dns.Type {
	_, parent, ok := strings.Cut(domain, ".")
	if !ok || !isHostName(domain) {
		return nil
	}
	var types []dns.Type
	for _, t := range []dns.Type{dns.A, dns.AAAA, dns.MX, dns.TXT} {
		by := c.Resolver.Resolve(ctx, sibling+"."+parent, t)
		if by.Status != dns.Found {
			continue
		}
		has := c.Resolver.Resolve(ctx, domain, t)
		if has.Status != dns.Found || !slices.Equal(sorted(has.Records), sorted(by.Records)) {
			return nil // it exists by itself
		}
		types = append(types, t)
	}
	return types
}

// sorted puts records in an order, for servers change theirs from answer to answer.
func sorted(records []dns.Record) []string {
	var out []string
	for i := range records {
		r := &records[i]
		addr := ""
		if r.Addr != (netip.Addr{}) {
			addr = r.Addr.String()
		}
		out = append(out, addr+" "+r.Name+" "+r.Text)
	}
	slices.Sort(out)
	return out
}
