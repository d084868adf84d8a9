package dkim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"reputed/policy/dkim"
	"reputed/policy/dns"
	"reputed/policy/dns/dnstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is two servers of example.org, one of keys.example.net, and a resolver.
type world struct {
	t             *testing.T
	one, two, net *dnstest.Server
	resolver      *dnstest.Server
	private       bool // the servers have addresses that only private networks know
	half          bool // the first of them has
}

const delegations = `
$TTL 300
example.org.      SOA ns1.example.org. root.example.org. 1 60 60 3600 120
example.org.      NS ns1.example.org.
example.org.      NS ns2.example.org.
ns1.example.org.  A %s
ns2.example.org.  A %s
keys.example.net. SOA ns.example.net. root.example.net. 1 60 60 3600 30
keys.example.net. NS ns.example.net.
example.net.      SOA ns.example.net. root.example.net. 1 60 60 3600 30
ns.example.net.   A 192.0.2.3
`

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t}
	for _, s := range []**dnstest.Server{&w.one, &w.two, &w.net, &w.resolver} {
		var err error
		if *s, err = dnstest.Start(""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*s).Close() })
	}
	w.set(w.one, 1, "")
	w.set(w.two, 1, "")
	w.resolve("")
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// set gives a server of example.org its copy of the zone.
func (w *world) set(s *dnstest.Server, serial int, records string) {
	w.t.Helper()
	soa := "$TTL 300\nexample.org. SOA ns1.example.org. root.example.org. %d 60 60 3600 120\n"
	w.must(s.Set(fmt.Sprintf(soa, serial) + records))
}

// resolve says what the resolver knows besides who serves what.
func (w *world) resolve(records string) {
	w.t.Helper()
	a, b := "192.0.2.1", "192.0.2.2"
	if w.private || w.half {
		a = "10.0.0.1"
	}
	if w.private {
		b = "10.0.0.2"
	}
	w.must(w.resolver.Set(fmt.Sprintf(delegations, a, b) + records))
}

// others adds servers to example.org, with addresses of the first one.
func (w *world) others(n, addrs int) {
	text := ""
	for i := range n {
		text += fmt.Sprintf("example.org. NS ns%d.example.org.\n", 100+i)
		for j := range addrs {
			text += fmt.Sprintf("ns%d.example.org. A 203.0.113.%d\n", 100+i, j)
		}
	}
	w.resolve(text)
}

const timeout = 500 * time.Millisecond

func (w *world) looker() *dkim.Looker {
	at := map[string]netip.AddrPort{
		"192.0.2.1": w.one.AddrPort(), "192.0.2.2": w.two.AddrPort(), "192.0.2.3": w.net.AddrPort(),
		"10.0.0.1": w.one.AddrPort(), "10.0.0.2": w.two.AddrPort(),
	}
	c := dns.NewClient(dns.Options{Servers: []netip.AddrPort{w.resolver.AddrPort()}, Timeout: timeout})
	return &dkim.Looker{
		Authority: dns.NewAuthority(dns.AuthorityOptions{
			Resolver: c, Timeout: timeout, At: func(a netip.Addr) netip.AddrPort {
				if strings.HasPrefix(a.String(), "203.0.113.") {
					return w.one.AddrPort()
				}
				return at[a.String()]
			},
		}),
		Resolver: c,
	}
}

// txt is a record for zone files, in strings of at most 255 octets.
func txt(name, text string) string {
	var b strings.Builder
	b.WriteString(name + " TXT")
	for len(text) > 100 {
		fmt.Fprintf(&b, " %q", text[:100])
		text = text[100:]
	}
	fmt.Fprintf(&b, " %q\n", text)
	return b.String()
}

const name = "s1._domainkey.example.org."

