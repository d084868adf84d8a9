package dnsbl

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"reputed/policy/dns"
)

// What cannot be written down for a fault of our own is said once, as where there is no room. It keeps nothing from
// being told, and is written when it can be.
func TestPanicWhileWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told, panics atomic.Int64
		path := filepath.Join(t.TempDir(), "dnsbl.json")
		m, err := NewMonitor(Options{
			Resolver: dns.ResolverFunc(func(context.Context, string, dns.Type) dns.Answer { return dns.Answer{} }), State: path,
			Event:  func(Event) { told.Add(1) },
			Caught: func(any) { panics.Add(1) },
		})
		if err != nil {
			t.Fatal(err)
		}
		do := func(what func()) {
			m.mu.Lock()
			what()
			m.mu.Unlock()
			time.Sleep(tick + time.Second)
			synctest.Wait()
		}
		spoil := func() { m.memory.lists["local"], m.memory.dirty = nil, true }
		mend := func() { delete(m.memory.lists, "local") }
		event := func() { m.events = append(m.events, Event{Change: BecameSilent}) }
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := m.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		for _, step := range []struct {
			do           func()
			told, panics int64
			why          string
		}{
			{spoil, 1, 1, "the first time"},
			{func() {}, 1, 2, "it was said"},
			{event, 2, 3, "of what else is new they are told"},
			{mend, 2, 3, "it is written"},
			{spoil, 3, 4, "again"},
			{mend, 3, 4, "at last"},
		} {
			if do(step.do); told.Load() != step.told || panics.Load() < step.panics {
				t.Errorf("%s: told of %d events and %d panics, want %d and %d",
					step.why, told.Load(), panics.Load(), step.told, step.panics)
			}
		}
		cancel()
		running.Wait()
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	})
}
