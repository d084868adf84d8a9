package dnsbl_test

import (
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"reputed/policy/dns"
	"reputed/policy/dnsbl"
)

// A list that begins to list the world between two answers has passed its tests after the first: only a test after the
// second shows that it means nothing.
func TestPitfallLapsesBetweenAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, z, wishes := local(t)
		v := watch(t, w, "", wishes)
		v.pass(time.Hour)
		w.put(func() { z.listed[oneReversed] = "127.0.0.2" })
		for len(v.at("local").Pending) == 0 {
			v.pass(time.Second)
		}
		v.pass(5 * time.Minute)
		tests := len(w.questions("", "1.0.0.127"))
		if tests < 2 {
			t.Fatal("not tested after the first answer")
		}
		w.put(func() { z.all = "127.0.0.2" })
		for range 20 * 60 {
			v.pass(time.Minute)
			if l := v.at("local"); l.State == dnsbl.Listed {
				t.Fatalf("listed by a list that lists the world: %+v", l)
			}
		}
		v.want("lapsed", "local", dnsbl.Broken, "broken local")
	})
}

// A list that lists the world, and stops just before each test, is found to do so by the next question. What is truly
// listed is, by that question.
func TestPitfallRecoversBeforeTest(t *testing.T) {
	for truly, want := range map[bool]dnsbl.State{false: dnsbl.Clear, true: dnsbl.Listed} {
		synctest.Test(t, func(t *testing.T) {
			w, z, wishes := local(t)
			v := watch(t, w, "", wishes)
			v.pass(time.Hour)
			var asked, tests atomic.Int32
			w.put(func() {
				if truly {
					z.listed[oneReversed] = "127.0.0.2"
				}
				w.fault = func(name string) (dns.Answer, bool) {
					switch {
					case strings.HasPrefix(name, "reputed-"):
						tests.Add(1)
					case strings.HasPrefix(name, oneReversed) && tests.Load() < 2: // lies, but not while it is tested
						asked.Add(1)
						return found("127.0.0.2"), true
					}
					return dns.Answer{}, false
				}
			})
			for tests.Load() < 2 {
				v.pass(time.Second)
				v.want("until its second test", "local", dnsbl.Clear, "")
			}
			v.pass(20 * time.Minute)
			v.want("after it has passed", "local", dnsbl.Clear, "")
			if n := asked.Load(); n != 3 { // whether, why, and whether
				t.Errorf("%d questions are answered with lies", n)
			}
			for range 24 {
				v.pass(time.Hour)
				if l := v.at("local"); l.State != want {
					t.Fatalf("truly listed: %t, and %v", truly, l.State)
				}
			}
		})
	}
}

// A list that lists the world on and off passes a test now and then. It is believed when it passes two in a row, and
// that takes minutes, not hours.
func TestPitfallListsTheWorldOnAndOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := filepath.Join(t.TempDir(), "dnsbl.json")
		w, z, wishes := local(t)
		v := watch(t, w, state, wishes)
		w.put(func() { z.all = "127.0.0.2" })
		v.pass(7 * time.Hour)
		v.want("lapsed", "local", dnsbl.Broken, "broken local")
		tested := func() int { return len(w.questions("", "1.0.0.127")) }
		for i := range 6 {
			w.put(func() { z.all = "" })
			for n := tested(); tested() == n; {
				v.pass(time.Minute)
			}
			w.put(func() { z.all = "127.0.0.2" })
			v.pass(20 * time.Minute)
			v.want("after one test that it passes", "local", dnsbl.Broken, "")
			if i == 3 { // nor does a restart make it better
				v.stop()
				v = watch(t, w, state, wishes)
			}
		}
		w.put(func() { z.all = "" })
		for n := tested(); tested() == n; {
			v.pass(time.Minute)
		}
		if l := v.at("local"); !strings.Contains(l.Reason, "must pass another") {
			t.Errorf("%+v", l)
		}
		v.pass(12 * time.Minute)
		v.want("after two", "local", dnsbl.Clear, "healthy local")
	})
}

// A list that has passed its test is not believed when it says something worse than before it: it may have gone wrong
// since. What it said before counts.
func TestPitfallWorseAfterTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, z, wishes := local(t, "codes", map[string]any{
			"127.0.0.2": map[string]any{"meaning": "spam source", "severity": "block"},
			"127.0.0.3": map[string]any{"meaning": "no reverse DNS", "severity": "info"},
		})
		v := watch(t, w, "", wishes)
		v.pass(time.Minute)
		var tests atomic.Int32
		w.put(func() {
			z.listed[oneReversed] = "127.0.0.3"
			w.fault = func(name string) (dns.Answer, bool) {
				if strings.HasPrefix(name, "reputed-") {
					tests.Add(1)
				}
				return dns.Answer{}, false
			}
		})
		for tests.Load() < 2 {
			v.pass(time.Second)
		}
		v.pass(time.Second)
		w.put(func() { z.listed[oneReversed] = "127.0.0.2" })
		v.asked()
		if l := v.at("local"); l.State != dnsbl.Listed || l.Severity != dnsbl.Info || len(l.Pending) != 1 {
			t.Errorf("after the answer that is worse: %v, %v, pending %v", l.State, l.Severity, l.Pending)
		}
		v.pass(3 * time.Hour)
		if l := v.at("local"); l.State != dnsbl.Listed || l.Severity != dnsbl.Block {
			t.Errorf("when it has said so again: %v, %v", l.State, l.Severity)
		}
	})
}
