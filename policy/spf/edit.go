package spf

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// mechanism reads a term that is one.
func mechanism(term string) (Mechanism, bool) {
	var r Record
	if term == "" || r.term(term) != nil || len(r.Mechanisms) != 1 {
		return Mechanism{}, false
	}
	return r.Mechanisms[0], true
}

// same tells whether two terms do the same.
func same(a, b string) bool {
	if m, ok := mechanism(a); ok {
		n, ok := mechanism(b)
		return ok && strings.EqualFold(m.String(), n.String())
	}
	return strings.EqualFold(a, b)
}

// isAll tells the mechanism all, whatever its qualifier.
func isAll(term string) bool {
	m, ok := mechanism(term)
	return ok && m.Kind == All
}

func isRedirect(term string) bool {
	name, _, ok := modifier(term)
	return ok && name == "redirect"
}

// end gives the place of new terms before the all of a record, or behind its last mechanism.
func end(terms []string) int {
	if i := slices.IndexFunc(terms, isAll); i >= 0 {
		return i
	}
	i := len(terms)
	for i > 0 {
		if _, _, ok := modifier(terms[i-1]); !ok {
			break
		}
		i--
	}
	return i
}

// front puts the wanted terms at the beginning, but for those that stand there already.
func (e *edit) front() {
	e.add = slices.DeleteFunc(e.add, func(term string) bool { return listed(e.terms, term) })
	e.unlist(e.terms)
	e.insert(0)
}

// insert puts the wanted terms into the record.
func (e *edit) insert(at int) {
	e.terms = slices.Insert(e.terms, at, e.add...)
	for _, term := range e.add {
		if !slices.ContainsFunc(e.changes, func(c Change) bool { return c.New == term && c.Why == moved }) {
			e.changes = append(e.changes, Change{"", term, "it does not pass without"})
		}
	}
}

const moved = "it must stand where it is reached, and allow"

// unlist takes terms out that the wanted ones make idle: the same ones elsewhere, and other words on the same include.
func (e *edit) unlist(terms []string) {
	e.terms = slices.DeleteFunc(slices.Clone(terms), func(old string) bool {
		for _, term := range e.add {
			if same(old, term) || sameInclude(old, term) {
				e.changes = append(e.changes, Change{old, term, moved})
				return true
			}
		}
		return false
	})
}

// sameInclude tells whether two terms include the same domain, whatever that means to them.
func sameInclude(a, b string) bool {
	m, ok := mechanism(a)
	n, also := mechanism(b)
	return ok && also && m.Kind == Include && n.Kind == Include &&
		strings.EqualFold(strings.TrimSuffix(m.Domain.text, "."), strings.TrimSuffix(n.Domain.text, "."))
}

// listed tells whether an evaluation surely comes to the same as with the term: only addresses stand before a term that
// allows it.
func listed(terms []string, want string) bool {
	w, ok := mechanism(want)
	if !ok || w.Kind == Include {
		return len(terms) > 0 && same(terms[0], want)
	}
	for _, term := range terms {
		m, ok := mechanism(term)
		switch {
		case !ok:
			continue // modifiers do not matter
		case m.Kind != IP4 && m.Kind != IP6:
			return false
		case m.Prefix.Contains(w.Prefix.Addr()):
			return m.Qualifier == QPass
		}
	}
	return false
}

// bury takes out the terms that lead to domains without a record, each of which makes the whole void. Where a redirect
// was one, the record ends in a cautious all.
func (e *edit) bury() {
	var dead []string
	for _, l := range e.missing {
		if n := len(l.Chain); n > 0 && errors.Is(l.Err, ErrNoRecord) && strings.EqualFold(l.Domain, e.subject) {
			dead = append(dead, l.Chain[n-1].Term)
		}
	}
	if s := e.c.Survey; s != nil && s.Record != nil {
		for _, t := range s.Record.Terms {
			if t.Record != nil && t.Record.Result == None {
				dead = append(dead, t.Text)
			}
		}
	}
	redirected := false
	e.terms = slices.DeleteFunc(e.terms, func(term string) bool {
		if !slices.ContainsFunc(dead, func(d string) bool { return same(d, term) }) {
			return false
		}
		change := Change{term, "", "the domain that it leads to has no record"}
		if isRedirect(term) {
			redirected, change.New = true, "~all"
		}
		e.changes = append(e.changes, change)
		return true
	})
	if redirected {
		e.terms = slices.Insert(e.terms, end(e.terms), "~all")
	}
}

// Text says what the record costs, by which of its terms, and what makes it cheaper.
func (s *Survey) Text() string {
	text := "the whole record costs " + ofLimits(s.Lookups, s.Voids)
	if s.Record == nil {
		return text
	}
	terms := slices.Clone(s.Record.Terms)
	slices.SortStableFunc(terms, func(a, b Term) int { return b.Lookups + b.Voids - a.Lookups - a.Voids })
	for i, t := range terms {
		if i == 3 || t.Lookups == 0 {
			break
		}
		if text += ", "; i == 0 {
			text += "most of it by "
		}
		if text += fmt.Sprintf("%s (%d)", t.Text, t.Lookups); t.Voids > 0 {
			text += fmt.Sprintf(" with %d void", t.Voids)
		}
	}
	return text + ": put addresses in their place, or remove those that send no mail of the domain"
}
