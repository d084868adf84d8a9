package spf

import (
	"errors"
	"fmt"
	"strings"
)

// affords tells whether the smarthost's name can be included without breaking a limit, and says why not. Behind: terms
// come behind it that may allow others, and must not cost these too much. What is not known of costs does not hinder,
// unless it can do harm.
func (e *edit) affords(l *lack, behind bool) bool {
	via, own := l.via.String(), l.own
	switch {
	case own == nil && l.deadVia(), own != nil && own.missing:
		e.because("%s has no SPF record: ask those who run the smarthost which name to include", via)
		return false
	case own == nil:
		return true
	case own.err != nil:
		e.because("the record of the smarthost is wrong, and its owner must mend it: %v", own.err)
		return false
	case own.lookups+1 > MaxLookups || own.voids > MaxVoids:
		e.because("include:%s alone costs %s: ask those who run the smarthost for a shorter record", via,
			ofLimits(own.lookups+1, own.voids))
		return false
	}
	s := e.c.Survey
	if s == nil && behind && own.most > 0 {
		e.because("include:%s brings void look-ups, and how many the record has is not known here", via)
		return false
	}
	more, voids := 1+own.lookups, own.voids
	if behind {
		voids = own.most
	}
	paid := e.named(via) && (own.reached || s != nil)
	if paid {
		more, voids = 0, 0
	}
	now := Survey{Lookups: l.Lookups, Voids: l.Voids}
	if s != nil {
		now.Lookups, now.Voids = max(now.Lookups, s.Lookups), max(now.Voids, s.Voids)
	}
	now.Lookups, now.Voids = now.Lookups+e.lookups+more, now.Voids+e.voids+voids
	if paid && behind {
		now.Voids = max(now.Voids, own.most) // it comes before terms that it did not cost
	}
	if now.Over() {
		e.because("with include:%s the record costs %s: put addresses in the place of other terms first", via,
			ofLimits(now.Lookups, now.Voids))
		return false
	}
	e.lookups, e.voids = e.lookups+more, e.voids+voids
	return true
}

// deadVia tells that the smarthost's name is included already, and has no record.
func (l *lack) deadVia() bool {
	if len(l.Chain) == 0 || !errors.Is(l.Err, ErrNoRecord) {
		return false
	}
	to, ok := leadsTo(l.Chain[len(l.Chain)-1].Term)
	return ok && strings.EqualFold(to, l.via.String())
}

// named tells whether the record includes the domain, whatever that means to it.
func (e *edit) named(domain string) bool {
	for _, term := range e.terms {
		if isAll(term) {
			return false
		}
		if sameInclude(term, "include:"+domain) {
			return true
		}
	}
	return false
}

// ofLimits says how many look-ups there are of those that are allowed.
func ofLimits(lookups, voids int) string {
	return fmt.Sprintf("%d look-ups of %d, and %d void ones of %d", lookups, MaxLookups, voids, MaxVoids)
}
