package spf

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"reputed/policy/dns"
	"reputed/policy/mail"
)

// Case is what advice is asked about: one domain, and the ways by which its mail leaves.
type Case struct {
	// Outcomes are of one subject: for each address that of Check; of a smarthost that of Reaches, or both. That of
	// Reaches counts when it is a pass, or alone.
	Outcomes []Outcome
	Via      mail.Domain // the smarthost's name, to be included instead of addresses; zero: mail leaves directly
	Also     []Case      // further ways, of which Outcomes and Via count

	Survey   *Survey    // of the subject; nil: not made, and then costs are not told
	Wildcard []dns.Type // what the subject has by a wildcard only: [Checker.Wildcard]
}

// Advice is the edit of a record. The zero value is that there is nothing to do.
type Advice struct {
	Domain  string   `json:"domain,omitempty"`  // whose record
	Old     []string `json:"old,omitempty"`     // its records now, all of which New replaces
	New     string   `json:"new,omitempty"`     // "": no edit helps, or none can be told; the reason says what to do
	Strings []string `json:"strings,omitempty"` // New, as strings of at most 255 octets, for a zone file
	Changes []Change `json:"changes,omitempty"` // from Old to New
	Reason  string   `json:"reason,omitempty"`
}

// Advise makes the edit after which all the addresses pass, with no more look-ups than the limits allow, and nothing
// that passed before stops passing. It asks nothing. A smarthost whose name would cost too much is left out, and the
// reason says so.
//
// New terms go before the final all or redirect, where they are read most naturally. They go to the beginning, where
// nothing can keep an evaluation from reaching them, and where an address costs nothing, when the present record says
// no, or breaks, in a term before its end; or when the record is so wrong that this cannot be told. Addresses are
// listed one by one: those next to each other need not be the operator's.
func Advise(c Case) Advice {
	e := edit{c: c}
	for i, way := range append([]Case{c}, c.Also...) {
		if len(way.Outcomes) == 0 {
			continue
		}
		if first := &way.Outcomes[0]; i == 0 || e.subject == "" {
			e.subject, e.owner, e.old = first.Subject, first.Owner, first.Texts
		}
		if err := e.lacks(&way); err != nil {
			return e.no(fmt.Sprintf("nothing is known, so nothing is advised: %v", err))
		}
	}
	switch {
	case len(e.missing) == 0:
		if c.Survey != nil && c.Survey.Over() {
			return e.no("what was asked for passes, but others get a permerror: " + c.Survey.Text())
		}
		return Advice{}
	case len(strings.Join(e.old, "")) > maxEdit:
		return e.no("the record is too long to be edited: write a new one")
	case !isHostName(e.subject):
		return e.no("receivers can find no record of this name: send with a domain that the public DNS knows")
	}
	switch {
	case len(e.old) == 0:
		e.fresh()
	case len(e.old) == 1:
		e.mendOne()
	default:
		e.merge()
	}
	if e.hopeless {
		return e.no(strings.Join(e.reasons, "; "))
	}
	return e.advice()
}

// edit is an advice that is being made.
type edit struct {
	c       Case
	subject string
	owner   string // of the record, when the subject is an alias
	old     []string
	missing []lack
	add     []string // the terms that are wanted
	terms   []string // of the new record, without the version
	changes []Change
	reasons []string

	hopeless       bool // no term can be added
	lookups, voids int  // that the wanted terms cost
}

// lack is an address or a smarthost that does not pass.
type lack struct {
	*Outcome
	via mail.Domain // zero: mail leaves directly
	own *own        // of the smarthost, if it is known
}

// lacks collects what does not pass of a way. An error is that this is not known.
func (e *edit) lacks(way *Case) error {
	var all []lack
	var reached *Outcome
	for i := range way.Outcomes {
		o := &way.Outcomes[i]
		if !way.Via.IsZero() && !o.IP.IsValid() {
			if reached = o; o.Result == Pass {
				return nil // by which addresses the smarthost sends is its own business
			}
			continue
		}
		all = append(all, lack{Outcome: o, via: way.Via})
	}
	if len(all) == 0 && reached != nil {
		all = append(all, lack{Outcome: reached, via: way.Via})
	}
	for _, l := range all {
		if l.Result == TempError {
			return l.Err
		}
		if reached != nil {
			l.own = reached.own
		}
		if l.Result != Pass {
			e.missing = append(e.missing, l)
		}
	}
	return nil
}

// no is the advice that there is no edit.
func (e *edit) no(reason string) Advice {
	return Advice{Domain: e.at(), Old: e.old, Reason: reason}
}

// at is where the record stands.
func (e *edit) at() string { return cmp.Or(e.owner, e.subject) }

func (e *edit) because(format string, args ...any) {
	reason := fmt.Sprintf(format, args...)
	if !slices.Contains(e.reasons, reason) {
		e.reasons = append(e.reasons, reason)
	}
}

// leadsTo gives the domain of an include or redirect.
func leadsTo(term string) (string, bool) {
	if name, value, ok := modifier(term); ok {
		return strings.TrimSuffix(value, "."), name == "redirect"
	}
	m, ok := mechanism(term)
	return strings.TrimSuffix(m.Domain.text, "."), ok && m.Kind == Include
}

