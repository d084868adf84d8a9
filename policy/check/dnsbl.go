package check

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"reputed/policy"
	"reputed/policy/dnsbl"
	"reputed/policy/mail"
)

// DNSBL tells whether the addresses of an egress are on block lists, from what the monitor knows: nothing is asked.
type DNSBL struct {
	Listed func(netip.Addr) []dnsbl.Listing // the lists that an address is on, the worst severity first
	Acts   func(*dnsbl.List) bool           // whether the list may lead to more than a line in the log
	Reach  Reach
}

// Results of the check of listings.
const (
	Listed = "listed" // every address of the egress is, for a code that makes receivers refuse, on a list that may act
	Some   = "some"   // some are, or for lesser reasons, or on lists that only inform
)

// findings tells how the addresses of an egress stand: one finding, or none when there is nothing against them.
func (d *DNSBL) findings(e *mail.Egress) []policy.Finding {
	var worst []dnsbl.Listing // of each address that is listed
	var of []netip.Addr
	acting := 0
	for _, a := range e.Addresses {
		l, acts, ok := d.worst(a)
		if !ok {
			continue
		}
		worst, of = append(worst, l), append(of, a)
		if acts {
			acting++
		}
	}
	if len(worst) == 0 {
		return nil
	}
	f := finding("dnsbl", Some, policy.Warn, "")
	if acting == len(e.Addresses) {
		f.Result, f.Grade = Listed, policy.Fail
	}
	f.Subject = of[0].String()
	var reasons []string
	for i := range worst {
		reasons = append(reasons, listingReason(of[i], &worst[i]))
		f.Evidence = append(f.Evidence, policy.Evidence{Name: of[i].String(), Value: worst[i].List.ID + ": " + meanings(&worst[i])})
	}
	f.Told = told(of[0], &worst[0])
	f.Reason = strings.Join(reasons, ", ")
	f.Advice = removal(worst[0].List)
	f.Seen = worst[0].Asked
	return []policy.Finding{f}
}

// worst gives the listing of an address that weighs most: one that acts before one that does not. Listings that only
// inform are not told for each message.
func (d *DNSBL) worst(a netip.Addr) (worst dnsbl.Listing, acts, ok bool) {
	for _, l := range d.Listed(a) {
		if l.Severity < dnsbl.Warn {
			break // the worst come first
		}
		if l.Severity == dnsbl.Block && d.Acts(l.List) {
			return l, true, true
		}
		if !ok {
			worst, ok = l, true
		}
	}
	return worst, false, ok
}

// told is what the peer may know: the address, the list, what it means, and where to read more.
func told(a netip.Addr, l *dnsbl.Listing) string {
	s := fmt.Sprintf("%s is on the list %s (%s)", a, l.List.Name, meanings(l))
	if at := l.List.LookupURL; at != "" {
		s += ", see " + at
	}
	return s
}

func listingReason(a netip.Addr, l *dnsbl.Listing) string {
	return fmt.Sprintf("%s is on %s (%s) since %s", a, l.List.ID, meanings(l), l.Since.UTC().Format(time.RFC3339))
}

func meanings(l *dnsbl.Listing) string {
	var all []string
	for _, c := range l.Codes {
		if !slices.Contains(all, c.Meaning) {
			all = append(all, c.Meaning)
		}
	}
	return strings.Join(all, "; ")
}

func removal(l *dnsbl.List) string {
	switch {
	case l.RemovalURL != "":
		return "find the cause, then ask for removal: " + l.RemovalURL
	case l.LookupURL != "":
		return "find the cause: " + l.LookupURL
	}
	return "find the cause, and ask " + l.Operator + " for removal"
}

// Reach is who must be reached though the egress is listed, or nobody could help.
type Reach struct {
	domains []mail.Domain // of those who run lists
}

// NewReach takes those in who run the lists that may lead to a refusal: no other keeps mail from anybody. Theirs are
// the domain that the zone is in, and the hosts of the web pages, but not what such a host is in: that may be anybody's.
func NewReach(lists []*dnsbl.List, acts func(*dnsbl.List) bool) Reach {
	var r Reach
	for _, l := range lists {
		if !acts(l) {
			continue
		}
		r.add(organization(strings.ReplaceAll(l.Zone, "{key}", "key")))
		for _, page := range []string{l.LookupURL, l.RemovalURL} {
			if u, err := url.Parse(page); err == nil && organization(u.Hostname()) != "" { // no public suffix
				r.add(u.Hostname())
			}
		}
	}
	return r
}

// organization gives the domain that somebody has registered, of a name in it; or nothing.
func organization(name string) string {
	domain, err := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(name))
	if err != nil {
		return ""
	}
	return domain
}

func (r *Reach) add(name string) {
	if d, err := mail.ParseDomain(name); err == nil && !slices.Contains(r.domains, d) {
		r.domains = append(r.domains, d)
	}
}

// mustReach tells whether a recipient is one to whom mail about the listing goes: RFC 2142, section 4 and 5, and who
// runs a list.
func (d *DNSBL) mustReach(r *mail.Recipient) bool {
	if strings.EqualFold(r.Addr.Local, "postmaster") || strings.EqualFold(r.Addr.Local, "abuse") {
		return true
	}
	return slices.ContainsFunc(d.Reach.domains, func(domain mail.Domain) bool { return r.Addr.Domain.Within(domain) })
}

// DNSBLRule says what a listing leads to. With observe it only says what it would.
func DNSBLRule(listed policy.Action, observe bool) policy.Rule {
	return policy.Rule{
		Name: "dnsbl",
		On:   map[string]policy.Action{Listed: listed},
		Replies: map[string]policy.Reply{
			Listed: {Code: 550, Enhanced: "5.7.1", Text: "this server's address {told}; its administrator must have it removed"},
		},
		Spares:  policy.NullSender | policy.AllStay | policy.MayStay | policy.MayRelay | policy.Role,
		Observe: observe,
	}
}
