package spf_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"reputed/policy/dns"
	"reputed/policy/mail"
	"reputed/policy/spf"
)

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
		"TXT example.org": {"v=spf1 mx include:_spf.esp.example exists:%{i}.x.example -all exp=why.example.org",
			"other text"},
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
			"example.org>include:_spf.esp.example _spf.esp.example>redirect=_net.esp.example " +
				"_net.esp.example>ip4:198.51.100.0/24", 3, 0, "", nil},
		{"a@example.org", "203.0.113.9", spf.Fail, "example.org>-all", 4, 1, "203.0.113.9 is not ours, a@example.org",
			nil},
		{"", "192.0.2.1", spf.Pass, "mail.example.org>a", 1, 0, "", nil},
		{"a@none.example", "192.0.2.1", spf.None, "", 0, 0, "", nil},
		{"a@silent.example", "192.0.2.1", spf.Neutral, "silent.example>", 1, 0, "", nil},
		{"a@loop.example", "192.0.2.1", spf.PermError, "", 11, 0, "", spf.ErrLookups},
		{"a@voids.example", "192.0.2.1", spf.PermError, "", 3, 3, "", spf.ErrVoids},
		{"a@late.example", "192.0.2.1", spf.PermError, "", 0, 0, "", spf.ErrSyntax},
		{"a@two.example", "192.0.2.1", spf.PermError, "", 0, 0, "", spf.ErrSeveral},
		{"a@dead.example", "192.0.2.1", spf.TempError, "", 0, 0, "", spf.ErrDNS},
		{"a@inc.dead.example", "192.0.2.1", spf.TempError, "inc.dead.example>include:dead.example", 1, 0, "",
			spf.ErrDNS},
		{"a@nowhere.x.example", "192.0.2.1", spf.PermError, "nowhere.x.example>include:none.x.example", 1, 0, "",
			spf.ErrNoRecord},
	}
	c := spf.Checker{Resolver: world}
	for _, tt := range tests {
		o := c.Check(t.Context(), spf.Request{IP: netip.MustParseAddr(tt.ip), Helo: "mail.example.org",
			Sender: sender(t, tt.sender)})
		var chain []string
		for _, s := range o.Chain {
			chain = append(chain, s.Domain+">"+s.Term)
		}
		got := strings.Join(chain, " ")
		if o.Result != tt.result || o.Lookups != tt.lookups || o.Voids != tt.voids || o.Explanation != tt.exp ||
			!errors.Is(o.Err, tt.err) {
			t.Errorf("%s from %s: %+v", tt.sender, tt.ip, o)
		}
		if tt.chain != "" && got != tt.chain {
			t.Errorf("%s from %s: by way of %s, want %s", tt.sender, tt.ip, got, tt.chain)
		}
	}
}

