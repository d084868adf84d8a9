package dnsbl

import "time"

// clock tells the time of a monitor. Its times go on evenly, whatever the clock of the host is set to: they have a
// monotonic reading. Those of the state file have none.
type clock struct {
	read  func() time.Time // the clock of the host
	start time.Time
	speed time.Duration // how many times faster it goes than time does; at most 1: as time does
	seen  time.Time     // when it was last asked whether that clock was set
}

func newClock(read func() time.Time, speed int) clock {
	if read == nil {
		read = time.Now
	}
	now := read()
	return clock{read: read, start: now, speed: time.Duration(speed), seen: now}
}

func (c *clock) now() time.Time {
	now := c.read()
	if c.speed <= 1 {
		return now
	}
	return c.start.Add(now.Sub(c.start) * c.speed)
}

// until gives how long to sleep until a time of this clock.
func (c *clock) until(t time.Time) time.Duration {
	return t.Sub(c.now()) / max(c.speed, 1)
}

// setBy is how far the clock of a host must be set for its earlier times to be of no use: as after a start without a
// battery, before the time is known from the network. The clock of a host that slept counts as set.
const setBy = time.Hour

// set tells whether the clock of the host was set since it was last looked at.
func (c *clock) set(now time.Time) bool {
	by := now.Round(0).Sub(c.seen.Round(0)) - now.Sub(c.seen)
	c.seen = now
	return by.Abs() >= setBy
}

// redate gives all times that were told by the clock of the host before it was set the dates that they have by it now.
// Those of the state file stay what they are.
func (m *Monitor) redate(now time.Time) {
	dates := []*time.Time{&m.resolving.Since, &m.resolving.answered}
	for _, w := range m.watches {
		dates = append(dates, &w.since, &w.begun, &w.tested, &w.next, &w.answered)
		for _, c := range w.cells {
			dates = append(dates, &c.until, &c.since, &c.asked, &c.next)
			if c.doubt != nil {
				d := *c.doubt
				c.doubt = &d
				dates = append(dates, &d.first, &d.second, &d.upheld)
			}
		}
	}
	for _, t := range dates {
		if !t.IsZero() {
			*t = now.Add(t.Sub(now))
		}
	}
	m.anew, m.memory.dirty = true, true
}

// past gives a time, or the latest that it can be.
func past(t, latest time.Time) time.Time {
	if t.After(latest) {
		return latest
	}
	return t
}