func TestLook(t *testing.T) {
	key := rsaKey(2048)
	w := want(key)
	good, other, revoked := txt(name, w.Text()), txt(name, want(rsaKey(2056)).Text()), txt(name, "v=DKIM1; p=")
	wild := txt("*._domainkey.example.org.", want(rsaKey(2056)).Text())
	drop, servFail := dnstest.Fault{Kind: dnstest.Drop}, dnstest.Fault{Kind: dnstest.ServFail}
	refused, cached := dnstest.Fault{Kind: dnstest.Refused}, dnstest.Fault{Kind: dnstest.NoAA}
	for _, tt := range []struct {
		why             string
		set             func(w *world)
		sighting        dkim.Sighting
		via             dkim.Via
		result          dkim.Result
		lagging, silent string
		reason          string // parts with "|" between
	}{
		{
			"both servers show it", func(w *world) { w.set(w.one, 2, good); w.set(w.two, 2, good) },
			dkim.All, "authority", dkim.Match, "", "", "every server of example.org|ns1.example.org, ns2.example.org",
		},
		{
			"the world is asked, not what the resolver remembers",
			func(w *world) { w.set(w.one, 2, good); w.set(w.two, 2, good); w.resolve(other) },
			dkim.All, "authority", dkim.Match, "", "", "",
		},
		{
			"it is there, and weak", func(w *world) {
				text := strings.Replace(good, "k=rsa", "k=rsa; t=y", 1)
				w.set(w.one, 2, good)
				w.set(w.two, 2, text)
			},
			dkim.All, "authority", dkim.Testing, "", "", "t=y",
		},
		{
			"one lags", func(w *world) { w.set(w.one, 2, good) },
			dkim.Partly, "authority", dkim.NXDomain, "ns2.example.org", "", "ns1.example.org shows|serial 1, ns1.example",
		},
		{
			"one has another key, of the same serial", func(w *world) { w.set(w.one, 2, good); w.set(w.two, 2, other) },
			dkim.Partly, "authority", dkim.Mismatch, "ns2.example.org", "", "both have serial 2",
		},
		{
			"it is being removed", func(w *world) { w.set(w.one, 2, good); w.set(w.two, 3, "") },
			dkim.Partly, "authority", dkim.NXDomain, "ns2.example.org", "", "newer serial 3",
		},
		{
			"it is being removed, and serials begin anew: RFC 1982",
			func(w *world) { w.set(w.one, 4294967290, good); w.set(w.two, 3, "") },
			dkim.Partly, "authority", dkim.NXDomain, "ns2.example.org", "", "newer serial 3",
		},
		{
			"one is silent", func(w *world) { w.set(w.one, 2, good); w.two.Fault(".", drop) },
			dkim.Partly, "authority", dkim.Match, "", "ns2.example.org", "no answer in time",
		},
		{
			"one fails", func(w *world) { w.set(w.one, 2, good); w.two.Fault(".", servFail) },
			dkim.Partly, "authority", dkim.Match, "", "ns2.example.org", "the server failed",
		},
		{
			"one is lame: it refuses", func(w *world) { w.set(w.one, 2, good); w.two.Fault(".", refused) },
			dkim.Partly, "authority", dkim.Match, "", "ns2.example.org", "is none",
		},
		{
			"one is lame: it has the right answer from a cache",
			func(w *world) { w.set(w.one, 2, good); w.set(w.two, 2, good); w.two.Fault(".", cached) },
			dkim.Partly, "authority", dkim.Match, "", "ns2.example.org", "not authoritative",
		},
		{
			"nobody has it", func(*world) {},
			dkim.None, "authority", dkim.NXDomain, "ns1.example.org, ns2.example.org", "", "does not exist",
		},
		{
			"it was revoked", func(w *world) { w.set(w.one, 2, revoked); w.set(w.two, 2, revoked); w.resolve(revoked) },
			dkim.None, "authority", dkim.Revoked, "ns1.example.org, ns2.example.org", "", "revoked",
		},
		{
			"it was replaced", func(w *world) { w.set(w.one, 2, other); w.set(w.two, 2, other); w.resolve(other) },
			dkim.None, "authority", dkim.Mismatch, "ns1.example.org, ns2.example.org", "", "another rsa key",
		},
		{
			"nobody has it, but the resolver does: not everywhere", func(w *world) { w.resolve(good) },
			dkim.Partly, "authority", dkim.NXDomain, "ns1.example.org, ns2.example.org", "", "the resolver still shows it",
		},
		{
			"one has nothing, one is silent, the resolver finds nothing", func(w *world) { w.two.Fault(".", drop) },
			dkim.None, "authority", dkim.NXDomain, "ns1.example.org", "ns2.example.org", "",
		},
		{
			"one has nothing, nobody else answers", func(w *world) {
				w.two.Fault(".", drop)
				w.resolver.Fault("s1._domainkey.example.org", servFail)
			},
			dkim.Unknown, "authority", dkim.Transient, "ns1.example.org", "ns2.example.org", "",
		},
		{
			"a wildcard answers", func(w *world) { w.set(w.one, 2, wild); w.set(w.two, 2, wild); w.resolve(wild) },
			dkim.None, "authority", dkim.Wildcard, "ns1.example.org, ns2.example.org", "", "a wildcard answers|v=DKIM1",
		},
		{
			"a wildcard beside the key does no harm",
			func(w *world) { w.set(w.one, 2, good+wild); w.set(w.two, 2, good+wild) },
			dkim.All, "authority", dkim.Match, "", "", "",
		},
		{
			"another key beside a wildcard with something else is there on purpose", func(w *world) {
				text := other + txt("*._domainkey.example.org.", "v=spf1 -all")
				w.set(w.one, 2, text)
				w.set(w.two, 2, text)
			},
			dkim.None, "authority", dkim.Mismatch, "ns1.example.org, ns2.example.org", "", "",
		},
		{
			"port 53 is closed, the resolver shows it", func(w *world) {
				w.one.Fault(".", drop)
				w.two.Fault(".", drop)
				w.resolve(good)
			},
			dkim.All, "resolver", dkim.Match, "", "ns1.example.org, ns2.example.org", "the resolver shows|no answer in time",
		},
		{
			"somebody in between answers for all servers, the resolver shows it", func(w *world) {
				w.one.Fault(".", cached)
				w.two.Fault(".", cached)
				w.resolve(good)
			},
			dkim.All, "resolver", dkim.Match, "", "ns1.example.org, ns2.example.org", "not authoritative",
		},
		{
			"port 53 is closed, the resolver does not show it", func(w *world) {
				w.one.Fault(".", drop)
				w.two.Fault(".", drop)
				w.resolve(wild)
			},
			dkim.None, "resolver", dkim.Wildcard, "", "ns1.example.org, ns2.example.org", "the resolver does not show the key",
		},
		{
			"nobody answers at all", func(w *world) { w.resolver.Fault(".", servFail) },
			dkim.Unknown, "", dkim.Transient, "", "", "no server of the zone could be asked|the resolver: ",
		},
		{
			"the private network has servers of its own, and the resolver does not bear them out", func(w *world) {
				w.private = true
				w.set(w.one, 2, good)
				w.set(w.two, 2, good)
				w.resolve("")
			},
			dkim.Partly, "authority", dkim.Match, "", "",
			"10.0.0.1, which the world cannot reach|of the resolver: s1._domainkey.example.org does not exist",
		},
		{
			"the same, and the resolver does not answer", func(w *world) {
				w.private = true
				w.set(w.one, 2, good)
				w.set(w.two, 2, good)
				w.resolve("")
				w.resolver.Fault(name[:len(name)-1], servFail)
			},
			dkim.Partly, "authority", dkim.Match, "", "", "of the resolver: nothing is known",
		},
		{
			"a network of its own, where the resolver and all servers agree", func(w *world) {
				w.private = true
				w.set(w.one, 2, good)
				w.set(w.two, 2, good)
				w.resolve(good)
			},
			dkim.All, "authority", dkim.Match, "", "",
			"10.0.0.1, which the world cannot reach|no other server has an address of the world, and the resolver shows the key",
		},
		{
			"one of the servers is private, and the world can reach the other", func(w *world) {
				w.half = true
				w.set(w.one, 2, good)
				w.set(w.two, 2, good)
				w.resolve("")
			},
			dkim.All, "authority", dkim.Match, "", "", "10.0.0.1, which the world cannot reach",
		},
		{
			"the same, and the world's is silent", func(w *world) {
				w.half = true
				w.set(w.one, 2, good)
				w.two.Fault(".", drop)
				w.resolve("")
			},
			dkim.Partly, "authority", dkim.Match, "", "ns2.example.org", "10.0.0.1, which the world cannot reach",
		},
		{
			"one of many servers lags, beyond those that the root would have", func(w *world) {
				w.set(w.one, 2, good)
				w.set(w.two, 1, "")
				w.others(20, 1)
			},
			dkim.Partly, "authority", dkim.NXDomain, "ns2.example.org", "", "ns2.example.org does not",
		},
		{
			"there are more servers than are asked, and those that are show it", func(w *world) {
				w.set(w.one, 2, good)
				w.set(w.two, 2, good)
				w.others(70, 1)
			},
			dkim.Partly, "authority", dkim.Match, "", "ns163.example.org",
			"of ns163.example.org nothing is known|8 of them are left out|and 51 others shows the key",
		},
		{
			"a server has more addresses than are asked, and those that are show it", func(w *world) {
				w.set(w.one, 2, good)
				w.set(w.two, 2, good)
				w.others(1, 70)
			},
			dkim.Partly, "authority", dkim.Match, "", "ns100.example.org",
			"of ns100.example.org nothing is known|8 of its addresses are left out",
		},
		{
			"hundreds of records, in 64 KB", func(w *world) {
				w.set(w.one, 2, other)
				w.set(w.two, 2, other)
				w.one.Fault(name[:len(name)-1], dnstest.Fault{Kind: dnstest.Huge})
				w.two.Fault(name[:len(name)-1], dnstest.Fault{Kind: dnstest.Huge})
			},
			dkim.None, "authority", dkim.Several, "ns1.example.org, ns2.example.org", "", "TXT records, none with the key",
		},
		{
			"an alias to a zone of its own", func(w *world) {
				alias := name + " CNAME s1.keys.example.net.\n"
				w.set(w.one, 2, alias)
				w.set(w.two, 2, alias)
				w.must(w.net.Set(keysZone + txt("s1.keys.example.net.", want(key).Text())))
			},
			dkim.All, "authority", dkim.Match, "", "", "every server of keys.example.net",
		},
		{
			"an alias that one server does not have yet", func(w *world) {
				w.set(w.one, 2, name+" CNAME s1.keys.example.net.\n")
				w.must(w.net.Set(keysZone + txt("s1.keys.example.net.", want(key).Text())))
			},
			dkim.Partly, "authority", dkim.NXDomain, "ns2.example.org", "", "ns.example.net shows the key",
		},
		{
			"an alias of nothing", func(w *world) {
				alias := name + " CNAME s1.keys.example.net.\n"
				w.set(w.one, 2, alias)
				w.set(w.two, 2, alias)
				w.must(w.net.Set(keysZone))
			},
			dkim.None, "authority", dkim.NXDomain, "ns.example.net", "", "is an alias, and s1.keys.example.net does not exist",
		},
	} {
		t.Run(tt.why, func(t *testing.T) {
			t.Parallel()
			world := newWorld(t)
			tt.set(world)
			s := world.looker().Look(context.Background(), w)
			if s.Sighting != tt.sighting || s.Via != tt.via || s.Result != tt.result ||
				strings.Join(s.Lagging, ", ") != tt.lagging || strings.Join(s.Silent, ", ") != tt.silent {
				t.Errorf("%+v", s)
			}
			for part := range strings.SplitSeq(tt.reason, "|") {
				if !strings.Contains(s.Reason, part) {
					t.Errorf("the reason: %s", s.Reason)
				}
			}
			whole(t, s)
		})
	}
}

