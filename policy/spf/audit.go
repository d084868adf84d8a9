package spf

import (
	"cmp"
	"context"
	"crypto/rand"
	"net/netip"
	"strings"

	"reputed/policy/mail"
)

// Way is what a record says of one way by which mail leaves: an address of an egress, or its smarthost.
type Way struct {
	Egress    *mail.Egress
	Smarthost bool // the outcome is of the egress' smarthost, that of [Checker.Reaches]
	Beside    bool // of a smarthost whose addresses are evaluated: they decide, and this is for the advice only
	Outcome
}

// Known gives the result as far as it is knowledge. An answer that is kept because the servers fail may have been
// corrected since; and whether a smarthost's addresses are among those that a record lists is not known.
func (w *Way) Known() Result {
	if w.Result != Pass && (w.Stale || w.Unsure) {
		return TempError
	}
	return w.Result
}

// Ways evaluates for the smarthost of an egress, and for each of its addresses. Where the record reaches the smarthost's
// name, the addresses that it sends from are its own business. Where not, the addresses that are written count, if any
// are. The address of the request does not matter.
func (c *Checker) Ways(ctx context.Context, q Request, e *mail.Egress) (all []Way) {
	q.Helo = cmp.Or(q.Helo, e.Hostname.String())
	q.IP = netip.Addr{}
	if !e.Via.IsZero() {
		w := Way{Egress: e, Smarthost: true, Outcome: c.Reaches(ctx, q, e.Via)}
		if w.Result == Pass || len(e.Addresses) == 0 {
			return []Way{w}
		}
		w.Beside = true
		all = append(all, w)
	}
	for _, q.IP = range e.Addresses {
		all = append(all, Way{Egress: e, Outcome: c.Check(ctx, q)})
	}
	return all
}

// Audit is what the record of one subject comes to for all ways by which its mail leaves.
type Audit struct {
	Ways   []Way
	Cost   Survey // the costliest, of all addresses
	Advice Advice
}

// Audit asks about every address and smarthost of the egresses, and what the record costs at worst. A request without
// Helo has the name of each egress. Without an egress only the cost is told.
func (c *Checker) Audit(ctx context.Context, q Request, egresses []*mail.Egress) Audit {
	var a Audit
	var edit Case
	passes := true
	for i, e := range egresses {
		way := Case{Via: e.Via}
		for _, w := range c.Ways(ctx, q, e) {
			way.Outcomes = append(way.Outcomes, w.Outcome)
			a.Ways = append(a.Ways, w)
			passes = passes && (w.Beside || w.Result == Pass)
		}
		if i == 0 {
			edit = way
		} else {
			edit.Also = append(edit.Also, way)
		}
	}
	a.Cost = c.worst(ctx, q, egresses)
	if len(a.Ways) == 0 {
		return a
	}
	edit.Survey = &a.Cost
	if !passes {
		edit.Wildcard = c.Wildcard(ctx, cmp.Or(a.Ways[0].Owner, a.Ways[0].Subject), c.random())
	}
	a.Advice = Advise(edit)
	return a
}

func (c *Checker) random() string {
	if c.Random != nil {
		return c.Random()
	}
	return strings.ToLower(rand.Text())
}

// worst surveys the record for every address, and gives the costliest.
func (c *Checker) worst(ctx context.Context, q Request, egresses []*mail.Egress) (worst Survey) {
	first := true
	survey := func(q Request) {
		s := c.Survey(ctx, q)
		if first || s.Lookups > worst.Lookups || s.Lookups == worst.Lookups && s.Voids > worst.Voids {
			worst, first = s, false
		}
	}
	for _, e := range egresses {
		r := q
		r.Helo = cmp.Or(q.Helo, e.Hostname.String())
		for _, r.IP = range e.Addresses {
			survey(r)
		}
		if len(e.Addresses) == 0 { // a smarthost
			r.IP = netip.Addr{}
			survey(r)
		}
	}
	if first {
		q.IP = netip.Addr{}
		survey(q)
	}
	return worst
}
