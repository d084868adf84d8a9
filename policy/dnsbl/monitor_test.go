package dnsbl_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"reputed/policy/dns"
	"reputed/policy/dnsbl"
	"reputed/policy/mail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// watching is a monitor at work in a world whose time the test moves.
type watching struct {
	*dnsbl.Monitor
	t    *testing.T
	stop func()

	mu     sync.Mutex
	events []dnsbl.Event
}

// watch starts a monitor. It ends with the test, or at stop.
func watch(t *testing.T, w *world, state string, wishes dnsbl.Wishes) *watching {
	t.Helper()
	v := &watching{t: t}
	m, err := dnsbl.NewMonitor(dnsbl.Options{
		Resolver: w, Wishes: wishes, State: state, Rand: rand.New(rand.NewPCG(1, 2)),
		Event: func(e dnsbl.Event) {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.events = append(v.events, e)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	v.Monitor = m
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := m.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	v.stop = func() { cancel(); <-done }
	t.Cleanup(v.stop)
	synctest.Wait()
	return v
}

// pass lets time pass.
func (v *watching) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// asked lets time pass until list local has answered about the first address anew, and a test that this leads to is over.
func (v *watching) asked() {
	v.t.Helper()
	for was := v.at("local").Asked; v.at("local").Asked.Equal(was); {
		v.pass(10 * time.Second)
	}
	v.pass(10 * time.Second)
}

// told gives the events since the last call, as "change list subject" with commas between.
func (v *watching) told() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var all []string
	for _, e := range v.events {
		about := "resolver"
		if e.List != nil {
			about = e.List.ID
		}
		all = append(all, strings.TrimSpace(fmt.Sprintf("%v %s %v", e.Change, about, e.Subject)))
	}
	v.events = nil
	return strings.Join(all, ", ")
}

// at gives how the first address stands at a list.
func (v *watching) at(list string) dnsbl.Listing {
	v.t.Helper()
	all := v.Snapshot().Listings(one)
	i := slices.IndexFunc(all, func(l dnsbl.Listing) bool { return l.List.ID == list })
	if i < 0 {
		v.t.Fatalf("%v is not watched at list %s", one, list)
	}
	return all[i]
}

func (v *watching) want(when, list string, state dnsbl.State, told string) {
	v.t.Helper()
	if l := v.at(list); l.State != state {
		v.t.Errorf("%s: %v at %s, want %v: %+v", when, l.State, list, state, l)
	}
	if got := v.told(); got != told {
		v.t.Errorf("%s: told %q, want %q", when, got, told)
	}
}

var one = netip.MustParseAddr("203.0.113.25")

const oneReversed = "25.113.0.203"

// local is one list of our own, asked every half an hour, and a world that has it.
func local(t *testing.T, more ...any) (*world, *zone, dnsbl.Wishes) {
	t.Helper()
	entry := map[string]any{"id": "local", "zone": "bl.example.net", "min_poll": "30m"}
	for i := 0; i < len(more); i += 2 {
		entry[more[i].(string)] = more[i+1]
	}
	z := &zone{listed: map[string]string{}, texts: map[string]string{}, ttl: time.Minute}
	w := &world{zones: map[string]*zone{"bl.example.net": z}}
	return w, z, dnsbl.Wishes{Lists: own(t, entry), Addresses: []netip.Addr{one}}
}

// Many questions at once that have no answer do not make a list silent: only time does.
func TestSilentAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, z, wishes := local(t)
		for i := range 8 {
			wishes.Addresses = append(wishes.Addresses, netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}))
		}
		v := watch(t, w, "", wishes)
		v.pass(time.Hour)
		w.put(func() { z.hang = true })
		v.pass(40 * time.Minute)
		w.put(func() { z.hang = false })
		v.pass(time.Hour)
		v.want("after a round", "local", dnsbl.Clear, "silent resolver, healthy resolver") // with one operator, who can tell
	})
}

