package dnstest_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"reputed/policy/dns/dnstest"
)

func start(t *testing.T, zone string) *dnstest.Server {
	t.Helper()
	s, err := dnstest.Start(zone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// query asks over a network, and gives what comes back as it is; nil: nothing.
func query(t *testing.T, s *dnstest.Server, network, name string, edns bool) []byte {
	t.Helper()
	q := new(dns.Msg).SetQuestion(name, dns.TypeA)
	q.Id = 4711
	if edns {
		q.SetEdns0(1232, false)
	}
	conn, err := net.Dial(network, s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(200 * time.Millisecond))
	c := &dns.Conn{Conn: conn, UDPSize: 4096}
	if err := c.WriteMsg(q); err != nil {
		t.Fatal(err)
	}
	buf, err := c.ReadMsgHeader(nil)
	if err != nil && len(buf) == 0 {
		return nil
	}
	return buf
}

func TestFaults(t *testing.T) {
	s := start(t, "good.example.org. A 192.0.2.1")
	for _, tt := range []struct {
		kind    dnstest.Kind
		network string
		name    string
		want    func(m *dns.Msg, err error) bool // m: nil if nothing came
		why     string
	}{
		{dnstest.None, "udp", "good", func(m *dns.Msg, err error) bool { return len(m.Answer) == 1 }, "no fault"},
		{dnstest.Drop, "udp", "good", func(m *dns.Msg, err error) bool { return m == nil }, "nothing comes"},
		{dnstest.Drop, "tcp", "good", func(m *dns.Msg, err error) bool { return m == nil }, "nothing comes"},
		{dnstest.ServFail, "udp", "good", code(dns.RcodeServerFailure), "a failure"},
		{dnstest.Refused, "tcp", "good", code(dns.RcodeRefused), "a refusal"},
		{dnstest.NoEDNS, "udp", "good", code(dns.RcodeFormatError), "no EDNS"},
		{dnstest.Truncate, "udp", "good", func(m *dns.Msg, err error) bool { return m.Truncated }, "truncated"},
		{dnstest.Truncate, "tcp", "good", func(m *dns.Msg, err error) bool { return len(m.Answer) == 1 }, "but not over TCP"},
		{dnstest.TruncateAll, "tcp", "good", func(m *dns.Msg, err error) bool { return m.Truncated }, "over TCP too"},
		{dnstest.WrongID, "udp", "good", func(m *dns.Msg, err error) bool { return m.Id != 4711 }, "another id"},
		{
			dnstest.WrongQuestion, "udp", "good",
			func(m *dns.Msg, err error) bool { return m.Id == 4711 && m.Question[0].Name == "other.invalid." },
			"another question",
		},
		{dnstest.Garbage, "udp", "good", func(m *dns.Msg, err error) bool { return err != nil && m.Id != 4711 }, "garbage"},
		{dnstest.Broken, "udp", "good", func(m *dns.Msg, err error) bool { return err != nil && m.Id == 4711 }, "broken"},
		{dnstest.Huge, "udp", "good", func(m *dns.Msg, err error) bool { return m.Truncated }, "too large for UDP"},
		{dnstest.Huge, "tcp", "good", func(m *dns.Msg, err error) bool { return len(m.Answer) > 200 }, "not for TCP"},
		{dnstest.Loop, "udp", "good", func(m *dns.Msg, err error) bool { return len(m.Answer) == 2 }, "a loop"},
		{dnstest.Lie, "udp", "good", func(m *dns.Msg, err error) bool { return len(m.Answer) == 1 }, "no lie"},
		{dnstest.Lie, "udp", "none", func(m *dns.Msg, err error) bool { return len(m.Answer) == 1 && m.Rcode == 0 }, "a lie"},
	} {
		s.Fault(".", dnstest.Fault{Kind: tt.kind, Addr: netip.MustParseAddr("192.0.2.66")})
		var m *dns.Msg
		var err error
		if wire := query(t, s, tt.network, tt.name+".example.org.", true); wire != nil {
			m = new(dns.Msg)
			err = m.Unpack(wire)
		}
		if m == nil && tt.kind != dnstest.Drop || !tt.want(m, err) {
			t.Errorf("%s, %s: %v\n%v", tt.why, tt.network, err, m)
		}
	}
	s.Fault(".", dnstest.Fault{Kind: dnstest.NoEDNS})
	if m := ask(t, s, "good.example.org."); len(m.Answer) != 1 {
		t.Errorf("without EDNS: %v", m)
	}
	s.Heal()
	if m := ask(t, s, "good.example.org."); len(m.Answer) != 1 {
		t.Errorf("healed: %v", m)
	}
}

func code(want int) func(m *dns.Msg, err error) bool {
	return func(m *dns.Msg, err error) bool { return err == nil && m.Rcode == want && len(m.Answer) == 0 }
}

// ask asks without EDNS, and wants a message.
func ask(t *testing.T, s *dnstest.Server, name string) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(query(t, s, "udp", name, false)); err != nil {
		t.Fatal(err)
	}
	return m
}

// Which fault is meant, and for how long.
func TestFaultNames(t *testing.T) {
	s := start(t, "")
	s.Fault(".", dnstest.Fault{Kind: dnstest.Refused})
	s.Fault(".example.org", dnstest.Fault{Kind: dnstest.ServFail})
	s.Fault(".deep.example.org", dnstest.Fault{Kind: dnstest.NoEDNS})
	s.Fault("Exact.deep.example.org", dnstest.Fault{})
	s.Fault("once.example.org", dnstest.Fault{Kind: dnstest.Refused, Times: 2})
	for _, tt := range []struct {
		name string
		code int
	}{
		{"example.net.", dns.RcodeRefused},
		{".", dns.RcodeRefused},
		{"example.org.", dns.RcodeServerFailure},
		{"A.Example.ORG.", dns.RcodeServerFailure},
		{"notexample.org.", dns.RcodeRefused},
		{"x.deep.example.org.", dns.RcodeNameError}, // it was asked without EDNS
		{"exact.deep.example.org.", dns.RcodeNameError},
		{"x.exact.deep.example.org.", dns.RcodeNameError},
		{"once.example.org.", dns.RcodeRefused},
		{"once.example.org.", dns.RcodeRefused},
		{"once.example.org.", dns.RcodeServerFailure},
	} {
		if m := ask(t, s, tt.name); m.Rcode != tt.code {
			t.Errorf("%s: %s", tt.name, dns.RcodeToString[m.Rcode])
		}
	}
	all, a, mx := s.Queries("once.example.org"), s.Queries("Once.example.org", "A"), s.Queries("once.example.org", "MX")
	if all != 3 || a != 3 || mx != 0 {
		t.Errorf("%d queries, %d for A, %d for MX", all, a, mx)
	}
	if n := s.Total(); n != 11 {
		t.Errorf("%d queries in all", n)
	}
}

// A late answer does not hold up the end of the server.
func TestClose(t *testing.T) {
	s := start(t, "")
	s.Fault(".", dnstest.Fault{Delay: time.Hour})
	query(t, s, "udp", "example.org.", false)
	query(t, s, "tcp", "example.org.", false)
	began := time.Now()
	if err := s.Close(); err != nil || time.Since(began) > time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

// RFC 4592, section 2.2.1, its example.
func TestWildcards(t *testing.T) {
	s := start(t, `
$ORIGIN example.
*               MX 10 host1.example.
*               TXT "this is a wildcard"
*               A 192.0.2.9
sub.*           A 192.0.2.8
host1           A 192.0.2.1
_ssh._tcp.host1 A 192.0.2.2
`)
	for _, tt := range []struct {
		name    string
		code    int
		address string
		why     string
	}{
		{"host3.example.", dns.RcodeSuccess, "192.0.2.9", "made from the wildcard"},
		{"foo.bar.example.", dns.RcodeSuccess, "192.0.2.9", "also further below"},
		{"host1.example.", dns.RcodeSuccess, "192.0.2.1", "it exists"},
		{"sub.*.example.", dns.RcodeSuccess, "192.0.2.8", "it exists"},
		{"*.example.", dns.RcodeSuccess, "192.0.2.9", "the wildcard itself"},
		{"_tcp.host1.example.", dns.RcodeSuccess, "", "an empty name exists"},
		{"_telnet._tcp.host1.example.", dns.RcodeNameError, "", "its encloser has no wildcard"},
		{"ghost.*.example.", dns.RcodeNameError, "", "nor has that of this one"},
	} {
		m := ask(t, s, tt.name)
		got := ""
		if len(m.Answer) == 1 && m.Answer[0].Header().Name == tt.name {
			got = m.Answer[0].(*dns.A).A.String()
		}
		if m.Rcode != tt.code || got != tt.address {
			t.Errorf("%s: %s\n%v", tt.why, tt.name, m)
		}
	}
}
