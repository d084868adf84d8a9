package watch

import (
	"time"

	"reputed/signer"
)

const (
	writeEvery = 10 * time.Minute // the state file, and soon when something is told
	tellAgain  = 10 * time.Second // in true time, of keys that could not be taken in
)

// What is done for all keys at once is done again after so long for each of them, at the earliest: what one key costs
// must not be paid for all of them at each answer. Few keys are no matter.
const (
	showPace  = time.Millisecond
	writePace = time.Millisecond
	readPace  = time.Millisecond // by who is told of other keys
)

// pace gives the time between two of such acts.
func (w *Watch) pace(each time.Duration) time.Duration {
	return w.clock.spans(time.Duration(len(w.entries)) * each)
}

// news is what was not told yet.
type news struct {
	changed bool      // the snapshot is not up to date
	shown   time.Time // when it was
	keys    bool      // the files of keys are others
	unseen  bool      // other keys are unseen
	told    time.Time // when others were told of either
	events  []Event
}

// report shows what has changed, writes it down, and tells of it.
func (w *Watch) report() {
	n, unseen := w.latest()
	again := restTime // if it panics
	w.survive(func() { again = w.tellOthers(n, unseen) })
	if again > 0 {
		w.tellLater(again)
	}
	if w.o.Event == nil {
		return
	}
	for _, e := range n.events {
		w.survive(func() { w.o.Event(e) })
	}
}

// tellOthers tells that keys are others, or what is unseen of them. It gives when to do so again, in true time; 0: they
// have taken it in.
func (w *Watch) tellOthers(n news, unseen map[signer.ID]bool) time.Duration {
	taken := true
	switch {
	case n.keys && w.o.Keys != nil:
		taken = w.o.Keys()
	case n.unseen && w.o.Unseen != nil:
		taken = w.o.Unseen(unseen)
	}
	if taken {
		return 0
	}
	return tellAgain
}

// tellLater has others told of keys again.
func (w *Watch) tellLater(after time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.news.keys, w.news.told = true, w.clock.now().Add(w.clock.spans(after))
}

// latest shows what has changed, and writes it down. It gives what is to be told, and the keys that are unseen.
func (w *Watch) latest() (news, map[signer.ID]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock.now()
	w.write(now)
	n := w.news
	if now.Sub(n.told) < w.pace(readPace) {
		n.keys, n.unseen = false, false
	}
	others := n.keys || n.unseen
	if n.changed && (others || now.Sub(n.shown) >= w.pace(showPace)) {
		w.show(now)
	}
	if w.news.events = nil; others {
		w.news.keys, w.news.unseen, w.news.told = false, false, now
	}
	return n, w.snapshot.Load().Unseen()
}

// write writes down what is known, if it is time to.
func (w *Watch) write(now time.Time) {
	w.memory.urgent = w.memory.urgent || len(w.news.events) > 0
	if !w.memory.dirty || now.Sub(w.memory.written) < w.writeAgain() {
		return
	}
	again, err := w.memory.failing, errPanic
	whole := w.survive(func() { err = w.memory.writeOnce(w.entries, now) })
	if err != nil && (whole || !again) { // else it was said already
		w.tell(Event{Change: LostMemory, Reason: err.Error()})
	}
}

// writeAgain gives how long after it was written the memory is written again.
func (w *Watch) writeAgain() time.Duration {
	if w.memory.urgent {
		return min(w.pace(writePace), writeEvery)
	}
	return writeEvery
}
