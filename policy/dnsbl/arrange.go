package dnsbl

import (
	"slices"
	"time"
)

// arrange puts the watched lists and their subjects in place. What is not watched any more goes to the memory, and what
// is new comes from there: so nothing is asked before its time.
func (m *Monitor) arrange(lists []*List, subjects []Subject, now time.Time) {
	old := m.watches
	m.watches = nil
	for _, l := range lists {
		if l.NeedsKey() || slices.ContainsFunc(m.watches, func(w *watch) bool { return w.list.ID == l.ID }) {
			continue
		}
		w := m.watchOf(l, old, now)
		m.arrangeCells(w, subjects, now)
		if len(w.cells) > 0 { // or there is nothing to ask it for
			m.watches = append(m.watches, w)
		}
	}
	for _, w := range old {
		if !slices.Contains(m.watches, w) {
			w.gone = true
			m.memory.keep(w, w.cells)
		}
	}
	m.cells = map[Subject][]*cell{}
	for i, w := range m.watches {
		w.place = int32(i)
		for _, c := range w.cells {
			m.cells[*c.subject] = append(m.cells[*c.subject], c)
		}
	}
	m.queue(now)
	m.anew = true
}

// watchOf gives what is known of a list: from those that are watched, from the memory, or nothing.
func (m *Monitor) watchOf(l *List, old []*watch, now time.Time) *watch {
	for _, w := range old {
		if w.list.ID == l.ID && w.list.Zone == l.Zone && w.list.Domains == l.Domains {
			m.describe(w, l, now)
			return w
		}
	}
	w := &watch{list: l, since: now, answered: now}
	w.question = question{task: askTest, watch: w, at: -1}
	m.memory.restore(w, now)
	return w
}

// describe gives a list that is watched the description that a reload has of it. What its answers mean may have
// changed, and what was refused may be allowed now.
func (m *Monitor) describe(w *watch, l *List, now time.Time) {
	was := w.list
	w.list = l
	if !l.sameCodes(was) {
		for _, c := range w.cells {
			c.recode(answers(c.codes()), answers(c.doubt.fresh()))
			if w.health == Healthy && !now.After(c.until) {
				m.tell(c, now)
			}
		}
	}
	if l.sameTest(was) {
		return
	}
	w.next = later(now, w.begun.Add(testApart))
	w.void = len(w.probes) > 0
}

// sameCodes tells that answers mean the same as before.
func (l *List) sameCodes(was *List) bool {
	return slices.Equal(l.Codes, was.Codes) && slices.Equal(l.ErrorCodes, was.ErrorCodes)
}

// sameTest tells that a test would be the same as before.
func (l *List) sameTest(was *List) bool {
	return l.sameCodes(was) && l.Key.equal(was.Key) && l.Access == was.Access &&
		l.TestListed == was.TestListed && l.TestUnlisted == was.TestUnlisted && l.TestStatus == was.TestStatus
}

// arrangeCells does for the subjects of one list what arrange does for lists.
func (m *Monitor) arrangeCells(w *watch, subjects []Subject, now time.Time) {
	known := make(map[Subject]*cell, len(w.cells))
	for _, c := range w.cells {
		known[*c.subject] = c
	}
	w.cells = nil
	for i := range subjects {
		s := &subjects[i]
		if !w.list.Takes(*s) {
			continue
		}
		c := known[*s]
		if c == nil {
			c = newCell(w, s)
			m.memory.restoreCell(c, now)
		}
		c.subject = s // the subjects of the last time are kept by nobody
		delete(known, *s)
		w.cells = append(w.cells, c)
	}
	m.memory.shrink(w)
	var gone []*cell
	for _, c := range known {
		c.gone = true
		gone = append(gone, c)
	}
	if len(gone) > 0 {
		m.memory.keep(w, gone)
	}
}

// queue puts all questions into the queues of their operators.
func (m *Monitor) queue(now time.Time) {
	for name, o := range m.operators {
		for _, q := range o.queue {
			q.at = -1
		}
		o.queue, o.load = nil, 0
		if o.flying == 0 && !o.free.After(now) {
			delete(m.operators, name)
		}
	}
	for _, w := range m.watches {
		o := m.operators[w.list.Operator]
		if o == nil {
			// Who ran before may have asked just now.
			o = &operator{name: w.list.Operator, free: m.clock.start.Add(pace)}
			m.operators[o.name] = o
		}
		w.operator = o
		o.load += len(w.cells)
		due := w.next
		if len(w.probes) > 0 { // the test is going on
			due = now
		}
		o.put(&w.question, due)
		if w.health == Healthy {
			w.queueCells()
		}
	}
}

// queueCells asks about the subjects, each at its time.
func (w *watch) queueCells() {
	for _, c := range w.cells {
		w.operator.put(&c.question, c.next)
		if c.wantsReason() {
			w.operator.put(c.reason(), c.asked)
		}
	}
}
