package dnsbl

import (
	"context"
	"slices"
	"time"
)

// watch is a list that is watched.
type watch struct {
	list     *List
	operator *operator
	cells    []*cell
	place    int32 // among the watched lists
	gone     bool  // it is not watched any more

	health  Health
	told    Health // what was last told of it
	since   time.Time
	reason  string
	remedy  string
	foreign bool // it is Faulty because an answer lay outside 127.0.0.0/8
	coded   bool // it is Refusing with an error code

	begun    time.Time // the last test
	tested   time.Time // when the last test that was passed began
	doubts   int       // how many tests it must pass before it is believed again
	next     time.Time // the next test
	answered time.Time // the last answer to anything
	missed   int       // questions without an answer since
	probes   []probe   // what is left of the test that is going on
	void     bool      // that test tells nothing: it is not of the list as it is described now
	question question  // of the test
}

// answer is what came of a question.
type answer struct {
	operator *operator
	question *question
	result   Result
	text     string // of askWhy
}

// begin takes a question out of the queue, and gives what asks it: nil if it is not to be asked now.
func (m *Monitor) begin(o *operator, q *question, now time.Time) func(context.Context) answer {
	w, c := q.watch, q.cell
	if q.task != askTest && w.health != Healthy { // it is queued again when the list is healthy
		return nil
	}
	resolver, l := m.resolver, w.list
	var run func(context.Context) answer
	switch q.task {
	case askCell:
		c.asked, c.next = now, now.Add(spread(interval(l, 0, o.load), m.rand)) // even if no answer is ever taken
		s := *c.subject
		run = func(ctx context.Context) answer { return answer{o, q, lookUp(ctx, resolver, l, s), ""} }
	case askWhy:
		c.explained = true
		s := *c.subject
		run = func(ctx context.Context) answer { return answer{o, q, Result{}, reason(ctx, resolver, l, s)} }
	case askTest:
		if len(w.probes) == 0 {
			w.probes = l.probes()
			w.begun, w.next = now, now.Add(testApart) // in case that it never comes to an end
		}
		p, label := w.probes[0], label(m.rand)
		run = func(ctx context.Context) answer { return answer{o, q, l.examine(ctx, resolver, p, label), ""} }
	}
	q.away = true
	o.free = now.Add(pace)
	o.flying++
	m.flying++
	m.memory.dirty = true
	return func(ctx context.Context) answer {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		a := answer{o, q, Result{List: l, failed: true, Reason: "the question failed: " + errPanic.Error()}, ""}
		m.survive(func() { a = run(ctx) })
		return a
	}
}

// take takes an answer.
func (m *Monitor) take(a answer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := a.question
	q.away = false // also if anything below panics
	a.operator.flying--
	m.flying--
	now := m.clock.now()
	w, c := q.watch, q.cell
	if w.gone || c != nil && c.gone {
		return
	}
	if q.task == askWhy {
		c.prove(c.codes(), a.text)
		m.changed[*c.subject] = true
		return
	}
	since := m.resolving.answered
	if m.resolving.hear(w, a.result, now) {
		m.resume(since, now)
	}
	switch q.task {
	case askCell:
		m.takeCell(c, w.list.reread(a.result), now)
	case askTest:
		m.takeTest(w, a.result, now)
	}
	m.notice(w, a.result, now)
	m.announce(w, now)
}

// takeCell takes the answer about a subject.
func (m *Monitor) takeCell(c *cell, r Result, now time.Time) {
	w := c.watch
	base := interval(w.list, r.TTL, w.operator.load)
	c.take(r, now, base)
	c.next = c.asked.Add(spread(base, m.rand))
	m.changed[*c.subject] = true
	if c.unsure(w.tested) || r.State == Refused || r.State == Broken {
		m.test(w, now)
	}
	m.tell(c, now)
	if w.health != Healthy {
		return
	}
	w.operator.put(&c.question, c.next)
	if c.wantsReason() {
		w.operator.put(c.reason(), now)
	}
}