const keysZone = "$TTL 60\nkeys.example.net. SOA ns.example.net. root.example.net. 5 60 60 3600 30\n"

// whole checks what holds of everything that is seen.
func whole(t *testing.T, s dkim.Seen) {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil || len(text) > 100_000 {
		t.Errorf("%d octets: %v", len(text), err)
	}
	fine := s.Sighting == dkim.All && s.Result == dkim.Match
	if s.Name+"." != name || s.Reason == "" || (s.Advice == "") != fine || (s.Publish == "") != (s.Sighting == dkim.All) {
		t.Errorf("%s", text)
	}
	shown := slices.ContainsFunc(s.Servers, func(s dkim.Server) bool { return s.Verdict.Result.Verifies() })
	if s.Via == dkim.Authority && (s.Negative <= 0 || s.Zone == "" || (s.TTL > 0) != shown) {
		t.Errorf("TTL %v, negative %v, zone %s", s.TTL, s.Negative, s.Zone)
	}
	if len(s.Reason) > 600 || strings.ContainsAny(s.Reason+s.Advice, "\n!") {
		t.Errorf("%s", s.Reason)
	}
}

// What to do where servers differ: it is the newer copy of the zone that the others will have.
func TestLookAdvice(t *testing.T) {
	good, other := txt(name, want(edKey).Text()), txt(name, want(rsaKey(2056)).Text())
	for _, tt := range []struct {
		why      string
		one, two int // serials
		records  string
		want     string
	}{
		{"it lags", 2, 1, "", "wait until ns2.example.org has the zone as ns1.example.org has it"},
		{"it has what will come", 2, 3, "", "undo the change of example.org that ns2.example.org has, or the other servers " +
			"take it over: put the record of the key back at s1._domainkey.example.org"},
		{"another key will come", 2, 3, other, "undo the change of example.org that ns2.example.org has"},
	} {
		w := newWorld(t)
		w.set(w.one, tt.one, good)
		w.set(w.two, tt.two, tt.records)
		s := w.looker().Look(context.Background(), want(edKey))
		if s.Sighting != dkim.Partly || !strings.HasPrefix(s.Advice, tt.want) {
			t.Errorf("%s: %v: %s", tt.why, s.Sighting, s.Advice)
		}
	}
}

