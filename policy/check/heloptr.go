package check

import (
	"context"
	"fmt"
	"slices"

	"reputed/policy"
	"reputed/policy/iprev"
)

// Results of the item that compares the name in EHLO with that of the address.
const (
	Equal   = "equal"
	Differs = "differs"
)

// itemHeloPTR looks whether the address is called as the host greets from it. Receivers that compare the two only count
// a difference as a small one, so that it is never a failure.
func itemHeloPTR() Item {
	return Item{
		ID: "heloptr", Group: GroupAddress, Host: true, About: "the name of the address is that in EHLO",
		Ask: func(ctx context.Context, h *Host) (all []policy.Finding) {
			reversed := h.reversals(ctx)
			for _, l := range h.leaves() {
				r := reversed[l.Addr]
				if r.Status == iprev.PermError || h.relayed(l.egress) { // the item about names says it; another greets
					continue
				}
				f := ofAddress(l, h.compareNames(l, &r))
				f.Evidence = append(namesEvidence(&r), expect(h.greets(l)))
				all = append(all, f)
			}
			return all
		},
	}
}

// compareNames holds the names of an address against that in EHLO.
func (h *Host) compareNames(l outward, r *iprev.Result) policy.Finding {
	helo := h.greets(l)
	switch {
	case helo == "":
		return finding("heloptr", "unknown", policy.Unknown, "the name that this host greets with is not known")
	case silent(r.Answer):
		return unknown("heloptr", l.String(), "the name of "+l.String(), r.Answer)
	case slices.ContainsFunc(r.Names, func(n iprev.Name) bool { return n.Name == helo }):
		return finding("heloptr", Equal, policy.Pass, fmt.Sprintf("%s is called %s, and greets so", l, helo))
	case r.Unread > 0:
		return reverseTrouble("heloptr", r)
	}
	f := finding("heloptr", Differs, policy.Warn, fmt.Sprintf("%s is called %s, and greets as %s", l, namesIn(r), helo))
	f.Advice = "align them: have the address called as this host greets, by whoever owns it"
	f.Fix = h.reverseLine(l)
	if names := r.Confirmed(); len(names) == 1 && iprev.FlawOf(names[0]) == "" {
		f.Advice += "; or greet by the name that it has: postconf -e smtp_helo_name=" + names[0]
	}
	return f
}
