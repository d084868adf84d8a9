package dnsbl

import (
	"net/netip"
	"slices"
)

// answers gives the answers that have codes, each once: one answer can be several.
func answers(codes []Match) []netip.Addr {
	addrs := make([]netip.Addr, len(codes))
	for i, c := range codes {
		addrs[i] = c.Answer
	}
	return slices.Compact(addrs)
}

// recodes gives the codes of answers, as the list has them now.
func (l *List) recodes(addrs []netip.Addr) (codes []Match) {
	for _, a := range addrs[:min(len(addrs), maxAnswers)] {
		if _, is := l.errorCode(a); !is {
			codes = append(codes, matches(l.Codes, a)...)
		}
	}
	return codes
}

// recode gives a subject the codes of what was answered about it, as the list has them now. What is no listing any more
// is none: of it nothing is known until the list is asked again.
func (c *cell) recode(codes, fresh []netip.Addr) {
	l := c.watch.list
	c.prove(l.recodes(codes), c.text())
	if again := l.recodes(fresh); c.doubt != nil && len(again) > 0 {
		d := *c.doubt
		d.codes = again
		c.doubt = &d
	} else {
		c.drop()
	}
	if c.verdict == Listed && len(c.codes()) == 0 {
		c.verdict = Unknown
		c.last, c.failed = Unknown, false
		c.excuse = &excuse{reason: "the last answer is no listing by the codes that the list has now; it will be asked again"}
	}
}

// reread gives the result of a question that was asked before a reload, as the codes are now. A listing that is none
// any more is no answer: it will be asked for again.
func (l *List) reread(r Result) Result {
	if r.List == l || r.State != Listed {
		return r
	}
	if r.List, r.Codes = l, l.recodes(answers(r.Codes)); len(r.Codes) == 0 {
		r.State, r.Reason = Unknown, "the answer is no listing by the codes that the list has now; it will be asked again"
	}
	return r
}
