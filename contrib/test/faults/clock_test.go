//go:build integration

package faults

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"reputed/milter"
	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dns"
	"reputed/policy/mail"
	"reputed/policy/spf"
)

var times = regexp.MustCompile(`\bt=(\d+);\s*x=(\d+);`)

// stamp gives when a message was signed, and until when that holds.
func stamp(t *testing.T, s *inside) (at, until time.Time) {
	t.Helper()
	c := client{load: load{socket: s.socket, keys: s.keys}, ctx: t.Context()}
	defer c.hangUp()
	r, err := c.play(0, c.mailing(0))
	if err := errors.Join(err, c.astray(c.mailing(0), r)); err != nil {
		t.Fatalf("%v, %v", r, err)
	}
	m := times.FindStringSubmatch(r.Changes[0].Value)
	if m == nil {
		t.Fatalf("no times in %q", r.Changes[0].Value)
	}
	begin, err1 := strconv.ParseInt(m[1], 10, 64)
	end, err2 := strconv.ParseInt(m[2], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return time.Unix(begin, 0), time.Unix(end, 0)
}

// The clock jumps a day ahead, and two back, while messages come and their senders' records are in the cache: each is
// signed with the time of the moment, and with a resolver that is there or not.
func TestClock(t *testing.T) {
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	server := nameServer(t, pass)
	client := dns.NewClient(dns.Options{Servers: []netip.AddrPort{server.AddrPort()}, Now: now})
	cache := dns.NewCache(client, dns.CacheOptions{Now: now})
	defer cache.Close()
	s := newInside(t, now)
	addresses := []netip.Addr{netip.MustParseAddr("203.0.113.25")}
	checker := &spf.Checker{Resolver: cache, Receiver: "mta.example.org", Now: now}
	envelope := &check.Envelope{
		Routes: policy.Routes{{Egress: &mail.Egress{Name: "default", Addresses: addresses}}},
		Holds:  func(mail.Domain) bool { return true },
		SPF:    &check.SPF{Checker: checker, Deadline: 2 * time.Second},
	}
	s.site.Inquire = func(ctx context.Context, tx *mail.Transaction) milter.Inquiry { return envelope.Begin(ctx, tx) }
	stop := s.start(t)
	defer stop()
	n := 0
	for _, jump := range []time.Duration{0, 24 * time.Hour, -24 * time.Hour, 48 * time.Hour, -48 * time.Hour} {
		ahead.Store(int64(jump))
		got := load{socket: s.socket, keys: s.keys, clients: 4}.count(t.Context(), 100)
		got.whole(t, fmt.Sprintf("with the clock %v ahead", jump))
		at, until := stamp(t, s)
		if off := now().Sub(at); off < -time.Minute || off > time.Minute || until.Sub(at) != expire {
			t.Errorf("with the clock %v ahead: signed at %v, until %v", jump, at, until)
		}
		n += got.signed
	}
	figure(t, "clock jumps of a day and two", "%d of %d signed, t= and x= of the moment", n, n)
}
