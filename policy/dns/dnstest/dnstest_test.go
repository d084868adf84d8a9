package dnstest_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"reputed/policy/dns/dnstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServer(t *testing.T) {
	long := strings.Repeat(`"`+strings.Repeat("x", 200)+`" `, 12)
	s, err := dnstest.Start(`
$ORIGIN example.org.
@        TXT "one" " two"
mail     A 192.0.2.1
alias    CNAME mail
big      TXT ` + long + `
a.b.c    A 192.0.2.2
`)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, ctx := s.Resolver(), context.Background()

	if txt, err := r.LookupTXT(ctx, "Example.ORG"); err != nil || len(txt) != 1 || txt[0] != "one two" {
		t.Errorf("TXT of two strings: %q, %v", txt, err)
	}
	if addrs, err := r.LookupHost(ctx, "alias.example.org"); err != nil || len(addrs) != 1 || addrs[0] != "192.0.2.1" {
		t.Errorf("an alias: %v, %v", addrs, err)
	}
	if txt, err := r.LookupTXT(ctx, "big.example.org"); err != nil || len(txt[0]) != 2400 {
		t.Errorf("an answer too large for UDP: %v", err)
	}
	for _, name := range []string{"none.example.org", "mail.example.org", "b.c.example.org"} {
		_, err := r.LookupTXT(ctx, name)
		if dnsErr := (*net.DNSError)(nil); !errors.As(err, &dnsErr) || !dnsErr.IsNotFound {
			t.Errorf("%s: %v", name, err)
		}
	}

	if err := s.Set("rubbish"); err == nil {
		t.Error("rubbish was taken for a zone")
	}
	if err := s.Set("example.org. TXT three"); err != nil {
		t.Fatal(err)
	}
	if txt, err := r.LookupTXT(ctx, "example.org"); err != nil || txt[0] != "three" {
		t.Errorf("after Set: %q, %v", txt, err)
	}
}

// What net.Resolver hides: the status of an answer, and when it is truncated.
func TestAnswers(t *testing.T) {
	s, err := dnstest.Start(`
$ORIGIN example.org.
mail     A 192.0.2.1
a.b.c    A 192.0.2.2
alias    CNAME mail
nowhere  CNAME none
loop     CNAME loop
big      TXT ` + strings.Repeat(`"`+strings.Repeat("x", 200)+`" `, 5))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, tt := range []struct {
		name      string
		qtype     uint16
		network   string
		size      uint16 // that the client takes (EDNS0), or 0
		rcode     int
		answers   int
		truncated bool
		why       string
	}{
		{"mail.example.org.", dns.TypeA, "udp", 0, dns.RcodeSuccess, 1, false, "found"},
		{"MAIL.Example.org.", dns.TypeA, "udp", 0, dns.RcodeSuccess, 1, false, "RFC 4343: names have no case"},
		{"mail.example.org.", dns.TypeTXT, "udp", 0, dns.RcodeSuccess, 0, false, "RFC 2308: no records of the type"},
		{"b.c.example.org.", dns.TypeA, "udp", 0, dns.RcodeSuccess, 0, false, "RFC 8020: there are names below it"},
		{"none.example.org.", dns.TypeA, "udp", 0, dns.RcodeNameError, 0, false, "no such name"},
		{"x.mail.example.org.", dns.TypeA, "udp", 0, dns.RcodeNameError, 0, false, "below a name that exists"},
		{"alias.example.org.", dns.TypeA, "udp", 0, dns.RcodeSuccess, 2, false, "the alias and what it leads to"},
		{"alias.example.org.", dns.TypeCNAME, "udp", 0, dns.RcodeSuccess, 1, false, "the alias itself"},
		{"nowhere.example.org.", dns.TypeA, "udp", 0, dns.RcodeNameError, 1, false, "RFC 6604: the status of the last name"},
		{"loop.example.org.", dns.TypeA, "tcp", 0, dns.RcodeSuccess, 9, false, "a loop ends"},
		{"big.example.org.", dns.TypeTXT, "udp", 0, dns.RcodeSuccess, 0, true, "512 octets without EDNS0"},
		{"big.example.org.", dns.TypeTXT, "udp", 100, dns.RcodeSuccess, 0, true, "RFC 6891: less than 512 means 512"},
		{"big.example.org.", dns.TypeTXT, "udp", 1232, dns.RcodeSuccess, 1, false, "it fits"},
		{"big.example.org.", dns.TypeTXT, "tcp", 0, dns.RcodeSuccess, 1, false, "TCP has room"},
	} {
		q := new(dns.Msg).SetQuestion(tt.name, tt.qtype)
		if tt.size != 0 {
			q.SetEdns0(tt.size, false)
		}
		m, _, err := (&dns.Client{Net: tt.network}).Exchange(q, s.Addr())
		if err != nil {
			t.Errorf("%s: %v", tt.why, err)
			continue
		}
		if m.Rcode != tt.rcode || len(m.Answer) != tt.answers || m.Truncated != tt.truncated || !m.Authoritative {
			t.Errorf("%s: %s answered\n%v", tt.why, tt.name, m)
		}
		// RFC 2308, section 3: the SOA record says how long to remember that there is nothing.
		wanted := func(rr dns.RR) bool { return rr.Header().Rrtype == tt.qtype }
		if negative := !tt.truncated && !slices.ContainsFunc(m.Answer, wanted); negative != (len(m.Ns) == 1) {
			t.Errorf("%s: authority %v", tt.why, m.Ns)
		}
	}
}
