package watch

import (
	"context"
	"errors"
	"time"
)

const restTime = time.Minute // after a panic, in true time

// errPanic is why a look tells nothing, or a step could not be taken.
var errPanic = errors.New("a fault of reputed itself, see msg=panic in the log")

// survive does something, and tells whether it came to its end. A panic in it is told of; without anybody to tell it
// goes on.
func (w *Watch) survive(do func()) (whole bool) {
	if w.o.Caught == nil {
		do()
		return true
	}
	defer func() {
		if v := recover(); v != nil {
			w.o.Caught(v)
		}
	}()
	do()
	return true
}

// rest lets a minute pass after a panic, and puts things in order.
func (w *Watch) rest(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(restTime):
	}
	w.survive(w.mend)
}

// mend takes in again what was on no agenda any more.
func (w *Watch) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.entries {
		if e.place == 0 {
			w.schedule(e)
		}
	}
}
