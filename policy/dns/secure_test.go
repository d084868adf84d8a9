package dns_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reputed/policy/dns"
	"reputed/policy/dns/dnstest"
)

const signedZone = `
$ORIGIN example.org.
@                DS    60485 13 2 ( D4B7D520E7BB5F0F67674A0CCEB1E3E0614B93C4F9E99B8383F6A1E4469DA50A )
_25._tcp.mail    TLSA  3 1 1 0C72AC70B745AC19998811B131D662C9AC69DBDBE7CB23E5B514B56664C5D3D6
_25._tcp.bare    TLSA  3 0 0 3082
mail             A     192.0.2.1
alias            CNAME mail
`

func TestSecureRecords(t *testing.T) {
	c := client(start(t, signedZone).AddrPort())
	for _, tt := range []struct {
		name string
		t    dns.Type
		want dns.Record
	}{
		{"example.org", dns.DS, dns.Record{DS: &dns.Delegate{
			KeyTag: 60485, Algorithm: 13, DigestType: 2,
			Digest: octets("d4b7d520e7bb5f0f67674a0cceb1e3e0614b93c4f9e99b8383f6a1e4469da50a"),
		}}},
		{"_25._tcp.mail.example.org", dns.TLSA, dns.Record{TLSA: &dns.Pin{
			Usage: 3, Selector: 1, Matching: 1,
			Data: octets("0c72ac70b745ac19998811b131d662c9ac69dbdbe7cb23e5b514b56664c5d3d6"),
		}}},
		{"_25._tcp.bare.example.org", dns.TLSA, dns.Record{TLSA: &dns.Pin{Usage: 3, Data: octets("3082")}}},
	} {
		a := c.Resolve(context.Background(), tt.name, tt.t)
		if a.Status != dns.Found || !cmp.Equal(a.Records, []dns.Record{tt.want}, cmp.Comparer(sameAddr)) {
			t.Errorf("%s %s: %+v", tt.t, tt.name, a)
		}
	}
	if a := c.Resolve(context.Background(), "mail.example.org", dns.DS); a.Status != dns.NoData {
		t.Errorf("DS of a name without: %+v", a)
	}
}

func sameAddr(a, b netip.Addr) bool { return a == b }

func octets(hex string) (out []byte) {
	digit := func(c byte) byte {
		if c >= 'a' {
			return c - 'a' + 10
		}
		return c - '0'
	}
	for i := 0; i < len(hex); i += 2 {
		out = append(out, digit(hex[i])<<4|digit(hex[i+1]))
	}
	return out
}

// The word of the resolver is passed on for what it said itself, and for all of it.
func TestSecure(t *testing.T) {
	s := start(t, signedZone)
	c := client(s.AddrPort())
	for _, tt := range []struct {
		validated []string // names
		kind      dnstest.Kind
		name      string
		want      bool
		why       string
	}{
		{nil, 0, "mail.example.org", false, "it says nothing"},
		{[]string{"mail.example.org"}, dnstest.Validated, "mail.example.org", true, "it says so"},
		{[]string{"none.example.org"}, dnstest.Validated, "none.example.org", true, "that there is no such name is signed, too"},
		{[]string{"alias.example.org"}, dnstest.Validated, "alias.example.org", true, "aliases of one message"},
		{[]string{"mail.example.org"}, dnstest.ServFail, "mail.example.org", false, "a failure"},
	} {
		s.Heal()
		for _, name := range tt.validated {
			s.Fault(name, dnstest.Fault{Kind: tt.kind})
		}
		if a := c.Resolve(context.Background(), tt.name, dns.A); a.Secure != tt.want {
			t.Errorf("%s: %+v", tt.why, a)
		}
	}
}

// An alias that the server does not follow leads to a second message: both must be validated.
func TestSecureAcrossMessages(t *testing.T) {
	for _, tt := range []struct {
		first, second bool
		want          bool
	}{{true, true, true}, {true, false, false}, {false, true, false}} {
		s := start(t, `
example.org. SOA ns.example.org. root.example.org. 1 2 3 4 60
away.example.org. CNAME mail.example.net.
`)
		other := start(t, "mail.example.net. A 192.0.2.2")
		for name, v := range map[string]bool{"away.example.org": tt.first, "mail.example.net": tt.second} {
			if v {
				s.Fault(name, dnstest.Fault{Kind: dnstest.Validated})
				other.Fault(name, dnstest.Fault{Kind: dnstest.Validated})
			}
		}
		// The first refuses what is not in its zone, and then the other is asked.
		a := client(s.AddrPort(), other.AddrPort()).Resolve(context.Background(), "away.example.org", dns.A)
		if a.Status != dns.Found || len(a.Records) != 1 || a.Secure != tt.want {
			t.Errorf("%+v: %+v", tt, a)
		}
	}
}

// What the servers do not vouch for any more is not Secure, though it was.
func TestCacheSecure(t *testing.T) {
	cached(t, dns.CacheOptions{}, func(t *testing.T, c *dns.Cache, u *upstream) {
		said := found("x", time.Minute)
		said.Secure = true
		u.say(said, 0)
		if a := ask(c); !a.Secure {
			t.Errorf("asked: %+v", a)
		}
		if a := ask(c); !a.Secure {
			t.Errorf("from memory: %+v", a)
		}
		time.Sleep(2 * time.Minute)
		u.say(failed(dns.ErrServFail), 0)
		if a := ask(c); !a.Stale || a.Secure {
			t.Errorf("stale: %+v", a)
		}
		time.Sleep(2 * time.Minute)
		u.say(found("x", time.Minute), 0)
		ask(c) // renews it in the background
		time.Sleep(time.Second)
		if a := ask(c); a.Stale || a.Secure {
			t.Errorf("without its word: %+v", a)
		}
	})
}

// A server of the zone itself vouches for nothing, and is not asked to.
func TestAuthorityIsNotSecure(t *testing.T) {
	s := start(t, `
example.org. SOA ns.example.org. root.example.org. 1 2 3 4 60
example.org. NS ns.example.org.
ns.example.org. A 127.0.0.1
mail.example.org. A 192.0.2.1
`)
	s.Fault(".", dnstest.Fault{Kind: dnstest.Validated})
	a := dns.NewAuthority(dns.AuthorityOptions{
		Resolver: client(s.AddrPort()), At: func(netip.Addr) netip.AddrPort { return s.AddrPort() },
	})
	p := a.Ask(context.Background(), "mail.example.org", dns.A)
	if len(p.Views) != 1 || p.Views[0].Status != dns.Found || p.Views[0].Secure {
		t.Errorf("%+v", p)
	}
}