// A private network's servers alone are not the world, where the resolver is not to be asked.
func TestLookInside(t *testing.T) {
	w := newWorld(t)
	w.private = true
	w.resolve("")
	for _, s := range []*dnstest.Server{w.one, w.two} {
		w.set(s, 2, txt(name, want(edKey).Text()))
	}
	l := w.looker()
	l.Resolver = nil
	s := l.Look(context.Background(), want(edKey))
	if s.Sighting != dkim.Partly || len(s.Lagging) > 0 || !strings.Contains(s.Reason, "the resolver is not asked") {
		t.Errorf("%+v", s)
	}
}

// How long others remember what was, and where to publish.
func TestLookTimes(t *testing.T) {
	w := newWorld(t)
	alias := "s1._domainkey.example.org. CNAME s1.keys.example.net.\n"
	w.set(w.one, 2, alias)
	w.set(w.two, 2, alias)
	w.must(w.net.Set(keysZone + txt("s1.keys.example.net.", want(edKey).Text())))
	s := w.looker().Look(context.Background(), want(edKey))
	if s.TTL != time.Minute || s.Negative != 2*time.Minute {
		t.Errorf("%v, %v", s.TTL, s.Negative)
	}
	if s.At != "s1.keys.example.net" || s.Zone != "keys.example.net" {
		t.Errorf("%+v", s)
	}
	if s.Resolver != nil || len(s.Servers) != 1 || s.Servers[0].Serial != 5 || s.Servers[0].Host != "ns.example.net" {
		t.Errorf("%+v", s)
	}
}

