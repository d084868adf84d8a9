package spf

import (
	"context"
	"math"
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
	missing bool  // there is none
	err     error // it is wrong, to those whom its terms before that do not match
	reached bool  // by an include or redirect: the outcome has counted it
	lookups int   // at worst
	voids   int   // at worst, to addresses of the family that has fewer
	most    int   // to any other
}

// smarthost counts what the record of the smarthost costs, which was reached.
func (e *evaluation) smarthost(r *Record) error {
	o := e.measure(r)
	o.reached = true
	e.out.own = o
	e.out.Lookups += o.lookups
	e.out.Voids += o.voids
	switch {
	case e.out.Lookups > MaxLookups:
		return ErrLookups
	case e.out.Voids > MaxVoids:
		return ErrVoids
	}
	return nil
}

// ownOf counts what the record of the smarthost costs, which was not reached; nil: it is not known.
func (e *evaluation) ownOf(via string) *own {
	if !isHostName(via) {
		return &own{missing: true}
	}
	sub := evaluation{checker: e.checker, ctx: e.ctx, helo: e.helo, local: e.local, sender: e.sender, domain: via}
	sub.out.Subject = e.out.Subject
	r, result, err := sub.record(via)
	switch result {
	case TempError:
		return nil
	case None:
		return &own{missing: true}
	case PermError:
		return &own{err: err}
	}
	return sub.measure(r)
}

// measure walks the record of the domain that is evaluated, until a limit is broken, for addresses of both families: it
// is not known which the smarthost has.
func (e *evaluation) measure(r *Record) *own {
	o := &own{voids: math.MaxInt}
	for _, six := range []bool{false, true} {
		sub := *e
		sub.whole, sub.via, sub.six = true, "", six
		sub.node = &Trace{Domain: e.domain}
		sub.node.terms(r)
		w := walk{e: &sub, bounded: true, path: []string{e.out.Subject, e.domain}} // back to the subject: without end
		w.terms(r)
		voids := sub.out.Voids - e.out.Voids
		o.lookups = max(o.lookups, sub.out.Lookups-e.out.Lookups)
		o.voids, o.most = min(o.voids, voids), max(o.most, voids+w.perhaps)
		if o.err == nil {
			o.err = w.wrong
		}
		e.asked, e.out.TTL, e.out.Stale, e.out.Unsure = sub.asked, sub.out.TTL, sub.out.Stale, sub.out.Unsure
	}
	return o
}