// wants collects the terms that are wanted, each once: addresses, IPv4 first, and then the names of smarthosts, which
// stand for all their addresses. It leaves out those names that would break a limit, for mail through the smarthost or,
// where terms come behind that allow others, for these.
func (e *edit) wants(behind bool) {
	var six, names []string
	for _, l := range e.missing {
		switch {
		case !l.via.IsZero():
			term := "include:" + l.via.String()
			if !slices.Contains(names, term) && e.affords(&l, behind) {
				names = append(names, term)
			}
		case !l.IP.IsValid():
		case l.IP.Is4():
			e.add = append(e.add, addressTerm(l.IP, 32))
		default:
			six = append(six, addressTerm(l.IP, 128))
		}
	}
	seen := map[string]bool{}
	e.add = slices.DeleteFunc(slices.Concat(e.add, six, names), func(term string) bool {
		defer func() { seen[term] = true }()
		return seen[term]
	})
	e.hopeless = len(e.add) == 0
}

// fresh makes the first record of a domain. It is cautious: there may be other hosts.
func (e *edit) fresh() {
	e.because("%s has no SPF record; if its mail leaves from other hosts too, list these as well, "+
		"and put -all in the place of ~all once none is missing", e.subject)
	e.wants(false)
	e.terms = append(slices.Clone(e.add), "~all")
}

const notOne = "the text is no SPF record to receivers, which see none"

// mendOne edits the only record.
func (e *edit) mendOne() {
	text := e.old[0]
	_, err := Parse(text)
	e.terms = strings.Fields(text)
	if err != nil || slices.ContainsFunc(e.terms[1:], isMistaken) {
		e.terms, e.changes = mend(text)
		switch {
		case err == nil:
			e.because("a term is written as a modifier, and ignored")
		case IsRecord(text):
			e.because("%v", err)
		default:
			e.because(notOne)
		}
		e.wants(false)
		e.front()
		return
	}
	e.terms = e.terms[1:]
	front := false
	for i := range e.missing {
		front = e.why(&e.missing[i]) || front
	}
	e.bury()
	e.wants(front || !slices.ContainsFunc(e.terms, isAll) && slices.ContainsFunc(e.terms, isRedirect))
	if front {
		e.front()
		return
	}
	e.unlist(e.terms)
	e.insert(end(e.terms))
}

// why says why an address does not pass, and whether that needs a term at the beginning of the record.
func (e *edit) why(l *lack) (front bool) {
	who, unless := "mail via "+l.via.String(), ""
	if l.IP.IsValid() {
		who = l.IP.String()
	} else if l.Unsure {
		unless = ", unless its address is among those of the record"
	}
	foreign := !strings.EqualFold(l.Domain, e.subject)
	switch {
	case errors.Is(l.Err, ErrLookups), errors.Is(l.Err, ErrVoids):
		if l.via.IsZero() {
			e.because("%v; the new terms come before them", l.Err)
		} else {
			e.because("%v", l.Err)
		}
		if s := e.c.Survey; s != nil {
			e.because("%s", s.Text())
		}
		return true
	case l.Err != nil && foreign:
		e.because("the record of %s, which %s leads to, is wrong, and its owner must mend it: %v",
			l.Domain, firstTerm(l.Outcome), l.Err)
		return true
	case l.Err != nil:
		e.because("%v", l.Err)
		return true
	case l.Term == "":
		e.because("%s is not allowed: %s, as %s says nothing of it%s", who, l.Result, l.Domain, unless)
	case foreign:
		e.because("%s is not allowed: %s, by %s of %s%s", who, l.Result, l.Term, l.Domain, unless)
	default:
		e.because("%s is not allowed: %s, by %s%s", who, l.Result, l.Term, unless)
		m, ok := mechanism(l.Term)
		return !ok || m.Kind != All
	}
	return false
}

// firstTerm is the term of the subject's record that led to what happened.
func firstTerm(o *Outcome) string {
	if len(o.Chain) == 0 {
		return "it"
	}
	return o.Chain[0].Term
}

// advice is the edit, when it is made.
func (e *edit) advice() Advice {
	a := Advice{Domain: e.at(), Old: e.old, Changes: e.changes}
	a.New = strings.Join(append([]string{version}, e.terms...), " ")
	a.Strings = split(a.New)
	e.place()
	if n := len(a.New); n > 450 { // RFC 7208, section 3.4
		e.because("with %d octets it is published as %d strings, and should be made shorter than 450: "+
			"move terms into a record of their own, and include that", n, len(a.Strings))
	} else if n > maxString {
		e.because("with %d octets it is published as %d strings", n, len(a.Strings))
	}
	a.Reason = strings.Join(e.reasons, "; ")
	return a
}

// place says what is particular about the name at which the record stands.
func (e *edit) place() {
	if e.owner != "" {
		e.because("%s is an alias of %s, and nothing can stand beside a CNAME record: the record is that of %s",
			e.subject, e.owner, e.owner)
	}
	if len(e.c.Wildcard) > 0 {
		var types []string
		for _, t := range e.c.Wildcard {
			types = append(types, t.String())
		}
		e.because("%s has its records (%s) from a wildcard, and loses them when it gets one of its own: "+
			"write them beside it", e.at(), strings.Join(types, ", "))
	}
}

// maxEdit is how long records are that are still edited, in octets: longer ones are nobody's honest work.
const maxEdit = 4096

// maxString is how long a string of a TXT record can be: RFC 1035, section 3.3.
const maxString = 255

// split divides a text into strings, behind blanks where it can. Receivers join them again with nothing between.
func split(text string) []string {
	var out []string
	for len(text) > maxString {
		at := strings.LastIndexByte(text[:maxString], ' ') + 1
		if at == 0 {
			at = maxString
		}
		out = append(out, text[:at])
		text = text[at:]
	}
	return append(out, text)
}
