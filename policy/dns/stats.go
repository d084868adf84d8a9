package dns

import (
	"context"
	"errors"
	"sync/atomic"
)

// ClientStats counts what a [Client] did since it was made. Queries go to one server each; every query that has ended
// is in one of the outcomes.
type ClientStats struct {
	Queries uint64

	Found     uint64
	NoData    uint64
	NXDomain  uint64
	Timeout   uint64
	ServFail  uint64
	Refused   uint64
	Malformed uint64
	Network   uint64
	Dropped   uint64 // given up: another server was faster, or nobody waits any more

	TCP        uint64 // answers that did not fit, and were asked for again over TCP
	Mismatched uint64 // replies that did not fit the question: strays, or somebody guessing
}

type clientCounts struct {
	queries, tcp, mismatched, dropped              atomic.Uint64
	found, noData, nxDomain                        atomic.Uint64
	timeout, servFail, refused, malformed, network atomic.Uint64
}

// outcome counts what became of a query.
func (c *clientCounts) outcome(ctx context.Context, r reading) {
	switch {
	case r.Status == Found:
		c.found.Add(1)
	case r.Status == NoData:
		c.noData.Add(1)
	case r.Status == NXDomain:
		c.nxDomain.Add(1)
	case ctx.Err() != nil && !errors.Is(context.Cause(ctx), ErrTimeout):
		c.dropped.Add(1)
	case errors.Is(r.Err, ErrTimeout):
		c.timeout.Add(1)
	case errors.Is(r.Err, ErrServFail):
		c.servFail.Add(1)
	case errors.Is(r.Err, ErrRefused):
		c.refused.Add(1)
	case errors.Is(r.Err, ErrNetwork):
		c.network.Add(1)
	default:
		c.malformed.Add(1)
	}
}

// Stats gives the counts.
func (c *Client) Stats() ClientStats {
	n := &c.counts
	return ClientStats{
		Queries:    n.queries.Load(),
		Found:      n.found.Load(),
		NoData:     n.noData.Load(),
		NXDomain:   n.nxDomain.Load(),
		Timeout:    n.timeout.Load(),
		ServFail:   n.servFail.Load(),
		Refused:    n.refused.Load(),
		Malformed:  n.malformed.Load(),
		Network:    n.network.Load(),
		Dropped:    n.dropped.Load(),
		TCP:        n.tcp.Load(),
		Mismatched: n.mismatched.Load(),
	}
}

// CacheStats counts what a [Cache] did since it was made. Each question is a hit, a miss, stale or a failure; a miss
// can be stale as well.
type CacheStats struct {
	Hits      uint64 // answered from memory; twice where what was recalled was not enough, and is asked for with the rest
	Misses    uint64 // waited for the servers
	Stale     uint64 // answered with what had expired, because the servers fail or are slow
	Failures  uint64 // answered with a failure of a moment before
	Refreshes uint64 // questions asked in the background
	Busy      uint64 // questions not asked, for there were too many
	Entries   uint64 // in memory now
}

type cacheCounts struct {
	hits, misses, stale, failures, refreshes, busy atomic.Uint64
}

// again counts an answer of a time in which the servers fail.
func (c *cacheCounts) again(a Answer) {
	if a.Stale {
		c.stale.Add(1)
	} else {
		c.failures.Add(1)
	}
}

// Stats gives the counts.
func (c *Cache) Stats() CacheStats {
	n := &c.counts
	return CacheStats{
		Hits:      n.hits.Load(),
		Misses:    n.misses.Load(),
		Stale:     n.stale.Load(),
		Failures:  n.failures.Load(),
		Refreshes: n.refreshes.Load(),
		Busy:      n.busy.Load(),
		Entries:   uint64(max(0, c.entries.EstimatedSize())),
	}
}