// What mail of real hosts comes to, as the world sees it, and why it is so.
func TestEgress(t *testing.T) {
	world := records{
		"TXT four.example":                    {"v=spf1 ip4:192.0.2.1 -all"},
		"TXT incl.example":                    {"v=spf1 include:one.example include:two.example ~all"},
		"TXT one.example":                     {"v=spf1 ip4:198.51.100.1 -all"},
		"TXT two.example":                     {"v=spf1 ?ip4:198.51.100.9 ip4:198.51.100.0/24 -all"},
		"TXT redir.example":                   {"v=spf1 redirect=four.example"},
		"TXT redirall.example":                {"v=spf1 redirect=four.example ~all"},
		"TXT exp.example":                     {"v=spf1 redirect=expl.example exp=mine.exp.example"},
		"TXT expl.example":                    {"v=spf1 include:expi.example -all exp=why.expl.example"},
		"TXT expi.example":                    {"v=spf1 ip4:192.0.2.1 -all exp=mine.exp.example"},
		"TXT why.expl.example":                {"%{i} is not of %{d}"},
		"TXT mine.exp.example":                {"of the wrong record"},
		"TXT ex.example":                      {"v=spf1 exists:%{ir}.%{v}._spf.%{d} -all"},
		"A 1.2.0.192.in-addr._spf.ex.example": {"127.0.0.2"},
		"TXT ptr.example":                     {"v=spf1 ptr -all"},
		"PTR 1.2.0.192.in-addr.arpa":          {"lies.ptr.example", "mail.ptr.example"},
		"A mail.ptr.example":                  {"192.0.2.1"},
		"A lies.ptr.example":                  {"192.0.2.66"},
		"PTR 9.2.0.192.in-addr.arpa":          {"fail"},
		"TXT p.example":                       {"v=spf1 exists:%{p}._h.%{d} -all"},
		"A mail.ptr.example._h.p.example":     {"127.0.0.1"},
		"TXT nullmx.example":                  {"v=spf1 mx a -all"},
		"MX nullmx.example":                   {"."},
		"A nullmx.example":                    {"192.0.2.1"},
		"TXT six.example":                     {"v=spf1 mx ip6:2001:db8::1 -all"},
		"MX six.example":                      {"a.mx.example", "b.mx.example", "c.mx.example"},
		"A a.mx.example":                      {"192.0.2.1"},
		"A b.mx.example":                      {"192.0.2.2"},
		"A c.mx.example":                      {"192.0.2.3"},
		"TXT local.example":                   {"v=spf1 exists:%{l}.u.example -all"},
		"TXT box.example.lan":                 {"v=spf1 +all"},
		"TXT web1.intranet":                   {"v=spf1 +all"},
		"TXT xn--bcher-kva.example":           {"v=spf1 ip4:192.0.2.1 -all"},
		"TXT priv.example":                    {"v=spf1 include:box.example.lan -all"},
		"TXT crlf.example":                    {"v=spf1 -all exp=crlf2.example"},
		"TXT crlf2.example":                   {"no\r\n250 ok"},
	}
	tests := []struct {
		why, domain, ip string
		result          spf.Result
		term            string // domain>term that decided
		exp             string
	}{
		{"listed", "four.example", "192.0.2.1", spf.Pass, "four.example>ip4:192.0.2.1", ""},
		{"IPv4 in IPv6 is IPv4", "four.example", "::ffff:192.0.2.1", spf.Pass, "four.example>ip4:192.0.2.1", ""},
		{"IPv6 was forgotten", "four.example", "2001:db8::1", spf.Fail, "four.example>-all", ""},
		{"the term is that of the first record", "incl.example", "198.51.100.1", spf.Pass,
			"incl.example>include:one.example", ""},
		{"a fail inside is no match", "incl.example", "198.51.100.2", spf.Pass, "incl.example>include:two.example", ""},
		{"neutral inside is no match either", "incl.example", "198.51.100.9", spf.SoftFail, "incl.example>~all", ""},
		{"the record that it leads to decides", "redir.example", "192.0.2.9", spf.Fail, "four.example>-all", ""},
		{"a redirect beside all is ignored", "redirall.example", "192.0.2.1", spf.SoftFail, "redirall.example>~all",
			""},
		{"exp is that of the record that decided, not before a redirect, nor in an include", "exp.example", "192.0.2.9",
			spf.Fail, "expl.example>-all", "192.0.2.9 is not of expl.example"},
		{"an explanation with a line end is none", "crlf.example", "192.0.2.1", spf.Fail, "crlf.example>-all", ""},
		{"a name with the address in it", "ex.example", "192.0.2.1", spf.Pass,
			"ex.example>exists:%{ir}.%{v}._spf.%{d}", ""},
		{"the name must lead back", "ptr.example", "192.0.2.1", spf.Pass, "ptr.example>ptr", ""},
		{"no name", "ptr.example", "192.0.2.7", spf.Fail, "ptr.example>-all", ""},
		{"names that could not be asked for are no proof", "ptr.example", "192.0.2.9", spf.TempError,
			"ptr.example>-all", ""},
		{"the macro p", "p.example", "192.0.2.1", spf.Pass, "p.example>exists:%{p}._h.%{d}", ""},
		{"a null MX has no host to ask for", "nullmx.example", "192.0.2.1", spf.Pass, "nullmx.example>a", ""},
		{"three hosts of the mx have no IPv6: void three times", "six.example", "2001:db8::1", spf.PermError,
			"six.example>", ""},
		{"in A-labels", "b\u00fccher.example", "192.0.2.1", spf.Pass, "xn--bcher-kva.example>ip4:192.0.2.1", ""},
		{"only this network knows it", "box.example.lan", "192.0.2.1", spf.None, ">", ""},
		{"nor an intranet", "web1.intranet", "192.0.2.1", spf.None, ">", ""},
		{"not even in an include", "priv.example", "192.0.2.1", spf.PermError, "priv.example>", ""},
		{"localhost", "localhost.localdomain", "192.0.2.1", spf.None, ">", ""},
		{"one label", "mail", "192.0.2.1", spf.None, ">", ""},
		{"an address literal", "[192.0.2.1]", "192.0.2.1", spf.None, ">", ""},
		{"an address", "192.0.2.1", "192.0.2.1", spf.None, ">", ""},
		{"an empty label", "a..example", "192.0.2.1", spf.None, ">", ""},
		{"no address at all", "four.example", "", spf.TempError, ">", ""},
	}
	for _, tt := range tests {
		c := spf.Checker{Resolver: world}
		addr, _ := netip.ParseAddr(tt.ip)
		o := c.Check(t.Context(), spf.Request{IP: addr, Domain: tt.domain, Helo: "h.example"})
		if o.Result != tt.result || o.Domain+">"+o.Term != tt.term || o.Explanation != tt.exp {
			t.Errorf("%s: %s from %s: %s by %s>%s, %q (%v)", tt.why, tt.domain, tt.ip, o.Result, o.Domain, o.Term,
				o.Explanation, o.Err)
		}
		if o.Subject == "" || o.IP != addr.Unmap() {
			t.Errorf("%s: about %q and %v", tt.why, o.Subject, o.IP)
		}
	}
}

