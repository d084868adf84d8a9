package main

import (
	"context"
	"log/slog"
	"time"
)

const (
	clockLook = time.Minute // between looks at the clock

	// Within one it may gain or lose so much without a word: no service that keeps it right does.
	clockSet = 2 * time.Minute
)

// clockWatch tells that the clock was set. Signatures bear its time, and what is due is due by it: who looks into the
// log for why a receiver took a signature for expired, or why a key was rotated early, finds it there.
type clockWatch struct {
	now func() time.Time // the clock
	log *slog.Logger
}

// run looks at the clock until ctx ends, and holds it against how much time has passed, which nobody can set. A host
// that slept finds its clock set forward, too.
func (c *clockWatch) run(ctx context.Context) {
	tick := time.NewTicker(clockLook)
	defer tick.Stop()
	for was, since := c.wall(), time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, at := c.wall(), time.Now()
		c.tell(now.Sub(was)-at.Sub(since), now)
		was, since = now, at
	}
}

// wall gives what the clock shows, and nothing by which differences would be of time that passed.
func (c *clockWatch) wall() time.Time { return c.now().Round(0) }

func (c *clockWatch) tell(by time.Duration, now time.Time) {
	way := "forward"
	if by < 0 {
		by, way = -by, "back"
	}
	if by > clockSet {
		c.log.Warn("the clock was set "+way+" by "+by.Round(time.Second).String(), "to", now.Format(time.RFC3339))
	}
}