// tell makes an event of what has changed for a subject.
func (m *Monitor) tell(c *cell, now time.Time) {
	change, is := c.change(now)
	if !is {
		return
	}
	m.events = append(m.events, Event{
		Change: change, At: now, List: c.watch.list, Subject: *c.subject,
		Codes: c.codes(), Severity: greatest(c.codes()), Text: c.text(), Since: past(c.since, now),
	})
}

// test brings the next test of a list forward.
func (m *Monitor) test(w *watch, now time.Time) {
	if len(w.probes) > 0 { // it is going on
		return
	}
	if at := later(now, w.begun.Add(testApart)); at.Before(w.next) {
		w.next = at
		w.operator.put(&w.question, at)
	}
}

// takeTest takes the answer to one question of a test.
func (m *Monitor) takeTest(w *watch, r Result, now time.Time) {
	if w.void {
		w.void, w.probes = false, nil
		w.next = later(now, w.begun.Add(testApart))
		w.operator.put(&w.question, w.next)
		return
	}
	f := w.list.judge(w.probes[0], r)
	if f.health == Healthy && len(w.probes) > 1 {
		w.probes = w.probes[1:]
		w.operator.put(&w.question, now)
		return
	}
	w.probes = nil
	switch {
	case f.health != Untested:
		f = w.weigh(f)
		w.foreign, w.coded = f.foreign, f.coded
		m.turn(w, f, now)
	case w.health == Untested || w.health == Silent:
		w.reason, w.remedy = f.reason, f.remedy
		m.anew = true
	}
	w.next = w.begun.Add(spread(m.untilTest(w, f), m.rand))
	w.operator.put(&w.question, w.next)
	if slices.ContainsFunc(w.cells, func(c *cell) bool { return c.unsure(w.tested) }) { // it spoke after the test began
		m.test(w, now)
	}
}

// untilTest gives the time from a test with that finding to the next one.
func (m *Monitor) untilTest(w *watch, f finding) time.Duration {
	every := testInterval(w.list, w.health)
	switch {
	case w.unheard() && m.resolving.Health == Silent: // it may refuse us because the resolver does
		return testApart
	case 0 < w.doubts && w.doubts < believeAfter:
		return testApart
	case f.health == Untested: // sooner, if it was healthy
		return min(every, max(retestEvery, w.list.MinPoll))
	}
	return every
}

// weigh makes of the finding of a test what it means for a list that failed one before: such a list may list the world
// on and off.
func (w *watch) weigh(f finding) finding {
	switch {
	case f.health == Faulty || f.health != Healthy && w.doubts > 0:
		w.doubts = believeAfter
	case w.doubts > 0:
		w.doubts--
	}
	if f.health != Healthy || w.doubts == 0 {
		return f
	}
	return finding{
		health: w.health, foreign: w.foreign, coded: w.coded,
		reason: "failed its tests, has passed one since, and must pass another before it is believed",
	}
}

// turn gives a list another health, or the same again.
func (m *Monitor) turn(w *watch, f finding, now time.Time) {
	if w.health != f.health {
		w.health, w.since = f.health, now
		m.memory.busy = now
	}
	w.reason, w.remedy = f.reason, f.remedy
	m.anew = true
	if w.health != Healthy {
		for _, c := range w.cells {
			c.drop()
		}
		return
	}
	w.reason, w.remedy = "", ""
	w.tested = w.begun
	for _, c := range w.cells {
		c.uphold(w.tested, now)
	}
	w.queueCells()
}

// notice sees that a list has become silent.
func (m *Monitor) notice(w *watch, r Result, now time.Time) {
	if !r.failed {
		w.missed, w.answered = 0, now
		return
	}
	w.missed++
	long := staleAfter * interval(w.list, 0, w.operator.load)
	useless := w.health == Silent || w.health == Refusing || w.health == Faulty // already
	if useless || w.missed < staleAfter || now.Sub(w.answered) < long {
		return
	}
	m.turn(w, finding{health: Silent, reason: r.Reason, remedy: r.Remedy}, now)
	m.test(w, now)
}
