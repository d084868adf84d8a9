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

// The tests of this file are mistakes that other programs make, or made, with lists of the catalogue. Each says whose.

// answering gives the result of asking a list about something it takes, when it answers so.
func answering(t testing.TB, l *dnsbl.List, a dns.Answer) dnsbl.Result {
	t.Helper()
	subject := address("203.0.113.25")
	switch {
	case l.Domains:
		subject = dnsbl.Domain(domain(t, "example.net"))
	case l.Families == dnsbl.IPv6:
		subject = address("2001:db8::25")
	}
	return dnsbl.Query(t.Context(), always(a), l, subject)
}

// allKeyed is the catalogue with a key wherever one is needed.
func allKeyed(t testing.TB) *dnsbl.Catalogue {
	c := builtin(t)
	for _, l := range c.Lists() {
		if l.NeedsKey() {
			c = withKey(t, c, l.ID, "k3y")
		}
	}
	return c
}

// catalogueWorld is a world in which all lists of the catalogue are healthy and list nothing.
func catalogueWorld(t testing.TB, lists []*dnsbl.List) *world {
	t.Helper()
	w := &world{zones: map[string]*zone{}}
	for _, l := range lists {
		top := strings.Replace(l.Zone, "{key}", "k3y", 1)
		if w.zones[top] == nil {
			w.zones[top] = &zone{listed: map[string]string{}, texts: map[string]string{}, ttl: 5 * time.Minute}
		}
		if !l.TestListed.IsZero() {
			w.zones[top].listed[strings.TrimSuffix(nameAsked(t, l, l.TestListed), "."+top)] = "127.0.0.2"
		}
	}
	return w
}

// mox, dnsbl_exporter, YunoHost, pydnsbl, check_rbl, Mail-in-a-Box, modoboa-installer and mailserver2 take, or took, an
// error of Spamhaus for a listing.
func TestPitfallErrorCodeIsNoListing(t *testing.T) {
	for _, l := range allKeyed(t).Lists() {
		for last := range 256 {
			a := fmt.Sprintf("127.255.255.%d", last)
			for _, answer := range []dns.Answer{found(a), found("127.0.0.2", a), found(a, "127.0.0.4", "127.0.1.2")} {
				r := answering(t, l, answer)
				if r.State != dnsbl.Refused || r.Codes != nil || !strings.Contains(r.Reason, a) || r.Remedy == "" {
					t.Fatalf("%s: %+v", l, r)
				}
			}
		}
	}
}

// Most programs take any address for a listing: that of the page of a lapsed domain, of a Pi-hole, of a resolver that
// rewrites what does not exist.
func TestPitfallAnswerOutsideLoopback(t *testing.T) {
	for _, l := range allKeyed(t).Lists() {
		for _, a := range []string{"198.51.100.7", "0.0.0.0", "10.0.0.1", "126.255.255.255", "128.0.0.0", "146.112.61.108"} {
			for _, answer := range []dns.Answer{found(a), found("127.0.0.2", a), found(a, "127.0.0.2")} {
				if r := answering(t, l, answer); r.State != dnsbl.Broken || r.Codes != nil || !strings.Contains(r.Reason, a) {
					t.Fatalf("%s: %+v", l, r)
				}
			}
		}
	}
}

// 127.0.0.1 is an error at some lists, praise at one, a listing at few; at any other it means nothing.
func TestPitfall127001(t *testing.T) {
	want := map[string]string{
		"surbl": "refused", "uribl": "refused",
		"hostkarma": "good", "efnetrbl": "info", "dronebl": "info", "tornevall": "info", "validity-rpbl": "warn",
	}
	for _, l := range allKeyed(t).Lists() {
		r := answering(t, l, found("127.0.0.1"))
		got := r.State.String()
		if r.State == dnsbl.Listed {
			got = r.Severity().String()
		}
		expect := "unknown"
		if w, ok := want[l.ID]; ok {
			expect = w
		}
		if got != expect {
			t.Errorf("%s: %s, want %s", l, got, expect)
		}
	}
}