// A test that is cut off by a restart is made again soon, and one that goes on at a reload goes on.
func TestTestCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := filepath.Join(t.TempDir(), "dnsbl.json")
		w, _, wishes := local(t)
		v := watch(t, w, state, wishes)
		v.pass(2500 * time.Millisecond)
		v.stop()
		v = watch(t, w, state, wishes)
		v.pass(9 * time.Minute)
		if n := len(w.questions("", "")); n != 2 {
			t.Errorf("%d questions, want the two before the restart", n)
		}
		v.pass(61 * time.Second)
		if err := v.Set(wishes); err != nil {
			t.Fatal(err)
		}
		v.pass(4 * time.Second)
		v.want("after the restart", "local", dnsbl.Clear, "")
	})
}

// A reload in the middle of a test, or while a question has no answer yet, neither delays nor doubles it.
func TestReloadMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, z, wishes := local(t)
		v := watch(t, w, "", wishes)
		set := func() {
			t.Helper()
			if err := v.Set(wishes); err != nil {
				t.Fatal(err)
			}
		}
		v.pass(1500 * time.Millisecond)
		set()
		v.pass(3 * time.Second)
		v.want("after the test", "local", dnsbl.Clear, "")
		w.put(func() { z.hang = true })
		for _, name := range []string{oneReversed, "2.0.0.127"} {
			asked := len(w.questions("", name))
			for len(w.questions("", name)) == asked {
				v.pass(time.Second)
			}
			for range 3 {
				set()
				v.pass(2 * time.Second)
			}
			if n := len(w.questions("", name)) - asked; n != 1 {
				t.Errorf("asked %d times about %s", n, name)
			}
		}
	})
}

// A list that begins to refuse us is noticed by the first answer that says so, tested, and then left alone.
func TestRefusedIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, z, wishes := local(t)
		for i := range 20 {
			wishes.Addresses = append(wishes.Addresses, netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}))
		}
		v := watch(t, w, "", wishes)
		v.pass(time.Hour)
		w.put(func() { z.all, z.listed["2.0.0.127"] = "127.255.255.255", "127.255.255.255" })
		asked := len(w.questions("", ""))
		v.pass(50 * time.Minute)
		v.want("refused", "local", dnsbl.Refused, "refused local")
		if n := len(w.questions("", "")) - asked; n > 4 {
			t.Errorf("%d questions to a list that refuses them", n)
		}
	})
}

// Of one operator, few questions wait for an answer at the same time.
func TestInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, z, wishes := local(t)
		for i := range 20 {
			wishes.Addresses = append(wishes.Addresses, netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}))
		}
		v := watch(t, w, "", wishes)
		v.pass(time.Minute)
		w.put(func() { z.hang = true })
		v.pass(time.Hour)
		if w.most != 2 {
			t.Errorf("%d questions wait at once", w.most)
		}
	})
}

// A restart in the middle of an interval asks nothing before its time, and forgets nothing.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := filepath.Join(t.TempDir(), "dnsbl.json")
		w, z, wishes := local(t)
		z.listed[oneReversed], z.texts[oneReversed] = "127.0.0.2", "spam"
		v := watch(t, w, state, wishes)
		v.pass(70 * time.Minute)
		before := v.at("local")
		v.stop()
		asked := len(w.questions("", ""))
		for range 5 {
			v = watch(t, w, state, wishes)
			if l := v.at("local"); l.State != dnsbl.Listed || !l.Since.Equal(before.Since) || l.Text != "spam" ||
				l.Severity != dnsbl.Block {
				t.Errorf("after the restart: %+v", l)
			}
			v.pass(time.Minute)
			v.stop()
		}
		if n := len(w.questions("", "")) - asked; n != 0 {
			t.Errorf("%d questions before their time", n)
		}
		v = watch(t, w, state, wishes)
		v.pass(30 * time.Minute)
		if n := len(w.questions("", "")) - asked; n != 1 {
			t.Errorf("%d questions at their time, want 1", n)
		}
		v.want("after all", "local", dnsbl.Listed, "")
	})
}

