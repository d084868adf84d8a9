package dns_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"reputed/policy/dns"
)

// heard is who is told of panics: where each of them was.
type heard struct {
	mu     sync.Mutex
	stacks []string
}

func (h *heard) caught(any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stacks = append(h.stacks, string(debug.Stack()))
}

// want wants that one panic was told of since the last time, and that it was in a function.
func (h *heard) want(t *testing.T, what, function string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.stacks) != 1 || !strings.Contains(h.stacks[0], function) {
		t.Errorf("%s: told of %d panics: %q", what, len(h.stacks), h.stacks)
	}
	h.stacks = nil
}

// bomb panics once after it was armed.
type bomb struct{ armed atomic.Bool }

func (b *bomb) now() time.Time {
	if b.armed.CompareAndSwap(true, false) {
		panic("a fault")
	}
	return time.Now()
}

// A panic on the way to one of two servers is told of, and the other one answers.
func TestClientTellsOfPanics(t *testing.T) {
	s := start(t, "example.org. TXT there\n")
	broken := netip.MustParseAddrPort("127.0.0.1:1")
	var h heard
	c := dns.NewClient(dns.Options{
		Servers: []netip.AddrPort{broken, s.AddrPort()}, Caught: h.caught,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == broken.String() {
				panic("a fault")
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	})
	if a := c.Resolve(t.Context(), "example.org", dns.TXT); a.Status != dns.Found {
		t.Errorf("%+v", a)
	}
	h.want(t, "in a server's answer", "TestClientTellsOfPanics.func")
	if n := c.Stats(); n.Queries != 2 || n.Malformed != 1 || n.Found != 1 {
		t.Errorf("%+v", n)
	}
}

// A panic outside of any server's answer comes to the cache: it is a failure, which is kept as any other, and told to
// the same who is told of the client's. Then questions are answered again.
func TestPanicInFlight(t *testing.T) {
	s := start(t, "example.org. TXT there\n")
	var h heard
	var b bomb
	var later atomic.Int64
	client := dns.NewClient(dns.Options{Servers: []netip.AddrPort{s.AddrPort()}, Now: b.now, Caught: h.caught})
	c := dns.NewCache(client, dns.CacheOptions{
		Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) },
	})
	defer c.Close()
	b.armed.Store(true)
	for range 2 { // the second is from memory
		if a := ask(c); a.Status != dns.Failed || !errors.Is(a.Err, dns.ErrMalformed) {
			t.Errorf("%+v", a)
		}
	}
	h.want(t, "in the client", "(*bomb).now")
	later.Store(int64(time.Minute))
	if a := ask(c); a.Status != dns.Found {
		t.Errorf("after it: %+v", a)
	}
}

// A panic over an answer that is there costs that answer: all who wait for it are told so, and who asks next asks anew.
func TestPanicOverAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bomb
		var answers atomic.Int64
		release := make(chan struct{})
		upstream := dns.ResolverFunc(func(context.Context, string, dns.Type) dns.Answer {
			<-release
			answers.Add(1)
			return found("there", time.Hour)
		})
		c := dns.NewCache(upstream, dns.CacheOptions{Now: b.now})
		defer c.Close()
		got := make(chan dns.Answer, 2)
		for range 2 {
			go func() { got <- ask(c) }()
		}
		synctest.Wait()
		b.armed.Store(true)
		close(release)
		for range 2 {
			if a := <-got; a.Status != dns.Failed || !errors.Is(a.Err, dns.ErrMalformed) {
				t.Errorf("%+v", a)
			}
		}
		if a := ask(c); a.Status != dns.Found || answers.Load() != 2 {
			t.Errorf("after %d answers: %+v", answers.Load(), a)
		}
	})
}