// The names are a promise to other programs.
func TestSeenJSON(t *testing.T) {
	w := newWorld(t)
	w.set(w.one, 2, txt(name, want(edKey).Text()))
	text, err := json.Marshal(w.looker().Look(context.Background(), want(edKey)))
	if err != nil {
		t.Fatal(err)
	}
	var seen struct {
		Name, Sighting, Via, Result, Reason, Advice, Publish, At, Zone string
		Lagging                                                        []string
		Servers                                                        []struct {
			Zone, Host, Address string
			Serial              int
			Verdict             struct {
				Result, Reason, Advice string
				Texts                  []string
			}
		}
	}
	if err := json.Unmarshal(text, &seen); err != nil {
		t.Fatal(err)
	}
	one, two := seen.Servers[0], seen.Servers[1]
	if seen.Sighting != "partly" || seen.Via != "authority" || seen.Publish != want(edKey).Text() ||
		one.Serial != 2 || one.Address != "192.0.2.1" || one.Verdict.Result != "match" ||
		!slices.Equal(one.Verdict.Texts, []string{seen.Publish}) || two.Verdict.Result != "nxdomain" ||
		two.Verdict.Advice == "" || !slices.Equal(seen.Lagging, []string{two.Host}) {
		t.Errorf("%s", text)
	}
}

// Without servers or resolver, and with nobody waiting for the answer.
func TestLookWithout(t *testing.T) {
	w := newWorld(t)
	w.resolve(txt(name, want(edKey).Text()))
	l := w.looker()
	l.Authority = nil
	if s := l.Look(context.Background(), want(edKey)); s.Sighting != dkim.All || s.Via != dkim.Resolver || s.TTL == 0 {
		t.Errorf("only the resolver: %+v", s)
	}
	w.resolve(txt(name, "v=DKIM1; p="))
	if s := l.Look(context.Background(), want(edKey)); s.Sighting != dkim.None || s.Result != dkim.Revoked {
		t.Errorf("only the resolver: %+v", s)
	}
	l = w.looker()
	l.Resolver = nil
	s := l.Look(context.Background(), want(edKey))
	if s.Sighting != dkim.None || s.Via != dkim.Authority || s.Resolver != nil {
		t.Errorf("only the servers: %+v", s)
	}
	l.Authority = nil
	if s := l.Look(context.Background(), want(edKey)); s.Sighting != dkim.Unknown || s.Via != dkim.Nobody {
		t.Errorf("nobody: %+v", s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if s := w.looker().Look(ctx, want(edKey)); s.Sighting != dkim.Unknown || s.Result != dkim.Transient {
		t.Errorf("cancelled: %+v", s)
	}
}
