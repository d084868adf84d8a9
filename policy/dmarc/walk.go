package dmarc

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"reputed/policy/dns"
	"reputed/policy/mail"
	"reputed/policy/parallel"
)

// Finder finds records in the DNS.
type Finder struct {
	Resolver dns.Resolver // recursive; answers may come from a cache
}

// Walk is what a walk up the tree of names found.
type Walk struct {
	From  mail.Domain
	Steps []Step // from the name up
}

// Step is one name on the way.
type Step struct {
	Domain mail.Domain
	Answer dns.Answer
	Texts  []string // of its DMARC records
	Record *Record  // nil: it has none, or several, or it is not known
}

// Name gives the name that was asked.
func (s *Step) Name() string { return recordName(s.Domain) }

func recordName(d mail.Domain) string { return "_dmarc." + d.String() }

// ErrUnknown says that a step of a walk is not known, and what was asked for depends on it.
var ErrUnknown = errors.New("the DMARC records are not known")

// err tells why a step is not known. An answer that is kept because the servers fail may have been corrected since.
func (s *Step) err() error {
	switch {
	case s.Answer.Status == dns.Failed:
		return fmt.Errorf("%w: TXT %s: %w", ErrUnknown, s.Name(), s.Answer.Err)
	case s.Answer.Stale:
		return fmt.Errorf("%w: TXT %s: the servers do not answer, and what they said before may have changed",
			ErrUnknown, s.Name())
	}
	return nil
}

// maxSteps is how many questions a walk asks: RFC 9989, section 4.10.
const maxSteps = 8

// names gives the names of a walk: RFC 9989, section 4.10, steps 3, 4 and 7.
func names(from mail.Domain) []mail.Domain {
	if from.IsZero() {
		return nil
	}
	all := []mail.Domain{from}
	up := from
	for strings.Count(up.String(), ".") >= maxSteps-1 {
		up = up.Parent()
	}
	if up == from {
		up = up.Parent()
	}
	for ; !up.IsZero(); up = up.Parent() {
		all = append(all, up)
	}
	return all
}

// Walk walks up from a domain. It asks about all names of the way at once, and looks at them from the bottom up to the
// first that says where the organization begins. It ends when ctx does: what is not known then is an error of what
// depends on it.
func (f *Finder) Walk(ctx context.Context, from mail.Domain) *Walk {
	w := &Walk{From: from}
	for _, d := range names(from) {
		w.Steps = append(w.Steps, Step{Domain: d})
	}
	parallel.Each(len(w.Steps), func(i int) { w.Steps[i].ask(ctx, f.Resolver) })
	for i := range w.Steps {
		// RFC 9989, section 4.10, steps 2 and 6.
		if r := w.Steps[i].Record; r != nil && r.Boundary != Undetermined {
			w.Steps = w.Steps[:i+1]
			break
		}
	}
	return w
}

func (s *Step) ask(ctx context.Context, r dns.Resolver) {
	s.Answer = r.Resolve(ctx, s.Name(), dns.TXT)
	for _, record := range s.Answer.Records {
		if parsed, err := Parse(record.Text); err == nil {
			s.Texts = append(s.Texts, record.Text)
			s.Record = parsed
		}
	}
	if len(s.Texts) > 1 || s.err() != nil { // RFC 9989, section 4.10: several are all discarded
		s.Record = nil
	}
}

// Policy gives the step whose record applies to mail of the domain: its own, else that of its organization, else that
// of the public suffix. Nil: there is none. RFC 9989, section 4.10.1.
func (w *Walk) Policy() (*Step, error) {
	if len(w.Steps) == 0 {
		return nil, nil
	}
	own := &w.Steps[0]
	if err := own.err(); err != nil {
		return nil, err
	}
	if own.Record != nil {
		return own, nil
	}
	org, err := w.Organizational()
	if err != nil {
		return nil, err
	}
	last := (*Step)(nil)
	for i := range w.Steps {
		s := &w.Steps[i]
		if s.Domain == org && s.Record != nil {
			return s, nil
		}
		if s.Record != nil && s.Record.Boundary == Public {
			last = s
		}
	}
	return last, nil
}

// Organizational gives the domain that stands for the organization: RFC 9989, section 4.10.2. Without any record that
// is the name itself.
func (w *Walk) Organizational() (mail.Domain, error) {
	org := w.From
	for i := range w.Steps {
		s := &w.Steps[i]
		if err := s.err(); err != nil {
			return mail.Domain{}, err
		}
		switch {
		case s.Record == nil:
		case s.Record.Boundary == Public && i > 0:
			return below(s.Domain, w.From), nil
		default: // an organization's own is the last, for the walk ends there
			org = s.Domain
		}
	}
	return org, nil
}

// below gives the name one label below a parent, on the way to from.
func below(parent, from mail.Domain) mail.Domain {
	d := from
	for d.Parent() != parent && !d.IsZero() {
		d = d.Parent()
	}
	return d
}

// Aligned tells whether two domains align: they are the same, or, unless strict, of the same organization (RFC 9989,
// section 4.10.2). An error says that it is not known.
func Aligned(a, b *Walk, strict bool) (bool, error) {
	switch {
	case a.From.IsZero() || b.From.IsZero():
		return false, nil
	case a.From == b.From:
		return true, nil
	case strict:
		return false, nil
	}
	one, err := a.Organizational()
	if err != nil {
		return false, err
	}
	other, err := b.Organizational()
	if err != nil {
		return false, err
	}
	return one == other, nil
}
