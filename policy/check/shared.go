package check

import (
	"errors"
	"sync"
)

// shared is what several items want to know, and is found out once. The zero value is ready for use.
type shared[T any] struct {
	once  sync.Once
	value T
	known bool
}

// get finds it out, or waits until somebody else has. Where that panicked, it panics too: nobody takes the zero value
// for what was found.
func (s *shared[T]) get(find func() T) T {
	s.once.Do(func() {
		s.value = find()
		s.known = true
	})
	if !s.known {
		panic(errRests)
	}
	return s.value
}

// errRests is what an item panics with for what was a panic of another.
var errRests = errors.New("what this check rests on has failed")