// A test that wants 127.0.0.2 finds lists broken that have codes of their own for their test entries, and one that asks
// for 127.0.0.2 finds those broken that have another name.
func TestPitfallTestEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := builtin(t)
		entries := map[string][3]string{ // list: name and code of the test entry, and what must not be listed
			"blocklist-de":         {"2.0.0.127", "127.0.0.15", "1.0.0.127"},
			"suomispam-bl":         {"2.0.0.127", "127.0.0.99", "1.0.0.127"},
			"scientificspam-rhsbl": {"test", "127.0.1.2", "invalid"},
			"sem-uri":              {"_dnsbl_.test", "127.0.0.2", "_dnsblneg_.test"},
			"sem-ipv6":             {v6(2), "127.0.0.2", v6(1)},
			"nordspam-dbl":         {"test", "127.0.0.2", "invalid"},
		}
		w := &world{zones: map[string]*zone{}}
		var lists []*dnsbl.List
		for id, e := range entries {
			l := listOf(t, c, id)
			lists = append(lists, l)
			w.zones[l.Zone] = &zone{listed: map[string]string{"2.0.0.127": "", "test": "", v6(2): ""}}
			w.zones[l.Zone].listed[e[0]] = e[1]
		}
		v := watch(t, w, "", dnsbl.Wishes{
			Lists:     lists,
			Addresses: []netip.Addr{one, netip.MustParseAddr("2001:db8::25")},
			Domains:   []mail.Domain{domain(t, "example.net")},
		})
		v.pass(time.Minute)
		if n := len(v.Snapshot().Lists()); n != len(lists) {
			t.Errorf("%d lists", n)
		}
		for _, h := range v.Snapshot().Lists() {
			if h.Health != dnsbl.Healthy || len(w.questions(h.List.Zone, entries[h.List.ID][2])) != 1 {
				t.Errorf("%s: %+v", h.List, h)
			}
		}
	})
}

// Mail-in-a-Box reverses groups of four digits, so that its question about an IPv6 address can never be answered.
func TestPitfallIPv6Nibbles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, wishes := several(t, 1)
		six := netip.MustParseAddr("2001:db8:1:2:3:4:567:89ab")
		wishes.Addresses = []netip.Addr{six}
		const reversed = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2" // RFC 5782, section 2.4
		w.zones["l0.example"].listed[reversed] = "127.0.0.2"
		v := watch(t, w, "", wishes)
		v.pass(3 * time.Hour)
		if on := v.Snapshot().Listed(six); len(on) != 1 {
			t.Errorf("%+v", v.Snapshot().Listings(six))
		}
	})
}

// Who asks dnswl.org too much is told that everybody is trusted (rspamd#4627).
func TestPitfallDNSWLOverLimit(t *testing.T) {
	for _, id := range []string{"dnswl", "dnswl-dwl"} {
		l := listOf(t, builtin(t), id)
		for _, a := range []string{"127.0.10.3", "127.0.10.0", "127.0.0.255"} {
			if r := answering(t, l, found(a)); r.State != dnsbl.Refused || r.Remedy == "" {
				t.Errorf("%s: %s: %+v", id, a, r)
			}
		}
		if r := answering(t, l, found("127.0.11.3")); r.State != dnsbl.Listed || r.Severity() != dnsbl.Good {
			t.Errorf("%s: %+v", id, r)
		}
	}
}

// Barracuda answers SERVFAIL to resolvers that it does not know (iRedMail#232): neither a time-out, nor clear.
func TestPitfallBarracudaUnregistered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := builtin(t)
		lists := []*dnsbl.List{listOf(t, c, "barracuda"), listOf(t, c, "spamcop")}
		w := catalogueWorld(t, lists)
		w.zones["b.barracudacentral.org"].err = dns.ErrServFail
		v := watch(t, w, "", dnsbl.Wishes{Lists: lists, Addresses: []netip.Addr{one}})
		v.pass(24 * time.Hour)
		v.want("unregistered", "barracuda", dnsbl.Refused, "refused barracuda")
		if l := v.at("barracuda"); !strings.Contains(l.Remedy, "register") {
			t.Errorf("%+v", l)
		}
		v.want("unregistered", "spamcop", dnsbl.Clear, "")
		w.put(func() { w.zones["b.barracudacentral.org"].err = nil })
		v.pass(2 * time.Hour)
		v.want("registered", "barracuda", dnsbl.Clear, "healthy barracuda")
	})
}

