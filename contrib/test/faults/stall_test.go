//go:build integration

package faults

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"reputed/milter"
	"reputed/milter/wire"
)

// staller is a connection that does not go on.
type staller struct {
	name    string
	sent    []byte // before it stalls
	trickle drip   // what comes then
}

// drip is something that is sent now and then.
type drip struct {
	what  []byte // nil: nothing
	every time.Duration
}

// stallers are the places where a connection can stop: before it has said anything, in the negotiation, between
// messages, in a packet, and in a message.
func stallers() []staller {
	negotiated := wire.Negotiation{Version: 6, Actions: 0x1ff, Protocol: 0x1fffff}.Append(nil)
	then := func(packets ...[]byte) (all []byte) {
		all = append(all, negotiated...)
		for _, p := range packets {
			all = append(all, p...)
		}
		return all
	}
	octets := drip{[]byte{'x'}, 200 * time.Millisecond}
	begun := then(loopback.Append(nil), wire.AppendStrings(nil, wire.CmdMail, "<ann@example.org>"))
	return []staller{
		{"silent", nil, drip{}},
		{"half a negotiation", []byte{0, 0, 0, 13, 'O', 0}, octets},
		{"negotiated, then silent", negotiated, drip{}},
		{"half a packet", then([]byte{0, 0, 0x10, 0, 'M', '<'}), octets},
		{"a message begun, then silent", begun, drip{}},
		{"a message begun, then half a packet", append(begun, 0, 0, 0x10, 0, 'R', '<'), octets},
	}
}

// crowd is many connections that stall.
type crowd struct {
	conns   []net.Conn
	dropped atomic.Int64
	running sync.WaitGroup
	over    chan struct{}

	mu    sync.Mutex
	lived map[string][]time.Duration // of those that were dropped, by what they were
}

// gather opens so many, of each of the kinds.
func gather(t *testing.T, by dialer, n int, kinds ...staller) *crowd {
	t.Helper()
	c := &crowd{over: make(chan struct{}), lived: map[string][]time.Duration{}}
	for i := range n {
		conn, err := by(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.conns = append(c.conns, conn)
		k := kinds[i%len(kinds)]
		c.running.Go(func() { c.wait(conn, k.name) })
		conn.Write(k.sent)
		if k.trickle.what != nil {
			c.running.Go(func() { c.drip(conn, k.trickle) })
		}
	}
	return c
}

// wait waits until the daemon lets go.
func (c *crowd) wait(conn net.Conn, name string) {
	since := time.Now()
	for b := make([]byte, 1024); ; {
		if _, err := conn.Read(b); err != nil {
			break
		}
	}
	c.dropped.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lived[name] = append(c.lived[name], time.Since(since))
}

// gone waits until so many of a kind were dropped.
func (c *crowd) gone(t *testing.T, kind string, n int, within time.Duration) {
	t.Helper()
	dropped := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.lived[kind])
	}
	for end := time.Now().Add(within); dropped() < n; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: %d of %d dropped within %v", kind, dropped(), n, within)
		}
	}
}

func (c *crowd) drip(conn net.Conn, d drip) {
	for tick := time.NewTicker(d.every); ; {
		select {
		case <-c.over:
			tick.Stop()
			return
		case <-tick.C:
			if _, err := conn.Write(d.what); err != nil {
				tick.Stop()
				return
			}
		}
	}
}

func (c *crowd) leave() {
	close(c.over)
	for _, conn := range c.conns {
		conn.Close()
	}
	c.running.Wait()
}

// A thousand connections stall, and the daemon may open 1,024 files: others are signed all the same, and soon.
func TestStalled(t *testing.T) {
	for _, tt := range []struct{ limit, stalled int }{
		{1024, stalled}, {256, 300}, // with few descriptors the limit of connections is not reached
	} {
		t.Run(fmt.Sprintf("%d descriptors", tt.limit), func(t *testing.T) {
			d := newDaemon(t, t.TempDir(), "", "example.org")
			d.wrap = []string{"prlimit", fmt.Sprintf("--nofile=%d:%d", tt.limit, tt.limit)}
			d.start()
			before := load{socket: d.socket, keys: d.keys, clients: 4, fresh: true}.count(t.Context(), beside)
			before.whole(t, "before")
			// Of messages in hand there are fewer: nothing tells them from those of slow clients.
			kinds := stallers()
			crowd := gather(t, unix(d.socket), tt.stalled, kinds[:4]...)
			busy := gather(t, unix(d.socket), tt.stalled/20, kinds[4:]...)
			during := load{socket: d.socket, keys: d.keys, clients: 4, fresh: true}.count(t.Context(), beside)
			during.whole(t, "beside those that stall")
			u := d.small("beside those that stall")
			if long { // in a packet that does not end they may stay for 30 s
				busy.gone(t, kinds[5].name, tt.stalled/20/2, 40*time.Second)
			}
			gone := crowd.dropped.Load() + busy.dropped.Load()
			crowd.leave()
			busy.leave()
			figure(t, "stalled connections",
				"%d, at %d descriptors: %d of %d others signed, p99 %v (%v before), %d made way; %v",
				len(crowd.conns)+len(busy.conns), tt.limit, during.signed, during.sent, during.percentile(99).Round(time.Millisecond),
				before.percentile(99).Round(time.Millisecond), gone, u)
			d.alive()
			d.stop()
		})
	}
}

// Those that stall are dropped at their deadline and not before: in a packet at that of packets, though octets still
// trickle, else at that of connections that say nothing. The deadlines are shorter here, and there is room for all.
func TestDeadlines(t *testing.T) {
	const inPacket, idle, late = time.Second, 3 * time.Second, 5 * time.Second
	s := newInside(t, nil)
	s.opt.Limits = milter.Limits{Connections: 2 * stalled, PacketTimeout: inPacket, IdleTimeout: idle}
	stop := s.start(t)
	crowd := gather(t, unix(s.socket), stalled, stallers()...)
	beside := load{socket: s.socket, keys: s.keys, clients: 2}.until(t.Context(), func(int) bool {
		time.Sleep(5 * time.Millisecond)
		return crowd.dropped.Load() == stalled || t.Context().Err() != nil
	})
	crowd.leave()
	beside.whole(t, "beside those that stall")
	first, last := idle, time.Duration(0)
	for _, k := range stallers() {
		limit := idle
		if k.trickle.what != nil {
			limit = inPacket
		}
		for _, lived := range crowd.lived[k.name] {
			first, last = min(first, lived), max(last, lived)
			if lived < limit-50*time.Millisecond || lived > limit+late {
				t.Errorf("%s: dropped after %v, and may stay for %v", k.name, lived, limit)
			}
		}
	}
	figure(t, "stalled, deadlines of 1 s and 3 s", "%d of %d dropped, after %v to %v; %d of %d others signed",
		crowd.dropped.Load(), stalled, first.Round(time.Millisecond), last.Round(time.Millisecond), beside.signed, beside.sent)
	stop()
}
