package dns_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"reputed/policy/dns"
)

// upstream is a resolver that answers as told, and counts.
type upstream struct {
	mu     sync.Mutex
	answer dns.Answer
	delay  time.Duration
	asked  int
}

func (u *upstream) Resolve(ctx context.Context, _ string, _ dns.Type) dns.Answer {
	u.mu.Lock()
	u.asked++
	a, delay := u.answer, u.delay
	u.mu.Unlock()
	select {
	case <-time.After(delay):
		return a
	case <-ctx.Done():
		return dns.Answer{Err: fmt.Errorf("%w: %w", dns.ErrTimeout, context.Cause(ctx))}
	}
}

// say sets what is answered from now on.
func (u *upstream) say(a dns.Answer, delay time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer, u.delay = a, delay
}

// want fails if there were not n questions since the last time.
func (u *upstream) want(t *testing.T, n int, why string) {
	t.Helper()
	synctest.Wait()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.asked != n {
		t.Errorf("%s: %d questions, not %d", why, u.asked, n)
	}
	u.asked = 0
}

func found(text string, ttl time.Duration) dns.Answer {
	return dns.Answer{Status: dns.Found, Records: []dns.Record{{Text: text}}, TTL: ttl}
}

func failed(err error) dns.Answer { return dns.Answer{Err: err} }

// cached runs a test of a cache in a bubble, where time passes when nobody is at work.
func cached(t *testing.T, o dns.CacheOptions, test func(t *testing.T, c *dns.Cache, u *upstream)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{}
		c := dns.NewCache(u, o)
		defer c.Close()
		test(t, c, u)
	})
}

func ask(c *dns.Cache) dns.Answer { return c.Resolve(context.Background(), "example.org", dns.TXT) }

// Memory answers while asking would not wait, and nobody is asked for it but ahead of time, as otherwise.
func TestRecall(t *testing.T) {
	cached(t, dns.CacheOptions{}, func(t *testing.T, c *dns.Cache, u *upstream) {
		recall := func(why string, want bool) {
			t.Helper()
			if a, ok := c.Recall("Example.org", dns.TXT); ok != want || ok && (a.Status != dns.Found || a.Records[0].Text != "x") {
				t.Errorf("%s: %+v, %v", why, a, ok)
			}
		}
		u.say(found("x", 5*time.Minute), 0)
		recall("never asked for", false)
		u.want(t, 0, "memory asks nobody")
		ask(c)
		u.want(t, 1, "asked for")
		recall("it holds", true)
		u.want(t, 0, "it holds")
		time.Sleep(5*time.Minute - time.Second)
		recall("it holds for a second more", true)
		u.want(t, 1, "it is asked for ahead of time")
		u.say(failed(dns.ErrServFail), 0)
		time.Sleep(5 * time.Minute)
		recall("it has expired", false)
		u.want(t, 0, "it has expired")
		ask(c)
		u.want(t, 1, "the servers fail")
		recall("what was known before, for they have just failed", true)
	})
}

func TestCacheTTL(t *testing.T) {
	for _, tt := range []struct {
		name string
		said dns.Answer
		kept time.Duration
	}{
		{"found", found("x", 5*time.Minute), 5 * time.Minute},
		{"found for a moment", found("x", 0), 5 * time.Second},
		{"found for a week", found("x", 7*24*time.Hour), time.Hour},
		{"nodata", dns.Answer{Status: dns.NoData, TTL: time.Minute}, time.Minute},
		{"nxdomain for a moment", dns.Answer{Status: dns.NXDomain}, 5 * time.Second},
		{"nxdomain for a day", dns.Answer{Status: dns.NXDomain, TTL: 24 * time.Hour}, 15 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cached(t, dns.CacheOptions{}, func(t *testing.T, c *dns.Cache, u *upstream) {
				u.say(tt.said, 0)
				if a := ask(c); a.Status != tt.said.Status || a.TTL != tt.kept || a.Stale {
					t.Errorf("asked: %+v", a)
				}
				time.Sleep(tt.kept / 2)
				if a := ask(c); a.Status != tt.said.Status || a.TTL != tt.kept/2 || a.Stale {
					t.Errorf("from memory: %+v", a)
				}
				u.want(t, 1, "while it holds")
				time.Sleep(tt.kept / 2)
				if a := ask(c); a.TTL != tt.kept || a.Stale {
					t.Errorf("asked again: %+v", a)
				}
				u.want(t, 1, "when it has expired")
				if n := c.Stats(); n != (dns.CacheStats{Hits: 1, Misses: 2, Entries: 1}) {
					t.Errorf("%+v", n)
				}
			})
		})
	}
}