// RFC 8616, section 4: no name of the DNS holds a local part beyond ASCII.
func TestLocalPart(t *testing.T) {
	world := records{"TXT l.example": {"v=spf1 exists:%{l}.u.example -all"}, "A j\u00f6rg.u.example": {"127.0.0.1"},
		"A joe b.u.example": {"127.0.0.1"}, "A postmaster.u.example": {"127.0.0.1"}}
	c := spf.Checker{Resolver: world}
	for local, want := range map[string]spf.Result{"j\u00f6rg": spf.Fail, "joe b": spf.Pass, "": spf.Pass,
		"a..b": spf.Fail} {
		o := c.Check(t.Context(), spf.Request{IP: netip.MustParseAddr("192.0.2.1"), Domain: "l.example", Local: local})
		if o.Result != want {
			t.Errorf("%q: %s, want %s", local, o.Result, want)
		}
	}
}

// A check that is given up knows nothing, also where the RFC passes over failures, and where the resolver never looks.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	world := records{"TXT x.example": {"v=spf1 ptr exists:%{p}.x.example -all"}}
	giveUp := dns.ResolverFunc(func(ctx context.Context, name string, typ dns.Type) dns.Answer {
		defer cancel()
		return world.Resolve(ctx, name, typ)
	})
	c := spf.Checker{Resolver: giveUp}
	o := c.Check(ctx, spf.Request{IP: netip.MustParseAddr("192.0.2.1"), Domain: "x.example"})
	if o.Result != spf.TempError || !errors.Is(o.Err, context.Canceled) {
		t.Errorf("%s: %v", o.Result, o.Err)
	}
}

// The shortest time counts, even when it is none; and an answer beyond its time makes the outcome old.
func TestTTL(t *testing.T) {
	ttls := []time.Duration{time.Hour, 0, time.Minute}
	n := 0
	c := spf.Checker{Resolver: dns.ResolverFunc(func(_ context.Context, _ string, typ dns.Type) dns.Answer {
		a := dns.Answer{Status: dns.Found, TTL: ttls[n], Stale: n == 1}
		if n++; typ == dns.TXT {
			a.Records = []dns.Record{{Text: "v=spf1 a a:x.example -all"}}
		} else {
			a.Records = []dns.Record{{Addr: netip.MustParseAddr("192.0.2.9")}}
		}
		return a
	})}
	o := c.Check(t.Context(), spf.Request{IP: netip.MustParseAddr("192.0.2.1"), Domain: "x.example"})
	if n != 3 || o.TTL != 0 || !o.Stale || o.Result != spf.Fail {
		t.Errorf("%d questions, %+v", n, o)
	}
}

// Whatever the macros, the names of the address are asked for once.
func TestNamesOnce(t *testing.T) {
	q := &counting{Resolver: records{"TXT x.example": {"v=spf1 exists:" + strings.Repeat("%{p}", 500) +
		".x.example ptr ptr:y.example -all"},
		"PTR 1.2.0.192.in-addr.arpa": {"a.z.example", "b.z.example"}}}
	c := spf.Checker{Resolver: q}
	if o := c.Check(t.Context(), spf.Request{IP: netip.MustParseAddr("192.0.2.1"),
		Domain: "x.example"}); o.Result != spf.Fail || q.n > 5 {
		t.Errorf("%s after %d questions", o.Result, q.n)
	}
}
