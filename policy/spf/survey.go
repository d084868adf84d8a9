package spf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// How far a survey goes.
const (
	surveyRecords   = 50
	surveyQuestions = 200
)

var (
	errSurvey = errors.New("the survey has asked enough")
	errLoop   = errors.New("the record leads to itself")
)

// Survey is what a record costs at worst: those whom none of its terms matches, such as the next sender's address, or
// that of a forwarder.
type Survey struct {
	Domain   string        `json:"domain"`
	IP       netip.Addr    `json:"ip"`       // the voids are those of addresses of its family; invalid: it is not known
	Lookups  int           `json:"lookups"`  // at most MaxLookups, or strangers get a permerror
	Voids    int           `json:"voids"`    // at most MaxVoids, likewise
	Complete bool          `json:"complete"` // false: a part is wrong, too much, or could not be asked for
	TTL      time.Duration `json:"-"`        // the shortest of all answers
	Stale    bool          `json:"-"`        // some answer was older than it should be, for want of a newer one
	Wrong    error         `json:"-"`        // the first thing that stays wrong until somebody mends it; nil: none is known
	Record   *Trace        `json:"record"`   // with what each term costs; a match there is one of the request's address
}

// Over tells that the record breaks a limit of RFC 7208, section 4.6.4.
func (s *Survey) Over() bool { return s.Lookups > MaxLookups || s.Voids > MaxVoids }

// Survey walks all that the record of the request's domain leads to, also what stands behind the term that matches. An
// exists whose name changes with the mail is counted as void, as it is to those whom it does not match. It asks at most
// 200 questions, for at most 50 records; a record that leads to itself is followed once, and breaks the limit. Of an
// address that is not known it asks twice, and tells what costs more: to be one of IPv4, or of IPv6.
func (c *Checker) Survey(ctx context.Context, q Request) Survey {
	s := c.survey(ctx, q, false)
	if !s.IP.IsValid() {
		if six := c.survey(ctx, q, true); six.Lookups > s.Lookups || six.Lookups == s.Lookups && six.Voids > s.Voids {
			s = six
		}
	}
	return s
}

func (c *Checker) survey(ctx context.Context, q Request, six bool) Survey {
	e := c.begin(ctx, q)
	e.whole, e.traced, e.six = true, true, six
	w := walk{e: e, s: Survey{Domain: e.out.Subject, IP: e.ip, Complete: true}}
	w.s.Record = w.record(e.out.Subject)
	w.s.Lookups, w.s.Voids = e.out.Lookups, e.out.Voids
	w.s.TTL, w.s.Stale, w.s.Wrong = e.out.TTL, e.out.Stale, w.wrong
	return w.s
}

// walk is a survey under way.
type walk struct {
	e       *evaluation
	s       Survey
	bounded bool  // ends where a limit is broken
	perhaps int   // void answers more, to some addresses
	wrong   error // the first thing that is wrong in a record, and not just unknown
	records int
	path    []string // the domains that lead to this one
}

// record walks the record of a domain.
func (w *walk) record(domain string) *Trace {
	domain = strings.TrimSuffix(domain, ".")
	node := &Trace{Domain: domain}
	for _, above := range w.path {
		if strings.EqualFold(above, domain) {
			w.e.out.Lookups = max(w.e.out.Lookups, MaxLookups+1)
			return w.broken(node, errLoop)
		}
	}
	if w.records++; w.records > surveyRecords {
		return w.broken(node, errSurvey)
	}
	if !isHostName(domain) {
		node.Result = None
		return node
	}
	outer := w.e.node
	w.e.node, w.e.term = node, nil
	r, result, err := w.e.record(domain)
	if r == nil {
		w.e.node = outer
		node.Result = result
		w.permanent(result, err)
		if err != nil {
			return w.broken(node, err)
		}
		return node
	}
	domain, w.e.domain = w.e.domain, domain
	w.path = append(w.path, node.Domain)
	w.terms(r)
	w.path = w.path[:len(w.path)-1]
	w.e.domain, w.e.node = domain, outer
	return node
}

// permanent notes an error that stays until somebody mends it.
func (w *walk) permanent(result Result, err error) {
	if result == PermError && w.wrong == nil {
		w.wrong = err
	}
}

func (w *walk) broken(node *Trace, err error) *Trace {
	w.s.Complete = false
	node.Error = err.Error()
	return node
}

// terms walks the terms of a record.
func (w *walk) terms(r *Record) {
	for i := range r.Mechanisms {
		m := &r.Mechanisms[i]
		if m.Kind == All { // RFC 7208, section 5.1: what follows is never evaluated, and no redirect
			w.e.node.Terms[i].State = Matched
			return
		}
		w.e.enter(i)
		matched, err := w.term(m)
		w.e.leave(matched, err)
		if w.bounded {
			if w.over() {
				return
			}
			if m.Kind != Include {
				w.e.passOver(m.Qualifier)
			}
		}
	}
	if r.Redirect.text != "" {
		w.e.enter(len(r.Mechanisms))
		w.e.out.Lookups++
		err := w.follow(&r.Redirect)
		w.e.leave(err == nil, err)
	}
}

func (w *walk) over() bool { return w.e.out.Lookups > MaxLookups || w.e.out.Voids > MaxVoids }

// term walks a mechanism.
func (w *walk) term(m *Mechanism) (bool, error) {
	e := w.e
	if m.Kind == Include {
		e.out.Lookups++
		return false, w.follow(&m.Domain)
	}
	changing := m.Kind == Exists && m.Domain.uses("slphicv")
	if !e.ip.IsValid() && (m.Kind == PTR || e.vague(&m.Domain)) {
		e.out.Lookups++
		if changing {
			e.out.Voids++
		} else {
			w.perhaps++
		}
		return false, nil
	}
	matched, result, err := e.match(m)
	w.permanent(result, err)
	if changing && (matched || err != nil) {
		e.out.Voids++
	}
	if err != nil {
		w.s.Complete = false
	}
	return matched, err
}

// follow walks where an include or a redirect leads.
func (w *walk) follow(to *macroString) error {
	if w.bounded && w.over() {
		return nil
	}
	if w.e.vague(to) || w.e.unspeakable(to) {
		w.s.Complete = false
		return nil
	}
	term := w.e.term
	target := w.e.expand(to)
	term.Record = w.record(target)
	w.e.term = term
	if term.Record.Result == None {
		w.permanent(PermError, fmt.Errorf("%w: %s", ErrNoRecord, target))
		w.s.Complete = false
		return ErrNoRecord
	}
	if term.Record.Error != "" {
		return errors.New(term.Record.Error)
	}
	return nil
}
