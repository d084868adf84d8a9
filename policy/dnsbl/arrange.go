package dnsbl

import (
	"maps"
	"slices"
	"time"
)

// arrange puts the watched lists and their subjects in place. What is not watched any more goes to the memory, and what
// is new comes from there: so nothing is asked before its time. All of it is made before any is put in place: after a
// panic what was watched still is.
func (m *Monitor) arrange(lists []*List, subjects []Subject, now time.Time) {
	var places []place
	for _, l := range lists {
		if l.NeedsKey() || slices.ContainsFunc(places, func(p place) bool { return p.watch.list.ID == l.ID }) {
			continue
		}
		p := m.placeOf(m.watchOf(l, now), subjects, now)
		if len(p.cells) > 0 { // or there is nothing to ask it for
			places = append(places, p)
		}
	}
	watches, cells := make([]*watch, len(places)), map[Subject][]*cell{}
	for i, p := range places {
		watches[i] = p.watch
		for _, c := range p.cells {
			cells[*c.subject] = append(cells[*c.subject], c)
		}
	}
	for _, w := range m.watches {
		if !slices.Contains(watches, w) {
			w.gone = true
			m.memory.keep(w, w.cells)
		}
	}
	for i, p := range places {
		p.watch.place = int32(i)
		m.settle(p)
	}
	m.watches, m.cells, m.anew = watches, cells, true
	m.queue(now)
}

// place is a list that is to be watched for some subjects.
type place struct {
	watch *watch
	cells []*cell
	gone  []*cell // of the subjects that it was watched for, and is not any more
}

// settle puts it in place.
func (m *Monitor) settle(p place) {
	w := p.watch
	w.cells = p.cells
	m.memory.release(w)
	for _, c := range p.gone {
		c.gone = true
	}
	if len(p.gone) > 0 {
		m.memory.keep(w, p.gone)
	}
}

// watchOf gives what is known of a list: from those that are watched, from the memory, or nothing.
func (m *Monitor) watchOf(l *List, now time.Time) *watch {
	for _, w := range m.watches {
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

// placeOf finds the cells of a list: those that it has, or from the memory, or new ones.
func (m *Monitor) placeOf(w *watch, subjects []Subject, now time.Time) place {
	known := make(map[Subject]*cell, len(w.cells))
	for _, c := range w.cells {
		known[*c.subject] = c
	}
	p := place{watch: w}
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
		p.cells = append(p.cells, c)
	}
	p.gone = slices.Collect(maps.Values(known))
	return p
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
