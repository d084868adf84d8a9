package dnsbl

import (
	"context"
	"errors"
	"time"
)

const (
	restTime = time.Minute // after a panic, in true time
	blind    = 60          // rests in a row, and what was known is not known any more
)

// errPanic is why there is no answer after a panic.
var errPanic = errors.New("a fault of reputed itself, see msg=panic in the log")

// survive does something, and tells whether it came to its end. A panic in it is told of; without anybody to tell it
// goes on.
func (m *Monitor) survive(do func()) (whole bool) {
	if m.caught == nil {
		do()
		return true
	}
	defer func() {
		if v := recover(); v != nil {
			m.caught(v)
		}
	}()
	do()
	return true
}

// rest lets a minute pass after a panic, of which there are so many in a row, and puts things in order. What the
// snapshot shows gets no older than it may: when nobody has looked after it for an hour, it shows nothing.
func (m *Monitor) rest(ctx context.Context, failed int) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(restTime):
	}
	if failed >= blind {
		m.snapshot.Store(&Snapshot{})
	}
	m.survive(m.mend)
}

// mend queues what was taken out of its queue and never asked, and has everything shown anew.
func (m *Monitor) mend() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.anew = true
	for _, w := range m.watches {
		w.operator.put(&w.question, w.next)
		if w.health == Healthy {
			w.queueCells()
		}
	}
}
