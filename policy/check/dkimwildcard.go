package check

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"reputed/policy"
	"reputed/policy/dns"
	"reputed/policy/mail"
	"reputed/policy/parallel"
)

// itemDKIMWildcard: RFC 6376, section 6.1.2, note: a wildcard answers for every selector.
func itemDKIMWildcard() Item {
	return Item{
		ID: "dkimwildcard", Group: GroupDKIM,
		About: "whether no wildcard answers for selectors that nobody has made",
		Ask: func(ctx context.Context, h *Host) (all []policy.Finding) {
			if f, so := h.keyless("dkimwildcard"); so {
				return []policy.Finding{f}
			}
			var domains []mail.Domain
			seen := map[mail.Domain]bool{}
			for _, k := range h.ownKeys() {
				if d := k.Domain; !seen[d] && !h.repeats("dkimwildcard", d.String()) {
					domains = append(domains, d)
				}
				seen[k.Domain] = true
			}
			all = make([]policy.Finding, len(domains))
			parallel.AtMost(keysAtOnce, len(all), func(i int) { all[i] = h.wildcard(ctx, domains[i]) })
			return all
		},
	}
}

// wildcard asks for the record of a selector that cannot exist, each server of the zone if they can be asked.
func (h *Host) wildcard(ctx context.Context, d mail.Domain) policy.Finding {
	name := strings.ToLower(rand.Text()) + "._domainkey." + d.String()
	f := finding("dkimwildcard", "none", policy.Pass, "no wildcard below _domainkey."+d.String())
	f.Subject = d.String()
	known := false
	look := func(question string, a dns.Answer) {
		known = true
		f.Evidence = append(f.Evidence, answered(question, a)...)
		if a.Status == dns.Found {
			f.Result, f.Grade = "wildcard", policy.Warn
			f.Reason = "a wildcard answers for every selector of " + d.String() +
				": where a key is missing or was removed, receivers find something else instead of nothing"
			f.Advice = "remove the wildcard, *._domainkey." + d.String() + " or one above it"
		}
	}
	if h.Authority != nil {
		for _, v := range h.Authority.Ask(ctx, name, dns.TXT).Views {
			if !silent(v.Answer) {
				look(fmt.Sprintf("TXT %s at %s (%v)", name, v.Host, v.Addr), v.Answer)
			}
		}
	}
	if !known {
		a := h.uncached().Resolve(ctx, name, dns.TXT)
		if silent(a) {
			return unknown("dkimwildcard", d.String(), "whether there is a wildcard below _domainkey."+d.String(), a)
		}
		look("TXT "+name, a)
	}
	f.Evidence = append(f.Evidence, expect("nxdomain"))
	return f
}
