package dnsbl_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reputed/policy/dns"
	"reputed/policy/dnsbl"
)

// A listing counts when a second answer, an interval later, says the same, and a third after the list was tested; it
// ends when two say that it has.
func TestHysteresis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, z, wishes := local(t)
		v := watch(t, w, "", wishes)
		v.pass(time.Minute)
		v.want("at first", "local", dnsbl.Clear, "")
		w.put(func() { z.listed[oneReversed], z.texts[oneReversed] = "127.0.0.2", "spam on Monday" })
		begin := time.Now()
		v.pass(35 * time.Minute)
		v.want("after one answer", "local", dnsbl.Clear, "")
		if l := v.at("local"); len(l.Pending) != 1 {
			t.Errorf("not said to be pending: %+v", l)
		}
		v.pass(35 * time.Minute)
		v.want("after two answers", "local", dnsbl.Clear, "")
		v.pass(35 * time.Minute)
		if e := v.events[0]; e.Text != "spam on Monday" || e.Severity != dnsbl.Block || e.Meaning() != "spam source" ||
			e.Since.Before(begin) || e.At.Sub(e.Since) < 10*time.Minute {
			t.Errorf("%+v", e)
		}
		v.want("after three answers", "local", dnsbl.Listed, "listed local 203.0.113.25")
		if on := v.Snapshot().Listed(one); len(on) != 1 || on[0].Severity != dnsbl.Block || on[0].Text != "spam on Monday" {
			t.Errorf("%+v", on)
		}
		v.pass(24 * time.Hour)
		v.want("a day later", "local", dnsbl.Listed, "")
		w.put(func() { z.listed[oneReversed] = "" })
		v.asked()
		v.want("after one answer that it has ended", "local", dnsbl.Listed, "")
		v.asked()
		v.want("after two", "local", dnsbl.Clear, "clear local 203.0.113.25")
	})
}

// A listing that comes and goes is none.
func TestFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, z, wishes := local(t)
		v := watch(t, w, "", wishes)
		v.pass(time.Minute)
		for i := range 20 {
			asked := func() int { return len(w.questions("bl.example.net", oneReversed)) }
			until := asked() + 2 - i%2 // an answer with a listing is followed by the question why
			w.put(func() { z.listed[oneReversed] = []string{"127.0.0.2", ""}[i%2] })
			for asked() < until {
				v.pass(time.Minute)
			}
			v.want("all the time", "local", dnsbl.Clear, "")
		}
	})
}

// Two answers that are close together, or within the time of the first, are one.
func TestTooClose(t *testing.T) {
	for name, tt := range map[string]struct {
		ttl         time.Duration
		early, late time.Duration // after the first answer
	}{
		"short TTL": {time.Minute, 9 * time.Minute, 13 * time.Minute},
		"long TTL":  {3 * time.Hour, 170 * time.Minute, 7 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, z, wishes := local(t, "min_poll", "2m")
				v := watch(t, w, "", wishes)
				v.pass(time.Hour) // the last test of the list is long ago, so that it does not stand in the way
				w.put(func() { z.listed[oneReversed], z.ttl = "127.0.0.2", tt.ttl })
				for len(v.at("local").Pending) == 0 {
					v.pass(time.Second)
				}
				v.pass(tt.early)
				v.want("early", "local", dnsbl.Clear, "")
				v.pass(tt.late - tt.early)
				v.want("late", "local", dnsbl.Listed, "listed local 203.0.113.25")
			})
		})
	}
}

// failing makes questions about some names fail.
func (w *world) failing(err error, names ...string) {
	w.put(func() {
		w.fault = func(name string) (dns.Answer, bool) {
			return dns.Answer{Err: err}, slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(name, n) })
		}
	})
}

// A listing does not count before the list has passed its tests anew, however often it is confirmed.
func TestNoListingWithoutTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, z, wishes := local(t)
		v := watch(t, w, "", wishes)
		v.pass(time.Hour)
		w.failing(dns.ErrTimeout, "reputed-")
		w.put(func() { z.listed[oneReversed] = "127.0.0.2" })
		v.pass(5 * time.Hour)
		v.want("while the test has no answer", "local", dnsbl.Clear, "")
		w.failing(nil)
		v.pass(time.Hour + 10*time.Minute)
		v.want("when it has", "local", dnsbl.Listed, "listed local 203.0.113.25")
	})
}

// One subject can become stale at a list that answers everything else.
func TestStaleSubject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, z, wishes := local(t)
		two := netip.MustParseAddr("203.0.113.26")
		wishes.Addresses = append(wishes.Addresses, two)
		v := watch(t, w, "", wishes)
		v.pass(time.Hour)
		w.put(func() { z.listed[oneReversed] = "127.0.0.77" })
		v.pass(time.Hour)
		v.want("with an answer that means nothing", "local", dnsbl.Clear, "")
		v.pass(time.Hour)
		v.want("for long", "local", dnsbl.Unknown, "")
		if l := v.at("local"); !strings.Contains(l.Reason, "127.0.0.77") {
			t.Errorf("%+v", l)
		}
		if l := v.Snapshot().Listings(two); l[0].State != dnsbl.Clear {
			t.Errorf("%+v", l)
		}
		w.failing(dns.ErrRefused, oneReversed)
		v.pass(time.Hour)
		v.want("refused", "local", dnsbl.Refused, "")
	})
}

