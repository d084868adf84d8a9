package watch

import (
	"container/heap"
	"time"
)

// agenda is what is to be done, the earliest first.
type agenda[T dated] struct{ list list[T] }

// dated is something with a time. Its slot is where it stands, from 1 on; 0: it is in no agenda.
type dated interface {
	due() time.Time
	slot() *int
}

// put takes something in, or takes in that its time has changed.
func (a *agenda[T]) put(x T) {
	if at := *x.slot(); at > 0 {
		heap.Fix(&a.list, at-1)
		return
	}
	heap.Push(&a.list, x)
}

// drop takes something out, if it is in.
func (a *agenda[T]) drop(x T) {
	if at := *x.slot(); at > 0 {
		heap.Remove(&a.list, at-1)
	}
}

// first gives what is due first.
func (a *agenda[T]) first() (x T, ok bool) {
	if len(a.list) == 0 {
		return x, false
	}
	return a.list[0], true
}

// list is heap.Interface.
type list[T dated] []T

func (l list[T]) Len() int           { return len(l) }
func (l list[T]) Less(i, j int) bool { return l[i].due().Before(l[j].due()) }
func (l list[T]) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	*l[i].slot(), *l[j].slot() = i+1, j+1
}

// Push is heap.Interface.
func (l *list[T]) Push(x any) {
	*l = append(*l, x.(T))
	*x.(T).slot() = len(*l)
}

// Pop is heap.Interface.
func (l *list[T]) Pop() any {
	last := len(*l) - 1
	x := (*l)[last]
	clear((*l)[last:])
	*l = (*l)[:last]
	*x.slot() = 0
	return x
}
