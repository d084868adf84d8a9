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
	"reputed/policy/mail"
)

// A week of all lists and eight addresses, with listings, lists that fail and a reload each day, asks no list about the
// same thing before its time, and no operator more than once a second. This is counted.
func TestWeek(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lists := allKeyed(t).Lists()
		w := catalogueWorld(t, lists)
		wishes := dnsbl.Wishes{Lists: lists, Domains: []mail.Domain{domain(t, "example.net"), domain(t, "example.org")}}
		for i := range 6 {
			wishes.Addresses = append(wishes.Addresses, netip.AddrFrom4([4]byte{203, 0, 113, byte(25 + i)}))
		}
		for _, six := range []string{"2001:db8::25", "2001:db8:1::25"} {
			wishes.Addresses = append(wishes.Addresses, netip.MustParseAddr(six))
		}
		w.zones["psbl.surriel.com"].hang = true
		w.zones["bl.spamcop.net"].err = dns.ErrServFail
		w.zones["bl.blocklist.de"].all = "127.0.0.9"
		w.zones["zen.spamhaus.org"].listed[oneReversed] = "127.0.0.4"
		v := watch(t, w, "", wishes)
		begin := time.Now()
		for day := range 7 {
			v.pass(23*time.Hour + 17*time.Minute)
			less := wishes
			less.Addresses = wishes.Addresses[day%3:]
			for _, wish := range []dnsbl.Wishes{less, wishes} {
				if err := v.Set(wish); err != nil {
					t.Fatal(err)
				}
				v.pass(time.Minute)
			}
			v.pass(41 * time.Minute)
		}
		v.stop()
		checkWeek(t, w, lists, wishes, time.Since(begin))
	})
}

func checkWeek(t *testing.T, w *world, lists []*dnsbl.List, wishes dnsbl.Wishes, took time.Duration) {
	t.Helper()
	operators := map[string]string{} // by zone
	byName := map[string][]asked{}
	for _, a := range w.asked {
		if a.kind == dns.A {
			byName[a.name+"."+a.zone] = append(byName[a.name+"."+a.zone], a)
		}
	}
	for _, l := range lists {
		top := strings.Replace(l.Zone, "{key}", "k3y", 1)
		operators[top] = l.Operator
		if !l.TestListed.IsZero() {
			apart(t, l, byName[nameAsked(t, l, l.TestListed)], 10*time.Minute)
		}
		for _, s := range subjectsOf(wishes) {
			if l.Takes(s) {
				often(t, l, byName[nameAsked(t, l, s)], took)
			}
		}
	}
	last := map[string]time.Time{}
	for _, a := range w.asked {
		operator := operators[a.zone]
		if d := a.at.Sub(last[operator]); d < time.Second {
			t.Fatalf("%s was asked twice within %v", operator, d)
		}
		last[operator] = a.at
	}
	t.Logf("%d questions in %v, %.2f a minute", len(w.asked), took, float64(len(w.asked))/took.Minutes())
}

func subjectsOf(w dnsbl.Wishes) []dnsbl.Subject {
	var all []dnsbl.Subject
	for _, a := range w.Addresses {
		all = append(all, dnsbl.Address(a))
	}
	for _, d := range w.Domains {
		all = append(all, dnsbl.Domain(d))
	}
	return all
}

// often checks how often a list was asked about one thing: not before its time, and unless it fails, in time.
func often(t *testing.T, l *dnsbl.List, questions []asked, took time.Duration) {
	t.Helper()
	apart(t, l, questions, l.MinPoll)
	if slices.Contains([]string{"psbl", "spamcop", "blocklist-de"}, l.ID) {
		if len(questions) > 0 {
			t.Errorf("%s was never healthy, and was asked about %s", l, questions[0].name)
		}
		return
	}
	if least := int(took/(l.MinPoll*11/10)) - 2; len(questions) < least {
		t.Errorf("%s was asked %d times about one thing, want %d at least", l, len(questions), least)
	}
}

// apart checks that a list was not asked about one thing too often.
func apart(t *testing.T, l *dnsbl.List, questions []asked, least time.Duration) {
	t.Helper()
	for i := 1; i < len(questions); i++ {
		if d := questions[i].at.Sub(questions[i-1].at); d < least {
			t.Errorf("%s was asked about %s after %v, not %v", l, questions[i].name, d, least)
		}
	}
}

// With very many domains, an operator is asked at half of its pace, and nothing becomes stale for that.
func TestManyDomains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, z, wishes := local(t, "subject", "domain", "test_listed", "test", "test_unlisted", "invalid")
		z.ttl = time.Minute
		wishes.Addresses = nil
		for i := range 1500 {
			wishes.Domains = append(wishes.Domains, domain(t, fmt.Sprintf("d%d.example", i)))
		}
		v := watch(t, w, "", wishes)
		v.pass(4 * time.Hour)
		unknown := 0
		for _, d := range wishes.Domains {
			if l := v.Snapshot().DomainListings(d); l[0].State != dnsbl.Clear {
				unknown++
			}
		}
		if unknown > 0 {
			t.Errorf("%d domains are unknown", unknown)
		}
		if n := len(w.questions("", "")); n > 4*3600*6/10 {
			t.Errorf("%d questions in four hours", n)
		}
	})
}

// Reading the snapshot is on the path of every message: it takes no memory.
func BenchmarkSnapshot(b *testing.B) {
	lists := allKeyed(b).Lists()
	wishes := dnsbl.Wishes{Lists: lists, Addresses: []netip.Addr{one, netip.MustParseAddr("2001:db8::25")}}
	m, err := dnsbl.NewMonitor(dnsbl.Options{Wishes: wishes})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s := m.Snapshot()
			for _, a := range wishes.Addresses {
				if len(s.Listed(a)) > 0 || len(s.Listings(a)) == 0 {
					b.Fail()
				}
			}
		}
	})
}

func TestSnapshotTakesNoMemory(t *testing.T) {
	wishes := dnsbl.Wishes{Lists: builtin(t).Lists(), Addresses: []netip.Addr{one}}
	m, err := dnsbl.NewMonitor(dnsbl.Options{Wishes: wishes})
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _ = m.Snapshot().Listed(one) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
