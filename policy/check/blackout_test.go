package check_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dns"
	"reputed/policy/mail"
	"reputed/policy/spf"
)

// dying is a resolver whose servers stop answering: a question takes a second to time out then.
type dying struct {
	world
	dead atomic.Bool
}

func (d *dying) Resolve(ctx context.Context, name string, t dns.Type) dns.Answer {
	if !d.dead.Load() {
		a := d.world.Resolve(ctx, name, t)
		a.TTL = time.Hour
		return a
	}
	select {
	case <-time.After(time.Second):
		return dns.Answer{Err: dns.ErrTimeout}
	case <-ctx.Done():
		return dns.Answer{Err: fmt.Errorf("%w: %w", dns.ErrTimeout, context.Cause(ctx))}
	}
}

// In a black-out, the messages that came before the first time-out wait for it and no longer, and later ones hardly at
// all: whatever the number of addresses and egresses, and whether the record is known or not.
func TestBlackOut(t *testing.T) {
	for _, addresses := range []int{1, 4, 16} {
		for _, sender := range []string{"a@d%d.example", "a%d@known.example"} {
			t.Run(fmt.Sprintf(sender, addresses), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { blackOut(t, addresses, sender) })
			})
		}
	}
}

func blackOut(t *testing.T, addresses int, sender string) {
	d := &dying{world: world{"TXT known.example": "v=spf1 exists:%{i}.%{l}.example -all"}}
	cache := dns.NewCache(d, dns.CacheOptions{})
	defer cache.Close()
	var routes policy.Routes
	for i := range 2 {
		var all []string
		for j := range addresses {
			all = append(all, fmt.Sprintf("203.0.%d.%d", i, j))
		}
		routes = append(routes, policy.Route{Egress: egress(t, "", all...)})
	}
	envelope := check.Envelope{
		Routes: routes, Holds: func(mail.Domain) bool { return true },
		SPF: &check.SPF{Checker: &spf.Checker{Resolver: cache}, Memory: cache, Deadline: 2 * time.Second},
	}
	ask := func(sender string) (result string, took time.Duration) {
		start := time.Now()
		tx := &mail.Transaction{Client: &mail.Client{}, Path: sender}
		tx.ReversePath, _ = mail.ParsePath(sender)
		found, _ := envelope.Begin(t.Context(), tx).Findings(routes[0].Egress)
		return found[0].Result, time.Since(start)
	}
	ask("known@known.example")
	d.dead.Store(true)
	start := time.Now()
	var all sync.WaitGroup
	for i := range 50 { // before the first question has timed out
		all.Go(func() {
			result, _ := ask(fmt.Sprintf(sender, i))
			if took := time.Since(start); result != "temperror" || took > time.Second+20*time.Millisecond {
				t.Errorf("message %d: %s, %v after the beginning", i, result, took)
			}
		})
		time.Sleep(10 * time.Millisecond)
	}
	all.Wait()
	var waits []string
	for i := range 100 {
		result, took := ask(fmt.Sprintf(sender, 100+i))
		if result != "temperror" || took > 20*time.Millisecond {
			waits = append(waits, fmt.Sprintf("message %d: %s after %v", i, result, took))
		}
		time.Sleep(time.Duration(i) * time.Millisecond)
	}
	if len(waits) > 0 {
		t.Errorf("after the first time-out %d of 100 wait too long: %s", len(waits), waits[0])
	}
}
