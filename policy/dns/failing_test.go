package dns_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"reputed/policy/dns"
)

// What a cache does while the servers fail.

// RFC 9520: failures are remembered, longer when they go on.
func TestCacheFailures(t *testing.T) {
	cached(t, dns.CacheOptions{}, func(t *testing.T, c *dns.Cache, u *upstream) {
		u.say(failed(dns.ErrServFail), 0)
		for _, kept := range []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 30 * time.Second} {
			ask(c)
			time.Sleep(kept - time.Millisecond)
			if a := ask(c); a.Status != dns.Failed || !errors.Is(a.Err, dns.ErrServFail) || a.TTL != time.Millisecond {
				t.Errorf("a failure from memory: %+v", a)
			}
			u.want(t, 1, kept.String())
			time.Sleep(time.Millisecond)
		}
		u.say(found("x", time.Minute), 0)
		if a := ask(c); a.Status != dns.Found {
			t.Errorf("the servers answer again: %+v", a)
		}
		time.Sleep(time.Minute)
		u.say(failed(dns.ErrServFail), 0)
		ask(c)
		time.Sleep(time.Second)
		ask(c)
		u.want(t, 3, "an answer between them makes failures count anew")
		if n := c.Stats(); n.Failures != 4 {
			t.Errorf("%+v", n)
		}
	})
}

// RFC 8767: what is known is better than nothing, for a day.
func TestCacheStale(t *testing.T) {
	for _, known := range []dns.Answer{found("x", time.Minute), {Status: dns.NXDomain, TTL: time.Minute}} {
		cached(t, dns.CacheOptions{}, func(t *testing.T, c *dns.Cache, u *upstream) {
			u.say(known, 0)
			ask(c)
			u.say(failed(dns.ErrTimeout), 3*time.Second)
			time.Sleep(time.Hour)
			began := time.Now()
			want := func(why string, waited time.Duration) {
				t.Helper()
				a := ask(c)
				if a.Status != known.Status || !a.Stale || a.TTL != 30*time.Second || time.Since(began) != waited {
					t.Errorf("%s: %+v after %v", why, a, time.Since(began))
				}
				began = time.Now()
			}
			want("the servers are given a little time", time.Second/2)
			want("and the next time too, while nothing is known of them", time.Second/2)
			time.Sleep(3 * time.Second)
			began = time.Now()
			for range 10 {
				want("nobody waits when they have failed", 0)
			}
			u.want(t, 3, "in the meantime they are asked in the background, once")

			time.Sleep(20*time.Hour + 3*time.Second)
			began = time.Now()
			want("hours later", 0)
			time.Sleep(4 * time.Second)
			u.say(found("new", time.Minute), 0)
			time.Sleep(30 * time.Second)
			began = time.Now()
			want("who asks first", 0)
			synctest.Wait()
			if a := ask(c); a.Stale || a.Status != dns.Found || a.Records[0].Text != "new" {
				t.Errorf("the servers answer again: %+v", a)
			}

			u.say(failed(dns.ErrTimeout), 0)
			time.Sleep(time.Minute + 24*time.Hour)
			if a := ask(c); a.Status != dns.Failed {
				t.Errorf("after a day: %+v", a)
			}
		})
	}
}
