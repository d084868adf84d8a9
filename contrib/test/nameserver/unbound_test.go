//go:build integration

package nameserver

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestUnboundOverKnot(t *testing.T) {
	long := strings.Repeat("x", 200)
	k := StartKnot(t, map[string]string{
		"example.org": `
long  TXT   "` + strings.Repeat(long+`" "`, 10) + `"
@     TXT   "v=spf1 mx -all"
@     MX    10 mail
mail  A     192.0.2.1
mail  AAAA  2001:db8::1
alias CNAME mail
other CNAME there.example.net.
away  CNAME outside.example.
sub   NS    ns.sub
ns.sub A    198.51.100.1`,
		"example.net":          `there A 192.0.2.2`,
		"2.0.192.in-addr.arpa": `1 PTR mail.example.org.`,
	})
	u := StartUnbound(t, UnboundOptions{Stub: map[string]string{
		"example.org": k.Addr(), "example.net": k.Addr(), "2.0.192.in-addr.arpa": k.Addr(),
	}})
	for _, tt := range []struct {
		name   string
		rrtype uint16
		header string // "" where UDP has another than TCP
		found  string // "" where nothing is
	}{
		{"example.org", typeTXT, "NOERROR 1", "v=spf1 mx -all"},
		{"example.org", typeMX, "NOERROR 1", "10 mail.example.org."},
		{"mail.example.org", typeA, "NOERROR 1", "192.0.2.1"},
		{"mail.example.org", typeAAAA, "NOERROR 1", "2001:db8::1"},
		{"alias.example.org", typeA, "NOERROR 2", "192.0.2.1"},
		{"other.example.org", typeA, "NOERROR 2", "192.0.2.2"},      // in another zone
		{"long.example.org", typeTXT, "", strings.Repeat(long, 10)}, // by TCP on all of its way
		{"mail.example.org", typeTXT, "NOERROR 0", ""},
		{"no.example.org", typeTXT, "NXDOMAIN 0", ""},
		// Nothing leads outside.
		{"outside.example", typeA, "REFUSED 0", ""},
		{"away.example.org", typeA, "SERVFAIL 0", ""},
		{"www.sub.example.org", typeA, "SERVFAIL 0", ""},
		{"1.1.168.192.in-addr.arpa", typeA, "NXDOMAIN 0", ""}, // RFC 6303: answered by every resolver
	} {
		for _, network := range []string{"udp", "tcp"} {
			if got := reply(t, network, u.Addr(), tt.name, tt.rrtype); tt.header != "" && got != tt.header {
				t.Errorf("%s, type %d, over %s: %s, want %s", tt.name, tt.rrtype, network, got, tt.header)
			}
		}
		if got := lookup(t, u.Server, tt.name, tt.rrtype); tt.found != "" && got != tt.found {
			t.Errorf("%s, type %d: %s, want %s", tt.name, tt.rrtype, got, tt.found)
		}
	}
	if names, err := u.Resolver().LookupAddr(t.Context(), "192.0.2.1"); err != nil || names[0] != "mail.example.org." {
		t.Errorf("192.0.2.1 is %q, %v", names, err)
	}
}

func TestUnboundOverRbldnsd(t *testing.T) {
	r := StartRbldnsd(t, bl...)
	u := StartUnbound(t, UnboundOptions{Stub: map[string]string{"bl.example": r.Addr(), "dbl.example": r.Addr()}})
	wantListed(t, u.Server, "udp", "tcp")
}

// A resolver that asks a resolver.
func TestUnboundForward(t *testing.T) {
	k := StartKnot(t, map[string]string{"example.org": `@ TXT "x"`})
	provider := StartUnbound(t, UnboundOptions{Stub: map[string]string{"example.org": k.Addr()}})
	for _, zone := range []string{"example.org", "."} {
		u := StartUnbound(t, UnboundOptions{Forward: map[string]string{zone: provider.Addr()}})
		if got := lookup(t, u.Server, "example.org", typeTXT); got != "x" {
			t.Errorf("forwarding %s: %s", zone, got)
		}
	}
}

