//go:build integration

package nameserver

import "testing"

// bl is a list with the test entries of RFC 5782, section 5, for both families, and one for names.
var bl = []Dataset{
	{"bl.example", "ip4set", `
:127.0.0.2:listed, see http://bl.example/$
127.0.0.2
203.0.113.0/24 :127.0.0.4:spam source`},
	{"bl.example", "ip6trie", `
:127.0.0.2:listed, see http://bl.example/$
::ffff:7f00:2
2001:db8:bad::/48 :127.0.0.4:spam source`},
	{"bl.example", "generic", `
@ A 192.0.2.80
@ TXT "a list for tests"`},
	{"dbl.example", "dnset", `
:127.0.1.2:listed, see http://dbl.example/$
TEST
.bad.example`},
}

// listed are names below bl, and what they have.
var listed = []struct {
	name, header, a, txt string
}{
	{"2.0.0.127.bl.example", "NOERROR 1", "127.0.0.2", "listed, see http://bl.example/127.0.0.2"},
	{"1.0.0.127.bl.example", "NXDOMAIN 0", "", ""},
	{"9.113.0.203.bl.example", "NOERROR 1", "127.0.0.4", "spam source"},
	{"2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.bl.example",
		"NOERROR 1", "127.0.0.2", "listed, see http://bl.example/127.0.0.2"},
	{"1.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.bl.example", "NXDOMAIN 0", "", ""},
	{"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.a.b.0.8.b.d.0.1.0.0.2.bl.example",
		"NOERROR 1", "127.0.0.4", "spam source"},
	{"bl.example", "NOERROR 1", "192.0.2.80", "a list for tests"},
	{"test.dbl.example", "NOERROR 1", "127.0.1.2", "listed, see http://dbl.example/test"},
	{"any.bad.example.dbl.example", "NOERROR 1", "127.0.1.2", "listed, see http://dbl.example/bad.example"},
	{"invalid.dbl.example", "NXDOMAIN 0", "", ""},
}

func wantListed(t *testing.T, s *Server, networks ...string) {
	t.Helper()
	for _, tt := range listed {
		for _, network := range networks {
			if got := reply(t, network, s.Addr(), tt.name, typeA); got != tt.header {
				t.Errorf("%s, over %s: %s, want %s", tt.name, network, got, tt.header)
			}
		}
		if tt.a == "" {
			continue
		}
		if got := lookup(t, s, tt.name, typeA); got != tt.a {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.a)
		}
		if got := lookup(t, s, tt.name, typeTXT); got != tt.txt {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.txt)
		}
	}
}

func TestRbldnsd(t *testing.T) {
	r := StartRbldnsd(t, bl...)
	wantListed(t, r.Server, "udp")
	if got := reply(t, "udp", r.Addr(), "2.0.0.127.other.example", typeA); got != "REFUSED 0" {
		t.Errorf("a zone that it has not: %s", got)
	}
}

// An entry that is set is served at once; one set while the server is down, when it comes back.
func TestRbldnsdSet(t *testing.T) {
	r := StartRbldnsd(t, bl...)
	want := func(name, a string) {
		t.Helper()
		if got := lookup(t, r.Server, name, typeA); got != a {
			t.Errorf("%s: %s, want %s", name, got, a)
		}
	}
	for _, code := range []string{"127.0.0.3", "127.0.0.5", "127.0.0.3"} { // in one second, and of one length
		r.Set(Dataset{"bl.example", "ip4set", "127.0.0.2 :" + code + ":x"})
		want("2.0.0.127.bl.example", code)
	}
	want("test.dbl.example", "127.0.1.2")
	r.Stop()
	r.Set(Dataset{"bl.example", "ip4set", "127.0.0.2 :127.0.0.9:x"})
	r.Start()
	want("2.0.0.127.bl.example", "127.0.0.9")
}
