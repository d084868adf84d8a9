//go:build integration

package faults

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"reputed/milter/wire"
)

// descriptors is how many files the daemon may open here.
const descriptors = "1024"

// staller is a connection that does not go on.
type staller struct {
	name    string
	sent    []byte // before it stalls
	trickle bool   // then an octet now and then
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
	begun := then(loopback.Append(nil), wire.AppendStrings(nil, wire.CmdMail, "<ann@example.org>"))
	return []staller{
		{"silent", nil, false},
		{"half a negotiation", []byte{0, 0, 0, 13, 'O', 0}, true},
		{"negotiated, then silent", negotiated, false},
		{"half a packet", then([]byte{0, 0, 0x10, 0, 'M', '<'}), true},
		{"a message begun, then silent", begun, false},
		{"a message begun, then half a packet", append(begun, 0, 0, 0x10, 0, 'R', '<'), true},
	}
}

// crowd is many connections that stall.
type crowd struct {
	conns   []net.Conn
	dropped atomic.Int64
	running sync.WaitGroup
	over    chan struct{}
}

// gather opens so many, of each of the kinds.
func gather(t *testing.T, socket string, n int, kinds ...staller) *crowd {
	t.Helper()
	c := &crowd{over: make(chan struct{})}
	for i := range n {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		c.conns = append(c.conns, conn)
		k := kinds[i%len(kinds)]
		conn.Write(k.sent)
		c.running.Go(func() { // until the daemon lets go
			for b := make([]byte, 1024); ; {
				if _, err := conn.Read(b); err != nil {
					break
				}
			}
			c.dropped.Add(1)
		})
		if k.trickle {
			c.running.Go(func() { c.drip(conn) })
		}
	}
	return c
}

func (c *crowd) drip(conn net.Conn) {
	for tick := time.NewTicker(200 * time.Millisecond); ; {
		select {
		case <-c.over:
			tick.Stop()
			return
		case <-tick.C:
			if _, err := conn.Write([]byte{'x'}); err != nil {
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
	for _, limit := range []string{descriptors, "256"} {
		if limit != descriptors && !long { // with few descriptors the limit of connections is not reached
			continue
		}
		t.Run(limit+" descriptors", func(t *testing.T) {
			d := newDaemon(t, t.TempDir(), "", "example.org")
			d.wrap = []string{"prlimit", "--nofile=" + limit + ":" + limit}
			d.start()
			before := load{socket: d.socket, clients: 4, fresh: true}.count(t.Context(), 200)
			before.whole(t, "before")
			// Of messages in hand there are fewer: nothing tells them from those of slow clients.
			kinds := stallers()
			crowd := gather(t, d.socket, stalled, kinds[:4]...)
			busy := gather(t, d.socket, stalled/20, kinds[4:]...)
			during := load{socket: d.socket, clients: 4, fresh: true}.count(t.Context(), 200)
			during.whole(t, "beside those that stall")
			u := d.small("beside those that stall")
			gone := crowd.dropped.Load() + busy.dropped.Load()
			crowd.leave()
			busy.leave()
			figure(t, "stalled connections",
				"%d, at %s descriptors: %d of %d others signed, p99 %v (%v before), %d made way; %v",
				len(crowd.conns)+len(busy.conns), limit, during.signed, during.sent, during.percentile(99).Round(time.Millisecond),
				before.percentile(99).Round(time.Millisecond), gone, u)
			d.alive()
			d.stop()
		})
	}
}
