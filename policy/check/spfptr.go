package check

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"reputed/policy"
	"reputed/policy/spf"
)

// itemSPFPtr: RFC 7208, section 5.5: ptr is slow and unreliable, and SHOULD NOT be published.
func itemSPFPtr() Item {
	return perRecord("spfptr", "whether the SPF records do without ptr, which receivers may pass over",
		func(_ *Host, a *audit) []policy.Finding { return []policy.Finding{a.ptr()} })
}

// ptr looks for the mechanism, and for the macro that asks the same: RFC 7208, section 7.2.
func (a *audit) ptr() policy.Finding {
	f := finding("spfptr", "none", policy.Pass, "no ptr in the record of "+a.subject+", nor where it leads")
	f.Subject = a.subject
	at, term := ptrTerm(a.Cost.Record)
	if at == nil {
		if !a.Cost.Complete && a.Cost.Wrong == nil {
			f.Result, f.Grade, f.Advice = "unknown", policy.Unknown, adviceDNS
			f.Reason = "a part of the record could not be asked for" + prefixed(": ", firstTrouble(a.Cost.Record))
		}
		return f
	}
	f.Result, f.Grade = "ptr", policy.Warn
	f.Reason = fmt.Sprintf("%s of %s: some receivers pass over it, and it is slow for all others", term, at.Domain)
	f.Evidence = []policy.Evidence{{Name: "TXT " + at.Domain, Value: cut(at.Text)}, expect("ip4: and ip6: in its place")}
	name, ours := a.place(at)
	switch {
	case !ours:
		f.Advice = "ask those who run " + at.Domain + " to put addresses in its place"
	case a.guessed() || len(a.addresses()) == 0:
		f.Advice = "put the addresses that mail leaves from in its place"
	default:
		f.Advice = "put the addresses of all hosts that it allows in its place; those of this host are in the record here"
		f.Fix = spf.ZoneLine(name, withoutPtr(at.Text, a.addresses()))
	}
	return f
}

// ptrTerm finds the first such term.
func ptrTerm(t *spf.Trace) (at *spf.Trace, term string) {
	for i := range t.Terms {
		text := t.Terms[i].Text
		if isPtr(text) || strings.Contains(strings.ToLower(text), "%{p") {
			return t, text
		}
		if t.Terms[i].Record != nil {
			if at, term := ptrTerm(t.Terms[i].Record); at != nil {
				return at, term
			}
		}
	}
	return nil, ""
}

func isPtr(term string) bool {
	r, err := spf.Parse("v=spf1 " + term)
	return err == nil && len(r.Mechanisms) == 1 && r.Mechanisms[0].Kind == spf.PTR
}

// withoutPtr gives the record with addresses in the place of its ptr.
func withoutPtr(text string, addresses []netip.Addr) string {
	var terms []string
	for _, a := range addresses {
		kind := "ip6:"
		if a.Is4() {
			kind = "ip4:"
		}
		terms = append(terms, kind+a.String())
	}
	fields := strings.Fields(text)
	for _, f := range fields { // what is there already
		terms = slices.DeleteFunc(terms, func(term string) bool { return strings.EqualFold(strings.TrimPrefix(f, "+"), term) })
	}
	var out []string
	for _, field := range fields {
		if !isPtr(field) && !strings.Contains(strings.ToLower(field), "%{p") {
			out = append(out, field)
			continue
		}
		out, terms = append(out, terms...), nil
	}
	return strings.Join(out, " ")
}
