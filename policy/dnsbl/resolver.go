package dnsbl

import (
	"fmt"
	"time"
)

// When the resolver is to blame for questions that fail, and not the lists.
const (
	lostAfter = 5           // questions in a row
	lostWhere = 3           // operators whose lists did answer before, or all there are
	lostTime  = time.Minute // since the last answer
)

// resolving is what is known of the resolver, by what comes of all questions.
type resolving struct {
	ResolverHealth
	answered time.Time          // the last answer
	lost     int                // questions in a row that failed since
	where    map[*operator]bool // operators whose lists began to fail since
	last     Result             // the last of them
}

// hear hears what came of a question to a list, before the list itself takes notice. It tells whether this is the first
// answer after a time in which there were none.
func (v *resolving) hear(w *watch, r Result, now time.Time) (back bool) {
	if !r.failed {
		back = v.Health == Silent && v.lost > 0
		v.answered, v.lost, v.where = now, 0, nil
		return back
	}
	v.lost++
	v.last = r
	if w.missed > 0 || w.unheard() && !v.answered.IsZero() { // it is dead since before, though others answer
		return false
	}
	if v.where == nil {
		v.where = map[*operator]bool{}
	}
	v.where[w.operator] = true
	return false
}

// resume makes up for a time in which the resolver was silent, which began after since. Lists that are not heard are
// tested, and what was asked in vain is asked again: it had no answer, and most likely never reached the list.
func (m *Monitor) resume(since, now time.Time) {
	for _, w := range m.watches {
		if w.unheard() {
			m.test(w, now)
		}
		for _, c := range w.cells {
			at := later(now, c.asked.Add(testApart))
			if !c.failed || !c.asked.After(since) || !at.Before(c.next) {
				continue
			}
			c.next = at
			if w.health == Healthy {
				w.operator.put(&c.question, at)
			}
		}
	}
}

// unheard tells that there is no answer of a list that says what it thinks of us.
func (w *watch) unheard() bool {
	return w.health == Untested || w.health == Silent || w.health == Refusing && !w.coded
}

// silent tells that nobody answers any more.
func (v *resolving) silent(operators int, now time.Time) bool {
	return v.lost >= lostAfter && len(v.where) >= min(lostWhere, operators) && now.Sub(v.answered) >= lostTime
}

// judge says how the resolver does: by what becomes of questions, and by how the lists do.
func (v *resolving) judge(watches []*watch, operators int, now time.Time) ResolverHealth {
	var healthy, forged, refusing *watch
	everywhere := false
	for _, w := range watches {
		switch {
		case w.health == Healthy:
			healthy = w
		case w.health == Faulty && w.foreign:
			everywhere = everywhere || forged != nil && forged.operator != w.operator
			forged = w
		case w.refusesResolver() && w.list.Tier == Critical && refusing == nil:
			refusing = w
		}
	}
	switch {
	case v.silent(operators, now):
		return ResolverHealth{
			Health: Silent,
			Reason: fmt.Sprintf("%d questions in a row had no answer; the last: list %s: %s",
				v.lost, v.last.List, v.last.Reason),
			Remedy: "see that the resolver in [dns] servers runs and reaches the world",
		}
	case everywhere:
		return ResolverHealth{
			Health: Faulty,
			Reason: fmt.Sprintf("it seems to rewrite answers: so do lists of several operators answer; the last: list %s %s",
				forged.list, forged.reason),
			Remedy: ownResolver,
		}
	case refusing != nil:
		return ResolverHealth{
			Health: Refusing,
			Reason: fmt.Sprintf("list %s %s", refusing.list, refusing.reason),
			Remedy: refusing.remedy,
		}
	case v.lost == 0 && healthy != nil:
		return ResolverHealth{Health: Healthy}
	}
	return v.ResolverHealth
}

// refusesResolver tells that a list declines to answer, with an error code, as it does for public resolvers.
func (w *watch) refusesResolver() bool {
	return w.health == Refusing && w.coded && w.list.PublicResolver == PublicRefused
}

// changeOf is the event for a health.
var changeOf = map[Health]Change{
	Healthy: BecameHealthy, Unproven: BecameUnproven, Silent: BecameSilent, Refusing: BecameRefused, Faulty: BecameBroken,
}

// announce makes events of how the resolver and a list do, once for each change. What the resolver is to blame for is
// not told of each list.
func (m *Monitor) announce(w *watch, now time.Time) {
	v := &m.resolving
	if found := v.judge(m.watches, len(m.operators), now); found.Health != v.Health {
		was := v.Health
		found.Since = now
		v.ResolverHealth = found
		m.anew = true
		m.turned(was, found.Health, Event{At: now, Since: now, Reason: found.Reason, Remedy: found.Remedy})
	}
	unheard := w.unheard() && w.health != Untested
	blamed := v.Health == Silent && unheard || v.Health == Refusing && w.refusesResolver() ||
		v.Health == Faulty && w.health == Faulty && w.foreign
	if w.health == w.told || blamed || unheard && w.missed == 0 { // the last: it speaks again
		return
	}
	was := w.told
	w.told = w.health
	m.turned(was, w.health, Event{List: w.list, At: now, Since: w.since, Reason: w.reason, Remedy: w.remedy})
}

// turned makes the event of one change. That all is well at first is none.
func (m *Monitor) turned(was, is Health, e Event) {
	change, ok := changeOf[is]
	if !ok || is == Healthy && was == Untested {
		return
	}
	e.Change = change
	m.events = append(m.events, e)
}
