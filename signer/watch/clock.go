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
	return t.Sub(c.now()) / max(c.speed, 1)
}
