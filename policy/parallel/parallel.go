// Package parallel does several things at once, and waits until all of them are done.
//
// A panic in one of them is a panic of who waits, when the others have ended. There it is known what it costs, and it
// can be survived; in a goroutine that nobody looks after it would end the process.
//
// # What it never does
//
// It ends nothing before its time, and knows nothing of results: each thing writes what it finds to a place of its own.
package parallel

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// Panic is what there is a panic with after one in a goroutine; of several, the first.
type Panic struct {
	Value any // what recover gave
	stack []byte
}

// Stack is where it was.
func (p *Panic) Stack() []byte { return p.stack }

// Format prints the value.
func (p *Panic) Format(to fmt.State, _ rune) { fmt.Fprint(to, p.Value) }

// String is what the runtime prints when nobody survives it: the value, and where it was.
func (p *Panic) String() string { return fmt.Sprintf("%v\n\n%s", p.Value, p.stack) }

// Do does things.
func Do(things ...func()) { Each(len(things), func(i int) { things[i]() }) }

// Each does something for every index below n.
func Each(n int, do func(i int)) { AtMost(n, n, do) }

// AtMost is [Each] for so many indices at once, in their order.
func AtMost(most, n int, do func(i int)) {
	var running sync.WaitGroup
	var next atomic.Int64
	var first atomic.Pointer[Panic]
	for range min(most, n) {
		running.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if p := survived(i, do); p != nil {
					first.CompareAndSwap(nil, p)
				}
			}
		})
	}
	running.Wait()
	if p := first.Load(); p != nil {
		panic(p)
	}
}

// survived does something for an index, and gives the panic that there was; nil: none. One that comes from below is
// passed on as it is.
func survived(i int, do func(int)) (p *Panic) {
	defer func() {
		v := recover()
		if below, is := v.(*Panic); is {
			p = below
		} else if v != nil {
			p = &Panic{v, debug.Stack()}
		}
	}()
	do(i)
	return nil
}
