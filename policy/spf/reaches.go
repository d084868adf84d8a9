package spf

import (
	"context"
	"net/netip"

	"reputed/policy/mail"
)

// Reaches tells what the record of the request's domain says of mail that leaves through a smarthost, which is known by
// the name that its customers include: Pass when an include with the qualifier of a pass, or a redirect, leads to that
// name, itself or through others; what the qualifier says where it is another one; and else what the record says of
// addresses that none of its terms lists. The way there is in Chain, the name itself its last step.
//
// Terms that compare addresses are passed over. They may list the smarthost's, so that receivers come to a better
// result: then Unsure is set, and only a pass is knowledge.
//
// The limits are those of [Checker.Check], but terms that are passed over are counted and not asked for. What the
// smarthost's own record costs at worst is asked for, and counts: where that breaks a limit the result is PermError.
// The address of the request is for macros only, and may be missing.
func (c *Checker) Reaches(ctx context.Context, q Request, via mail.Domain) Outcome {
	e := c.begin(ctx, q)
	e.via = via.String()
	e.out.IP = netip.Addr{}
	out := e.run()
	switch {
	case out.Result == Pass:
		out.Unsure = false
	case out.own == nil && out.Result != TempError:
		out.own = e.ownOf(e.via)
	}
	return out
}

// helps tells whether a match of a term of this record makes the result a better one than that of no match may be.
func (e *evaluation) helps(q Qualifier) bool {
	return q == QPass || e.depth == 0 && q != QFail
}

// passOver notes that a term is passed over that may list the smarthost's addresses.
func (e *evaluation) passOver(q Qualifier) {
	if !e.deaf && e.helps(q) {
		e.out.Unsure = true
	}
}

// own is what the record of a smarthost costs by itself.
type own struct {
	missing        bool  // there is none
	err            error // it is wrong, and voids the record that includes it
	lookups, voids int   // at worst
}

// smarthost counts what the record of the smarthost costs, which was reached.
func (e *evaluation) smarthost(r *Record) error {
	before := e.out
	sub := *e
	sub.measure(r)
	e.out, e.asked = sub.out, sub.asked
	e.out.own = &own{lookups: e.out.Lookups - before.Lookups, voids: e.out.Voids - before.Voids}
	switch {
	case e.out.Lookups > MaxLookups:
		return ErrLookups
	case e.out.Voids > MaxVoids:
		return ErrVoids
	}
	return nil
}

// ownOf counts what the record of the smarthost costs, which was not reached.
func (e *evaluation) ownOf(via string) *own {
	if !isHostName(via) {
		return &own{missing: true}
	}
	sub := evaluation{checker: e.checker, ctx: e.ctx, helo: e.helo, local: e.local, sender: e.sender, domain: via}
	r, result, err := sub.record(via)
	switch result {
	case TempError:
		return nil
	case None:
		return &own{missing: true}
	case PermError:
		return &own{err: err}
	}
	sub.measure(r)
	return &own{lookups: sub.out.Lookups, voids: sub.out.Voids}
}

// measure walks the record of the domain that is evaluated, until a limit is broken.
func (e *evaluation) measure(r *Record) {
	e.whole, e.via = true, ""
	e.node = &Trace{Domain: e.domain}
	e.node.terms(r)
	w := walk{e: e, bounded: true, path: []string{e.domain}}
	w.terms(r)
}
