package iprev_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"reputed/policy/dns"
	"reputed/policy/dns/dnstest"
	"reputed/policy/iprev"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const zone = `
25.113.0.203.in-addr.arpa.  PTR mail.example.org.
mail.example.org.           A   203.0.113.25
mail.example.org.           AAAA 2001:db8::25
5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR mail.example.org.
26.113.0.203.in-addr.arpa.  PTR www.example.org.
26.113.0.203.in-addr.arpa.  PTR second.example.org.
second.example.org.         A   203.0.113.26
www.example.org.            A   198.51.100.1
27.113.0.203.in-addr.arpa.  PTR www.example.org.
28.113.0.203.in-addr.arpa.  PTR nowhere.example.org.
29.113.0.203.in-addr.arpa.  PTR only6.example.org.
only6.example.org.          AAAA 2001:db8::29
30.113.0.203.in-addr.arpa.  TXT "no name here"
31.113.0.203.in-addr.arpa.  CNAME 31.24-31.113.0.203.in-addr.arpa.
31.24-31.113.0.203.in-addr.arpa. PTR delegated.example.org.
delegated.example.org.      CNAME real.example.org.
real.example.org.           A   203.0.113.31
32.113.0.203.in-addr.arpa.  PTR .
33.113.0.203.in-addr.arpa.  PTR fails.example.org.
34.113.0.203.in-addr.arpa.  PTR fails.example.org.
34.113.0.203.in-addr.arpa.  PTR good34.example.org.
good34.example.org.         A   203.0.113.34
36.113.0.203.in-addr.arpa.  PTR mapped.example.org.
mapped.example.org.         AAAA ::ffff:203.0.113.36
`

func start(t testing.TB, text string) (*dnstest.Server, dns.Resolver) {
	t.Helper()
	server, err := dnstest.Start(text)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return server, dns.NewClient(dns.Options{Servers: []netip.AddrPort{server.AddrPort()}, Timeout: 100 * time.Millisecond})
}

// RFC 8601, section 2.7.3: what each state of the DNS comes to.
func TestLook(t *testing.T) {
	server, resolver := start(t, zone)
	server.Fault("fails.example.org", dnstest.Fault{Kind: dnstest.ServFail})
	server.Fault("37.113.0.203.in-addr.arpa", dnstest.Fault{Kind: dnstest.ServFail})
	tests := []struct {
		why       string
		addr      string
		status    iprev.Status
		confirmed string
		names     int
	}{
		{"its name leads back", "203.0.113.25", iprev.Pass, "mail.example.org", 1},
		{"so does that of IPv6", "2001:db8::25", iprev.Pass, "mail.example.org", 1},
		{"the same in IPv6 form", "::ffff:203.0.113.25", iprev.Pass, "mail.example.org", 1},
		{"one of two leads back", "203.0.113.26", iprev.Pass, "second.example.org", 2},
		{"it leads elsewhere", "203.0.113.27", iprev.Fail, "", 1},
		{"it does not exist", "203.0.113.28", iprev.Fail, "", 1},
		{"it has addresses of the other family only", "203.0.113.29", iprev.Fail, "", 1},
		{"there are records, and no name", "203.0.113.30", iprev.PermError, "", 0},
		{"there is nothing", "203.0.113.35", iprev.PermError, "", 0},
		{"aliases on both ways (RFC 2317)", "203.0.113.31", iprev.Pass, "delegated.example.org", 1},
		{"the name is the root", "203.0.113.32", iprev.Fail, "", 1},
		{"the servers of its only name fail", "203.0.113.33", iprev.TempError, "", 1},
		{"those of one name fail, the other leads back", "203.0.113.34", iprev.Pass, "good34.example.org", 2},
		{"a mapped address in AAAA is no address of IPv4", "203.0.113.36", iprev.Fail, "", 1},
		{"the reverse servers fail", "203.0.113.37", iprev.TempError, "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			r := iprev.Look(t.Context(), resolver, netip.MustParseAddr(tt.addr))
			if r.Status != tt.status || strings.Join(r.Confirmed(), " ") != tt.confirmed || len(r.Names) != tt.names {
				t.Errorf("%s, confirmed %v, of %+v", r.Status, r.Confirmed(), r.Names)
			}
		})
	}
}

