package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"reputed/milter/bridge"
	"reputed/milter/wire"
)

// load plays messages to a milter socket, each over a connection of its own, as Postfix does.
type load struct {
	socket   wire.Endpoint
	messages int
	at       int
	body     body
	domains  int // that senders are spread over; 0: one
}

// loaded is what became of it.
type loaded struct {
	took      time.Duration
	latencies []time.Duration   // sorted
	samples   [][]bridge.Change // of the last message of some connections
}

// samples is how many signatures of a run are verified, unless there are fewer connections.
const samples = 4

// run plays all of them. Whatever is not accepted with a signature is an error.
func (l *load) run(ctx context.Context) (loaded, error) {
	var next atomic.Int64
	var mu sync.Mutex
	var out loaded
	var failed error
	var workers sync.WaitGroup
	begin := time.Now()
	for range l.at {
		workers.Go(func() {
			var mine []time.Duration
			var last []bridge.Change
			var err error
			for err == nil {
				n := int(next.Add(1))
				if n > l.messages {
					break
				}
				from := time.Now()
				last, err = l.play(ctx, n)
				mine = append(mine, time.Since(from))
			}
			mu.Lock()
			defer mu.Unlock()
			out.latencies = append(out.latencies, mine...)
			if len(last) > 0 && len(out.samples) < samples {
				out.samples = append(out.samples, last)
			}
			if failed == nil {
				failed = err
			}
		})
	}
	workers.Wait()
	out.took = time.Since(begin)
	slices.Sort(out.latencies)
	return out, failed
}

// play plays one message.
func (l *load) play(ctx context.Context, n int) ([]bridge.Change, error) {
	s, err := bridge.Dial(ctx, l.socket, bridge.Options{Timeout: 2 * time.Minute})
	if err != nil {
		return nil, err
	}
	from := "ann@" + domain(n, l.domains)
	client := wire.Peer{
		Name: "client.example.org", Family: wire.FamilyInet, Addr: netip.MustParseAddr("127.0.0.1"), Port: 40000,
	}
	r, err := s.Play(bridge.Message{
		Client: client,
		Helo:   "client.example.org", Daemon: "mail.example.org",
		Sender: from, Mailer: "local", Recipients: []bridge.Recipient{{Path: "friend@elsewhere.example", Mailer: "smtp"}},
		QueueID: fmt.Sprintf("4%08X", n), Header: l.body.header(from), Body: l.body.reader(),
	})
	if err != nil {
		s.Close()
		return nil, err
	}
	signed := slices.ContainsFunc(r.Changes, func(c bridge.Change) bool { return c.Name == "DKIM-Signature" })
	if !signed || r.End.Refused() {
		return nil, fmt.Errorf("message %d: %v, signed: %t", n, r.End, signed)
	}
	return r.Changes, s.Quit()
}

// domain is that of the n-th message.
func domain(n, domains int) string {
	if domains == 0 {
		return "example.org"
	}
	return fmt.Sprintf("d%d.example", n%domains)
}
