//go:build integration

package faults

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"reputed/milter/wire"
)

const (
	places  = 512              // that there are for connections
	lasting = 10 * time.Minute // for so long the crowd goes on that never stops, where time costs nothing

	// For so long others may wait at most until one of them is signed, by who holds the places: as the milter promises, and
	// a little more.
	silentFor = 30*time.Second + 10*time.Second // all fall silent
	busyFor   = 5*time.Minute + time.Minute     // all go on
)

// holders are those who take every place with a message in hand: one says nothing more, the other goes on for ever.
func holders() []staller {
	begun := stallers()[4]
	rcpt := wire.AppendStrings(nil, wire.CmdRcpt, "<friend@world.example>")
	return []staller{begun, {"a recipient every 5 s", begun.sent, drip{rcpt, 5 * time.Second}}}
}

// heldUp has a crowd take every place, and tells what others get who come then. Nothing of theirs leaves unsigned. Where
// the crowd falls silent they wait for 30 s, which is as long as an MTA does, and then all is well again; where it goes
// on, for the five minutes that a message may take.
func heldUp(t *testing.T, others load, k staller, lasts time.Duration) string {
	t.Helper()
	crowd := gather(t, others.by, places, k)
	defer crowd.leave()
	others.clients, others.fresh = 4, true
	start := time.Now()
	first := others.count(t.Context(), 4)
	silent := k.trickle.what == nil
	later := others.until(t.Context(), func(n int) bool {
		return time.Since(start) >= lasts || silent && n == 20
	})
	switch {
	case first.unsigned+later.unsigned > 0:
		t.Errorf("%d, %d unsigned: %q", first.unsigned, later.unsigned, append(first.what, later.what...))
	case silent:
		later.whole(t, "once those in hand were silent for too long")
	}
	all := first
	all.add(later)
	most := busyFor
	if silent {
		most = silentFor
	}
	if (silent || lasts > most) && (all.since.IsZero() || all.since.Sub(start) > most) {
		t.Errorf("nobody is signed in %v: %d of %d in the end", most, all.signed, all.sent)
	}
	shut := "as long as that lasts, here " + short(time.Since(start)).String()
	if !all.since.IsZero() {
		shut = short(all.since.Sub(start)).String()
	}
	return fmt.Sprintf("others are shut out for %s: %d of %d who came at once signed, and %d of %d after them, p99 %v; %d made way",
		shut, first.signed, first.sent, later.signed, later.sent, short(later.percentile(99)), crowd.dropped.Load())
}

// All places are taken by connections with a message in hand, which nothing tells from slow clients: how long others are
// kept out. Time is made up, and passes at once.
func TestHeldUp(t *testing.T) {
	stranger(t)
	for _, k := range holders() {
		t.Run(k.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, pipes := newInside(t, nil), newPipes()
				_, stop := s.serveAt(t, pipes)
				text := heldUp(t, load{by: pipes.dial, keys: s.keys, pause: time.Second}, k, lasting)
				stop()
				figure(t, fmt.Sprintf("all %d places in hand", places), "%s: %s", k.name, text)
			})
		})
	}
}

// pipes is a listener that needs no network. As at a socket, who connects waits for nobody.
type pipes struct {
	queue  chan net.Conn
	closed chan struct{}
	close  func()
}

func newPipes() *pipes {
	p := &pipes{queue: make(chan net.Conn, places), closed: make(chan struct{})}
	p.close = sync.OnceFunc(func() { close(p.closed) })
	return p
}

func (p *pipes) dial(context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.queue <- theirs:
		return ours, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.queue:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.close()
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Net: "unix", Name: "pipes"} }
