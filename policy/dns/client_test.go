package dns_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"reputed/policy/dns"
	"reputed/policy/dns/dnstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var zone = `
$TTL 300
$ORIGIN example.org.
@      60  TXT "v=spf1 " "-all"
@      90  MX 10 Mail.Example.ORG.
@      90  NS ns.example.org.
mail  120  A 192.0.2.1
mail   60  A 192.0.2.2
mail  120  AAAA 2001:db8::1
mapped     AAAA ::ffff:192.0.2.1
null       MX 0 .
1.2        PTR Mail.example.org.
alias  30  CNAME mail
far        CNAME nowhere
noaddr     CNAME @
a1 CNAME a2
a2 CNAME a3
a3 CNAME a4
a4 CNAME a5
a5 CNAME a6
a6 CNAME a7
a7 CNAME a8
a8 CNAME mail
a0 CNAME a1
big TXT "` + strings.Repeat(`x" "`, 800) + `"
odd.back\\slash.sp\032ace TXT "odd"
*.wild A 192.0.2.3
`

// start starts a name server that ends with the test.
func start(t *testing.T, text string) *dnstest.Server {
	t.Helper()
	s, err := dnstest.Start(text)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

const (
	timeout       = time.Second // of one query
	beforeTimeout = timeout - timeout/8
)

func client(servers ...netip.AddrPort) *dns.Client {
	return dns.NewClient(dns.Options{Servers: servers, Timeout: timeout})
}

func addr(s string) dns.Record { return dns.Record{Addr: netip.MustParseAddr(s)} }

func TestResolve(t *testing.T) {
	s := start(t, zone)
	c := client(s.AddrPort())
	both := []dns.Record{addr("192.0.2.1"), addr("192.0.2.2")}
	for _, tt := range []struct {
		name   string
		qtype  dns.Type
		status dns.Status
		want   []dns.Record
		ttl    int // seconds
		why    string
	}{
		{"example.org", dns.TXT, dns.Found, []dns.Record{{Text: "v=spf1 -all"}}, 60, "joined without a space"},
		{"EXAMPLE.org", dns.MX, dns.Found, []dns.Record{{Name: "mail.example.org", Pref: 10}}, 90, "names have no case"},
		{"example.org", dns.NS, dns.Found, []dns.Record{{Name: "ns.example.org"}}, 90, "the servers of a zone"},
		{"mail.example.org", dns.A, dns.Found, both, 60, "the shortest TTL"},
		{"mail.example.org", dns.AAAA, dns.Found, []dns.Record{addr("2001:db8::1")}, 120, "IPv6"},
		{"mapped.example.org", dns.AAAA, dns.Found, []dns.Record{addr("::ffff:192.0.2.1")}, 300, "stays what it is"},
		{"null.example.org", dns.MX, dns.Found, []dns.Record{{}}, 300, "RFC 7505: the null MX"},
		{"1.2.example.org", dns.PTR, dns.Found, []dns.Record{{Name: "mail.example.org"}}, 300, "names in lower case"},
		{"alias.example.org", dns.A, dns.Found, both, 30, "the alias has the shortest TTL"},
		{"a1.example.org", dns.AAAA, dns.Found, []dns.Record{addr("2001:db8::1")}, 120, "8 aliases"},
		{"x.wild.example.org", dns.A, dns.Found, []dns.Record{addr("192.0.2.3")}, 300, "a wildcard"},
		{`odd.back\slash.sp ace.example.org`, dns.TXT, dns.Found, []dns.Record{{Text: "odd"}}, 300, "any octet"},
		{"example.org", dns.A, dns.NoData, nil, 60, "RFC 2308: the TTL of the SOA record"},
		{"nowhere.example.org", dns.A, dns.NXDomain, nil, 60, "no such name"},
		{"far.example.org", dns.A, dns.NXDomain, nil, 60, "RFC 6604: the status of the last name"},
		{"noaddr.example.org", dns.A, dns.NoData, nil, 60, "an alias of a name without records of the type"},
		{"", dns.A, dns.NoData, nil, 60, "the root"},
	} {
		got := c.Resolve(context.Background(), tt.name, tt.qtype)
		want := dns.Answer{Status: tt.status, Records: tt.want, Name: got.Name, TTL: time.Duration(tt.ttl) * time.Second}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateErrors()); diff != "" {
			t.Errorf("%s: %s %s:\n%s", tt.why, tt.name, tt.qtype, diff)
		}
	}
	label := strings.Repeat("x", 63)
	for _, name := range []string{"example.org.", "a..b", ".", label + "x.org", strings.Repeat(label+".", 3) + label} {
		total := s.Total()
		if a := c.Resolve(context.Background(), name, dns.A); !errors.Is(a.Err, dns.ErrName) || s.Total() != total {
			t.Errorf("%q: %+v", name, a)
		}
	}
}

// Every fault of a single server: what comes of it, and how soon.
func TestFaults(t *testing.T) {
	s := start(t, zone)
	const (
		soon   = beforeTimeout
		whole  = timeout + beforeTimeout
		failed = dns.Failed
	)
	ok, lie := []dns.Record{addr("192.0.2.3")}, netip.MustParseAddr("192.0.2.66")
	var all sync.WaitGroup
	for _, tt := range []struct {
		name    string
		fault   dnstest.Fault
		status  dns.Status
		err     error
		within  time.Duration
		queries int
		why     string
	}{
		{"none", dnstest.Fault{}, dns.Found, nil, soon, 1, "no fault"},
		{"late", dnstest.Fault{Delay: timeout / 8}, dns.Found, nil, soon, 1, "late, but in time"},
		{"lost", dnstest.Fault{Kind: dnstest.Drop, Times: 1}, dns.Found, nil, soon, 2, "UDP may lose a packet"},
		{"slow", dnstest.Fault{Delay: 4 * timeout}, failed, dns.ErrTimeout, whole, 2, "slower than the time-out"},
		{"drop", dnstest.Fault{Kind: dnstest.Drop}, failed, dns.ErrTimeout, whole, 2, "black-out"},
		{"servfail", dnstest.Fault{Kind: dnstest.ServFail}, failed, dns.ErrServFail, soon, 1, "told at once, asked once"},
		{"refused", dnstest.Fault{Kind: dnstest.Refused}, failed, dns.ErrRefused, soon, 1, "a resolver for others"},
		{"noedns", dnstest.Fault{Kind: dnstest.NoEDNS}, dns.Found, nil, soon, 2, "RFC 6891, section 7: again without EDNS"},
		{"tc", dnstest.Fault{Kind: dnstest.Truncate}, dns.Found, nil, soon, 2, "UDP, then TCP"},
		{"tcloop", dnstest.Fault{Kind: dnstest.TruncateAll}, failed, dns.ErrMalformed, soon, 2, "no third time"},
		{"wrongid", dnstest.Fault{Kind: dnstest.WrongID}, failed, dns.ErrTimeout, whole, 2, "not an answer"},
		{"wrongquestion", dnstest.Fault{Kind: dnstest.WrongQuestion}, failed, dns.ErrTimeout, whole, 2, "nor that"},
		{"forged", dnstest.Fault{Kind: dnstest.Forged}, dns.Found, nil, soon, 1, "the true answer counts"},
		{"garbage", dnstest.Fault{Kind: dnstest.Garbage}, failed, dns.ErrTimeout, whole, 2, "anybody can send that"},
		{"broken", dnstest.Fault{Kind: dnstest.Broken}, failed, dns.ErrMalformed, soon, 1, "id and question are right"},
		{"huge", dnstest.Fault{Kind: dnstest.Huge}, dns.Found, nil, soon, 2, "what was not asked for does not count"},
		{"loop", dnstest.Fault{Kind: dnstest.Loop}, failed, dns.ErrMalformed, soon, 1, "aliases without end"},
		{"lie", dnstest.Fault{Kind: dnstest.Lie, Addr: lie}, dns.Found, nil, soon, 1, "names that exist are not lied about"},
	} {
		all.Go(func() { // for some wait
			c := client(s.AddrPort())
			name := tt.name + ".wild.example.org"
			s.Fault(name, tt.fault)
			began := time.Now()
			a := c.Resolve(context.Background(), name, dns.A)
			took := time.Since(began)
			if a.Status != tt.status || !errors.Is(a.Err, tt.err) || (a.Err == nil) != (tt.status == dns.Found) {
				t.Errorf("%s: %+v", tt.why, a)
			}
			if a.Status == dns.Found && !cmp.Equal(a.Records, ok, cmpopts.EquateComparable(netip.Addr{})) {
				t.Errorf("%s: %+v", tt.why, a.Records)
			}
			if took > tt.within {
				t.Errorf("%s: took %v, not %v", tt.why, took, tt.within)
			}
			if n := s.Queries(name); n != tt.queries {
				t.Errorf("%s: %d queries, not %d", tt.why, n, tt.queries)
			}
			wantBalance(t, c.Stats())
		})
	}
	all.Wait()
	wantNoGoroutines(t)
}

// wantNoGoroutines fails if the client left something behind. The moment in which a goroutine ends is allowed for.
func wantNoGoroutines(t *testing.T) {
	t.Helper()
	buf := make([]byte, 1<<20)
	for deadline := time.Now().Add(time.Second); ; time.Sleep(time.Millisecond) {
		stacks := string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(stacks, "dns.(*Client).") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left behind:\n%s", stacks)
		}
	}
}

// wantBalance fails if a query has no outcome, or two.
func wantBalance(t *testing.T, n dns.ClientStats) {
	t.Helper()
	answers, failures := n.Found+n.NoData+n.NXDomain, n.Timeout+n.ServFail+n.Refused+n.Malformed+n.Network
	if sum := answers + failures + n.Dropped; sum != n.Queries {
		t.Errorf("%d outcomes of %d queries: %+v", sum, n.Queries, n)
	}
}

func TestStats(t *testing.T) {
	s := start(t, zone)
	s.Fault("wrong.example.org", dnstest.Fault{Kind: dnstest.WrongID})
	s.Fault("forged.wild.example.org", dnstest.Fault{Kind: dnstest.Forged})
	s.Fault("broken.example.org", dnstest.Fault{Kind: dnstest.Broken})
	s.Fault("servfail.example.org", dnstest.Fault{Kind: dnstest.ServFail})
	s.Fault("refused.example.org", dnstest.Fault{Kind: dnstest.Refused})
	c := client(s.AddrPort())
	for _, name := range []string{"wrong", "forged.wild", "broken", "servfail", "refused", "mail", "big", "null", "none"} {
		c.Resolve(context.Background(), name+".example.org", dns.TXT)
	}
	c.Resolve(context.Background(), "mail.example.org", dns.A)
	want := dns.ClientStats{
		Queries: 11, Found: 2, NoData: 3, NXDomain: 1, Timeout: 2, ServFail: 1, Refused: 1, Malformed: 1,
		TCP: 1, Mismatched: 5, // the wrong id twice, for it was asked twice, and three forgeries
	}
	if diff := cmp.Diff(want, c.Stats()); diff != "" {
		t.Error(diff)
	}
}

// A server that lies about names that do not exist cannot be told from one that does not. What it says is taken: the
// tests of the lists are what finds it out.
func TestLie(t *testing.T) {
	s := start(t, zone)
	s.Fault(".", dnstest.Fault{Kind: dnstest.Lie, Addr: netip.MustParseAddr("192.0.2.66")})
	if a := client(s.AddrPort()).Resolve(context.Background(), "nowhere.example.org", dns.A); a.Status != dns.Found {
		t.Errorf("%+v", a)
	}
}

// An answer may end at an alias, for servers need not know what it leads to.
func TestFollow(t *testing.T) {
	s := start(t, zone)
	s.Fault(".", dnstest.Fault{Kind: dnstest.Short})
	c := client(s.AddrPort())
	a := c.Resolve(context.Background(), "a1.example.org", dns.AAAA)
	if a.Status != dns.Found || a.TTL != 120*time.Second || s.Total() != 9 {
		t.Errorf("8 aliases: %+v after %d queries", a, s.Total())
	}
	if a := c.Resolve(context.Background(), "a0.example.org", dns.AAAA); !errors.Is(a.Err, dns.ErrMalformed) {
		t.Errorf("9 aliases: %+v", a)
	}
	if a := c.Resolve(context.Background(), "alias.example.org", dns.A); a.TTL != 30*time.Second {
		t.Errorf("the TTL of an alias in another message: %+v", a)
	}
	if a := c.Resolve(context.Background(), "far.example.org", dns.A); a.Status != dns.NXDomain {
		t.Errorf("an alias of nothing: %+v", a)
	}
	s.Fault("mail.example.org", dnstest.Fault{Kind: dnstest.ServFail})
	if a := c.Resolve(context.Background(), "alias.example.org", dns.A); !errors.Is(a.Err, dns.ErrServFail) || a.TTL != 0 {
		t.Errorf("an alias of a name that fails: %+v", a)
	}
}

func TestTextOctets(t *testing.T) {
	var all strings.Builder
	var text strings.Builder
	for i := range 256 {
		if i == 128 {
			text.WriteString(`" "`)
		}
		all.WriteByte(byte(i))
		text.WriteString(`\` + string([]byte{'0' + byte(i/100), '0' + byte(i/10%10), '0' + byte(i%10)}))
	}
	s := start(t, `example.org. TXT "`+text.String()+`"`)
	a := client(s.AddrPort()).Resolve(context.Background(), "example.org", dns.TXT)
	if len(a.Records) != 1 || a.Records[0].Text != all.String() {
		t.Errorf("%+v", a)
	}
}

func TestCancel(t *testing.T) {
	s := start(t, zone)
	s.Fault(".", dnstest.Fault{Kind: dnstest.Drop})
	c := dns.NewClient(dns.Options{Servers: []netip.AddrPort{s.AddrPort(), closed(t)}, Timeout: time.Minute})
	ctx, cancel := context.WithCancel(context.Background())
	answers := make(chan dns.Answer)
	go func() { answers <- c.Resolve(ctx, "example.org", dns.A) }()
	for s.Total() == 0 {
		runtime.Gosched()
	}
	began := time.Now()
	cancel()
	a := <-answers
	if took := time.Since(began); took > 100*time.Millisecond {
		t.Errorf("it took %v to give up", took)
	}
	if !errors.Is(a.Err, dns.ErrTimeout) || !errors.Is(a.Err, context.Canceled) {
		t.Errorf("%+v", a)
	}
	wantNoGoroutines(t)
	if a := c.Resolve(ctx, "example.org", dns.A); !errors.Is(a.Err, context.Canceled) || s.Total() != 1 {
		t.Errorf("cancelled before: %+v, %d queries", a, s.Total())
	}
	wantBalance(t, c.Stats())
}

func TestDeadline(t *testing.T) {
	s := start(t, zone)
	s.Fault(".", dnstest.Fault{Kind: dnstest.Drop})
	ctx, cancel := context.WithTimeout(context.Background(), timeout/4)
	defer cancel()
	c := dns.NewClient(dns.Options{Servers: []netip.AddrPort{s.AddrPort()}, Timeout: time.Minute})
	a := c.Resolve(ctx, "example.org", dns.A)
	if !errors.Is(a.Err, dns.ErrTimeout) || !errors.Is(a.Err, context.DeadlineExceeded) {
		t.Errorf("%+v", a)
	}
	if n := c.Stats(); n.Queries != 1 || n.Dropped != 1 {
		t.Errorf("who asks gave up: %+v", n)
	}
}

// A panic on the way to a server is a failure of that one question.
func TestClientPanic(t *testing.T) {
	c := dns.NewClient(dns.Options{
		Servers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53")},
		Dial:    func(context.Context, string, string) (net.Conn, error) { panic("a fault") },
	})
	if a := c.Resolve(t.Context(), "example.org", dns.TXT); a.Status != dns.Failed || !errors.Is(a.Err, dns.ErrMalformed) {
		t.Errorf("%+v", a)
	}
}
