package dnstest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"reputed/policy/dns/dnstest"
)

// With SOA records, a server serves what they begin, and no more.
func TestZones(t *testing.T) {
	s := start(t, `
$TTL 300
example.org.           SOA ns1.example.org. root.example.org. 7 60 60 3600 120
example.org.           NS ns1.example.org.
ns1.example.org.       A 192.0.2.1
out.example.org.       CNAME www.example.net.
in.example.org.        CNAME s.keys.example.org.
into.example.org.      CNAME a.sub.example.org.
sub.example.org.       NS ns.sub.example.org.
sub.example.org.       NS ns.example.net.
ns.sub.example.org.    A 192.0.2.2
ns.sub.example.org.    AAAA 2001:db8::2
keys.example.org.      SOA ns1.example.org. root.example.org. 9 60 60 3600 60
keys.example.org.      NS ns1.example.org.
s.keys.example.org.    A 192.0.2.3
`)
	for _, tt := range []struct {
		name    string
		code    int
		aa      bool
		answers int
		soa     uint32 // the serial of the SOA in the authority section
		ns      int    // NS records there
		glue    int
		why     string
	}{
		{"ns1.example.org.", 0, true, 1, 0, 0, 0, "a record"},
		{"none.example.org.", dns.RcodeNameError, true, 0, 7, 0, 0, "the zone's own SOA record"},
		{"none.keys.example.org.", dns.RcodeNameError, true, 0, 9, 0, 0, "that of another zone, below"},
		{"s.keys.example.org.", 0, true, 1, 0, 0, 0, "its record"},
		{"sub.example.org.", 0, false, 0, 0, 2, 2, "handed to others, with their addresses"},
		{"a.b.sub.example.org.", 0, false, 0, 0, 2, 2, "and all below"},
		{"ns.sub.example.org.", 0, false, 0, 0, 2, 2, "also the name of the server itself"},
		{"example.net.", dns.RcodeRefused, false, 0, 0, 0, 0, "of others"},
		{"org.", dns.RcodeRefused, false, 0, 0, 0, 0, "above"},
		{"out.example.org.", 0, true, 1, 0, 0, 0, "an alias that leads to others"},
		{"into.example.org.", 0, true, 1, 0, 0, 0, "also to those the zone is handed to"},
		{"in.example.org.", 0, true, 2, 0, 0, 0, "an alias that stays"},
	} {
		m := ask(t, s, tt.name)
		var serial uint32
		ns := 0
		for _, rr := range m.Ns {
			if soa, ok := rr.(*dns.SOA); ok {
				serial = soa.Serial
			} else {
				ns++
			}
		}
		if m.Rcode != tt.code || m.Authoritative != tt.aa || len(m.Answer) != tt.answers || serial != tt.soa ||
			ns != tt.ns || len(m.Extra) != tt.glue {
			t.Errorf("%s: %s\n%v", tt.why, tt.name, m)
		}
	}
	s.Fault(".", dnstest.Fault{Kind: dnstest.NoAA})
	if m := ask(t, s, "ns1.example.org."); m.Authoritative || len(m.Answer) != 1 {
		t.Errorf("from a cache: %v", m)
	}
}

const (
	secret = "c2VjcmV0IG9mIHRoZSBrZXkgb2YgdGVzdHM="
	other  = "YW5vdGhlciBzZWNyZXQgb2YgdGhlIHRlc3Rz"
)

// send sends an update, signed if there is a secret.
func send(t *testing.T, s *dnstest.Server, secret string, when time.Time, fill func(m *dns.Msg)) *dns.Msg {
	t.Helper()
	m := new(dns.Msg).SetUpdate("example.org.")
	fill(m)
	c := &dns.Client{Net: "tcp"}
	if secret != "" {
		c.TsigSecret = map[string]string{"key.": secret}
		m.SetTsig("key.", dns.HmacSHA256, 300, when.Unix())
	}
	r, _, err := c.Exchange(m, s.Addr())
	if r == nil {
		t.Fatal(err)
	}
	return r
}

