//go:build integration

package nameserver

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// zoneAt is a zone whose servers are at two addresses.
func zoneAt(first, second string) string {
	return fmt.Sprintf(`$TTL 60
@ SOA ns1 hostmaster 1 3600 3600 86400 60
@ NS ns1
@ NS ns2
ns1 A %s
ns2 A %s
`, first, second)
}

// A zone is copied to another server, which has what is new when it is to have it, or at once.
func TestCopies(t *testing.T) {
	for _, notify := range []bool{false, true} {
		t.Run(fmt.Sprint("notify ", notify), func(t *testing.T) {
			first, second := Loopback(t), Loopback(t)
			d := Dynamic{Addr: first, Secondaries: []string{second}, Notify: notify}
			k := StartDynamicKnot(t, d, map[string]string{"example.org": zoneAt(first, second)})
			b := StartBIND(t, BINDOptions{Dynamic: Dynamic{Addr: second}, Copies: map[string]string{"example.org": first}})
			if k.Addr() != first+":53" || b.Addr() != second+":53" {
				t.Fatalf("they listen at %s and %s", k.Addr(), b.Addr())
			}
			long := strings.Repeat("x", 300) + `"\`
			k.Put("example.org", "s._domainkey.example.org", long)
			want := func(s *Server, text string) {
				t.Helper()
				if got := lookup(t, s, "s._domainkey.example.org", typeTXT); got != text {
					t.Errorf("%s shows %.99q, not %.99q", s.program, got, text)
				}
			}
			want(k.Server, long)
			if notify {
				b.await(func() error { _, err := b.TXT(t, "s._domainkey.example.org"); return err })
			} else {
				if got := reply(t, "udp", b.Addr(), "s._domainkey.example.org", typeTXT); got != "NXDOMAIN 0" {
					t.Errorf("it knows too soon: %s", got)
				}
				b.Refresh("example.org", k)
			}
			want(b.Server, long)
			k.Put("example.org", "s._domainkey.example.org", "")
			b.Refresh("example.org", k)
			for _, s := range []*Server{k.Server, b.Server} {
				if got := reply(t, "udp", s.Addr(), "s._domainkey.example.org", typeTXT); got != "NXDOMAIN 0" {
					t.Errorf("%s: it is still there: %s", s.program, got)
				}
			}
		})
	}
}

// A server that has lost a zone refuses its names, until it has it again.
func TestLose(t *testing.T) {
	first, second := Loopback(t), Loopback(t)
	d := Dynamic{Addr: first, Secondaries: []string{second}}
	StartDynamicKnot(t, d, map[string]string{"example.org": zoneAt(first, second)})
	b := StartBIND(t, BINDOptions{Dynamic: Dynamic{Addr: second}, Copies: map[string]string{"example.org": first}})
	want := func(header string) {
		t.Helper()
		if got := reply(t, "udp", b.Addr(), "ns1.example.org", typeA); got != header {
			t.Errorf("%s, not %s", got, header)
		}
	}
	want("NOERROR 1")
	b.Lose("example.org")
	want("REFUSED 0")
	b.Copy("example.org", first)
	want("NOERROR 1")
	b.Stop()
	want("no answer")
	b.Start()
	want("NOERROR 1")
}

func TestBIND(t *testing.T) {
	zone := zoneAt("127.0.0.1", "127.0.0.1") + `@ TXT "here"`
	b := StartBIND(t, BINDOptions{Zones: map[string]string{"example.org": zone}})
	got, err := b.TXT(t, "example.org")
	if serial := b.Serial("example.org"); err != nil || !slices.Equal(got, []string{"here"}) || serial != 1 {
		t.Errorf("%q, %v, serial %d", got, err, serial)
	}
	if got := reply(t, "tcp", b.Addr(), "example.net", typeTXT); got != "REFUSED 0" {
		t.Errorf("a zone that it has not: %s", got)
	}
}
