package spf_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	blitiri "blitiri.com.ar/go/spf"

	"reputed/policy/dns"
	"reputed/policy/mail"
	"reputed/policy/spf"
)

// records is a small world: "TYPE name" to values.
type records map[string][]string

// Resolve is dns.Resolver. A value "fail" is a server that does not answer.
func (r records) Resolve(_ context.Context, name string, t dns.Type) dns.Answer {
	values, ok := r[t.String()+" "+strings.ToLower(name)]
	if !ok {
		return dns.Answer{Status: dns.NXDomain}
	}
	a := dns.Answer{Status: dns.Found}
	for _, v := range values {
		switch {
		case v == "fail":
			return dns.Answer{Err: errors.New("time-out")}
		case t == dns.A || t == dns.AAAA:
			a.Records = append(a.Records, dns.Record{Addr: netip.MustParseAddr(v)})
		case t == dns.TXT:
			a.Records = append(a.Records, dns.Record{Text: v})
		default:
			a.Records = append(a.Records, dns.Record{Name: v})
		}
	}
	return a
}

func sender(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParsePath(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// The outcome tells how the decision came about, and what it cost.
func TestOutcome(t *testing.T) {
	world := records{
		"TXT example.org":       {"v=spf1 mx include:_spf.esp.example exists:%{i}.x.example -all exp=why.example.org", "other text"},
		"MX example.org":        {"mx1.example.org", "mx2.example.org"},
		"A mx1.example.org":     {"192.0.2.1"},
		"A mx2.example.org":     {"192.0.2.2"},
		"TXT _spf.esp.example":  {"v=spf1 redirect=_net.esp.example"},
		"TXT _net.esp.example":  {"v=spf1 ip4:198.51.100.0/24 ~all"},
		"TXT why.example.org":   {"%{i} is not ours, %{s}"},
		"TXT loop.example":      {"v=spf1 include:loop.example -all"},
		"TXT voids.example":     {"v=spf1 a:a.x.example a:b.x.example a:c.x.example -all"},
		"TXT late.example":      {"v=spf1 ip4:192.0.2.1 ipv4:192.0.2.2 -all"},
		"TXT dead.example":      {"fail"},
		"TXT inc.dead.example":  {"v=spf1 include:dead.example -all"},
		"TXT two.example":       {"v=spf1 -all", "v=spf1 +all"},
		"TXT silent.example":    {"v=spf1 a"},
		"A silent.example":      {"192.0.2.9"},
		"TXT mail.example.org":  {"v=spf1 a -all"},
		"A mail.example.org":    {"192.0.2.1"},
		"TXT nowhere.x.example": {"v=spf1 include:none.x.example -all"},
	}
	tests := []struct {
		sender, ip string
		result     spf.Result
		chain      string // domain>term, with blanks between
		lookups    int
		voids      int
		exp        string
		err        error
	}{
		{"a@example.org", "192.0.2.2", spf.Pass, "example.org>mx", 1, 0, "", nil},
		{"a@example.org", "::ffff:192.0.2.2", spf.Pass, "example.org>mx", 1, 0, "", nil},
		{"a@example.org", "198.51.100.7", spf.Pass,
			"example.org>include:_spf.esp.example _spf.esp.example>redirect=_net.esp.example _net.esp.example>ip4:198.51.100.0/24", 3, 0, "", nil},
		{"a@example.org", "203.0.113.9", spf.Fail, "example.org>-all", 4, 1, "203.0.113.9 is not ours, a@example.org", nil},
		{"", "192.0.2.1", spf.Pass, "mail.example.org>a", 1, 0, "", nil},
		{"a@none.example", "192.0.2.1", spf.None, "", 0, 0, "", nil},
		{"a@silent.example", "192.0.2.1", spf.Neutral, "silent.example>", 1, 0, "", nil},
		{"a@loop.example", "192.0.2.1", spf.PermError, "", 11, 0, "", spf.ErrLookups},
		{"a@voids.example", "192.0.2.1", spf.PermError, "", 3, 3, "", spf.ErrVoids},
		{"a@late.example", "192.0.2.1", spf.PermError, "", 0, 0, "", spf.ErrSyntax},
		{"a@two.example", "192.0.2.1", spf.PermError, "", 0, 0, "", spf.ErrSeveral},
		{"a@dead.example", "192.0.2.1", spf.TempError, "", 0, 0, "", spf.ErrDNS},
		{"a@inc.dead.example", "192.0.2.1", spf.TempError, "inc.dead.example>include:dead.example", 1, 0, "", spf.ErrDNS},
		{"a@nowhere.x.example", "192.0.2.1", spf.PermError, "nowhere.x.example>include:none.x.example", 1, 0, "", spf.ErrNoRecord},
	}
	c := spf.Checker{Resolver: world}
	for _, tt := range tests {
		o := c.Check(t.Context(), spf.Request{IP: netip.MustParseAddr(tt.ip), Helo: "mail.example.org", Sender: sender(t, tt.sender)})
		var chain []string
		for _, s := range o.Chain {
			chain = append(chain, s.Domain+">"+s.Term)
		}
		got := strings.Join(chain, " ")
		if o.Result != tt.result || o.Lookups != tt.lookups || o.Voids != tt.voids || o.Explanation != tt.exp || !errors.Is(o.Err, tt.err) {
			t.Errorf("%s from %s: %+v", tt.sender, tt.ip, o)
		}
		if tt.chain != "" && got != tt.chain {
			t.Errorf("%s from %s: by way of %s, want %s", tt.sender, tt.ip, got, tt.chain)
		}
	}
}

// Records that operators write, and what is wrong with them.
func TestParse(t *testing.T) {
	tests := map[string]string{ // "" is right
		"v=spf1":           "",
		"V=SPF1 MX A -ALL": "",
		"v=spf1  a   mx ":  "",
		"v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 a:mail.example.org/28//64 a//64 ?all": "",
		"v=spf1 exists:%{ir}.%{l1r-}.example.org redirect=%{d2}.example.org":             "",
		"v=spf1 unknown=%{d} moo.cow-1_=x -all":                                          "",
		"v=spf10 -all":                                                                   "does not begin with v=spf1",
		"v=spf1 +a:example.org/33":                                                       "prefix length",
		"v=spf1 a/08":                                                                    "prefix length",
		"v=spf1 ip4:192.0.2.256":                                                         "no such address",
		"v=spf1 ip4:2001:db8::1":                                                         "no such address",
		"v=spf1 ip4:192.0.2":                                                             "no such address",
		"v=spf1 ip4":                                                                     "needs an address",
		"v=spf1 all:x":                                                                   "takes no argument",
		"v=spf1 include":                                                                 "needs a domain",
		"v=spf1 include:":                                                                "needs a domain",
		"v=spf1 include:example.org/24":                                                  "no domain",
		"v=spf1 a:example":                                                               "no domain",
		"v=spf1 a:192.0.2.1":                                                             "no domain",
		"v=spf1 ipv4:192.0.2.1":                                                          "no such mechanism",
		"v=spf1 -all;":                                                                   "no such mechanism",
		"v=spf1 mx,a":                                                                    "no such mechanism",
		"v=spf1 exists:%{x}.example.org":                                                 "no macro",
		"v=spf1 exists:%{d0}.example.org":                                                "no macro",
		"v=spf1 exists:%d.example.org":                                                   "no macro",
		"v=spf1 exists:%{d.example.org":                                                  "without end",
		"v=spf1 redirect=a.example redirect=b.example":                                   "twice",
		"v=spf1 exp=":                                                                    "needs a domain",
		"v=spf1 \u200bmx -all":                                                           "no visible ASCII",
	}
	for text, want := range tests {
		_, err := spf.Parse(text)
		if (err == nil) != (want == "") || err != nil && (!errors.Is(err, spf.ErrSyntax) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// blitiriResolver gives our small world to blitiri's library.
type blitiriResolver struct{ records }

func (r blitiriResolver) answer(name string, t dns.Type) (dns.Answer, error) {
	a := r.Resolve(context.Background(), strings.TrimSuffix(name, "."), t)
	if a.Status != dns.Found {
		return a, &net.DNSError{Err: "none", IsNotFound: a.Status != dns.Failed, IsTemporary: a.Status == dns.Failed}
	}
	return a, nil
}

func (r blitiriResolver) LookupTXT(_ context.Context, name string) (out []string, err error) {
	a, err := r.answer(name, dns.TXT)
	for _, rec := range a.Records {
		out = append(out, rec.Text)
	}
	return out, err
}

func (r blitiriResolver) LookupMX(_ context.Context, name string) (out []*net.MX, err error) {
	a, err := r.answer(name, dns.MX)
	for _, rec := range a.Records {
		out = append(out, &net.MX{Host: rec.Name})
	}
	return out, err
}

func (r blitiriResolver) LookupIPAddr(_ context.Context, name string) (out []net.IPAddr, err error) {
	a, err := r.answer(name, dns.A)
	for _, rec := range a.Records {
		out = append(out, net.IPAddr{IP: rec.Addr.AsSlice()})
	}
	return out, err
}

func (r blitiriResolver) LookupAddr(context.Context, string) ([]string, error) {
	return nil, &net.DNSError{IsNotFound: true}
}

// Any record: no panic, bounded cost; and where blitiri's library, which reads records from the left and stops at the
// first match, and ours both come to pass or fail, they agree. It errs where the record has an error behind the match,
// knows no exp= nor macro p, and has its own mind about names that are none.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{
		"v=spf1 mx a -all", "v=spf1 include:b.example ~all", "v=spf1 redirect=b.example", "v=spf1 exists:%{ir}.b.example ?all",
		"v=spf1 a:b.example/24//64 ip4:192.0.2.0/28 ip6:2001:db8::/32 ptr -all", "v=spf1 include:a.example", "v=spf1 %{d1r-+}",
	} {
		f.Add(s, "192.0.2.1")
		f.Add(s, "2001:db8::1")
	}
	f.Fuzz(func(t *testing.T, record, ip string) {
		addr, err := netip.ParseAddr(ip)
		if err != nil || addr.Zone() != "" {
			return
		}
		world := records{
			"TXT a.example": {record}, "TXT b.example": {"v=spf1 ip4:192.0.2.1 -all"}, "A b.example": {"192.0.2.1"},
			"A a.example": {"192.0.2.7"}, "MX a.example": {"b.example"}, "MX b.example": {"a.example"},
		}
		c := spf.Checker{Resolver: world}
		o := c.Check(t.Context(), spf.Request{IP: addr, Helo: "h.example", Sender: sender(t, "x@a.example")})
		if o.Lookups > spf.MaxLookups+1 || o.Voids > spf.MaxVoids+1 {
			t.Fatalf("%q: %d look-ups, %d voids", record, o.Lookups, o.Voids)
		}
		if o.Result != spf.Pass && o.Result != spf.Fail || addr.Is6() || strings.ContainsAny(record, "%\x00") {
			return
		}
		theirs, _ := blitiri.CheckHostWithSender(addr.AsSlice(), "h.example", "x@a.example", blitiri.WithResolver(blitiriResolver{world}))
		if (theirs == blitiri.Pass || theirs == blitiri.Fail) && string(theirs) != string(o.Result) {
			t.Fatalf("%q from %s: %s, blitiri says %s", record, addr, o.Result, theirs)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	world := records{"TXT example.org": {"v=spf1 mx a -all"}, "MX example.org": {"mx.example.org"}, "A mx.example.org": {"192.0.2.1"}, "A example.org": {"192.0.2.2"}}
	c := spf.Checker{Resolver: world}
	q := spf.Request{IP: netip.MustParseAddr("192.0.2.2"), Helo: "mail.example.org", Sender: sender(b, "a@example.org")}
	b.ReportAllocs()
	for b.Loop() {
		if o := c.Check(b.Context(), q); o.Result != spf.Pass {
			b.Fatal(o)
		}
	}
}
