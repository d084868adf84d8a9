package dnsbl_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"reputed/policy/dnsbl"
)

// dated gives a time that a clock tells which was set: its date is another, its monotonic reading is not. Nothing but
// the clock of the host makes such times; so the seconds within them are changed, and it is seen that this was right.
func dated(t testing.TB, at time.Time, by time.Duration) time.Time {
	t.Helper()
	then := at
	*(*uint64)(unsafe.Pointer(&then)) += uint64(int64(by/time.Second)) << 30
	if then.Sub(at) != 0 || !then.Round(0).Equal(at.Round(0).Add(by)) {
		t.Fatalf("this is not how a time is stored any more: %v by %v is %v", at, by, then)
	}
	return then
}

// A host without a battery for its clock starts in the past, and is told the time later. Until then what is kept counts
// and is proved; after that, all dates are right, those that were told before as well.
func TestClockSet(t *testing.T) {
	const years = 6 * 365 * 24 * time.Hour
	base := time.Now() // with a monotonic reading, which there is none of within
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var by atomic.Int64
		now := func() time.Time { return dated(t, base.Add(time.Since(begin)), time.Duration(by.Load())) }
		path := filepath.Join(t.TempDir(), "dnsbl.json")
		w, wishes := several(t, 2)
		run := func() (*watching, func()) {
			v := &watching{t: t}
			m, err := dnsbl.NewMonitor(dnsbl.Options{
				Resolver: w, Wishes: wishes, State: path, Rand: rand.New(rand.NewPCG(1, 2)), Now: now,
			})
			if err != nil {
				t.Fatal(err)
			}
			v.Monitor = m
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- m.Run(ctx) }()
			synctest.Wait()
			return v, func() {
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}
		}
		w.zones["l0.example"].listed[oneReversed] = "127.0.0.2"
		v, stop := run()
		v.pass(4 * time.Hour)
		since := v.at("l0").Since
		if l := v.at("l0"); l.State != dnsbl.Listed {
			t.Fatalf("%+v", l)
		}
		stop()

		by.Store(int64(-years))
		asked := len(w.questions("l0.example", oneReversed))
		v, stop = run()
		v.pass(time.Minute)
		if l := v.at("l0"); l.State != dnsbl.Listed || l.Since.Round(0).After(now().Round(0)) {
			t.Errorf("in the past: %+v", l)
		}
		if n := len(w.questions("l0.example", oneReversed)) - asked; n != 1 {
			t.Errorf("in the past: asked %d times at once", n)
		}
		w.put(func() { w.zones["l1.example"].listed[oneReversed] = "127.0.0.2" })
		v.pass(4 * time.Hour)
		asked = len(w.questions("", ""))

		by.Store(0)
		v.pass(2 * time.Minute)
		if n := len(w.questions("", "")) - asked; n > 4 {
			t.Errorf("%d questions because of the date", n)
		}
		checkDates(t, v, now(), since)
		stop()
		checkFile(t, path, now().Add(-years))
	})
}

func checkDates(t *testing.T, v *watching, now, since time.Time) {
	t.Helper()
	for _, l := range v.Snapshot().Listings(one) {
		for name, at := range map[string]time.Time{"since": l.Since, "asked": l.Asked, "next": l.Next} {
			if d := now.Round(0).Sub(at.Round(0)).Abs(); d > 9*time.Hour {
				t.Errorf("%s: %s %v", l.List, name, at)
			}
		}
		if l.State != dnsbl.Listed || l.List.ID == "l0" && !l.Since.Round(0).Equal(since.Round(0)) {
			t.Errorf("want listed since %v: %+v", since, l)
		}
	}
	for _, h := range v.Snapshot().Lists() {
		if now.Round(0).Sub(h.Tested.Round(0)).Abs() > 9*time.Hour || now.Round(0).Sub(h.Since.Round(0)).Abs() > 9*time.Hour {
			t.Errorf("%+v", h)
		}
	}
}

// checkFile checks that a state file holds no date of a wrong year.
func checkFile(t *testing.T, path string, wrong time.Time) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil || !json.Valid(text) {
		t.Fatalf("%s, %v", text, err)
	}
	if strings.Contains(string(text), fmt.Sprintf(`"%d-`, wrong.Year())) {
		t.Errorf("a date of %d: %s", wrong.Year(), text)
	}
}