func rr(text string) []dns.RR {
	r, err := dns.NewRR(text)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", text, err))
	}
	return []dns.RR{r}
}

func TestUpdates(t *testing.T) {
	s := start(t, `
example.org.       SOA ns1.example.org. root.example.org. 7 60 60 3600 120
ns1.example.org.   A 192.0.2.1
alias.example.org. CNAME ns1.example.org.
`)
	if err := s.Allow("key", "no base64"); err == nil {
		t.Error("rubbish was taken for a secret")
	}
	now, one := time.Now(), rr("a.example.org. 60 IN A 192.0.2.9")
	add := func(m *dns.Msg) { m.Insert(one) }
	if m := send(t, s, secret, now, add); m.Rcode != dns.RcodeNotAuth || m.IsTsig().Error != dns.RcodeBadKey {
		t.Errorf("nobody is allowed: %v", m)
	}
	if err := s.Allow("Key.", secret); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		why    string
		secret string
		when   time.Time
		fill   func(m *dns.Msg)
		code   int
		tsig   uint16
		serial uint32
		there  bool // the record of a.example.org
	}{
		{"not signed", "", now, add, dns.RcodeRefused, 0, 7, false},
		{"another secret", other, now, add, dns.RcodeNotAuth, dns.RcodeBadSig, 7, false},
		{"another time", secret, now.Add(-time.Hour), add, dns.RcodeNotAuth, dns.RcodeBadTime, 7, false},
		{"there must be one", secret, now, func(m *dns.Msg) { m.RRsetUsed(one); add(m) }, dns.RcodeNXRrset, 0, 7, false},
		{"there must be a name", secret, now, func(m *dns.Msg) { m.NameUsed(one); add(m) }, dns.RcodeNameError, 0, 7, false},
		{"added", secret, now, func(m *dns.Msg) { m.RRsetNotUsed(one); m.NameNotUsed(one); add(m) }, 0, 0, 8, true},
		{"there must be none", secret, now, func(m *dns.Msg) { m.RRsetNotUsed(one); add(m) }, dns.RcodeYXRrset, 0, 8, true},
		{"nor a name", secret, now, func(m *dns.Msg) { m.NameNotUsed(one); add(m) }, dns.RcodeYXDomain, 0, 8, true},
		{"deleted", secret, now, func(m *dns.Msg) { m.RRsetUsed(one); m.RemoveRRset(one) }, 0, 0, 9, false},
		{"outside", secret, now, func(m *dns.Msg) { m.Insert(rr("net. A 192.0.2.9")) }, dns.RcodeNotZone, 0, 9, false},
		{"beside an alias", secret, now, func(m *dns.Msg) {
			m.Insert(rr("alias.example.org. A 192.0.2.9"))
		}, 0, 0, 10, false},
	} {
		m := send(t, s, tt.secret, tt.when, tt.fill)
		var tsig uint16
		if r := m.IsTsig(); r != nil {
			tsig = r.Error
		}
		if m.Rcode != tt.code || tsig != tt.tsig || (m.IsTsig() != nil) != (tt.secret != "") {
			t.Errorf("%s: %v", tt.why, m)
		}
		if got := len(ask(t, s, "a.example.org.").Answer) == 1; got != tt.there {
			t.Errorf("%s: there: %v", tt.why, got)
		}
		if soa := ask(t, s, "ns2.example.org.").Ns[0].(*dns.SOA); soa.Serial != tt.serial {
			t.Errorf("%s: serial %d", tt.why, soa.Serial)
		}
	}
	if m := ask(t, s, "alias.example.org."); !strings.Contains(m.Answer[0].String(), "CNAME") || len(m.Answer) != 2 {
		t.Errorf("the alias: %v", m)
	}
}