func TestCacheKeys(t *testing.T) {
	cached(t, dns.CacheOptions{}, func(t *testing.T, c *dns.Cache, u *upstream) {
		u.say(found("x", time.Minute), 0)
		for _, q := range []struct {
			name  string
			qtype dns.Type
			asked int
		}{
			{"example.org", dns.TXT, 1},
			{"EXAMPLE.ORG", dns.TXT, 0},
			{"example.org", dns.A, 1},
			{"\xc3\x84.org", dns.A, 1},
			{"\xc3\xa4.org", dns.A, 1}, // RFC 4343: only ASCII has case
			{"\xff.ORG", dns.A, 1},
			{"\xfe.ORG", dns.A, 1},
		} {
			c.Resolve(context.Background(), q.name, q.qtype)
			u.want(t, q.asked, fmt.Sprintf("%q %s", q.name, q.qtype))
		}
	})
}

func TestCacheRefreshesAhead(t *testing.T) {
	cached(t, dns.CacheOptions{}, func(t *testing.T, c *dns.Cache, u *upstream) {
		u.say(found("old", 100*time.Second), 0)
		ask(c)
		time.Sleep(89 * time.Second)
		ask(c)
		u.want(t, 1, "not in the first nine tenths")
		time.Sleep(2 * time.Second)
		u.say(found("new", 100*time.Second), time.Second)
		for range 100 {
			if a := ask(c); a.Records[0].Text != "old" || a.TTL != 9*time.Second {
				t.Errorf("nobody waits for the new answer: %+v", a)
			}
		}
		time.Sleep(2 * time.Second)
		if a := ask(c); a.Records[0].Text != "new" || a.TTL != 99*time.Second {
			t.Errorf("the new answer: %+v", a)
		}
		u.want(t, 1, "in the last tenth, once")

		time.Sleep(90 * time.Second) // 9 s are left
		u.say(failed(dns.ErrTimeout), 0)
		for range 12 { // at 0, 1 and 6 s of these 6
			if a := ask(c); a.Status != dns.Found || a.Stale {
				t.Errorf("a failure does no harm to what still holds: %+v", a)
			}
			time.Sleep(time.Second / 2)
		}
		ask(c)
		u.want(t, 3, "failures are kept here too")
		if n := c.Stats(); n.Misses != 1 || n.Refreshes != 4 {
			t.Errorf("%+v", n)
		}
	})
}

func TestCacheSingleFlight(t *testing.T) {
	cached(t, dns.CacheOptions{}, func(t *testing.T, c *dns.Cache, u *upstream) {
		u.say(found("x", time.Minute), time.Second)
		ctx, cancel := context.WithCancel(context.Background())
		var all sync.WaitGroup
		all.Go(func() {
			a := c.Resolve(ctx, "example.org", dns.TXT)
			if a.Status != dns.Failed || !errors.Is(a.Err, dns.ErrTimeout) || !errors.Is(a.Err, context.Canceled) {
				t.Errorf("who gives up: %+v", a)
			}
		})
		synctest.Wait()
		for range 100 {
			all.Go(func() {
				if a := ask(c); a.Status != dns.Found {
					t.Errorf("who waits: %+v", a)
				}
			})
		}
		synctest.Wait()
		cancel()
		all.Wait()
		u.want(t, 1, "101 ask")

		u.say(found("x", time.Minute), time.Second)
		ctx, cancel = context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		if a := c.Resolve(ctx, "other.example.org", dns.TXT); !errors.Is(a.Err, context.DeadlineExceeded) {
			t.Errorf("a deadline: %+v", a)
		}
		if a := c.Resolve(ctx, "third.example.org", dns.TXT); !errors.Is(a.Err, context.DeadlineExceeded) {
			t.Errorf("a deadline of before: %+v", a)
		}
		time.Sleep(time.Second)
		if a := c.Resolve(ctx, "other.example.org", dns.TXT); a.Status != dns.Found {
			t.Errorf("the answer that nobody waited for: %+v", a)
		}
		u.want(t, 1, "nothing is asked for who has no time")
	})
}

func TestCacheFlightEnds(t *testing.T) {
	cached(t, dns.CacheOptions{MaxFlight: 7 * time.Second}, func(t *testing.T, c *dns.Cache, u *upstream) {
		u.say(found("x", time.Minute), time.Hour)
		began := time.Now()
		if a := ask(c); !errors.Is(a.Err, dns.ErrTimeout) || time.Since(began) != 7*time.Second {
			t.Errorf("%+v after %v", a, time.Since(began))
		}
	})
}

