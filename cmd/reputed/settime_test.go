package main

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"reputed/cmd/reputed/internal/config"
)

// A clock that is set is told of once, at the next look, and one that is a little off is not.
func TestClockWatch(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		why  string
		sets []time.Duration // by how much it is set, one in each minute
		want string          // what the log has then, with blanks between; "-" where there is nothing
	}{
		{"nobody sets it", []time.Duration{0, 0, 0}, "- - -"},
		{"a day forward", []time.Duration{0, day, 0, 0}, "- forward:24h0m0s - -"},
		{"a day back", []time.Duration{-day, 0}, "back:24h0m0s -"},
		{"forward, and put right", []time.Duration{2 * day, -2 * day, 0}, "forward:48h0m0s back:48h0m0s -"},
		{"as much as is let pass, again and again", []time.Duration{clockSet, clockSet, -clockSet, -clockSet}, "- - - -"},
		{"a little more", []time.Duration{clockSet + time.Second, -clockSet - time.Second}, "forward:2m1s back:2m1s"},
	} {
		t.Run(tt.why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log lineLog
				var ahead atomic.Int64
				now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
				c := &clockWatch{now: now, log: newLog(&log, config.Logfmt)}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					c.run(ctx)
				}()
				synctest.Wait()
				var all []string
				for _, by := range tt.sets {
					ahead.Add(int64(by))
					time.Sleep(clockLook)
					synctest.Wait()
					all = append(all, setBy(t, log.take(), now()))
				}
				cancel()
				<-ended
				if got := strings.Join(all, " "); got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			})
		})
	}
}

// setBy gives what a log says of the clock, which now shows the time that it must name.
func setBy(t *testing.T, log string, now time.Time) string {
	t.Helper()
	_, said, ok := strings.Cut(log, `level=WARN msg="the clock was set `)
	if !ok {
		if log != "" {
			t.Errorf("the log: %s", log)
		}
		return "-"
	}
	said, to, _ := strings.Cut(said, `" to=`)
	if to != now.Format(time.RFC3339) {
		t.Errorf("the log: %s", log)
	}
	return strings.ReplaceAll(said, " by ", ":")
}
