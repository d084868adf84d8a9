package check

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"reputed/policy"
	"reputed/policy/dns"
	"reputed/policy/mail"
	"reputed/policy/parallel"
)

// maxExchangers is how many hosts of a domain are looked at.
const maxExchangers = 10

// exchange is where mail for a domain goes: RFC 5321, section 5.1. All items that ask about it share it.
type exchange struct {
	domain mail.Domain
	answer dns.Answer  // to MX
	hosts  []exchanger // by preference; at most maxExchangers
	mixed  bool        // a null MX is among them
	own    exchanger   // without MX records: the domain itself
}

// exchanger is a host that takes mail.
type exchanger struct {
	name      string
	pref      uint16
	four, six dns.Answer
}

// exchanges asks about every domain that mail is sent from, and about those that envelope senders are rewritten to, for
// bounces go there: once for all items. Names that the world does not know are passed over.
func (h *Host) exchanges(ctx context.Context) []exchange {
	return h.exchanged.get(func() []exchange {
		var all []exchange
		seen := map[mail.Domain]bool{}
		add := func(d mail.Domain) {
			if !d.IsZero() && !d.Private() && !seen[d] {
				seen[d] = true
				all = append(all, exchange{domain: d})
			}
		}
		for _, d := range h.Domains {
			add(d)
			add(h.envelope(d))
		}
		parallel.AtMost(domainsAtOnce, len(all), func(i int) { all[i].ask(ctx, h.resolver()) })
		return all
	})
}

func (x *exchange) ask(ctx context.Context, r dns.Resolver) {
	x.answer = r.Resolve(ctx, x.domain.String(), dns.MX)
	for _, record := range x.answer.Records {
		if record.Name == "" {
			x.mixed = true
			continue
		}
		x.hosts = append(x.hosts, exchanger{name: record.Name, pref: record.Pref})
	}
	slices.SortStableFunc(x.hosts, func(a, b exchanger) int { return int(a.pref) - int(b.pref) })
	x.hosts = x.hosts[:min(len(x.hosts), maxExchangers)]
	x.own.name = x.domain.String()
	parallel.Each(len(x.hosts), func(i int) { x.hosts[i].ask(ctx, r) })
	if x.answer.Status == dns.NoData {
		x.own.ask(ctx, r)
	}
}

func (e *exchanger) ask(ctx context.Context, r dns.Resolver) {
	if e.isAddress() {
		return
	}
	parallel.Do(
		func() { e.four = r.Resolve(ctx, e.name, dns.A) },
		func() { e.six = r.Resolve(ctx, e.name, dns.AAAA) },
	)
}

// null tells that the domain takes no mail: RFC 7505.
func (x *exchange) null() bool { return x.answer.Status == dns.Found && len(x.hosts) == 0 }

func (e *exchanger) isAddress() bool {
	_, err := netip.ParseAddr(e.name)
	return err == nil
}

// addrs gives what is known today.
func (e *exchanger) addrs() (all []netip.Addr) {
	for _, a := range []dns.Answer{e.four, e.six} {
		if silent(a) {
			continue
		}
		for _, r := range a.Records {
			all = append(all, r.Addr.Unmap())
		}
	}
	return all
}

// alias gives the name that the host is an alias of; "": it is none, as far as is known.
func (e *exchanger) alias() string {
	for _, a := range []dns.Answer{e.four, e.six} {
		if at := aliasOf(e.name, a); at != "" {
			return at
		}
	}
	return ""
}

// silent tells that there may be addresses that are not known.
func (e *exchanger) silent() bool { return silent(e.four) || silent(e.six) }

// failure gives the answer that is none.
func (e *exchanger) failure() dns.Answer {
	if silent(e.four) {
		return e.four
	}
	return e.six
}

func (x *exchange) evidence() []policy.Evidence {
	all := questioned(dns.MX, x.domain.String(), x.answer)
	if x.null() {
		all = []policy.Evidence{{Name: "MX " + x.domain.String(), Value: "0 ."}}
	}
	hosts := x.hosts
	if x.answer.Status == dns.NoData {
		hosts = []exchanger{x.own}
	}
	for _, e := range hosts {
		if !e.isAddress() {
			all = append(all, questioned(dns.A, e.name, e.four)...)
			all = append(all, questioned(dns.AAAA, e.name, e.six)...)
		}
	}
	return all
}

// inventedFinding is the finding where the resolver's word for an address is worth nothing.
func inventedFinding(rule, what string) policy.Finding {
	f := finding(rule, "unknown", policy.Unknown, fmt.Sprintf(
		"%s is not known: the resolver gives the same address for a name that does not exist", what))
	f.Advice = adviceInvents
	return f
}

// errOf gives why an answer is no knowledge of today.
func errOf(a dns.Answer) error {
	if a.Stale {
		return errStale
	}
	return a.Err
}

var errStale = errors.New("the DNS does not answer, and what it said before is too old")