func TestCacheBounds(t *testing.T) {
	cached(t, dns.CacheOptions{MaxEntries: 100}, func(t *testing.T, c *dns.Cache, u *upstream) {
		u.say(found("x", time.Minute), 0)
		for i := range 1000 {
			c.Resolve(context.Background(), fmt.Sprintf("%d.example.org", i), dns.TXT)
		}
		if n := c.Stats().Entries; n < 50 || n > 100 {
			t.Errorf("%d small answers are kept", n)
		}
		u.say(found(strings.Repeat("x", 10<<10), time.Minute), 0)
		for i := range 1000 {
			c.Resolve(context.Background(), fmt.Sprintf("large%d.example.org", i), dns.TXT)
		}
		large := 0
		u.want(t, 2000, "all were asked for")
		for i := range 1000 {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if c.Resolve(ctx, fmt.Sprintf("large%d.example.org", i), dns.TXT).Status == dns.Found {
				large++
			}
		}
		if large > 9 {
			t.Errorf("%d answers of 10 KB are kept", large)
		}
	})
	cached(t, dns.CacheOptions{MaxFlights: 10}, func(t *testing.T, c *dns.Cache, u *upstream) {
		u.say(found("x", time.Minute), time.Second)
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() { c.Resolve(context.Background(), fmt.Sprintf("%d.example.org", i), dns.TXT) })
		}
		synctest.Wait()
		if a := ask(c); !errors.Is(a.Err, dns.ErrBusy) {
			t.Errorf("%+v", a)
		}
		all.Go(func() { c.Resolve(context.Background(), "1.example.org", dns.TXT) })
		all.Wait()
		u.want(t, 10, "the same question needs no flight of its own")
		if a := ask(c); a.Status != dns.Found {
			t.Errorf("to have been busy is not remembered: %+v", a)
		}
		if n := c.Stats(); n.Busy != 1 {
			t.Errorf("%+v", n)
		}
	})
}

func TestCacheClose(t *testing.T) {
	cached(t, dns.CacheOptions{}, func(t *testing.T, c *dns.Cache, u *upstream) {
		u.say(found("x", time.Minute), 0)
		ask(c)
		u.say(found("x", time.Minute), time.Hour)
		answers := make(chan dns.Answer, 1)
		go func() { answers <- c.Resolve(context.Background(), "slow.example.org", dns.TXT) }()
		synctest.Wait()
		c.Close()
		if a := <-answers; !errors.Is(a.Err, context.Canceled) {
			t.Errorf("what was on its way: %+v", a)
		}
		if a := ask(c); a.Status != dns.Found {
			t.Errorf("what is in memory: %+v", a)
		}
		if a := c.Resolve(context.Background(), "new.example.org", dns.TXT); !errors.Is(a.Err, dns.ErrClosed) {
			t.Errorf("what is not: %+v", a)
		}
		if a := c.Resolve(context.Background(), "slow.example.org", dns.TXT); !errors.Is(a.Err, dns.ErrClosed) {
			t.Errorf("to have been given up is no failure of the servers: %+v", a)
		}
		c.Close()
	})
}

// Many ask a client through a cache while the servers come and go.
func TestCacheAtWork(t *testing.T) {
	s := start(t, zone)
	client := client(s.AddrPort(), closed(t))
	c := dns.NewCache(client, dns.CacheOptions{MaxEntries: 50})
	defer c.Close()
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for j := range 200 {
				if i == 0 && j%50 == 25 {
					s.Set("")
				} else if i == 0 && j%50 == 0 {
					s.Set(zone)
				}
				ctx, cancel := context.WithTimeout(context.Background(), timeout)
				a := c.Resolve(ctx, fmt.Sprintf("%d.wild.example.org", i*j%100), dns.A)
				if a.Status == dns.Found && len(a.Records) != 1 {
					t.Errorf("%+v", a)
				}
				cancel()
			}
		})
	}
	all.Wait()
	n := c.Stats()
	if sum := n.Hits + n.Misses + n.Failures; sum != 16*200 || n.Hits == 0 {
		t.Errorf("%+v", n)
	}
	if q := client.Stats().Queries; q > n.Misses+n.Refreshes {
		t.Errorf("%d queries for %+v", q, n)
	}
}

// The operator has mended a record and says so: it is asked for anew, also what failed; what was known before serves
// only while the servers fail.
func TestCacheRenew(t *testing.T) {
	cached(t, dns.CacheOptions{}, func(t *testing.T, c *dns.Cache, u *upstream) {
		u.say(found("old", time.Hour), 0)
		ask(c)
		u.want(t, 1, "the first question")
		u.say(found("new", time.Hour), 0)
		c.Renew()
		if a := ask(c); a.Records[0].Text != "new" || a.Stale {
			t.Errorf("%+v", a)
		}
		u.want(t, 1, "after it was mended")
		u.say(failed(dns.ErrServFail), 0)
		c.Renew()
		if a := ask(c); a.Records[0].Text != "new" || !a.Stale {
			t.Errorf("while the servers fail: %+v", a)
		}
		u.say(found("newer", time.Hour), 0)
		c.Renew() // before the failure has run out
		if a := ask(c); a.Records[0].Text != "newer" || a.Stale {
			t.Errorf("after the failure: %+v", a)
		}
	})
}

// A panic of what is asked is a failure of the one question.
func TestCachePanic(t *testing.T) {
	c := dns.NewCache(dns.ResolverFunc(func(context.Context, string, dns.Type) dns.Answer { panic("a fault") }), dns.CacheOptions{})
	defer c.Close()
	if a := ask(c); a.Status != dns.Failed || !errors.Is(a.Err, dns.ErrMalformed) {
		t.Errorf("%+v", a)
	}
}
