package check

import (
	"errors"
	"fmt"
	"strings"

	"reputed/policy"
	"reputed/policy/spf"
)

// What a record may cost before somebody should do something about it.
const (
	easyLookups = 8 // of the ten: the next provider's include often brings two or three more
	easyHosts   = 5 // of an mx term, of the ten that count
)

// itemSPFCost: RFC 7208, section 4.6.4.
func itemSPFCost() Item {
	return perRecord("spfcost", "what each SPF record costs of the ten look-ups and two void ones that are allowed",
		func(_ *Host, a *audit) []policy.Finding { return []policy.Finding{a.cost()} })
}

// cost judges what the record costs those whom none of its terms matches.
func (a *audit) cost() policy.Finding {
	s := &a.Cost
	f := finding("spfcost", "within", policy.Pass, fmt.Sprintf("at worst %d of %d look-ups, %d of %d void",
		s.Lookups, spf.MaxLookups, s.Voids, spf.MaxVoids))
	f.Subject = a.subject
	f.Evidence = append(treeEvidence(s.Record, ""), expect(fmt.Sprintf("at most %d look-ups, of which %d bring nothing",
		spf.MaxLookups, spf.MaxVoids)))
	hosts, term := mxHosts(s.Record)
	switch {
	case s.Over():
		f.Result, f.Grade = "over", policy.Fail
		f.Reason += ": whom no term before the limit matches gets a permerror"
		f.Advice = s.Text()
	case errors.Is(s.Wrong, spf.ErrHosts):
		f.Result, f.Grade = "hosts", policy.Fail
		f.Reason = s.Wrong.Error() + ": receivers give a permerror"
		f.Advice = "put ip4: and ip6: terms in the place of the mx"
	case s.Wrong != nil:
		f.Result, f.Grade = "broken", policy.Warn
		f.Reason = "a part of the record is wrong, and gives a permerror to whom no term before it matches: " +
			s.Wrong.Error()
		f.Advice = "take the term out that leads there, or have its owner mend it"
	case !s.Complete:
		f.Result, f.Grade = "unknown", policy.Unknown
		f.Reason = fmt.Sprintf("at least %d look-ups; a part of the record could not be asked for%s", s.Lookups,
			prefixed(": ", firstTrouble(s.Record)))
		f.Advice = adviceDNS
	case s.Lookups > easyLookups:
		f.Result, f.Grade = "near", policy.Warn
		f.Advice = s.Text()
	case hosts > easyHosts:
		f.Result, f.Grade = "hosts", policy.Warn
		f.Reason = fmt.Sprintf("%s leads to %d hosts; with more than 10 the record breaks", term, hosts)
		f.Advice = "put ip4: and ip6: terms in the place of " + term
	}
	return f
}

// treeEvidence lays a record out: its text, each term with what it costs, and below it where it leads.
func treeEvidence(t *spf.Trace, indent string) []policy.Evidence {
	text := cut(t.Text)
	switch {
	case t.Error != "":
		text = t.Error
	case text == "":
		text = "no SPF record"
	}
	all := []policy.Evidence{{Name: indent + "TXT " + t.Domain, Value: text}}
	for i := range t.Terms {
		term := &t.Terms[i]
		value := term.Cost()
		if term.Error != "" {
			value = strings.TrimPrefix(value+": "+term.Error, ": ")
		}
		all = append(all, policy.Evidence{Name: indent + "  " + cut(term.Text), Value: value})
		if term.Record != nil {
			all = append(all, treeEvidence(term.Record, indent+"    ")...)
		}
	}
	return all
}

// mxHosts gives the mx term of the record that leads to most hosts.
func mxHosts(t *spf.Trace) (most int, term string) {
	for i := range t.Terms {
		for _, q := range t.Terms[i].Questions {
			if q.Type == "MX" && len(q.Values) > most {
				most, term = len(q.Values), t.Terms[i].Text
			}
		}
		if t.Terms[i].Record != nil {
			if n, text := mxHosts(t.Terms[i].Record); n > most {
				most, term = n, text+" of "+t.Terms[i].Record.Domain
			}
		}
	}
	return most, term
}

// firstTrouble gives the first error of a record, and what it leads to.
func firstTrouble(t *spf.Trace) string {
	if t.Error != "" {
		return t.Error
	}
	for i := range t.Terms {
		if t.Terms[i].Record != nil {
			if text := firstTrouble(t.Terms[i].Record); text != "" {
				return text
			}
		}
		if t.Terms[i].Error != "" {
			return t.Terms[i].Error
		}
	}
	return ""
}
