package dnsbl_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reputed/policy/dns"
	"reputed/policy/dnsbl"
	"reputed/policy/parallel"
)

var onlyOne = []dnsbl.Subject{address("203.0.113.25")}

// One look asks every list once, tests it, and believes no list that lists the world.
func TestLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, wishes := several(t, 7)
		l := func(i int) *zone { return w.zones[fmt.Sprintf("l%d.example", i)] }
		l(0).listed[oneReversed], l(0).texts[oneReversed] = "127.0.0.2", "spam"
		l(1).all = "127.0.0.2"        // lists the world
		l(2).hang = true              // dead
		l(3).all = "198.51.100.7"     // parked
		l(4).listed["2.0.0.127"] = "" // empty
		l(5).listed = map[string]string{"2.0.0.127": "127.255.255.254"}
		var progress []int
		begin := time.Now()
		results := dnsbl.Look(t.Context(), dnsbl.LookOptions{
			Resolver: w, Lists: wishes.Lists, Subjects: []dnsbl.Subject{address("203.0.113.25"), address("203.0.113.26")},
			Progress: func(done, total int, r dnsbl.Result) {
				if total != 14 || r.List == nil {
					t.Errorf("%d of %d: %+v", done, total, r)
				}
				progress = append(progress, done)
			},
		})
		var got []string
		for _, r := range results {
			got = append(got, fmt.Sprintf("%s %v %v", r.List, r.Subject, r.State))
			if r.State != dnsbl.Listed && r.State != dnsbl.Clear && r.Reason == "" {
				t.Errorf("no reason: %+v", r)
			}
		}
		want := []string{
			"l0 203.0.113.25 listed", "l0 203.0.113.26 clear", "l1 203.0.113.25 broken", "l1 203.0.113.26 broken",
			"l2 203.0.113.25 unknown", "l2 203.0.113.26 unknown", "l3 203.0.113.25 broken", "l3 203.0.113.26 broken",
			"l4 203.0.113.25 broken", "l4 203.0.113.26 broken", "l5 203.0.113.25 refused", "l5 203.0.113.26 refused",
			"l6 203.0.113.25 clear", "l6 203.0.113.26 clear",
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s", strings.Join(got, "\n"))
		}
		if results[0].Text != "spam" || results[0].Severity() != dnsbl.Block || len(progress) != 14 || progress[13] != 14 {
			t.Errorf("%+v, %v", results[0], progress)
		}
		if took := time.Since(begin); took > 11*time.Second { // the list that does not answer
			t.Errorf("took %v", took)
		}
	})
}

// No operator is asked more than once a second, however many of its lists are looked at.
func TestLookPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lists := allKeyed(t).Lists()
		w := catalogueWorld(t, lists)
		for _, z := range w.zones {
			z.listed[oneReversed], z.listed["example.net"] = "127.0.0.2", "127.0.0.2 127.0.1.2"
		}
		results := dnsbl.Look(t.Context(), dnsbl.LookOptions{
			Resolver: w, Lists: lists, Subjects: append(onlyOne, dnsbl.Domain(domain(t, "example.net"))),
		})
		if len(results) != 90 { // one list is for IPv6
			t.Errorf("%d results", len(results))
		}
		operators := map[string]string{}
		for _, l := range lists {
			operators[strings.Replace(l.Zone, "{key}", "k3y", 1)] = l.Operator
		}
		last := map[string]time.Time{}
		for _, a := range w.asked {
			if d := a.at.Sub(last[operators[a.zone]]); d < time.Second {
				t.Errorf("%s was asked twice within %v", operators[a.zone], d)
			}
			last[operators[a.zone]] = a.at
		}
	})
}

// When the time is up, what was not asked is unknown, and nothing goes on.
func TestLookEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		w := &world{zones: map[string]*zone{"slow.example": {hang: true}}}
		var entries []map[string]any
		for i := range 100 {
			w.zones[fmt.Sprintf("l%d.example", i)] = &zone{}
			name := fmt.Sprintf("l%d", i)
			entries = append(entries, map[string]any{"id": name, "zone": name + ".example", "operator": "one"})
		}
		entries = append(entries, map[string]any{"id": "slow", "zone": "slow.example"})
		begin := time.Now()
		results := dnsbl.Look(ctx, dnsbl.LookOptions{Resolver: w, Lists: own(t, entries...), Subjects: onlyOne})
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("took %v", took)
		}
		states := map[dnsbl.State]int{}
		for _, r := range results {
			states[r.State]++
		}
		if states[dnsbl.Clear] != 1 || states[dnsbl.Unknown] != 100 ||
			!strings.Contains(results[99].Reason, "the time was up") {
			t.Errorf("%v: %+v", states, results[99])
		}
		if n := len(w.asked); n > 5 {
			t.Errorf("%d questions", n)
		}
	})
}

