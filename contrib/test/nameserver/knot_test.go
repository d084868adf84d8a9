//go:build integration

package nameserver

import (
	"strings"
	"testing"
)

func TestKnot(t *testing.T) {
	long := strings.Repeat("x", 200)
	k := StartKnot(t, map[string]string{
		"example.org": `
@     TXT  "v=spf1 mx -all"
@     MX   10 mail
mail  A    192.0.2.1
mail  AAAA 2001:db8::1
deep.under TXT "x"
long  TXT  "` + strings.Repeat(long+`" "`, 5) + `"`,
		"2.0.192.in-addr.arpa": "1 PTR mail.example.org.",
	})
	for _, tt := range []struct {
		name     string
		rrtype   uint16
		udp, tcp string
		found    string // "" where nothing is
	}{
		{"example.org", typeTXT, "NOERROR 1", "NOERROR 1", "v=spf1 mx -all"},
		{"example.org", typeMX, "NOERROR 1", "NOERROR 1", "10 mail.example.org."},
		{"mail.example.org", typeA, "NOERROR 1", "NOERROR 1", "192.0.2.1"},
		{"mail.example.org", typeAAAA, "NOERROR 1", "NOERROR 1", "2001:db8::1"},
		{"long.example.org", typeTXT, "NOERROR 0 truncated", "NOERROR 1", strings.Repeat(long, 5)},
		{"mail.example.org", typeTXT, "NOERROR 0", "NOERROR 0", ""},
		{"under.example.org", typeTXT, "NOERROR 0", "NOERROR 0", ""}, // RFC 8020: there is something below it
		{"no.example.org", typeTXT, "NXDOMAIN 0", "NXDOMAIN 0", ""},
		{"example.net", typeTXT, "REFUSED 0", "REFUSED 0", ""},
	} {
		if got := reply(t, "udp", k.Addr(), tt.name, tt.rrtype); got != tt.udp {
			t.Errorf("%s, type %d, over UDP: %s, want %s", tt.name, tt.rrtype, got, tt.udp)
		}
		if got := reply(t, "tcp", k.Addr(), tt.name, tt.rrtype); got != tt.tcp {
			t.Errorf("%s, type %d, over TCP: %s, want %s", tt.name, tt.rrtype, got, tt.tcp)
		}
		if got := lookup(t, k.Server, tt.name, tt.rrtype); tt.found != "" && got != tt.found {
			t.Errorf("%s, type %d: %s, want %s", tt.name, tt.rrtype, got, tt.found)
		}
	}
	if names, err := k.Resolver().LookupAddr(t.Context(), "192.0.2.1"); err != nil || names[0] != "mail.example.org." {
		t.Errorf("192.0.2.1 is %q, %v", names, err)
	}
}

// A zone that is set is served at once; one set while the server is down, when it comes back.
func TestKnotSet(t *testing.T) {
	k := StartKnot(t, nil)
	want := func(zone, text string) {
		t.Helper()
		if got := lookup(t, k.Server, zone, typeTXT); got != text {
			t.Errorf("%s: %s, want %s", zone, got, text)
		}
	}
	for _, text := range []string{"one", "two", "one"} { // in one second, and of one length
		k.Set("example.org", `@ TXT "`+text+`"`)
		want("example.org", text)
	}
	k.Set("Example.net.", `@ TXT "added"`)
	want("example.net", "added")
	want("example.org", "one")
	k.Set("example.org", "@ 300 IN SOA ns hostmaster 7 60 60 60 60\n@ NS ns\nns A 127.0.0.1\n@ TXT \"its own\"")
	want("example.org", "its own")
	if ns, err := k.Resolver().LookupNS(t.Context(), "example.org."); err != nil || len(ns) != 1 {
		t.Errorf("name servers %v, %v", ns, err)
	}
	k.Stop()
	k.Set("example.org", `@ TXT "later"`)
	k.Set("example.com", `@ TXT "new"`)
	k.Start()
	want("example.org", "later")
	want("example.com", "new")
}