// Validity answers nobody without an account since 2026, so that older configurations find everybody listed.
func TestPitfallValidity(t *testing.T) {
	c := builtin(t)
	for _, l := range c.Lists() {
		if l.Operator != "Validity" {
			continue
		}
		if l.Default || l.Access != dnsbl.Registration {
			t.Errorf("%s: default %t, access %v", l, l.Default, l.Access)
		}
		r := answering(t, l, found("127.255.255.255"))
		if r.State != dnsbl.Refused || !strings.Contains(r.Remedy, "register") {
			t.Errorf("%s: %+v", l, r)
		}
	}
}

// Installations that ask through a public resolver are refused by the lists that matter, and find themselves either
// listed or clear. It is said once, with what helps.
func TestPitfallPublicResolver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := builtin(t)
		lists, err := c.Select([]string{"default"})
		if err != nil {
			t.Fatal(err)
		}
		w := catalogueWorld(t, lists)
		for _, l := range lists {
			if strings.HasSuffix(l.Zone, ".spamhaus.org") {
				w.zones[l.Zone].all = "127.255.255.254"
				clear(w.zones[l.Zone].listed)
				w.zones[l.Zone].listed["2.0.0.127"] = "127.255.255.254"
			}
		}
		name := domain(t, "example.net")
		v := watch(t, w, "", dnsbl.Wishes{Lists: lists, Addresses: []netip.Addr{one}, Domains: []mail.Domain{name}})
		v.pass(24 * time.Hour)
		if r := v.Snapshot().Resolver(); r.Health != dnsbl.Refusing || !strings.Contains(r.Remedy, "unbound") ||
			!strings.Contains(r.Remedy, "get a key") {
			t.Errorf("%+v", r)
		}
		v.want("refused", "spamhaus-zen", dnsbl.Refused, "refused resolver")
		v.want("refused", "spamcop", dnsbl.Clear, "")
		if l := v.Snapshot().DomainListings(name)[0]; l.List.ID != "spamhaus-dbl" || l.State != dnsbl.Refused {
			t.Errorf("%+v", l)
		}
		w.put(func() { w.zones = catalogueWorld(t, lists).zones })
		v.pass(24 * time.Hour)
		v.want("with a resolver of its own", "spamhaus-zen", dnsbl.Clear, "healthy resolver")
	})
}

// YunoHost, dnsbl_exporter, check_rbl, dnsblchk, mailcow-logs-viewer and modoboa ship zones that are dead.
func TestPitfallDeadZonesShipped(t *testing.T) {
	c := builtin(t)
	for _, zone := range []string{
		"ix.dnsbl.manitu.net", "dnsbl.sorbs.net", "spam.dnsbl.sorbs.net", "rhsbl.sorbs.net", "db.wpbl.info", "dnsbl.inps.de",
		"dnsbl6.anticaptcha.net", "rbl.megarbl.net", "ubl.unsubscore.com", "bl.spamcannibal.org", "cbl.abuseat.org",
	} {
		if _, err := c.Read(map[string]any{"id": "own", "zone": zone, "codes": anyCodes()}); err == nil ||
			!strings.Contains(err.Error(), "zone: ") {
			t.Errorf("%s: %v", zone, err)
		}
	}
}

// SpamCop's domain lapsed on 2021-01-31, and everybody without a self-test was listed.
func TestPitfallLapsedDomainListsTheWorld(t *testing.T) {
	tests := map[string]func(*zone){
		"wildcard":           func(z *zone) { z.all = "127.0.0.2" },
		"parked":             func(z *zone) { z.all, z.listed["2.0.0.127"] = "198.51.100.7", "198.51.100.7" },
		"parked in loopback": func(z *zone) { z.all = "127.0.0.77" },
		"only what exists":   func(z *zone) { z.listed["1.0.0.127"], z.listed[oneReversed] = "127.0.0.2", "127.0.0.2" },
	}
	for name, lapse := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lists := []*dnsbl.List{listOf(t, builtin(t), "spamcop"), listOf(t, builtin(t), "psbl")}
				w := catalogueWorld(t, lists)
				v := watch(t, w, "", dnsbl.Wishes{Lists: lists, Addresses: []netip.Addr{one}})
				v.pass(3 * time.Hour)
				v.want("before", "spamcop", dnsbl.Clear, "")
				w.put(func() { lapse(w.zones["bl.spamcop.net"]) })
				for range 48 {
					v.pass(30 * time.Minute)
					if on := v.Snapshot().Listed(one); len(on) > 0 {
						t.Fatalf("listed: %+v", on)
					}
				}
				v.want("lapsed", "spamcop", dnsbl.Broken, "broken spamcop")
				v.want("lapsed", "psbl", dnsbl.Clear, "")
				w.put(func() { w.zones["bl.spamcop.net"] = catalogueWorld(t, lists).zones["bl.spamcop.net"] })
				v.pass(3 * time.Hour)
				v.want("after", "spamcop", dnsbl.Clear, "healthy spamcop")
			})
		})
	}
}