// Who holds a reverse zone can write any number of names: ten are followed, and what the others say is not known.
func TestLookBounds(t *testing.T) {
	var text strings.Builder
	for i := range 40 {
		fmt.Fprintf(&text, "25.113.0.203.in-addr.arpa. PTR n%02d.example.org.\n", i)
	}
	server, resolver := start(t, text.String())
	r := iprev.Look(t.Context(), resolver, netip.MustParseAddr("203.0.113.25"))
	if r.Status != iprev.TempError || len(r.Names) != iprev.MaxNames || r.Unread != 30 {
		t.Errorf("%s, %d names, %d unread", r.Status, len(r.Names), r.Unread)
	}
	if n := server.Queries("n00.example.org") + server.Queries("n09.example.org"); n != 2 {
		t.Errorf("%d queries for the first and the last name", n)
	}
	if n := server.Queries("n10.example.org"); n != 0 {
		t.Errorf("%d queries beyond the bound", n)
	}
}

// Whatever goes wrong in the DNS, a good address is never taken for a bad one, nor a bad one for a good one.
func TestLookUnderFaults(t *testing.T) {
	server, resolver := start(t, zone)
	kinds := []dnstest.Kind{
		dnstest.Drop, dnstest.ServFail, dnstest.Refused, dnstest.NoEDNS, dnstest.Truncate, dnstest.TruncateAll,
		dnstest.WrongID, dnstest.WrongQuestion, dnstest.Forged, dnstest.Garbage, dnstest.Broken, dnstest.Huge,
		dnstest.Short, dnstest.Loop, dnstest.Lie, dnstest.NoAA,
	}
	names := []string{
		".", "25.113.0.203.in-addr.arpa", "mail.example.org", "28.113.0.203.in-addr.arpa", "nowhere.example.org",
	}
	for _, kind := range kinds {
		for _, at := range names {
			server.Heal()
			server.Fault(at, dnstest.Fault{Kind: kind, Addr: netip.MustParseAddr("192.0.2.1")})
			good := iprev.Look(t.Context(), resolver, netip.MustParseAddr("203.0.113.25"))
			if good.Status != iprev.Pass && good.Status != iprev.TempError {
				t.Errorf("kind %d at %s: a good address: %s", kind, at, good.Status)
			}
			bad := iprev.Look(t.Context(), resolver, netip.MustParseAddr("203.0.113.28"))
			if bad.Status != iprev.Fail && bad.Status != iprev.TempError {
				t.Errorf("kind %d at %s: a bad address: %s", kind, at, bad.Status)
			}
		}
	}
}

// What is kept beyond its time may have been mended since: only the good of it counts.
func TestLookStale(t *testing.T) {
	stale := func(ptr, a dns.Answer) iprev.Status {
		resolver := dns.ResolverFunc(func(_ context.Context, _ string, t dns.Type) dns.Answer {
			if t == dns.PTR {
				return ptr
			}
			return a
		})
		return iprev.Look(t.Context(), resolver, netip.MustParseAddr("203.0.113.25")).Status
	}
	name := dns.Answer{Status: dns.Found, Stale: true, Records: []dns.Record{{Name: "mail.example.org"}}}
	back := dns.Answer{Status: dns.Found, Stale: true, Records: []dns.Record{{Addr: netip.MustParseAddr("203.0.113.25")}}}
	if got := stale(name, back); got != iprev.Pass {
		t.Errorf("old, and good: %s", got)
	}
	if got := stale(name, dns.Answer{Status: dns.NXDomain}); got != iprev.TempError {
		t.Errorf("an old name that leads nowhere: %s", got)
	}
	if got := stale(dns.Answer{Status: dns.NXDomain, Stale: true}, back); got != iprev.TempError {
		t.Errorf("an old answer that there is no name: %s", got)
	}
	name.Stale = false
	if got := stale(name, dns.Answer{Status: dns.NoData, Stale: true}); got != iprev.TempError {
		t.Errorf("an old answer that the name has no address: %s", got)
	}
}

// Nothing waits longer than who asks.
func TestLookEnds(t *testing.T) {
	server, resolver := start(t, zone)
	server.Fault(".", dnstest.Fault{Kind: dnstest.Drop})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	begin := time.Now()
	if r := iprev.Look(ctx, resolver, netip.MustParseAddr("203.0.113.25")); r.Status != iprev.TempError {
		t.Errorf("%s", r.Status)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestReverseName(t *testing.T) {
	for addr, want := range map[string]string{
		"203.0.113.25":            "25.113.0.203.in-addr.arpa",
		"::ffff:203.0.113.25":     "25.113.0.203.in-addr.arpa",
		"4321:0:1:2:3:4:567:89ab": "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa", // RFC 3596, section 2.5
	} {
		if got := iprev.ReverseName(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %s", addr, got)
		}
	}
}