// A reload asks about what is new only, and what it takes away and brings back keeps its time.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _, wishes := local(t)
		w.zones["other.example.net"] = &zone{}
		v := watch(t, w, "", wishes)
		v.pass(time.Minute)
		asked := len(w.questions("", ""))
		two := netip.MustParseAddr("203.0.113.26")
		more := wishes
		more.Addresses = []netip.Addr{one, two}
		more.Lists = append(own(t, map[string]any{"id": "other", "zone": "other.example.net"}), wishes.Lists...)
		set := func(w dnsbl.Wishes) {
			t.Helper()
			if err := v.Set(w); err != nil {
				t.Fatal(err)
			}
			v.pass(10 * time.Second)
		}
		set(more)
		if n := len(w.questions("", "")) - asked; n != 1+3+2 {
			t.Errorf("%d questions, want one about the new address, three to test the new list, and two to it", n)
		}
		if l := v.Snapshot().Listings(two); len(l) != 2 || l[0].List.ID != "other" || l[0].State != dnsbl.Clear {
			t.Errorf("%+v", l)
		}
		asked = len(w.questions("", ""))
		for range 3 {
			set(wishes)
			if n := len(v.Snapshot().Listings(two)) + len(v.Snapshot().Lists()); n != 1 {
				t.Errorf("what is not watched any more is shown: %+v", v.Snapshot())
			}
			set(more)
		}
		if n := len(w.questions("", "")) - asked; n != 0 {
			t.Errorf("%d questions before their time", n)
		}
		v.want("after all", "other", dnsbl.Clear, "")
	})
}

// A resolver that fails for a day makes no listing and ends none, and is told of once, not for each list.
func TestResolverDown(t *testing.T) {
	for _, failure := range []error{dns.ErrTimeout, dns.ErrServFail, dns.ErrNetwork} {
		t.Run(failure.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, wishes := several(t, 12)
				w.zones["l3.example"].listed[oneReversed] = "127.0.0.2"
				v := watch(t, w, "", wishes)
				v.pass(3 * time.Hour)
				v.want("at first", "l3", dnsbl.Listed, "listed l3 203.0.113.25")
				v.want("at first", "l4", dnsbl.Clear, "")
				since := v.at("l3").Since
				w.put(func() { w.fault = func(string) (dns.Answer, bool) { return dns.Answer{Err: failure}, true } })
				v.pass(2 * time.Hour)
				v.want("after two hours", "l3", dnsbl.Listed, "silent resolver")
				if r := v.Snapshot().Resolver(); r.Health != dnsbl.Silent || r.Remedy == "" {
					t.Errorf("%+v", r)
				}
				v.pass(22 * time.Hour)
				v.want("after a day", "l3", dnsbl.Unknown, "")
				v.want("after a day", "l4", dnsbl.Unknown, "")
				w.put(func() { w.fault = nil })
				v.pass(5 * time.Hour)
				v.want("when it is back", "l3", dnsbl.Listed, "healthy resolver")
				v.want("when it is back", "l4", dnsbl.Clear, "")
				if l := v.at("l3"); !l.Since.Equal(since) {
					t.Errorf("listed since %v, was %v", l.Since, since)
				}
			})
		})
	}
}

// A resolver that refuses every question is told of once too, but for the lists whose questions it refused first.
func TestResolverRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, wishes := several(t, 40)
		w.failing(dns.ErrRefused, "")
		v := watch(t, w, "", wishes)
		v.pass(24 * time.Hour)
		if r := v.Snapshot().Resolver(); r.Health != dnsbl.Silent || !strings.Contains(r.Reason, "REFUSED") {
			t.Errorf("%+v", r)
		}
		if got := v.told(); strings.Count(got, "refused l") > 4 || strings.Count(got, "resolver") != 1 {
			t.Errorf("told %s", got)
		}
		w.failing(nil)
		v.pass(3 * time.Hour)
		if got := v.told(); strings.Count(got, "healthy l") > 4 || strings.Count(got, "healthy resolver") != 1 {
			t.Errorf("told %s", got)
		}
		v.want("when it answers", "l30", dnsbl.Clear, "")
	})
}

