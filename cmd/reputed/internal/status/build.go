package status

import (
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"reputed/policy"
	"reputed/policy/dns"
	"reputed/policy/dnsbl"
	"reputed/policy/mail"
	"reputed/signer"
)

// Reloads remembers the last reload, and counts them. The zero value is ready; its methods may be used at the same time.
type Reloads struct {
	last        atomic.Pointer[Reload]
	ok, refused atomic.Uint64
}

// Note notes a reload; err is why it was refused.
func (r *Reloads) Note(at time.Time, err error) {
	last := Reload{At: at, OK: err == nil}
	if err != nil {
		last.Error = err.Error()
		r.refused.Add(1)
	} else {
		r.ok.Add(1)
	}
	r.last.Store(&last)
}

// Last gives the last reload; zero when there was none.
func (r *Reloads) Last() Reload {
	if last := r.last.Load(); last != nil {
		return *last
	}
	return Reload{}
}

// Counts gives how many reloads there were since the start.
func (r *Reloads) Counts() (ok, refused uint64) { return r.ok.Load(), r.refused.Load() }

// Rules gives what findings lead to.
func Rules(rules []policy.Rule) []Rule {
	all := make([]Rule, 0, len(rules))
	for _, r := range rules {
		all = append(all, Rule{Name: r.Name, On: r.On, Observe: r.Observe})
	}
	return all
}

// Egresses gives the ways by which mail leaves, with how their addresses stand: listings is [dnsbl.Snapshot.Listings];
// acts tells whether a list may act, as check.DNSBL is told.
func Egresses(routes policy.Routes, listings func(netip.Addr) []dnsbl.Listing, acts func(*dnsbl.List) bool) []Egress {
	all := make([]Egress, 0, len(routes))
	var seen []*mail.Egress
	for _, r := range routes {
		if slices.Contains(seen, r.Egress) {
			continue
		}
		seen = append(seen, r.Egress)
		all = append(all, egress(r.Egress, listings, acts))
	}
	return all
}

func egress(way *mail.Egress, listings func(netip.Addr) []dnsbl.Listing, acts func(*dnsbl.List) bool) Egress {
	e := Egress{Name: way.Name, Guessed: way.Guessed, Hostname: way.Hostname, Via: way.Via, Addresses: []Address{}}
	e.Listed = len(way.Addresses) > 0
	for _, addr := range way.Addresses {
		a := Address{Addr: addr, Listings: []Listing{}}
		for _, l := range listings(addr) {
			told := listing(&l, acts)
			a.Listed = a.Listed || told.blocks()
			a.Listings = append(a.Listings, told)
		}
		e.Listed = e.Listed && a.Listed
		e.Addresses = append(e.Addresses, a)
	}
	return e
}

// Domains gives how domains stand, each once: listings is [dnsbl.Snapshot.DomainListings]. A domain that is not watched
// is left out.
func Domains(names []mail.Domain, listings func(mail.Domain) []dnsbl.Listing) []Domain {
	all := []Domain{}
	told := map[mail.Domain]bool{}
	for _, name := range names {
		found := listings(name)
		if len(found) == 0 || told[name] {
			continue
		}
		told[name] = true
		d := Domain{Name: name, Listings: []Listing{}}
		for _, l := range found {
			if l.State == dnsbl.Clear && len(l.Pending) == 0 {
				d.Clear++
			} else {
				d.Listings = append(d.Listings, listing(&l, nil))
			}
		}
		all = append(all, d)
	}
	return all
}

func listing(l *dnsbl.Listing, acts func(*dnsbl.List) bool) Listing {
	told := Listing{
		List: l.List.ID, Name: l.List.Name, Acts: acts != nil && acts(l.List),
		State: l.State, Pending: len(l.Pending) > 0, Text: l.Text,
		Since: l.Since, Asked: l.Asked, Next: l.Next, Reason: l.Reason, Remedy: l.Remedy,
	}
	if l.State == dnsbl.Listed {
		told.Severity = l.Severity
		told.Meaning = meaning(l.Codes)
		if at := l.List.RemovalURL; at != "" && l.Severity >= dnsbl.Warn {
			told.Remedy = "find the cause, then ask for removal: " + at
		} else if at := l.List.LookupURL; at != "" {
			told.Remedy = "see " + at
		}
	}
	return told
}

func meaning(codes []dnsbl.Match) string {
	var all []string
	for _, c := range codes {
		if !slices.Contains(all, c.Meaning) {
			all = append(all, c.Meaning)
		}
	}
	return strings.Join(all, "; ")
}

// blocks tells whether a rule acts on the listing.
func (l *Listing) blocks() bool {
	return l.Acts && l.State == dnsbl.Listed && l.Severity == dnsbl.Block
}

// Lists gives how the lists do.
func Lists(lists []dnsbl.ListHealth, acts func(*dnsbl.List) bool) []List {
	all := make([]List, 0, len(lists))
	for _, l := range lists {
		all = append(all, List{
			ID: l.List.ID, Name: l.List.Name, Acts: acts(l.List), Health: l.Health,
			Since: l.Since, Tested: l.Tested, Next: l.Next, Reason: l.Reason, Remedy: l.Remedy,
		})
	}
	return all
}

// Asked is whom questions to the DNS go to, and what became of them.
type Asked struct {
	Servers []netip.AddrPort // none: those of /etc/resolv.conf
	Client  dns.ClientStats
	Lists   dns.ClientStats // of the monitor of lists, which has a client of its own
	Cache   dns.CacheStats
}

// NewResolver gives how questions to the DNS fare.
func NewResolver(h dnsbl.ResolverHealth, asked Asked) Resolver {
	servers := asked.Servers
	if servers == nil {
		servers = []netip.AddrPort{} // [] in JSON, not null
	}
	return Resolver{
		Servers: servers, Health: h.Health, Since: h.Since, Reason: h.Reason, Remedy: h.Remedy,
		Client: Client(asked.Client), Lists: Client(asked.Lists), Cache: Cache(asked.Cache),
	}
}

// Keys gives the keys of a ring, in its order.
func Keys(ring *signer.Ring) []Key {
	all := []Key{}
	for _, k := range ring.Keys() {
		all = append(all, Key{
			Domain: k.ID().Domain, Selector: k.ID().Selector, Algorithm: k.Algorithm(), Bits: k.Bits(), Weak: k.Weak(),
			State: k.State().String(),
		})
	}
	return all
}
