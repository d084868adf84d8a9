package dns

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
)

// How long answers are kept.
const (
	minTTL    = 5 * time.Second  // also of what must not be kept: a message asks the same several times
	maxTTL    = time.Hour        // of Found
	maxNegTTL = 15 * time.Minute // of NoData and NXDomain: what is missing tends to be mended
	maxStale  = 24 * time.Hour   // beyond its time, while the servers fail: RFC 8767, section 5
	staleTTL  = 30 * time.Second // of such an answer: RFC 8767, section 4

	patience = time.Second / 2 // with the servers, of who can have such an answer instead
)

// backoff is how long a failure is kept, by how many came before it. RFC 9520, section 3.2: at least a second, more
// when it goes on, and no more than five minutes.
var backoff = [...]time.Duration{time.Second, 5 * time.Second, 30 * time.Second}

// More errors of [Cache.Resolve].
var (
	ErrBusy   = errors.New("too many questions at once")
	ErrClosed = errors.New("the cache is closed")
)

var errSilent = errors.New("the servers have been silent of late")

// CacheOptions bounds a [Cache]. The zero value is right.
type CacheOptions struct {
	MaxEntries int              // 0: 10,000; an answer of several KB counts as so many
	MaxFlights int              // questions on their way to the servers at once; 0: 512
	MaxFlight  time.Duration    // for one of them, whoever waits for it; 0: 10 s
	Now        func() time.Time // nil: time.Now

	// Silence is how many questions must time out, with no answer meanwhile, before nobody waits for the servers any
	// more. 0: 1, for mail can do without an answer, and must not be late; more is for who would rather know.
	Silence int
}

// Cache is a [Resolver] that remembers what another says.
//
// Answers are kept for their TTL, from 5 seconds to an hour, negative ones to a quarter of an hour. One that is asked
// for in the last tenth of that time is renewed in the background. Failures are kept for a second, then five, then
// thirty. While the servers fail, what they last said is repeated for a day, with Stale set (RFC 8767); a negative
// answer too. When a question times out, and no other was answered meanwhile, nobody waits for the servers any more
// until they answer again, but for 20 milliseconds in each second, to see whether they do.
//
// However many ask the same question, it goes out once. It is on its way for all of them: who gives up gets an answer
// at once (Failed, [ErrTimeout] and the cause), and the cache gets the true one later.
//
// The records of answers are shared: they must not be changed.
type Cache struct {
	next       Resolver
	now        func() time.Time
	maxFlights int
	maxFlight  time.Duration
	entries    *otter.Cache[key, *entry]
	counts     cacheCounts
	silence    silence

	ctx     context.Context // of the flights
	cancel  context.CancelFunc
	running sync.WaitGroup
	mu      sync.Mutex
	closed  bool
	flights map[key]*flight
}

// key is a question: a name in lower case, and a type.
type key struct {
	name string
	t    Type
}

// NewCache makes a cache of what next says. Close it in the end.
func NewCache(next Resolver, o CacheOptions) *Cache {
	c := &Cache{next: next, now: o.Now, maxFlights: o.MaxFlights, maxFlight: o.MaxFlight, flights: map[key]*flight{}}
	if c.now == nil {
		c.now = time.Now
	}
	c.silence.after, c.silence.begun = max(1, o.Silence), make(chan struct{})
	if c.maxFlights <= 0 {
		c.maxFlights = 512
	}
	if c.maxFlight <= 0 {
		c.maxFlight = 10 * time.Second
	}
	if o.MaxEntries <= 0 {
		o.MaxEntries = 10_000
	}
	// Entries know their time themselves, for they are of use beyond it.
	c.entries = otter.Must(&otter.Options[key, *entry]{
		MaximumWeight: uint64(o.MaxEntries),
		Weigher:       weigh,
		Executor:      func(do func()) { do() }, // no goroutine that Close would not know of
	})
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Resolve answers from memory if it can. It waits for the servers no longer than ctx allows.
func (c *Cache) Resolve(ctx context.Context, name string, t Type) Answer {
	k := key{lower(name), t}
	e, a, ok := c.recall(k)
	if !ok {
		return c.wait(ctx, k, e)
	}
	return a
}

// Recall answers from memory, as Resolve does, and like it has asked for anew what will soon expire. It is false where
// Resolve would wait for the servers, which are not asked then.
func (c *Cache) Recall(name string, t Type) (Answer, bool) {
	_, a, ok := c.recall(key{lower(name), t})
	return a, ok
}

// recall finds what is remembered, and whether it is an answer without the servers.
func (c *Cache) recall(k key) (*entry, Answer, bool) {
	e, _ := c.entries.GetIfPresent(k)
	if e == nil {
		return nil, Answer{}, false
	}
	now := c.now()
	a := e.at(now)
	switch {
	case a.Status != Failed && !a.Stale:
		c.counts.hits.Add(1)
		if !now.Before(e.ahead) && !now.Before(e.retry) {
			c.fly(k, e, true)
		}
	case now.Before(e.retry):
		c.counts.again(a)
	case a.Stale && (e.failures > 0 || c.silence.holds(now)):
		c.counts.again(a)
		c.fly(k, e, true)
	default:
		return e, a, false
	}
	return e, a, true
}

// wait asks the servers. If they fail, or are slow, what is known from before has to do.
func (c *Cache) wait(ctx context.Context, k key, known *entry) Answer {
	c.counts.misses.Add(1)
	var before Answer
	if known != nil {
		before = known.at(c.now())
	}
	if before.Stale {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	a, err := c.await(ctx, k, known)
	if err != nil && before.Stale {
		a = before
	} else if err != nil {
		return Answer{Err: err}
	}
	if a.Stale {
		c.counts.stale.Add(1)
	}
	return a
}

// await waits for the answer of the servers. It is an error not to get to know it.
func (c *Cache) await(ctx context.Context, k key, known *entry) (Answer, error) {
	if ctx.Err() != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrTimeout, context.Cause(ctx))
	}
	f, err := c.fly(k, known, false)
	if err != nil {
		return Answer{}, err
	}
	for {
		select {
		case <-f.landed:
			return f.answer, nil
		case <-ctx.Done():
			return Answer{}, fmt.Errorf("%w: %w", ErrTimeout, context.Cause(ctx))
		case <-c.silence.begins(c.now()):
		}
		if enough := time.NewTimer(c.silence.glance(c.now())); !f.lands(ctx, enough) && c.silence.holds(c.now()) {
			return Answer{}, fmt.Errorf("%w: %w", ErrTimeout, errSilent)
		}
	}
}

// Renew makes all that is remembered old: it is asked for anew, also what failed, and serves only while the servers fail.
// For the operator who has just mended a record, and says so.
func (c *Cache) Renew() {
	now := c.now()
	for k, e := range c.entries.All() {
		old := *e
		old.failures, old.retry = 0, time.Time{}
		if now.Before(old.expires) {
			old.expires = now
		}
		c.entries.Set(k, &old)
	}
}

// Close ends what is on its way, and waits until it has. What is in memory is still answered.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.running.Wait()
}
