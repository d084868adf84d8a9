package dns_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"reputed/policy/dns"
)

// What a cache does while the servers say nothing at all.

// waited gives how long somebody waits who asks for a name.
func waited(c *dns.Cache, name string) time.Duration {
	began := time.Now()
	c.Resolve(context.Background(), name, dns.TXT)
	return time.Since(began)
}

// During a black-out, questions that were never asked before do not wait for the time-out one after another: after so
// many, they wait together for 20 ms in each second.
func TestCacheSilence(t *testing.T) {
	for _, silence := range []int{0, 5} {
		cached(t, dns.CacheOptions{Silence: silence}, func(t *testing.T, c *dns.Cache, u *upstream) {
			u.say(found("x", time.Minute), 0)
			ask(c)
			time.Sleep(time.Hour)
			u.say(failed(dns.ErrTimeout), 2*time.Second)
			for i := range max(silence, 1) {
				if w := waited(c, fmt.Sprintf("%d.example.org", i)); w != 2*time.Second {
					t.Errorf("question %d waited %v", i, w)
				}
			}
			time.Sleep(20 * time.Millisecond)
			for second := range 10 {
				began := time.Now()
				for i := range 100 {
					c.Resolve(context.Background(), fmt.Sprintf("later%d.%d.example.org", i, second), dns.TXT)
				}
				if w := time.Since(began); w > 20*time.Millisecond || second > 0 && w == 0 {
					t.Errorf("100 questions of second %d waited %v", second, w)
				}
				time.Sleep(time.Until(began.Add(time.Second)))
			}
			if w := waited(c, "example.org"); w != 0 {
				t.Errorf("what is known from before waited %v", w)
			}
			time.Sleep(10 * time.Second)
			u.say(found("x", time.Minute), time.Second)
			if w := waited(c, "new.example.org"); w != 20*time.Millisecond {
				t.Errorf("the first after the black-out waited %v", w)
			}
			time.Sleep(time.Second)
			if w := waited(c, "newer.example.org"); w != time.Second {
				t.Errorf("the next one waited %v", w)
			}
		})
	}
}

// Who waits already when the servers turn out to be silent is let go as well.
func TestCacheSilenceLetsGo(t *testing.T) {
	cached(t, dns.CacheOptions{}, func(t *testing.T, c *dns.Cache, u *upstream) {
		u.say(failed(dns.ErrTimeout), time.Second)
		began := time.Now()
		var all sync.WaitGroup
		for i := range 100 { // one every 10 ms
			all.Go(func() {
				a := c.Resolve(context.Background(), fmt.Sprintf("%d.example.org", i), dns.TXT)
				if a.Status != dns.Failed || !errors.Is(a.Err, dns.ErrTimeout) {
					t.Errorf("%+v", a)
				}
				if w := time.Since(began); w > time.Second+20*time.Millisecond {
					t.Errorf("question %d had its answer after %v", i, w)
				}
			})
			time.Sleep(10 * time.Millisecond)
		}
		all.Wait()
		u.want(t, 100, "all were asked")
	})
}

// What lands within the glance is an answer, and others may wait again from then on.
func TestCacheGlance(t *testing.T) {
	cached(t, dns.CacheOptions{}, func(t *testing.T, c *dns.Cache, u *upstream) {
		u.say(failed(dns.ErrTimeout), time.Second)
		waited(c, "dead.example.org")
		time.Sleep(time.Second)
		u.say(found("x", time.Minute), 100*time.Millisecond)
		var all sync.WaitGroup
		all.Go(func() {
			if w := waited(c, "slow.example.org"); w != 100*time.Millisecond {
				t.Errorf("who asked before the servers were heard again waited %v", w)
			}
		})
		synctest.Wait()
		u.say(found("x", time.Minute), 15*time.Millisecond)
		if a := ask(c); a.Status != dns.Found {
			t.Errorf("%+v", a)
		}
		all.Wait()
	})
}

// One domain of bad servers is no black-out, however often it is asked for; nor are many of them, while others are
// answered.
func TestCacheNoSilence(t *testing.T) {
	cached(t, dns.CacheOptions{Silence: 2}, func(t *testing.T, c *dns.Cache, u *upstream) {
		u.say(failed(dns.ErrTimeout), 2*time.Second)
		for range 20 {
			ask(c)
			time.Sleep(time.Minute)
		}
		u.say(found("x", time.Minute), time.Second)
		if a := c.Resolve(context.Background(), "good.example.org", dns.TXT); a.Status != dns.Found {
			t.Errorf("%+v", a)
		}
	})
	cached(t, dns.CacheOptions{}, func(t *testing.T, c *dns.Cache, u *upstream) {
		var all sync.WaitGroup
		for i := range 20 {
			u.say(failed(dns.ErrTimeout), 2*time.Second)
			all.Go(func() { waited(c, fmt.Sprintf("%d.bad.example.org", i)) })
			time.Sleep(time.Second)
			u.say(found("x", time.Minute), time.Second/2)
			name := fmt.Sprintf("%d.good.example.org", i)
			if a := c.Resolve(context.Background(), name, dns.TXT); a.Status != dns.Found {
				t.Errorf("%s: %+v", name, a)
			}
		}
		all.Wait()
	})
}

// A resolver that says that it fails is not silent.
func TestCacheFailureIsHeard(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want time.Duration // that the next question waits, whose answer takes 60 ms
	}{
		"SERVFAIL":                       {dns.ErrServFail, 60 * time.Millisecond},
		"REFUSED":                        {dns.ErrRefused, 60 * time.Millisecond},
		"one of two servers timed out":   {errors.Join(dns.ErrServFail, dns.ErrTimeout), 20 * time.Millisecond},
		"another time-out: silent still": {dns.ErrTimeout, 20 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			cached(t, dns.CacheOptions{}, func(t *testing.T, c *dns.Cache, u *upstream) {
				u.say(failed(dns.ErrTimeout), time.Second)
				waited(c, "lame.example.org")
				time.Sleep(time.Second)
				u.say(failed(tt.err), 0)
				waited(c, "next.example.org")
				time.Sleep(time.Second)
				u.say(found("x", time.Minute), 60*time.Millisecond)
				if w := waited(c, "good.example.org"); w != tt.want {
					t.Errorf("waited %v, want %v", w, tt.want)
				}
			})
		})
	}
}

// A time-out tells nothing of the hours after it; while questions time out, silence goes on, be they of names that did so
// before.
func TestCacheSilenceEnds(t *testing.T) {
	cached(t, dns.CacheOptions{}, func(t *testing.T, c *dns.Cache, u *upstream) {
		u.say(failed(dns.ErrTimeout), time.Second)
		waited(c, "lame.example.org")
		time.Sleep(20 * time.Second)
		waited(c, "lame.example.org")
		time.Sleep(20 * time.Second)
		if w := waited(c, "other.example.org"); w > 20*time.Millisecond {
			t.Errorf("20 s after the last time-out: waited %v", w)
		}
		time.Sleep(time.Minute)
		u.say(found("x", time.Minute), 60*time.Millisecond)
		if w := waited(c, "good.example.org"); w != 60*time.Millisecond {
			t.Errorf("a minute after the last time-out: waited %v", w)
		}
	})
	cached(t, dns.CacheOptions{}, func(t *testing.T, c *dns.Cache, u *upstream) {
		u.say(failed(dns.ErrTimeout), time.Second)
		waited(c, "lame.example.org")
		time.Sleep(time.Minute)
		if w := waited(c, "lame.example.org"); w != time.Second { // who comes first
			t.Errorf("a minute after the last time-out: waited %v", w)
		}
	})
}
