package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"reputed/policy"
	"reputed/policy/dnsbl"
)

// itemListed looks whether the addresses that mail leaves from are on lists.
func itemListed() Item {
	return Item{
		ID: "listed", Group: GroupReputation, Host: true, About: "no address that mail leaves from is on a block list",
		Ask: func(ctx context.Context, h *Host) (all []policy.Finding) {
			results := h.look(ctx)
			for _, l := range h.leaves() {
				for _, f := range standing("listed", dnsbl.Address(l.Addr), results) {
					all = append(all, ofAddress(l, h.ofSmarthost(l, f)))
				}
			}
			if len(all) == 0 {
				return h.nowhere("listed")
			}
			return all
		},
	}
}

// itemDomainListed looks whether the domains that mail is sent from are on lists.
func itemDomainListed() Item {
	return Item{
		ID: "domainlisted", Group: GroupReputation, About: "no domain that mail is sent from is on a block list",
		Ask: func(ctx context.Context, h *Host) (all []policy.Finding) {
			results := h.look(ctx)
			for _, d := range h.Domains {
				all = append(all, standing("domainlisted", dnsbl.Domain(d), results)...)
			}
			return all
		},
	}
}

// standing tells how a subject stands: one finding for each listing that weighs, the worst first, one for the critical
// lists that are not known, or one that there is nothing. What receivers hardly look at is evidence only.
func standing(rule string, s dnsbl.Subject, results looks) (all []policy.Finding) {
	of := about(s, results)
	var clear, lesser []string
	var unheard []*dnsbl.Result
	for _, r := range of {
		switch {
		case r.State == dnsbl.Clear:
			clear = append(clear, r.List.ID)
		case r.State == dnsbl.Listed && ListingGrade(r.List.Tier, r.Severity()) != policy.Pass:
			all = append(all, listing(rule, r))
		case r.State == dnsbl.Listed:
			lesser = append(lesser, r.List.ID)
		default:
			unheard = append(unheard, r)
		}
	}
	critical := slices.ContainsFunc(unheard, isCritical)
	if critical || len(unheard) > 0 && len(clear)+len(lesser)+len(all) == 0 {
		return append(all, unheardOf(rule, s, unheard, critical))
	}
	if len(all) > 0 {
		return all
	}
	if len(of) == 0 {
		f := finding(rule, "unknown", policy.Unknown, "no list was asked about "+s.String())
		f.Subject = s.String()
		f.Advice = "name lists to watch in [policy.dnsbl]"
		return []policy.Finding{f}
	}
	f := finding(rule, Clear, policy.Pass, fmt.Sprintf("%s is clear on %s", s, countOf(len(clear), "list")))
	f.Subject = s.String()
	if len(unheard) > 0 {
		f.Reason += fmt.Sprintf(", not known on %d", len(unheard))
	}
	if len(lesser) > 0 {
		f.Reason += ", and on others without harm: " + strings.Join(lesser, ", ")
	}
	f.Evidence = append(f.Evidence, policy.Evidence{Name: "clear", Value: strings.Join(clear, ", ")})
	for _, r := range of {
		if r.State != dnsbl.Clear {
			f.Evidence = append(f.Evidence, listEvidence(r))
		}
	}
	return []policy.Finding{f}
}

// Clear is the result where nothing speaks against the subject.
const Clear = "clear"

// about gives the results about a subject that are not of allow lists, those that weigh most first.
func about(s dnsbl.Subject, results looks) (of []*dnsbl.Result) {
	for _, r := range results.of[s] {
		if r.List.Kind != dnsbl.AllowList {
			of = append(of, r)
		}
	}
	slices.SortStableFunc(of, func(x, y *dnsbl.Result) int {
		return cmp.Or(cmp.Compare(y.List.Tier, x.List.Tier), cmp.Compare(y.Severity(), x.Severity()))
	})
	return of
}

func isCritical(r *dnsbl.Result) bool { return r.List.Tier == dnsbl.Critical }

// ListingGrade says what a listing is worth. It fails where large providers refuse mail for it, which is worth waking
// somebody: on a critical list, with a code of severity block. On the others some gateways refuse, or filters weigh it:
// a warning, for the morning. What is for information, or praise, is none.
func ListingGrade(tier dnsbl.Tier, severity dnsbl.Severity) policy.Grade {
	switch {
	case severity < dnsbl.Warn:
		return policy.Pass
	case severity == dnsbl.Block && tier == dnsbl.Critical:
		return policy.Fail
	}
	return policy.Warn
}

// listing is the finding about one listing.
func listing(rule string, r *dnsbl.Result) policy.Finding {
	f := finding(rule, Listed, ListingGrade(r.List.Tier, r.Severity()),
		fmt.Sprintf("%s is on %s (%s): %s", r.Subject, r.List.ID, r.List.Tier, meaningOf(r)))
	f.Subject = r.Subject.String()
	f.Evidence = append(f.Evidence, listEvidence(r), expect("no listing"))
	f.Advice = removal(r.List)
	if c, said := kindOf(r); said && len(r.Codes) == 1 { // for what it is, and not for what it did
		f.Advice = c.advice(r.List)
		return f
	}
	if at := r.List.LookupURL; at != "" && at != r.List.RemovalURL && r.List.RemovalURL != "" {
		f.Advice = "see why it is listed: " + at + "; " + f.Advice
	}
	if r.List.Expiry != "" { // first, so that an address that is to be copied stands at the end
		f.Advice = "entries end: " + r.List.Expiry + "; " + f.Advice
	}
	return f
}

func meaningOf(r *dnsbl.Result) string { return meanings(&dnsbl.Listing{Codes: r.Codes}) }

// unheardOf is the finding about lists that did not say how a subject stands.
func unheardOf(rule string, s dnsbl.Subject, unheard []*dnsbl.Result, critical bool) policy.Finding {
	var ids []string
	first := unheard[0] // they are in the order of how much they weigh
	f := finding(rule, "unknown", policy.Unknown, "")
	f.Subject = s.String()
	for _, r := range unheard {
		if critical && !isCritical(r) {
			continue
		}
		ids = append(ids, r.List.ID)
		f.Evidence = append(f.Evidence, listEvidence(r))
	}
	f.Reason = fmt.Sprintf("whether %s is on %s is not known: %s", s, strings.Join(ids, ", "), first.Reason)
	f.Advice = cmp.Or(first.Remedy, adviceList)
	return f
}

// listEvidence is what a list said of a subject. The name that was asked for may hold a key, and is not told.
func listEvidence(r *dnsbl.Result) policy.Evidence {
	e := policy.Evidence{Name: fmt.Sprintf("%s about %s", r.List.ID, r.Subject), Value: r.State.String()}
	switch r.State {
	case dnsbl.Listed:
		var codes []string
		for _, c := range r.Codes {
			codes = append(codes, fmt.Sprintf("%s (%s)", c.Answer, c.Meaning))
		}
		e.Value = strings.Join(codes, ", ")
		if r.Text != "" {
			e.Value += ": " + r.Text
		}
	case dnsbl.Clear:
	default:
		e.Value += ": " + r.Reason
	}
	return e
}

// countOf says how many there are of something.
func countOf(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
