package check

import (
	"context"
	"fmt"
	"strings"

	"reputed/policy"
	"reputed/policy/dnsbl"
)

// Allowed is the result where a list speaks for the address or domain.
const Allowed = "allowed"

// itemAllowed looks which lists speak for the addresses and domains. To be on none is no fault.
func itemAllowed() Item {
	return Item{
		ID: "allowed", Group: GroupExtras, About: "lists that speak for the addresses and domains", Info: true,
		Ask: func(ctx context.Context, h *Host) (all []policy.Finding) {
			results := h.look(ctx)
			leaves := h.leaves()
			if h.further() {
				leaves = nil
			}
			for _, l := range leaves {
				if f, asked := praise(dnsbl.Address(l.Addr), results); asked {
					all = append(all, ofAddress(l, f))
				}
			}
			for _, d := range h.Domains {
				if f, asked := praise(dnsbl.Domain(d), results); asked {
					all = append(all, f)
				}
			}
			return all
		},
	}
}

// praise tells which lists speak for a subject, if any was asked.
func praise(s dnsbl.Subject, results looks) (f policy.Finding, asked bool) {
	var on []string
	var unheard *dnsbl.Result
	known := false
	f = finding("allowed", None, policy.Pass, s.String()+" is on no allow list, which is no fault")
	for _, r := range results.of[s] {
		praises := r.List.Kind == dnsbl.AllowList || r.List.Kind == dnsbl.MixedList && r.Severity() == dnsbl.Good
		if !praises {
			continue
		}
		asked = true
		f.Evidence = append(f.Evidence, listEvidence(r))
		switch r.State {
		case dnsbl.Listed:
			on = append(on, fmt.Sprintf("%s (%s)", r.List.ID, meaningOf(r)))
		case dnsbl.Clear:
			known = true
		default:
			unheard = r
		}
	}
	f.Subject = s.String()
	switch {
	case len(on) > 0:
		f.Result, f.Reason = Allowed, fmt.Sprintf("%s is on %s", s, strings.Join(on, ", "))
	case unheard != nil && !known:
		f.Result, f.Grade, f.Advice = "unknown", policy.Unknown, unheard.Remedy
		f.Reason = fmt.Sprintf("whether %s is on an allow list is not known: %s: %s", s, unheard.List.ID, unheard.Reason)
	}
	return f, asked
}
