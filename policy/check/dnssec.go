package check

import (
	"context"
	"errors"
	"fmt"

	"reputed/policy"
	"reputed/policy/dns"
	"reputed/policy/parallel"
)

// Results of dnssec.
const (
	secSigned      = "signed"      // the resolver says that it has validated the answer
	secUnsigned    = "unsigned"    // the registered domain has no DS record
	secUnvalidated = "unvalidated" // it has, and the resolver does not say that it validates
	secFailing     = "failing"     // it has, and the name servers fail: perhaps as the signatures are wrong
)

func itemDNSSEC() Item {
	return Item{
		ID: "dnssec", Group: GroupExtras, Info: true,
		About: "whether the zones of the domains are signed (DNSSEC), as far as the resolver is to be believed",
		Ask: func(ctx context.Context, h *Host) []policy.Finding {
			exchanges := h.exchanges(ctx)
			found := make([]policy.Finding, len(exchanges))
			parallel.AtMost(domainsAtOnce, len(exchanges), func(i int) { found[i] = h.judgeDNSSEC(ctx, &exchanges[i]) })
			return found
		},
	}
}

func (h *Host) judgeDNSSEC(ctx context.Context, x *exchange) policy.Finding {
	d, zone := x.domain.String(), registered(x.domain).String()
	if x.answer.Secure {
		f := finding("dnssec", secSigned, policy.Pass, d+" is signed: the resolver has validated it")
		f.Subject = d
		f.Evidence = []policy.Evidence{{Name: "MX " + d, Value: x.answer.Status.String() + ", AD"}}
		return f
	}
	a := h.resolver().Resolve(ctx, zone, dns.DS)
	var f policy.Finding
	switch {
	case silent(a):
		f = unknown("dnssec", d, "whether "+zone+" is signed", a)
	case a.Status != dns.Found:
		f = finding("dnssec", secUnsigned, policy.Warn, zone+" is not signed")
		f.Advice = "sign the zone, and give its DS record to the registrar"
	case errors.Is(x.answer.Err, dns.ErrServFail):
		f = finding("dnssec", secFailing, policy.Unknown, fmt.Sprintf("%s has a DS record, and nothing can be learned of "+
			"%s: where the signatures are wrong, nobody who validates sees anything of it", zone, d))
		f.Advice = "see whether they are: delv " + d + " MX"
	default:
		f = finding("dnssec", secUnvalidated, policy.Unknown, zone+" has a DS record, and the resolver does not say that "+
			"it has validated "+d)
		f.Advice = "use a resolver on this host that validates, such as unbound"
	}
	f.Subject = d
	f.Evidence = signerEvidence(zone, a)
	return f
}

func signerEvidence(zone string, a dns.Answer) (all []policy.Evidence) {
	for i, r := range a.Records {
		if r.DS == nil || i == evidenceRecords {
			break
		}
		all = append(all, policy.Evidence{Name: "DS " + zone, Value: fmt.Sprintf("%d %d %d %x",
			r.DS.KeyTag, r.DS.Algorithm, r.DS.DigestType, r.DS.Digest)})
	}
	if len(all) == 0 {
		all = questioned(dns.DS, zone, a)
	}
	return all
}
