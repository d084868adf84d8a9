package check

import (
	"context"
	"fmt"
	"slices"

	"reputed/policy"
	"reputed/policy/dns"
	"reputed/policy/parallel"
)

// Results of dane, besides None.
const (
	danePublished = "published" // senders can know the server by it
	daneUnusable  = "unusable"  // no record is of a kind that senders of mail use: RFC 7672, section 3.1
	daneUnsigned  = "unsigned"  // the records are not signed, or the MX records are not, so nobody looks at them
)

func itemDANE() Item {
	return Item{
		ID: "dane", Group: GroupExtras, Info: true,
		About: "whether the hosts of the MX, where their zones are signed, have TLSA records (DANE)",
		Ask: func(ctx context.Context, h *Host) []policy.Finding {
			var hosts []exchanger
			unsigned := map[string]string{} // hosts that are named by MX records which are not signed
			for _, x := range h.exchanges(ctx) {
				for _, host := range x.hosts {
					if !x.answer.Secure {
						unsigned[host.name] = x.domain.String()
					}
					known := slices.ContainsFunc(hosts, func(e exchanger) bool { return e.name == host.name })
					if !known && host.signed() && !h.repeats("dane", host.name) {
						hosts = append(hosts, host)
					}
				}
			}
			found := make([]policy.Finding, len(hosts))
			parallel.AtMost(domainsAtOnce, len(hosts), func(i int) {
				found[i] = h.judgeDANE(ctx, hosts[i].name, unsigned[hosts[i].name])
			})
			return found
		},
	}
}

// signed tells whether the resolver has validated the addresses: RFC 7672, section 2.2.2: TLSA records are asked for
// then only.
func (e *exchanger) signed() bool {
	return (e.four.Secure || e.four.Status != dns.Found) && (e.six.Secure || e.six.Status != dns.Found) &&
		len(e.addrs()) > 0
}

// judgeDANE judges the TLSA records of a host. Domain is one that names it in an MX record that is not signed.
func (h *Host) judgeDANE(ctx context.Context, host, domain string) policy.Finding {
	name := "_25._tcp." + host
	a := h.resolver().Resolve(ctx, name, dns.TLSA)
	usable := slices.ContainsFunc(a.Records, func(r dns.Record) bool { return r.TLSA != nil && usablePin(r.TLSA) })
	f := finding("dane", danePublished, policy.Pass, host+" has TLSA records (they are not compared with its certificate)")
	switch {
	case silent(a):
		f = unknown("dane", host, "the TLSA record of "+host, a)
		f.Advice = "while the record cannot be asked for, senders that know DANE hold back their mail: " + f.Advice
	case a.Status != dns.Found:
		f = finding("dane", None, policy.Warn, host+" is in a signed zone, and has no TLSA record")
		f.Advice = "publish the hash of the key of its certificate, as " + name + ". IN TLSA 3 1 1"
	case !a.Secure:
		f = finding("dane", daneUnsigned, policy.Warn, "the TLSA records of "+host+" are not signed: nobody looks at them")
		f.Advice = "sign the zone that they are in"
	case !usable:
		f = finding("dane", daneUnusable, policy.Warn, "the TLSA records of "+host+" are of no kind that senders of mail use")
		f.Advice = "publish the hash of the key of its certificate, as " + name + ". IN TLSA 3 1 1"
	case domain != "":
		f = finding("dane", daneUnsigned, policy.Warn, fmt.Sprintf("%s has TLSA records, which count for nothing for %s: "+
			"its MX records are not signed", host, domain))
		f.Advice = "sign the zone of " + domain
	}
	f.Subject = host
	f.Evidence = pinEvidence(name, a)
	return f
}

func pinEvidence(name string, a dns.Answer) (all []policy.Evidence) {
	for i, r := range a.Records {
		if r.TLSA == nil || i == evidenceRecords {
			break
		}
		all = append(all, policy.Evidence{Name: "TLSA " + name, Value: fmt.Sprintf("%d %d %d %s",
			r.TLSA.Usage, r.TLSA.Selector, r.TLSA.Matching, cut(fmt.Sprintf("%x", r.TLSA.Data)))})
	}
	if len(all) == 0 {
		all = questioned(dns.TLSA, name, a)
	}
	return all
}

// usablePin tells whether senders of mail can use a record: RFC 7672, section 3.1.
func usablePin(p *dns.Pin) bool {
	lengths := map[uint8]int{1: 32, 2: 64} // SHA-256, SHA-512
	length, hash := lengths[p.Matching]
	return (p.Usage == 2 || p.Usage == 3) && p.Selector <= 1 && len(p.Data) > 0 &&
		(hash && len(p.Data) == length || p.Matching == 0)
}
