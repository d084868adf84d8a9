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

// both is a server of each kind, of which one copies a zone from the other.
type both struct {
	primary interface {
		Primary
		Addr() string
	}
	secondary interface {
		Secondary
		Addr() string
		Start()
		Stop()
	}
	servers []*Server // the primary first
	first   string    // its address
	second  string
}

// pairs start the two kinds of servers, each with the other as its copy.
var pairs = []struct {
	name  string
	start func(t *testing.T, notify bool) *both
}{
	{"BIND copies Knot", func(t *testing.T, notify bool) *both {
		b := &both{first: Loopback(t), second: Loopback(t)}
		k := StartDynamicKnot(t, b.primaryAt(notify), b.zones())
		bind := StartBIND(t, BINDOptions{Dynamic: b.secondaryAt()})
		b.primary, b.secondary, b.servers = k, bind, []*Server{k.Server, bind.Server}
		return b
	}},
	{"Knot copies BIND", func(t *testing.T, notify bool) *both {
		b := &both{first: Loopback(t), second: Loopback(t)}
		bind := StartBIND(t, BINDOptions{Dynamic: b.primaryAt(notify), Zones: b.zones()})
		k := StartDynamicKnot(t, b.secondaryAt(), nil)
		b.primary, b.secondary, b.servers = bind, k, []*Server{bind.Server, k.Server}
		return b
	}},
}

func (b *both) primaryAt(notify bool) Dynamic {
	return Dynamic{Addr: b.first, Key: NewKey("reputed"), Secondaries: []string{b.second}, Notify: notify}
}

func (b *both) secondaryAt() Dynamic {
	return Dynamic{Addr: b.second, Copies: map[string]string{"example.org": b.first}}
}

func (b *both) zones() map[string]string {
	return map[string]string{"example.org": zoneAt(b.first, b.second)}
}

// A zone is copied to another server, which has what is new when it is to have it, or at once.
func TestCopies(t *testing.T) {
	for _, pair := range pairs {
		for _, notify := range []bool{false, true} {
			t.Run(fmt.Sprint(pair.name, ", notify ", notify), func(t *testing.T) { copies(t, pair.start(t, notify), notify) })
		}
	}
}

func copies(t *testing.T, b *both, notify bool) {
	if b.primary.Addr() != b.first+":53" || b.secondary.Addr() != b.second+":53" {
		t.Fatalf("they listen at %s and %s", b.primary.Addr(), b.secondary.Addr())
	}
	const name = "s._domainkey.example.org"
	long := strings.Repeat("x", 300) + `"\`
	want := func(s *Server, text string) {
		t.Helper()
		if got := lookup(t, s, name, typeTXT); got != text {
			t.Errorf("%s shows %.99q, not %.99q", s.program, got, text)
		}
	}
	second := b.servers[1]
	b.primary.Put("example.org", name, long)
	want(b.servers[0], long)
	if notify {
		second.await(func() error { _, err := second.TXT(t, name); return err })
	} else {
		if got := reply(t, "udp", second.Addr(), name, typeTXT); got != "NXDOMAIN 0" {
			t.Errorf("it knows too soon: %s", got)
		}
		b.secondary.Refresh("example.org", b.primary)
	}
	want(second, long)
	for _, text := range []string{"other", ""} {
		b.primary.Put("example.org", name, text)
		b.secondary.Refresh("example.org", b.primary)
		for _, s := range b.servers {
			if text != "" {
				want(s, text)
			} else if got := reply(t, "udp", s.Addr(), name, typeTXT); got != "NXDOMAIN 0" {
				t.Errorf("%s: it is still there: %s", s.program, got)
			}
		}
	}
}

// A server that has lost a zone refuses its names, until it has it again.
func TestLose(t *testing.T) {
	for _, pair := range pairs {
		t.Run(pair.name, func(t *testing.T) {
			b := pair.start(t, false)
			want := func(header string) {
				t.Helper()
				if got := reply(t, "udp", b.secondary.Addr(), "ns1.example.org", typeA); got != header {
					t.Errorf("%s, not %s", got, header)
				}
			}
			want("NOERROR 1")
			b.secondary.Lose("example.org")
			want("REFUSED 0")
			b.secondary.Copy("example.org", b.first)
			want("NOERROR 1")
			b.secondary.Stop()
			want("no answer")
			b.secondary.Start()
			want("NOERROR 1")
		})
	}
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
