package spf

import (
	"slices"
	"strings"
)

// merge makes one record of several. None of them counts as long as there are several, so nothing can get worse.
//
// They end in the all that they have in common; and where they differ, or one has +all, in ~all: none was written with
// the hosts of the others in mind, so none of their -all is known to be true of the whole.
func (e *edit) merge() {
	m := merger{edit: e}
	for _, text := range e.old {
		terms := strings.Fields(text)
		if _, err := Parse(text); err != nil {
			var changes []Change
			terms, changes = mend(text)
			e.changes = append(e.changes, changes...)
		} else {
			terms = terms[1:]
		}
		m.take(terms)
	}
	m.finish()
	if IsRecord(e.old[0]) {
		e.because("%v, and with %d none counts: put this one in the place of all", ErrSeveral, len(e.old))
	} else {
		e.because(notOne)
	}
	e.wants(false)
	e.front()
}

// merger collects the terms of several records.
type merger struct {
	edit      *edit
	redirects []string
	tail      []string // exp and the modifiers that nobody knows
	alls      []string
}

// take takes the terms of a record, up to its all.
func (m *merger) take(terms []string) {
	redirect, all := "", ""
	for _, term := range terms {
		name, _, isModifier := modifier(term)
		switch {
		case isModifier && name == "redirect":
			redirect = term
		case isModifier:
			m.tail = m.once(m.tail, term, name)
		case all != "":
			m.edit.changes = append(m.edit.changes, Change{term, "", "what stands behind all is never read"})
		case isAll(term):
			all = term
		case !slices.ContainsFunc(m.edit.terms, func(t string) bool { return same(t, term) }):
			m.edit.terms = append(m.edit.terms, term)
		}
	}
	if all != "" { // RFC 7208, section 6.1: a redirect beside it is ignored
		m.alls = append(m.alls, all)
	} else if redirect != "" && !slices.ContainsFunc(m.redirects, func(t string) bool { return same(t, redirect) }) {
		m.redirects = append(m.redirects, redirect)
	}
}

// once adds a modifier, exp only the first time.
func (m *merger) once(to []string, term, name string) []string {
	for _, t := range to {
		if n, _, _ := modifier(t); same(t, term) || n == "exp" && name == "exp" {
			return to
		}
	}
	return append(to, term)
}

// finish puts the end to the record.
func (m *merger) finish() {
	e := m.edit
	if len(m.redirects) == 1 && len(m.alls) == 0 {
		e.terms = append(append(e.terms, m.redirects[0]), m.tail...)
		return
	}
	for _, r := range m.redirects {
		_, target, _ := modifier(r)
		include := "include:" + target
		e.terms = append(e.terms, include)
		e.changes = append(e.changes, Change{r, include, "a redirect beside all, or another one, is ignored"})
	}
	all := ""
	switch {
	case len(m.alls) == 0 && len(m.redirects) > 0:
		all = "~all"
	case len(m.alls) > 0:
		all = m.alls[0]
		for _, other := range m.alls {
			if !same(all, other) {
				all = "~all"
			}
		}
		if same(all, "+all") {
			all = "~all"
		}
	}
	if all != "" {
		e.terms = append(e.terms, all)
		for _, old := range m.alls {
			if !same(old, all) {
				why := "one all for the whole: the milder one, until the list is known to be full"
				e.changes = append(e.changes, Change{old, all, why})
			}
		}
	}
	e.terms = append(e.terms, m.tail...)
}
