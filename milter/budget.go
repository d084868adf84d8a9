package milter

import (
	"sync/atomic"
	"time"
)

// Budget bounds what all connections of a door together keep in memory of messages that are in hand. Each has an
// allowance besides, which ordinary mail does not exceed, so that most messages never come here; what is beyond is taken
// in steps. Make one with [NewBudget].
type Budget struct{ left atomic.Int64 }

const (
	allowance  = 16 << 10 // octets that a connection keeps without asking
	budgetStep = 16 << 10 // octets that are taken at once
)

// NewBudget makes one of so many octets.
func NewBudget(octets int) *Budget {
	b := new(Budget)
	b.left.Store(int64(octets))
	return b
}

func (b *Budget) take(n int64) bool {
	for {
		left := b.left.Load()
		if left < n {
			return false
		}
		if b.left.CompareAndSwap(left, left-n) {
			return true
		}
	}
}

// Share is what one connection has of a [Budget]. But for Taken it belongs to one goroutine.
type Share struct {
	of    *Budget
	kept  int          // octets, about
	room  int          // how many there may be before more is taken
	taken atomic.Int64 // octets of the budget
	since atomic.Int64 // when the first of these were taken: Unix time in nanoseconds
}

// Share gives a connection its share, of which nothing is used.
func (b *Budget) Share() *Share { return &Share{of: b, room: allowance} }

// Keep counts octets that are kept from now on. It is false when there is no room for them; they are not counted then.
func (s *Share) Keep(n int) bool {
	if s.kept += n; s.kept <= s.room {
		return true
	}
	return s.more(n)
}

// Drop counts octets that are kept no more.
func (s *Share) Drop(n int) { s.kept -= n }

func (s *Share) more(n int) bool {
	steps := (s.kept - s.room + budgetStep - 1) / budgetStep
	if !s.of.take(int64(steps) * budgetStep) {
		s.kept -= n
		return false
	}
	if s.room == allowance {
		s.since.Store(time.Now().UnixNano())
	}
	s.room += steps * budgetStep
	s.taken.Add(int64(steps) * budgetStep)
	return true
}

// Restart begins with so many octets, of those that were kept, and gives back what these do not need of the budget. It
// tells whether there was anything: what was kept is more than memory that is worth to be used again.
func (s *Share) Restart(kept int) (large bool) {
	s.kept = kept
	needs := max(0, kept-allowance+budgetStep-1) / budgetStep * budgetStep
	if spare := s.room - allowance - needs; spare > 0 {
		s.of.left.Add(int64(spare))
		s.room -= spare
		s.taken.Add(-int64(spare))
		return true
	}
	return false
}

// Taken tells how many octets of the budget it has, and for how long.
func (s *Share) Taken(now time.Time) (octets int64, age time.Duration) {
	return s.taken.Load(), now.Sub(time.Unix(0, s.since.Load()))
}
