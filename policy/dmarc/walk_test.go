package dmarc_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"reputed/policy/dmarc"
	"reputed/policy/dns"
	"reputed/policy/dns/dnstest"
	"reputed/policy/mail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func domain(t testing.TB, name string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// serve starts a name server with DMARC records: of each line the first word is the domain, the rest the text.
func serve(t testing.TB, lines ...string) (*dnstest.Server, *dmarc.Finder) {
	t.Helper()
	var text strings.Builder
	for _, l := range lines {
		name, record, _ := strings.Cut(l, " ")
		fmt.Fprintf(&text, "_dmarc.%s. TXT %q\n", name, record)
	}
	s, err := dnstest.Start(text.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	o := dns.Options{Servers: []netip.AddrPort{s.AddrPort()}, Timeout: 100 * time.Millisecond}
	return s, &dmarc.Finder{Resolver: dns.NewClient(o)}
}

func TestWalk(t *testing.T) {
	const none, y, n = " v=DMARC1; p=none", " v=DMARC1; p=none; psd=y", " v=DMARC1; p=none; psd=n"
	for _, tt := range []struct {
		from    string
		records []string
		policy  string // whose record applies
		org     string
		why     string
	}{
		{"example.org", nil, "", "example.org", "no record: the name itself"},
		{"example.org", []string{"example.org" + none}, "example.org", "example.org", "its own"},
		{"a.mail.example.org", []string{"example.org" + none}, "example.org", "example.org", "inherited"},
		{
			"a.mail.example.com", []string{"mail.example.com" + none, "example.com" + none}, "example.com", "example.com",
			"section 4.10.2: the fewest labels, which is not the nearest",
		},
		{
			"mail.example.com", []string{"mail.example.com" + none, "example.com" + none}, "mail.example.com",
			"example.com", "its own record, another organization",
		},
		{"a.mail.example.com", []string{"mail.example.com" + n, "example.com" + none}, "mail.example.com", "mail.example.com", "psd=n"},
		{"a.mail.example.com", []string{"com" + y}, "com", "example.com", "only the public suffix has one"},
		{"a.mail.example.com", []string{"com" + y, "example.com" + none}, "example.com", "example.com", "its own comes first"},
		{"mail.example.com", []string{"example.com" + y}, "example.com", "mail.example.com", "one label below"},
		{"example.com", []string{"example.com" + y, "com" + none}, "example.com", "example.com", "psd=y of the name itself"},
		{"example.com", []string{"example.com" + n, "com" + none}, "example.com", "example.com", "psd=n of the name itself"},
		{"example.com", []string{"com" + none}, "com", "com", "a record above, which does not say what it is"},
		{"example.org", []string{"example.org v=spf1 -all"}, "", "example.org", "another record"},
		{"example.org", []string{"example.org" + none, "example.org v=spf1 -all"}, "example.org", "example.org", "beside another"},
		{"a.example.org", []string{"a.example.org" + none, "a.example.org" + none, "example.org" + none}, "example.org", "example.org", "several are none"},
		{"example.org", []string{"example.org" + none, "example.org" + none}, "", "example.org", "several, and no other"},
		{"com", []string{"com" + none}, "com", "com", "one label"},
	} {
		_, f := serve(t, tt.records...)
		w := f.Walk(context.Background(), domain(t, tt.from))
		policy, err := w.Policy()
		got := ""
		if policy != nil {
			got = policy.Domain.String()
		}
		org, orgErr := w.Organizational()
		if got != tt.policy || org.String() != tt.org || err != nil || orgErr != nil {
			t.Errorf("%s: %s %q: policy of %q, organization %v; %v, %v", tt.why, tt.from, tt.records, got, org, err, orgErr)
		}
	}
}

// RFC 9989, section 4.10: at most eight questions.
func TestWalkNames(t *testing.T) {
	for _, tt := range []struct{ from, want string }{
		{"a.mail.example.com", "a.mail.example.com mail.example.com example.com com"},
		{"a.b.c.d.mail.example.com", "a.b.c.d.mail.example.com b.c.d.mail.example.com c.d.mail.example.com d.mail.example.com mail.example.com example.com com"},
		{"a.b.c.d.e.mail.example.com", "a.b.c.d.e.mail.example.com b.c.d.e.mail.example.com c.d.e.mail.example.com d.e.mail.example.com e.mail.example.com mail.example.com example.com com"},
		{"a.b.c.d.e.f.g.h.i.j.mail.example.com", "a.b.c.d.e.f.g.h.i.j.mail.example.com g.h.i.j.mail.example.com h.i.j.mail.example.com i.j.mail.example.com j.mail.example.com mail.example.com example.com com"},
	} {
		_, f := serve(t)
		var got []string
		for _, s := range f.Walk(context.Background(), domain(t, tt.from)).Steps {
			got = append(got, s.Domain.String())
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s: %s", tt.from, s)
		}
	}
	if w := new(dmarc.Finder).Walk(context.Background(), mail.Domain{}); len(w.Steps) > 0 {
		t.Errorf("of no domain: %+v", w)
	}
}

func TestAligned(t *testing.T) {
	_, f := serve(t, "example.org v=DMARC1; p=none", "dept.example.org v=DMARC1; p=none; psd=n")
	for _, tt := range []struct {
		a, b            string
		relaxed, strict bool
	}{
		{"example.org", "example.org", true, true},
		{"example.org", "mail.example.org", true, false},
		{"a.mail.example.org", "b.example.org", true, false},
		{"example.org", "dept.example.org", false, false},
		{"x.dept.example.org", "dept.example.org", true, false},
		{"example.org", "example.net", false, false},
		{"example.net", "mail.example.net", false, false}, // no record: each is its own
	} {
		a, b := f.Walk(context.Background(), domain(t, tt.a)), f.Walk(context.Background(), domain(t, tt.b))
		relaxed, err1 := dmarc.Aligned(a, b, false)
		strict, err2 := dmarc.Aligned(b, a, true)
		if relaxed != tt.relaxed || strict != tt.strict || err1 != nil || err2 != nil {
			t.Errorf("%s and %s: %v, %v; %v, %v", tt.a, tt.b, relaxed, strict, err1, err2)
		}
	}
	if ok, err := dmarc.Aligned(&dmarc.Walk{}, &dmarc.Walk{}, false); ok || err != nil {
		t.Errorf("no domains: %v, %v", ok, err)
	}
}

func TestDestination(t *testing.T) {
	_, f := serve(t, "example.org v=DMARC1; p=none")
	s, _ := dnstest.Start(`
_dmarc.example.org. TXT "v=DMARC1; p=none"
example.org._report._dmarc.takes.example. TXT "v=DMARC1"
*._report._dmarc.all.example. TXT "v=DMARC1;"
example.org._report._dmarc.other.example. TXT "v=spf1 -all"
example.org._report._dmarc.silent.example. TXT "v=DMARC1"
`)
	defer s.Close()
	f.Resolver = dns.NewClient(dns.Options{Servers: []netip.AddrPort{s.AddrPort()}, Timeout: 100 * time.Millisecond})
	s.Fault("example.org._report._dmarc.silent.example", dnstest.Fault{Kind: dnstest.Drop})
	s.Fault("_dmarc.unknown.example", dnstest.Fault{Kind: dnstest.ServFail})
	for _, tt := range []struct {
		host            string
		own, authorised bool
		known           bool
		why             string
	}{
		{"example.org", true, true, true, "the same domain"},
		{"reports.example.org", true, true, true, "the same organization"},
		{"takes.example", false, true, true, "it says so"},
		{"all.example", false, true, true, "it says so of all"},
		{"other.example", false, false, true, "it has another record there"},
		{"none.example", false, false, true, "it says nothing"},
		{"silent.example", false, false, false, "nobody knows"},
		{"unknown.example", false, false, false, "it may be of the same organization, for all that is known"},
	} {
		d := f.Destination(context.Background(), domain(t, "example.org"), domain(t, tt.host))
		if d.Own != tt.own || d.Authorised != tt.authorised || (d.Err == nil) != tt.known {
			t.Errorf("%s: %+v", tt.why, d)
		}
	}
}

// Whatever goes wrong, a record that is there is never taken for one that is not, nor one organization for another.
func TestFaults(t *testing.T) {
	s, f := serve(t, "mail.example.org v=DMARC1; p=none", "example.org v=DMARC1; p=reject")
	for _, kind := range []dnstest.Kind{
		dnstest.Drop, dnstest.ServFail, dnstest.Refused, dnstest.TruncateAll, dnstest.WrongID, dnstest.Garbage,
		dnstest.Broken, dnstest.Loop,
	} {
		s.Heal()
		s.Fault("_dmarc.example.org", dnstest.Fault{Kind: kind})
		for name, wantPolicy := range map[string]string{"a.example.org": "", "mail.example.org": "mail.example.org"} {
			w := f.Walk(context.Background(), domain(t, name))
			p, err := w.Policy()
			if (err != nil) != (wantPolicy == "") || err == nil && p.Domain.String() != wantPolicy {
				t.Errorf("%d: policy of %s: %+v, %v", kind, name, p, err)
			}
			if err != nil && !errors.Is(err, dmarc.ErrUnknown) {
				t.Errorf("%d: %v", kind, err)
			}
			if _, err := w.Organizational(); !errors.Is(err, dmarc.ErrUnknown) {
				t.Errorf("%d: organization of %s: %v", kind, name, err)
			}
			other := f.Walk(context.Background(), domain(t, "b.example.org"))
			if ok, err := dmarc.Aligned(w, other, false); ok || err == nil {
				t.Errorf("%d: aligned: %v, %v", kind, ok, err)
			}
			if ok, err := dmarc.Aligned(w, w, false); !ok || err != nil {
				t.Errorf("%d: with itself: %v, %v", kind, ok, err)
			}
		}
	}
	s.Heal()
	for _, kind := range []dnstest.Kind{dnstest.Huge, dnstest.Truncate, dnstest.NoEDNS, dnstest.Forged} {
		s.Fault("_dmarc.example.org", dnstest.Fault{Kind: kind})
		w := f.Walk(context.Background(), domain(t, "a.example.org"))
		if p, err := w.Policy(); err != nil || p == nil || p.Record.Policy != dmarc.Reject {
			t.Errorf("%d: %+v, %v", kind, p, err)
		}
	}
}

// A walk ends with its context.
func TestWalkEnds(t *testing.T) {
	s, f := serve(t)
	s.Fault(".", dnstest.Fault{Kind: dnstest.Drop})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := f.Walk(ctx, domain(t, "example.org")).Policy(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// What is kept because the servers fail is no knowledge.
func TestStale(t *testing.T) {
	f := &dmarc.Finder{Resolver: dns.ResolverFunc(func(context.Context, string, dns.Type) dns.Answer {
		return dns.Answer{Status: dns.Found, Records: []dns.Record{{Text: "v=DMARC1; p=none"}}, Stale: true}
	})}
	w := f.Walk(context.Background(), domain(t, "example.org"))
	if p, err := w.Policy(); p != nil || !errors.Is(err, dmarc.ErrUnknown) {
		t.Errorf("%+v, %v", p, err)
	}
	if d := f.Destination(context.Background(), domain(t, "example.org"), domain(t, "example.net")); d.Authorised || d.Err == nil {
		t.Errorf("%+v", d)
	}
}

// A panic of a resolver comes to who asks, and can be survived there.
func TestPanic(t *testing.T) {
	defer func() {
		if v := recover(); fmt.Sprint(v) != "broken" {
			t.Errorf("%v", v)
		}
	}()
	f := &dmarc.Finder{Resolver: dns.ResolverFunc(func(context.Context, string, dns.Type) dns.Answer { panic("broken") })}
	t.Errorf("%+v", f.Walk(context.Background(), domain(t, "example.org")))
}
