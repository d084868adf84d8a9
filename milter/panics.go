package milter

import (
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"sync"
)

// Panics logs and counts the panics that were survived at a door, by the step that they were in; and those of services
// beside the doors, which share one of their own. Make one with [NewPanics].
type Panics struct {
	log *slog.Logger
	mu  sync.Mutex
	n   map[string]uint64
}

// InConnection is the step that is outside of all that is guarded by itself. It costs the connection.
const InConnection = "connection"

// NewPanics makes one for a door that has such steps, which count from 0.
func NewPanics(log *slog.Logger, door string, steps ...string) *Panics {
	p := &Panics{log: log.With("door", door), n: map[string]uint64{}}
	for _, step := range steps {
		p.n[step] = 0
	}
	return p
}

// Caught takes what recover gave. It is to be called where that was; a value that comes from another goroutine brings
// its stack along. What is counted is in the log.
func (p *Panics) Caught(step string, v any) {
	stack := debug.Stack()
	if from, is := v.(interface{ Stack() []byte }); is {
		stack = from.Stack()
	}
	p.log.Error("panic", "in", step, "panic", fmt.Sprint(v), "stack", string(stack))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n[step]++
}

// Counts gives how many there were so far, by step.
func (p *Panics) Counts() map[string]uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.n)
}