// What resolvers and lists do that answer something else than what is listed.
func TestUnboundLocal(t *testing.T) {
	r := StartRbldnsd(t, bl...)
	o := UnboundOptions{Stub: map[string]string{"bl.example": r.Addr()}}
	u := StartUnbound(t, o)
	want := func(name string, rrtype uint16, header, found string) {
		t.Helper()
		if got := reply(t, "udp", u.Addr(), name, rrtype); got != header {
			t.Errorf("%s in %v: %s, want %s", name, o.Local, got, header)
		}
		if got := lookup(t, u.Server, name, rrtype); found != "" && got != found {
			t.Errorf("%s in %v: %s, want %s", name, o.Local, got, found)
		}
	}
	for _, tt := range []struct {
		local, header, found string // of a name that nobody listed
	}{
		{"127.255.255.254", "NOERROR 1", "127.255.255.254"}, // "you ask through a resolver of the public"
		{"203.0.113.80", "NOERROR 1", "203.0.113.80"},       // the list's domain is parked
		{Refuse, "REFUSED 0", ""},
		{NXDomain, "NXDOMAIN 0", ""},
		{"always_nodata", "NOERROR 0", ""},
	} {
		o.Local = map[string]string{"bl.example": tt.local}
		u.Set(o)
		want("1.0.0.127.bl.example", typeA, tt.header, tt.found)
		want("9.9.9.9.bl.example", typeA, tt.header, tt.found)
	}
	o.Local = map[string]string{"bl.example": "2001:db8::80"}
	u.Set(o)
	want("1.0.0.127.bl.example", typeAAAA, "NOERROR 1", "2001:db8::80")
	o.Local = map[string]string{"bl.example": Silence}
	u.Set(o)
	if got := reply(t, "udp", u.Addr(), "2.0.0.127.bl.example", typeA); got != "no answer" {
		t.Errorf("silence: %s", got)
	}
	o.Local = nil // and all is well again, with single records put in
	o.LocalData = []string{`1.0.0.10.bl.example. 60 A 127.0.0.7`, `more.example. 60 TXT "x"`}
	u.Set(o)
	want("2.0.0.127.bl.example", typeA, "NOERROR 1", "127.0.0.2")
	want("1.0.0.127.bl.example", typeA, "NXDOMAIN 0", "")
	want("1.0.0.10.bl.example", typeA, "NOERROR 1", "127.0.0.7")
	want("more.example", typeTXT, "NOERROR 1", "x")
}

// Answers are kept as long as they say, or as the bounds say, or until Flush.
func TestUnboundCache(t *testing.T) {
	k := StartKnot(t, nil)
	set := func(text string) { k.Set("example.org", `@ TXT "`+text+`"`) }
	stub := map[string]string{"example.org": k.Addr()}
	keeps := StartUnbound(t, UnboundOptions{Stub: stub})
	bounded := StartUnbound(t, UnboundOptions{Stub: stub, MaxTTL: time.Second, MaxNegativeTTL: time.Second})
	forgets := StartUnbound(t, UnboundOptions{Stub: stub, MaxTTL: 1, MaxNegativeTTL: 1})
	want := func(u *Unbound, text string) {
		t.Helper()
		if got := lookup(t, u.Server, "example.org", typeTXT); got != text {
			t.Errorf("%s, want %s", got, text)
		}
	}
	set("one")
	want(keeps, "one")
	want(bounded, "one")
	want(forgets, "one")
	set("two")
	want(keeps, "one")
	want(forgets, "two")
	keeps.Flush()
	want(keeps, "two")
	bounded.await(func() error {
		if got := lookup(t, bounded.Server, "example.org", typeTXT); got != "two" {
			return errors.New("it still has the old answer")
		}
		return nil
	})
	k.Set("example.org", "")
	if got := reply(t, "udp", forgets.Addr(), "new.example.org", typeTXT); got != "NXDOMAIN 0" {
		t.Error(got)
	}
	k.Set("example.org", `new TXT "x"`)
	if got := reply(t, "udp", forgets.Addr(), "new.example.org", typeTXT); got != "NOERROR 1" {
		t.Error(got)
	}
}

// While the server of a zone is silent or gone the resolver says so soon, and once it is back asks it at once.
func TestUnboundOutage(t *testing.T) {
	k := StartKnot(t, map[string]string{"example.org": "one A 192.0.2.1\ntwo A 192.0.2.2"})
	for _, tt := range []struct {
		what     string
		out, end func()
	}{
		{"silent", k.Pause, k.Resume},
		{"gone", k.Stop, k.Start},
	} {
		u := StartUnbound(t, UnboundOptions{Stub: map[string]string{"example.org": k.Addr()}})
		tt.out()
		begin := time.Now()
		if got := reply(t, "udp", u.Addr(), "one.example.org", typeA); got != "SERVFAIL 0" {
			t.Errorf("%s: %s", tt.what, got)
		}
		t.Logf("%s: SERVFAIL after %s", tt.what, time.Since(begin).Round(time.Millisecond))
		tt.end()
		if got := lookup(t, u.Server, "two.example.org", typeA); got != "192.0.2.2" {
			t.Errorf("%s no more: another name: %s", tt.what, got)
		}
		u.Flush()
		if got := lookup(t, u.Server, "one.example.org", typeA); got != "192.0.2.1" {
			t.Errorf("%s no more: after a flush: %s", tt.what, got)
		}
	}
}
