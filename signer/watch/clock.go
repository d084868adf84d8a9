package watch

import "time"

// clock tells the time of a watch.
type clock struct {
	start time.Time
	speed time.Duration // how many times faster it goes than time does; at most 1: as time does
}

func newClock(speed int) clock { return clock{time.Now(), time.Duration(speed)} }

func (c clock) now() time.Time {
	if c.speed <= 1 {
		return time.Now()
	}
	return c.start.Add(time.Since(c.start) * c.speed)
}

// until gives how long to sleep until a time of this clock.
func (c clock) until(t time.Time) time.Duration {
	if c.speed <= 1 {
		return time.Until(t)
	}
	return max(t.Sub(c.now())/c.speed, time.Millisecond)
}

// spans gives what a time span is by this clock.
func (c clock) spans(d time.Duration) time.Duration { return d * max(c.speed, 1) }

// brink gives how old a look may be when a step is taken because of it: just as long as it takes to do so, if the clock
// goes very fast.
func (c clock) brink() time.Duration { return max(brink, c.speed*50*time.Millisecond) }
