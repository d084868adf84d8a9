package main

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reputed/cmd/reputed/internal/config"
	live "reputed/cmd/reputed/internal/status"
	"reputed/milter"
)

// A reload that panics changes nothing, and is told of as one that was refused; the next one takes effect.
func TestReloadPanics(t *testing.T) {
	r := startRunning(t, "", "example.org/s1")
	again, ended := make(chan os.Signal), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { defer close(ended); r.onSignals(ctx, again) }()
	before := r.daemon.current.Load()
	r.env.addresses = func() []netip.Addr { panic("bang") }
	again <- os.Interrupt
	again <- os.Interrupt // comes through when the first one is done
	r.key("example.com/s1")
	cancel()
	<-ended
	if r.daemon.current.Load() != before || r.daemon.beside.Counts()[ofReload] != 2 {
		t.Errorf("panics: %v", r.daemon.beside.Counts())
	}
	ok, refused := r.daemon.reloads.Counts()
	if last := r.daemon.reloads.Last(); ok != 0 || refused != 2 || !strings.Contains(last.Error, "a fault of reputed itself") {
		t.Errorf("%d took effect, %d were refused, %+v", ok, refused, last)
	}
	if text := r.log.String(); strings.Count(text, "msg=panic door=services in=reload panic=bang") != 2 ||
		!strings.Contains(text, ".guessEgress(") {
		t.Error(text)
	}
	problems, _ := r.daemon.report().Problems()
	told := 0
	for _, p := range problems {
		if strings.Contains(p.Text, "panics: 2") {
			told++
		}
	}
	if told != 1 {
		t.Errorf("%+v", problems)
	}
	r.env.addresses = func() []netip.Addr { return nil }
	r.once(t.Context())
	if _, refused := r.daemon.reloads.Counts(); refused != 2 || len(r.daemon.current.Load().keys.ring.Keys()) != 2 {
		t.Errorf("%s", r.log)
	}
}

// A service that ends in a panic begins anew after a minute, for as long as it is wanted.
func TestServicesBeginAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		d := &daemon{log: newLog(&log, config.Logfmt)}
		d.beside = milter.NewPanics(d.log, "services", services...)
		ctx, cancel := context.WithCancel(t.Context())
		begun := time.Now()
		var runs []time.Duration
		d.keep(ctx, ofLists, func() {
			if runs = append(runs, time.Since(begun)); len(runs) < 3 {
				panic("bang")
			}
		})
		if len(runs) != 3 || runs[1] != time.Minute || runs[2] != 2*time.Minute || d.beside.Counts()[ofLists] != 2 {
			t.Errorf("it ran after %v, %v", runs, d.beside.Counts())
		}
		if n := strings.Count(log.String(), `level=ERROR msg="a service has failed, and is started again" service=lists in=1m0s`); n != 2 {
			t.Errorf("%d lines: %s", n, &log)
		}
		cancel()
		begun = time.Now()
		d.keep(ctx, ofLists, func() { panic("bang") })
		if time.Since(begun) > 0 {
			t.Error("it is waited for, and nobody wants it any more")
		}
	})
}

// A walk of the checklist that panics leaves nothing known, and the next one comes in its time.
func TestChecklistPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		d := &daemon{log: newLog(&log, config.Logfmt)}
		d.beside = milter.NewPanics(d.log, "services", services...)
		walks := 0
		c := d.newChecklist(nil)
		c.every = func() time.Duration { return time.Hour }
		c.walk = func(context.Context) *live.Checklist {
			if walks++; walks == 2 {
				panic("bang")
			}
			return &live.Checklist{At: time.Now()}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); c.run(ctx) }()
		for _, tt := range []struct {
			after  time.Duration
			known  bool
			panics uint64
		}{{10 * time.Minute, true, 0}, {65 * time.Minute, false, 1}, {70 * time.Minute, true, 1}} {
			time.Sleep(tt.after)
			synctest.Wait()
			if known := !c.report().At.IsZero(); known != tt.known || d.beside.Counts()[ofChecklist] != tt.panics {
				t.Errorf("after %d walks: known %v, %v", walks, known, d.beside.Counts())
			}
		}
		cancel()
		<-ended
	})
}