// An address that is listed by a list which then lists the world is not listed any more while that lasts.
func TestPitfallListingWhileListLapses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, z, wishes := local(t)
		z.listed[oneReversed] = "127.0.0.2"
		v := watch(t, w, "", wishes)
		v.pass(2 * time.Hour)
		v.want("before", "local", dnsbl.Listed, "listed local 203.0.113.25")
		w.put(func() { z.all = "127.0.0.2" })
		v.pass(7 * time.Hour) // the test comes by itself: what is listed already makes nobody suspicious
		v.want("lapsed", "local", dnsbl.Broken, "broken local")
		w.put(func() { z.all = "" })
		v.pass(3 * time.Hour)
		v.want("after", "local", dnsbl.Listed, "healthy local")
	})
}

// A resolver that rewrites what does not exist makes every list look broken: it is told of the resolver.
func TestPitfallResolverRewrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, wishes := several(t, 12)
		for _, z := range w.zones {
			z.all = "198.51.100.7"
		}
		v := watch(t, w, "", wishes)
		v.pass(24 * time.Hour)
		if r := v.Snapshot().Resolver(); r.Health != dnsbl.Faulty || !strings.Contains(r.Reason, "rewrite answers") {
			t.Errorf("%+v", r)
		}
		if got := v.told(); !strings.HasSuffix(got, ", broken resolver") || strings.Count(got, "broken") != 2 {
			t.Errorf("told %s", got) // the first list is told before it can be known that others do the same
		}
		for _, l := range v.Snapshot().Listings(one) {
			if l.State != dnsbl.Broken {
				t.Errorf("%+v", l)
			}
		}
	})
}

// A test entry that nobody promised proves nothing: the list is unknown then, and not called broken.
func TestPitfallAssumedTestEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, z, wishes := local(t, "test_status", "assumed")
		z.listed["2.0.0.127"] = ""
		v := watch(t, w, "", wishes)
		v.pass(3 * time.Hour)
		v.want("without test entry", "local", dnsbl.Unknown, "unproven local")
		if l := v.at("local"); !strings.Contains(l.Reason, "does not list its own test entry 127.0.0.2") ||
			!strings.Contains(l.Remedy, "test_listed") {
			t.Errorf("%+v", l)
		}
		if n := len(w.questions("bl.example.net", oneReversed)); n != 0 {
			t.Errorf("%d questions to a list that cannot be believed", n)
		}
		w.put(func() { z.listed["2.0.0.127"], z.listed["1.0.0.127"], z.all = "127.0.0.2", "", "127.0.0.2" })
		v.pass(3 * time.Hour) // but for what lists a name that nobody can have put there, there is no excuse
		v.want("listing the world", "local", dnsbl.Broken, "broken local")
	})
}

// A list without test points is tested with the name that nobody can have put there.
func TestPitfallNoTestEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, z, wishes := local(t, "test_status", "none")
		z.listed["2.0.0.127"] = ""
		v := watch(t, w, "", wishes)
		v.pass(time.Minute)
		v.want("nothing listed", "local", dnsbl.Clear, "")
		w.put(func() { z.all = "127.0.0.2" })
		v.pass(24 * time.Hour)
		v.want("world listed", "local", dnsbl.Broken, "broken local")
		random := func(a asked) bool { return strings.HasPrefix(a.name, "reputed-") }
		if !slices.ContainsFunc(w.questions("bl.example.net", ""), random) {
			t.Error("no random name was asked for")
		}
	})
}