// several is lists l0, l1, ... of as many operators, asked every hour, and a world that has them.
func several(t testing.TB, n int) (*world, dnsbl.Wishes) {
	t.Helper()
	w := &world{zones: map[string]*zone{}}
	var entries []map[string]any
	for i := range n {
		name := fmt.Sprintf("l%d", i)
		w.zones[name+".example"] = &zone{listed: map[string]string{}, texts: map[string]string{}}
		entries = append(entries, map[string]any{"id": name, "zone": name + ".example", "min_poll": "1h"})
	}
	return w, dnsbl.Wishes{Lists: own(t, entries...), Addresses: []netip.Addr{one}}
}

// A list that does not answer slows no other, not even one of the same operator for long.
func TestTimeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, wishes := several(t, 40)
		for i := range 20 {
			w.zones[fmt.Sprintf("l%d.example", i)].hang = true
		}
		begin := time.Now()
		v := watch(t, w, "", wishes)
		v.pass(5 * time.Second)
		for i := 20; i < 40; i++ {
			if l := v.at(fmt.Sprintf("l%d", i)); l.State != dnsbl.Clear || l.Asked.Sub(begin) > 4*time.Second {
				t.Errorf("after 5 seconds: %+v", l)
			}
		}
		v.pass(5 * time.Hour)
		if l := v.at("l0"); l.State != dnsbl.Unknown || !strings.Contains(l.Reason, "does not answer in time") {
			t.Errorf("%+v", l)
		}
		if h := v.Snapshot().Lists()[0]; h.Health != dnsbl.Silent {
			t.Errorf("%+v", h)
		}
		if got := v.told(); strings.Count(got, "silent l") != 20 || strings.Contains(got, "resolver") {
			t.Errorf("told %s", got)
		}
	})
}

// What the world cannot see is not asked about; what is too much is left out, and said.
func TestWishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _, wishes := local(t)
		names := own(t, map[string]any{"id": "names", "zone": "names.example.net", "subject": "domain"})
		w.zones["names.example.net"] = &zone{}
		wishes.Lists = append(wishes.Lists, names...)
		wishes.Domains = []mail.Domain{domain(t, "example.org"), {}, domain(t, "example.org")}
		wishes.Addresses = nil
		for _, s := range []string{"10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.1.1", "fd00::1", "fe80::1%eth0", "::1",
			"0.0.0.0", "224.0.0.1", "203.0.113.25", "::ffff:203.0.113.25", "2001:db8::25"} {
			wishes.Addresses = append(wishes.Addresses, netip.MustParseAddr(s))
		}
		wishes.Addresses = append(wishes.Addresses, netip.Addr{})
		six := own(t, map[string]any{"id": "six", "zone": "six.example.net", "families": []any{"ipv6"}})
		wishes.Lists = append(wishes.Lists, six...)
		v := watch(t, w, "", wishes)
		v.pass(time.Minute)
		if got := fmt.Sprint(v.Snapshot().Subjects()); got != "[203.0.113.25 2001:db8::25 example.org]" {
			t.Errorf("watched: %s", got)
		}
		if l := v.Snapshot().DomainListings(domain(t, "example.org")); len(l) != 1 || l[0].State != dnsbl.Clear {
			t.Errorf("%+v", l)
		}
		if l := v.Snapshot().Listings(netip.MustParseAddr("10.1.2.3")); l != nil {
			t.Errorf("%+v", l)
		}
		if len(v.Snapshot().DomainListed(domain(t, "example.org"))) != 0 {
			t.Error("a domain is listed")
		}
		if len(w.questions("", "")) == 0 {
			t.Error("nothing was asked")
		}
		wishes.Addresses = []netip.Addr{one}
		if err := v.Set(wishes); err != nil {
			t.Error(err)
		}
		if n := len(v.Snapshot().Lists()); n != 2 {
			t.Errorf("%d lists are watched, one of them for nothing", n)
		}
		for i := range 300 {
			wishes.Addresses = append(wishes.Addresses, netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}))
		}
		err := v.Set(wishes)
		if err == nil || !strings.Contains(err.Error(), "301 addresses are too many to be watched: at most 256") {
			t.Errorf("%v", err)
		}
		if n := len(v.Snapshot().Subjects()); n != 257 {
			t.Errorf("%d watched", n)
		}
	})
}