// An answer that says listed counts for nothing when it was long ago.
func TestOldAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, z, wishes := local(t)
		wishes.Addresses = append(wishes.Addresses, netip.MustParseAddr("203.0.113.26")) // or the list would be silent
		v := watch(t, w, "", wishes)
		v.pass(time.Minute)
		w.put(func() { z.listed[oneReversed] = "127.0.0.2" })
		v.pass(35 * time.Minute)
		w.failing(dns.ErrTimeout, oneReversed)
		v.pass(3 * time.Hour)
		w.failing(nil)
		v.pass(35 * time.Minute)
		v.want("listed again", "local", dnsbl.Unknown, "")
		v.pass(35 * time.Minute)
		v.want("listed twice", "local", dnsbl.Listed, "listed local 203.0.113.25")
	})
}

// A listing that gets worse must be confirmed as a new one is; one that gets better need not.
func TestWorse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, z, wishes := local(t, "codes", map[string]any{
			"127.0.0.2": map[string]any{"meaning": "spam source", "severity": "block"},
			"127.0.0.3": map[string]any{"meaning": "no reverse DNS", "severity": "info"},
		})
		z.listed[oneReversed] = "127.0.0.3"
		v := watch(t, w, "", wishes)
		v.pass(105 * time.Minute)
		v.want("at first", "local", dnsbl.Listed, "listed local 203.0.113.25")
		severity := func(when string, want dnsbl.Severity) {
			t.Helper()
			if l := v.at("local"); l.Severity != want {
				t.Errorf("%s: %v, want %v", when, l.Severity, want)
			}
		}
		w.put(func() { z.listed[oneReversed] = "127.0.0.2 127.0.0.3" })
		for _, often := range []string{"worse once", "worse twice"} {
			v.asked()
			severity(often, dnsbl.Info)
			v.want(often, "local", dnsbl.Listed, "")
		}
		v.asked()
		severity("worse for the third time", dnsbl.Block)
		v.want("worse for the third time", "local", dnsbl.Listed, "listed local 203.0.113.25")
		w.put(func() { z.listed[oneReversed] = "127.0.0.3" })
		v.asked()
		severity("better once", dnsbl.Info)
	})
}

// What is not answered for three intervals is not known any more, and until then is what it was.
func TestStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, z, wishes := local(t)
		z.listed[oneReversed] = "127.0.0.2"
		v := watch(t, w, "", wishes)
		v.pass(70 * time.Minute)
		v.want("at first", "local", dnsbl.Listed, "listed local 203.0.113.25")
		since := v.at("local").Since
		w.put(func() { z.hang = true })
		v.pass(50 * time.Minute)
		v.want("after one question without answer", "local", dnsbl.Listed, "")
		v.pass(80 * time.Minute)
		if l := v.at("local"); l.State != dnsbl.Unknown || l.Codes != nil || !strings.Contains(l.Reason, "in time") {
			t.Errorf("%+v", l)
		}
		w.put(func() { z.hang = false })
		v.pass(3 * time.Hour)
		if l := v.at("local"); l.State != dnsbl.Listed || !l.Since.Equal(since) {
			t.Errorf("listed again, and not since %v: %+v", since, l)
		}
		if got := v.told(); strings.Contains(got, "listed local") {
			t.Errorf("the same listing was told twice: %s", got)
		}
	})
}

// Nothing is asked before its time, and not much later: an interval is the list's or the answer's, up to a tenth
// longer.
func TestInterval(t *testing.T) {
	for name, tt := range map[string]struct {
		poll string
		ttl  time.Duration
		want time.Duration
	}{
		"list":      {"30m", time.Minute, 30 * time.Minute},
		"answer":    {"30m", 2 * time.Hour, 2 * time.Hour},
		"unlikely":  {"30m", 1000 * time.Hour, 24 * time.Hour},
		"slow list": {"24h", time.Minute, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, z, wishes := local(t, "min_poll", tt.poll)
				z.ttl = tt.ttl
				v := watch(t, w, "", wishes)
				v.pass(40 * tt.want)
				asked := w.questions("bl.example.net", oneReversed)
				if len(asked) < 35 {
					t.Errorf("%d questions", len(asked))
				}
				var lengths []time.Duration
				for i := range asked[1:] {
					d := asked[i+1].at.Sub(asked[i].at)
					if d < tt.want || d > tt.want*11/10+2*time.Second {
						t.Errorf("asked again after %v", d)
					}
					lengths = append(lengths, d)
				}
				if slices.Max(lengths)-slices.Min(lengths) < tt.want/20 {
					t.Errorf("all intervals are alike: %v to %v", slices.Min(lengths), slices.Max(lengths))
				}
			})
		})
	}
}

