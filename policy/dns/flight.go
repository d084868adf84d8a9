package dns

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// flight is a question on its way to the servers, for all who ask it.
type flight struct {
	landed chan struct{} // closed when answer is there
	answer Answer
	since  uint64 // answers to others when it began
}

// lands tells whether the answer is there, or nobody waits for it any more, before it was waited for enough.
func (f *flight) lands(ctx context.Context, enough *time.Timer) bool {
	defer enough.Stop()
	select {
	case <-f.landed:
		return true
	case <-ctx.Done():
		return true
	case <-enough.C:
	}
	select {
	case <-f.landed: // both may be so
		return true
	default:
		return false
	}
}

// fly joins the flight of a question, or begins it. Known is the entry that made the caller ask: if there is a newer
// one, a flight has landed just now.
func (c *Cache) fly(k key, known *entry, background bool) (*flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.flights[k]; f != nil {
		return f, nil
	}
	if e, _ := c.entries.GetIfPresent(k); e != nil && e != known {
		f := &flight{landed: make(chan struct{}), answer: e.at(c.now())}
		close(f.landed)
		return f, nil
	}
	switch {
	case c.closed:
		return nil, ErrClosed
	case len(c.flights) >= c.maxFlights:
		c.counts.busy.Add(1)
		return nil, ErrBusy
	case background:
		c.counts.refreshes.Add(1)
	}
	k.name = strings.Clone(k.name) // it may be part of a whole message
	f := &flight{landed: make(chan struct{}), since: c.silence.since()}
	c.flights[k] = f
	c.running.Go(func() { c.ask(k, f) })
	return f, nil
}

// ask asks the servers, and remembers the answer. Whatever happens, the flight lands: a panic is a fault of ours, and
// costs the answer, not the process.
func (c *Cache) ask(k key, f *flight) {
	defer c.land(k, f)
	defer func() {
		if v := recover(); v != nil {
			f.answer = c.broken(v)
		}
	}()
	ctx, cancel := context.WithTimeoutCause(c.ctx, c.maxFlight, ErrTimeout)
	defer cancel()
	f.answer = c.resolve(ctx, k)
	if c.ctx.Err() == nil { // else it says nothing of the servers
		now := c.now()
		before, _ := c.entries.GetIfPresent(k)
		e := before.renew(f.answer, now)
		c.listen(f, e.failures, now)
		f.answer = e.at(now)
		c.entries.Set(k, e)
	}
}

// land gives the answer to all who wait for it.
func (c *Cache) land(k key, f *flight) {
	c.mu.Lock()
	delete(c.flights, k)
	c.mu.Unlock()
	close(f.landed)
}

// listen tells from an answer whether the servers are silent. Of several, one may have said that it fails while another
// timed out: that is neither.
func (c *Cache) listen(f *flight, failures int, now time.Time) {
	err := f.answer.Err
	said := errors.Is(err, ErrServFail) || errors.Is(err, ErrRefused)
	late := errors.Is(err, ErrTimeout)
	switch {
	case f.answer.Status != Failed, said && !late:
		c.silence.heard()
	case late && !said:
		c.silence.missed(f.since, failures > 1, now)
	}
}

// resolve asks what the cache is of. A panic there is a failure, and is remembered as one: or the next who asks would
// have it again at once.
func (c *Cache) resolve(ctx context.Context, k key) (a Answer) {
	defer func() {
		if v := recover(); v != nil {
			a = c.broken(v)
		}
	}()
	return c.next.Resolve(ctx, k.name, k.t)
}

// broken is the answer after a panic. Who is told of those of the client is told of it.
func (c *Cache) broken(v any) Answer {
	if client, is := c.next.(*Client); is {
		client.caught(v)
	}
	return Answer{Err: fmt.Errorf("%w: panic: %v", ErrMalformed, v)}
}
