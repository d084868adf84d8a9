package spf

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"reputed/policy/mail"
)

// Case is what advice is asked about: one sender's domain, and the addresses that its mail leaves from.
type Case struct {
	Outcomes []Outcome   // of one subject: for each address that of Check; of a smarthost, that of Reaches, or both
	Via      mail.Domain // the smarthost's name, to be included instead of addresses; zero: there is none
	Survey   *Survey     // of the subject; nil: not made, and then costs are not told
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
// that passed before stops passing. It asks nothing.
//
// New terms go before the final all or redirect, where they are read most naturally. They go to the beginning, where
// nothing can keep an evaluation from reaching them, and where an address costs nothing, when the present record says
// no, or breaks, in a term before its end; or when the record is so wrong that this cannot be told. Addresses are
// listed one by one: those next to each other need not be the operator's.
func Advise(c Case) Advice {
	if len(c.Outcomes) == 0 {
		return Advice{}
	}
	first := &c.Outcomes[0]
	e := edit{c: c, subject: first.Subject, old: first.Texts}
	for i := range c.Outcomes {
		switch o := &c.Outcomes[i]; o.Result {
		case Pass:
		case TempError:
			return e.no(fmt.Sprintf("nothing is known, so nothing is advised: %v", o.Err))
		default:
			e.missing = append(e.missing, o)
		}
	}
	switch {
	case len(e.missing) == 0:
		if c.Survey != nil && c.Survey.Over() {
			return e.no("nothing need be done for these addresses, but others get a permerror: " + costs(c.Survey))
		}
		return Advice{}
	case len(strings.Join(e.old, "")) > maxEdit:
		return e.no("the record is too long to be edited: write a new one")
	case !isHostName(e.subject):
		return e.no("receivers can find no record of this name: send with a domain that the public DNS knows")
	case e.viaUnknown():
		return e.no(fmt.Sprintf("%s has no SPF record: ask those who run the smarthost which name to include", c.Via))
	}
	e.wants()
	switch {
	case len(e.old) == 0:
		e.fresh()
	case len(e.old) == 1:
		e.mendOne()
	default:
		e.merge()
	}
	return e.advice()
}

// edit is an advice that is being made.
type edit struct {
	c       Case
	subject string
	old     []string
	missing []*Outcome
	add     []string // the terms that are wanted
	terms   []string // of the new record, without the version
	changes []Change
	reasons []string
}

// no is the advice that there is no edit.
func (e *edit) no(reason string) Advice {
	return Advice{Domain: e.subject, Old: e.old, Reason: reason}
}

func (e *edit) because(format string, args ...any) {
	reason := fmt.Sprintf(format, args...)
	if !slices.Contains(e.reasons, reason) {
		e.reasons = append(e.reasons, reason)
	}
}

// viaUnknown tells that the smarthost's name is included already, and has no record.
func (e *edit) viaUnknown() bool {
	for _, o := range e.missing {
		if n := len(o.Chain); n > 0 && !e.c.Via.IsZero() && errors.Is(o.Err, ErrNoRecord) {
			to, ok := leadsTo(o.Chain[n-1].Term)
			if ok && strings.EqualFold(to, e.c.Via.String()) {
				return true
			}
		}
	}
	return false
}

// leadsTo gives the domain of an include or redirect.
func leadsTo(term string) (string, bool) {
	if name, value, ok := modifier(term); ok {
		return strings.TrimSuffix(value, "."), name == "redirect"
	}
	m, ok := mechanism(term)
	return strings.TrimSuffix(m.Domain.text, "."), ok && m.Kind == Include
}

// wants collects the terms that are wanted: the smarthost's name, which stands for all its addresses; or the addresses,
// IPv4 first, each once.
func (e *edit) wants() {
	if !e.c.Via.IsZero() {
		e.add = []string{"include:" + e.c.Via.String()}
		return
	}
	var six []string
	for _, o := range e.missing {
		if !o.IP.IsValid() {
			continue
		}
		term := addressTerm(o.IP, o.IP.BitLen())
		switch {
		case slices.Contains(e.add, term) || slices.Contains(six, term):
		case o.IP.Is4():
			e.add = append(e.add, term)
		default:
			six = append(six, term)
		}
	}
	e.add = append(e.add, six...)
}

// fresh makes the first record of a domain.
func (e *edit) fresh() {
	e.terms = append(slices.Clone(e.add), "-all")
	e.because("%s has no SPF record; if mail of the domain leaves from other hosts too, list these as well", e.subject)
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
		e.front()
		return
	}
	e.terms = e.terms[1:]
	front := false
	for _, o := range e.missing {
		front = e.why(o) || front
	}
	e.bury()
	if front {
		e.front()
		return
	}
	e.unlist(e.terms)
	e.insert(end(e.terms))
}

// why says why an address does not pass, and whether that needs a term at the beginning of the record.
func (e *edit) why(o *Outcome) (front bool) {
	who := e.c.Via.String()
	if o.IP.IsValid() {
		who = o.IP.String()
	}
	foreign := !strings.EqualFold(o.Domain, e.subject)
	switch {
	case errors.Is(o.Err, ErrLookups), errors.Is(o.Err, ErrVoids):
		e.because("%v; the new terms come before them", o.Err)
		if s := e.c.Survey; s != nil {
			e.because("%s", costs(s))
		}
		return true
	case o.Err != nil && foreign:
		e.because("the record of %s, which %s leads to, is wrong, and its owner must mend it: %v",
			o.Domain, firstTerm(o), o.Err)
		return true
	case o.Err != nil:
		e.because("%v", o.Err)
		return true
	case o.Term == "":
		e.because("%s is not allowed: %s, as %s says nothing of it", who, o.Result, o.Domain)
	case foreign:
		e.because("%s is not allowed: %s, by %s of %s", who, o.Result, o.Term, o.Domain)
	default:
		e.because("%s is not allowed: %s, by %s", who, o.Result, o.Term)
		m, ok := mechanism(o.Term)
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
	a := Advice{Domain: e.subject, Old: e.old, Changes: e.changes}
	a.New = strings.Join(append([]string{version}, e.terms...), " ")
	a.Strings = split(a.New)
	if n := len(a.New); n > 450 { // RFC 7208, section 3.4
		e.because("with %d octets it is published as %d strings, and should be made shorter than 450: "+
			"move terms into a record of their own, and include that", n, len(a.Strings))
	} else if n > maxString {
		e.because("with %d octets it is published as %d strings", n, len(a.Strings))
	}
	a.Reason = strings.Join(e.reasons, "; ")
	return a
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