// many is a list of our own that lists n addresses from now on, and whose answers take their time.
func many(t *testing.T, n int, tests, others time.Duration, more ...any) (*world, *zone, *watching) {
	t.Helper()
	w, z, wishes := local(t, more...)
	for i := range n - 1 {
		wishes.Addresses = append(wishes.Addresses, netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}))
	}
	v := watch(t, w, "", wishes)
	v.pass(time.Hour)
	w.put(func() {
		for _, a := range wishes.Addresses {
			b := a.As4()
			z.listed[fmt.Sprintf("%d.%d.%d.%d", b[3], b[2], b[1], b[0])] = "127.0.0.2"
		}
		w.fault = func(name string) (dns.Answer, bool) {
			if strings.HasPrefix(name, "reputed-") || strings.HasSuffix(name, ".0.0.127.bl.example.net") {
				time.Sleep(tests)
			} else {
				time.Sleep(others)
			}
			return dns.Answer{}, false
		}
	})
	return w, z, v
}

// An answer that comes while the list is being tested is not upheld by that test, but by one that follows soon.
func TestSecondAnswerDuringTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, z, v := many(t, 200, 9*time.Second, 0)
		first := map[netip.Addr]time.Time{}
		second := func() (is bool) {
			for _, s := range v.Snapshot().Subjects() {
				switch l := v.Snapshot().Listings(s.Addr)[0]; {
				case len(l.Pending) == 0:
				case first[s.Addr].IsZero():
					first[s.Addr] = l.Asked
				case l.Asked.After(first[s.Addr]):
					is = true
				}
			}
			return is
		}
		for !second() {
			v.pass(time.Second)
		}
		now, begun, during := time.Now(), time.Time{}, 0
		for ; begun.Before(now); begun = v.Snapshot().Lists()[0].Tested {
			v.pass(time.Second)
		}
		for _, s := range v.Snapshot().Subjects() {
			if l := v.Snapshot().Listings(s.Addr)[0]; len(l.Pending) > 0 && l.Asked.After(begun) {
				during++
			}
		}
		if during == 0 {
			t.Fatal("no answer came during the test")
		}
		tests := len(w.questions("", "2.0.0.127"))
		w.put(func() { clear(z.listed) }) // no other answer asks for a test
		v.pass(11 * time.Minute)
		if len(w.questions("", "2.0.0.127")) == tests {
			t.Errorf("no test follows for the %d answers that came during this one", during)
		}
	})
}

// Only a question that is asked after the test is over makes a listing, not one that is still on its way. In the end all
// that is listed is found.
func TestThirdAnswerDuringTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, v := many(t, 20, time.Second, 8*time.Second, "min_poll", "2m")
		known, late := map[netip.Addr]bool{}, 0
		begun := time.Now()
		for end := time.Now().Add(3 * time.Hour); time.Now().Before(end); v.pass(time.Second) {
			h := v.Snapshot().Lists()[0]
			for _, s := range v.Snapshot().Subjects() {
				on := v.Snapshot().Listed(s.Addr)
				if len(on) == 0 || known[s.Addr] {
					continue
				}
				known[s.Addr] = true
				if on[0].Asked.Before(h.Tested.Add(3 * time.Second)) { // a test is three questions
					t.Errorf("%v: asked at %v, and the test began at %v", s, on[0].Asked.Sub(begun), h.Tested.Sub(begun))
				}
				if on[0].Asked.Sub(h.Tested) < 30*time.Second {
					late++
				}
			}
		}
		if len(known) != 20 || late == 0 {
			t.Errorf("%d of 20 are listed, %d soon after a test", len(known), late)
		}
	})
}

// An answer that claims to hold for years does not put the next one off for longer than a day.
func TestEndlessTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, z, wishes := local(t)
		z.listed[oneReversed], z.ttl = "127.0.0.2", 30*365*24*time.Hour
		v := watch(t, w, "", wishes)
		v.pass(28 * time.Hour)
		v.want("after a day", "local", dnsbl.Unknown, "")
		v.pass(26 * time.Hour)
		v.want("after another", "local", dnsbl.Listed, "listed local 203.0.113.25")
	})
}

// Servers turn the order of their answers. That is no other listing, and no reason to ask why again.
func TestTurningAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, z, wishes := local(t, "codes", codes("block", "127.0.0.0/24")["codes"])
		turns := []string{
			"127.0.0.10 127.0.0.4 127.0.0.9", "127.0.0.9 127.0.0.10 127.0.0.4", "127.0.0.4 127.0.0.4 127.0.0.9 127.0.0.10",
		}
		v := watch(t, w, "", wishes)
		for i := range 24 {
			w.put(func() { z.listed[oneReversed] = turns[i%3] })
			v.pass(30 * time.Minute)
		}
		why := slices.DeleteFunc(w.questions("", oneReversed), func(a asked) bool { return a.kind != dns.TXT })
		if len(why) != 1 {
			t.Errorf("asked %d times why", len(why))
		}
		var got []string
		for _, c := range v.at("local").Codes {
			got = append(got, c.Answer.String())
		}
		if strings.Join(got, " ") != "127.0.0.4 127.0.0.9 127.0.0.10" {
			t.Errorf("%v", got)
		}
	})
}