// What the time cut off is said to be that, and not put down to lists: neither what was not asked, nor what had not
// answered, nor a listing by a list that could not be tested any more. What is known by then, is known.
func TestLookCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, wishes := several(t, 6)
		l := func(i int) *zone { return w.zones[fmt.Sprintf("l%d.example", i)] }
		l(0).listed[oneReversed] = "127.0.0.2" // its reason is asked for in the third second, its tests come later
		l(1).hang = true                       // its first test is under way
		l(3).err = dns.ErrServFail
		l(4).listed["2.0.0.127"] = "127.255.255.254"
		w.fault = func(name string) (dns.Answer, bool) {
			if name == oneReversed+".l2.example" { // the question about the address is under way
				time.Sleep(2 * time.Second)
				return dns.Answer{Err: dns.ErrTimeout}, true
			}
			return dns.Answer{}, false
		}
		lists := append(wishes.Lists, own(t, map[string]any{"id": "later", "zone": "l.example", "operator": "l5.example"})...)
		w.zones["l.example"] = &zone{}
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		results := dnsbl.Look(ctx, dnsbl.LookOptions{Resolver: w, Lists: lists, Subjects: onlyOne})
		for i, want := range []struct {
			state  dnsbl.State
			cut    bool
			coded  bool
			reason string
		}{
			{dnsbl.Unknown, true, false, "was found to be listed, but the time was up before the list was tested"},
			{dnsbl.Unknown, true, false, "was not asked, because the time was up"},
			{dnsbl.Unknown, true, false, "had not answered when the time was up"},
			{dnsbl.Unknown, false, false, "SERVFAIL"},
			{dnsbl.Refused, false, true, "answers 127.255.255.254"},
			{dnsbl.Clear, false, false, ""},
			{dnsbl.Unknown, true, false, "was not asked, because the time was up"},
		} {
			r := results[i]
			if r.State != want.state || r.Cut != want.cut || r.Coded != want.coded || !strings.Contains(r.Reason, want.reason) {
				t.Errorf("%s: %+v\nwant %+v", r.List, r, want)
			}
		}
	})
}

// Nothing to look at is no trouble.
func TestLookNothing(t *testing.T) {
	resolver := dns.ResolverFunc(func(context.Context, string, dns.Type) dns.Answer {
		t.Error("asked")
		return dns.Answer{}
	})
	six := own(t, map[string]any{"id": "six", "zone": "six.example", "families": []any{"ipv6"}})
	r := dnsbl.Look(t.Context(), dnsbl.LookOptions{Resolver: resolver, Lists: six, Subjects: onlyOne})
	if len(r) != 0 {
		t.Errorf("%+v", r)
	}
	keyed := []*dnsbl.List{listOf(t, builtin(t), "spamhaus-zen-dqs")}
	r = dnsbl.Look(t.Context(), dnsbl.LookOptions{Resolver: resolver, Lists: keyed, Subjects: onlyOne})
	if len(r) != 1 || r[0].State != dnsbl.Unknown || !strings.Contains(r[0].Reason, "needs a key") {
		t.Errorf("%+v", r)
	}
}

// A panic over a question is one of who looks, when all else is asked.
func TestLookPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, wishes := several(t, 3)
		w.fault = func(name string) (dns.Answer, bool) {
			if strings.HasSuffix(name, ".l1.example") {
				panic("bang")
			}
			return dns.Answer{}, false
		}
		var told []string
		defer func() {
			if p, is := recover().(*parallel.Panic); !is || p.Value != "bang" {
				t.Errorf("%v", p)
			}
			if slices.Sort(told); !slices.Equal(told, []string{"l0", "l2"}) {
				t.Errorf("told of %q", told)
			}
		}()
		dnsbl.Look(t.Context(), dnsbl.LookOptions{
			Resolver: w, Lists: wishes.Lists, Subjects: onlyOne,
			Progress: func(_, _ int, r dnsbl.Result) { told = append(told, r.List.ID) },
		})
		t.Error("nobody was told")
	})
}
