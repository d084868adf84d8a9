package dns_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reputed/policy/dns"
	"reputed/policy/dns/dnstest"
)

// internet is a small one: servers by the address that their zones give them.
type internet struct {
	t    *testing.T
	at   map[netip.Addr]netip.AddrPort
	root *dnstest.Server // what resolvers see
}

// whole is what resolvers see: all zones.
const whole = `
$TTL 300
org.                        SOA ns.org. root.org. 1 60 60 3600 900
example.org.                SOA ns1.example.org. root.example.org. 7 60 60 3600 120
example.org.                NS ns2.example.org.
example.org.                NS ns1.example.org.
ns1.example.org.            A 192.0.2.1
ns2.example.org.            A 192.0.2.2
ns2.example.org.            AAAA 2001:db8::2
keys.example.net.           SOA ns.example.net. root.example.net. 3 60 60 3600 30
keys.example.net.           NS ns.example.net.
ns.example.net.             A 192.0.2.3
example.net.                SOA ns.example.net. root.example.net. 3 60 60 3600 30
example.net.                NS ns.example.net.
_domainkey.sub.example.org. NS ns.example.net.
_domainkey.sub.example.org. SOA ns.example.net. root.example.net. 9 60 60 3600 45
alias.example.               CNAME example.org.
example.                     SOA ns.example. root.example. 1 60 60 3600 60
example.                     NS ns1.example.org.
none.example.com.            SOA ns.none. root.none. 1 60 60 3600 60
gone.example.com.            SOA ns.none. root.none. 1 60 60 3600 60
gone.example.com.            NS ns.nowhere.example.org.
`

// org is what the servers of example.org have.
const org = `
$ORIGIN example.org.
$TTL 300
@                 SOA ns1 root %d 60 60 3600 120
@                 NS ns1
@                 NS ns2
s1._domainkey     TXT "one"
s2._domainkey  60 CNAME s2.keys.example.net.
s3._domainkey     CNAME s4._domainkey
s4._domainkey     CNAME s3._domainkey
s5._domainkey     CNAME nowhere.invalid.
_domainkey.sub    NS ns.example.net.
`

// net3 is what the server of example.net has.
const net3 = `
$TTL 300
keys.example.net.              SOA ns.example.net. root.example.net. 3 60 60 3600 30
keys.example.net.              NS ns.example.net.
s2.keys.example.net.           TXT "two"
_domainkey.sub.example.org.    SOA ns.example.net. root.example.net. 9 60 60 3600 45
_domainkey.sub.example.org.    NS ns.example.net.
s1._domainkey.sub.example.org. TXT "sub"
`

func newInternet(t *testing.T) *internet {
	return &internet{t: t, at: map[netip.Addr]netip.AddrPort{}, root: start(t, whole)}
}

// serve puts a server at addresses.
func (n *internet) serve(text string, addrs ...string) *dnstest.Server {
	n.t.Helper()
	s := start(n.t, text)
	for _, a := range addrs {
		n.at[netip.MustParseAddr(a)] = s.AddrPort()
	}
	return s
}

func (n *internet) authority(timeout time.Duration) *dns.Authority {
	nobody := closed(n.t)
	return dns.NewAuthority(dns.AuthorityOptions{
		Resolver: client(n.root.AddrPort()), Timeout: timeout,
		At: func(a netip.Addr) netip.AddrPort {
			if at, ok := n.at[a]; ok {
				return at
			}
			return nobody
		},
	})
}

// told gives views in short.
func told(p dns.Poll) []string {
	var all []string
	for _, v := range p.Views {
		text := fmt.Sprintf("%s %s %v %v", v.Zone, v.Host, v.Addr, v.Status)
		for _, r := range v.Records {
			text += " " + r.Text
		}
		if v.Start != nil {
			text += fmt.Sprintf(" serial=%d", v.Start.Serial)
		}
		if v.Lame() {
			text += " lame"
		}
		all = append(all, text)
	}
	return all
}

func TestAuthority(t *testing.T) {
	n := newInternet(t)
	n.serve(fmt.Sprintf(org, 7), "192.0.2.1")
	n.serve(fmt.Sprintf(org, 6), "192.0.2.2", "2001:db8::2")
	n.serve(net3, "192.0.2.3")
	a := n.authority(timeout)
	both := func(status string, serials ...int) []string {
		return []string{
			fmt.Sprintf("example.org ns1.example.org 192.0.2.1 %s serial=7", status),
			fmt.Sprintf("example.org ns2.example.org 192.0.2.2 %s serial=6", status),
			fmt.Sprintf("example.org ns2.example.org 2001:db8::2 %s serial=6", status),
		}
	}
	for _, tt := range []struct {
		name  string
		want  []string
		zones string
		why   string
	}{
		{"s1._domainkey.example.org", both("found one"), "example.org", "each server, at each address"},
		{"S1._DomainKey.Example.ORG", both("found one"), "example.org", "names have no case"},
		{"none._domainkey.example.org", both("nxdomain"), "example.org", "there is none"},
		{"_domainkey.example.org", both("nodata"), "example.org", "RFC 8020: there are names below"},
		{
			"s2._domainkey.example.org", []string{"keys.example.net ns.example.net 192.0.2.3 found two serial=3"},
			"example.org keys.example.net", "an alias: the servers of the zone it leads to",
		},
		{
			"s1._domainkey.sub.example.org",
			[]string{"_domainkey.sub.example.org ns.example.net 192.0.2.3 found sub serial=9"},
			"example.org _domainkey.sub.example.org", "a zone that begins at an underscore",
		},
		{
			"s9._domainkey.sub.example.org",
			[]string{"_domainkey.sub.example.org ns.example.net 192.0.2.3 nxdomain serial=9"},
			"example.org _domainkey.sub.example.org", "there is none",
		},
	} {
		p := a.Ask(context.Background(), tt.name, dns.TXT)
		if diff := cmp.Diff(tt.want, told(p)); diff != "" || p.Err != nil {
			t.Errorf("%s: %v\n%s", tt.why, p.Err, diff)
		}
		var zones []string
		for _, z := range p.Zones {
			zones = append(zones, z.Name)
		}
		if got := strings.Join(zones, " "); got != tt.zones {
			t.Errorf("%s: zones %s, not %s", tt.why, got, tt.zones)
		}
	}
	if n.root.Queries("none._domainkey.example.org")+n.root.Queries("_domainkey.example.org") > 0 {
		t.Error("the resolver was asked about names that it would remember not to exist")
	}
	p := a.Ask(context.Background(), "s2._domainkey.example.org", dns.TXT)
	if p.Zones[0].Negative != 120*time.Second || p.Zones[1].Negative != 30*time.Second {
		t.Errorf("RFC 2308: %+v", p.Zones)
	}
	if v := p.Views[0]; v.TTL != 300*time.Second || v.Answer.Name != "s2.keys.example.net" {
		t.Errorf("TTL and name: %+v", v)
	}
	wantNoGoroutines(t)
}

// What one server does says nothing of the others.
func TestAuthorityFaults(t *testing.T) {
	good := "example.org ns1.example.org 192.0.2.1 found one serial=7"
	for _, tt := range []struct {
		fault dnstest.Fault
		want  string
		err   error
		why   string
	}{
		{dnstest.Fault{Kind: dnstest.Drop}, "failed", dns.ErrTimeout, "silent"},
		{dnstest.Fault{Kind: dnstest.Drop, Times: 1}, "found one serial=7", nil, "UDP may lose a packet"},
		{dnstest.Fault{Kind: dnstest.ServFail}, "failed", dns.ErrServFail, "it fails"},
		{dnstest.Fault{Kind: dnstest.Refused}, "failed lame", dns.ErrLame, "it does not serve the zone"},
		{dnstest.Fault{Kind: dnstest.NoAA}, "failed lame", dns.ErrLame, "a cache answers, or who is in between"},
		{dnstest.Fault{Kind: dnstest.Truncate}, "found one serial=7", nil, "UDP, then TCP"},
		{dnstest.Fault{Kind: dnstest.NoEDNS}, "found one serial=7", nil, "again without EDNS"},
		{dnstest.Fault{Kind: dnstest.WrongID}, "failed", dns.ErrTimeout, "not an answer"},
		{dnstest.Fault{Kind: dnstest.Forged}, "found one serial=7", nil, "the true answer counts"},
		{dnstest.Fault{Kind: dnstest.Broken}, "failed", dns.ErrMalformed, "no records"},
		{dnstest.Fault{Kind: dnstest.Huge}, "found", nil, "64 KB are read, over TCP"},
		{dnstest.Fault{Kind: dnstest.Loop}, "failed", dns.ErrMalformed, "aliases without end"},
	} {
		n := newInternet(t)
		n.serve(fmt.Sprintf(org, 7), "192.0.2.1")
		n.serve(fmt.Sprintf(org, 7), "192.0.2.2").Fault(".", tt.fault)
		began := time.Now()
		p := n.authority(timeout/4).Ask(context.Background(), "s1._domainkey.example.org", dns.TXT)
		if took := time.Since(began); took > beforeTimeout {
			t.Errorf("%s: %v", tt.why, took)
		}
		got := told(p)
		if !slices.Contains(got, good) {
			t.Errorf("%s: the good server: %q", tt.why, got)
		}
		i := slices.IndexFunc(p.Views, func(v dns.View) bool {
			return v.Addr == netip.MustParseAddr("192.0.2.2") || !v.Addr.IsValid() // a loop has none
		})
		if i < 0 || !strings.Contains(got[i], tt.want) || !errors.Is(p.Views[i].Err, tt.err) {
			t.Errorf("%s: %q, %+v", tt.why, got, p.Views)
		}
		wantNoGoroutines(t)
	}
}

// Nobody can be asked, and it says why.
func TestAuthorityNobody(t *testing.T) {
	n := newInternet(t)
	n.serve(fmt.Sprintf(org, 7), "192.0.2.1", "192.0.2.2", "2001:db8::2")
	n.root.Fault("broken.example.org", dnstest.Fault{Kind: dnstest.ServFail})
	a := n.authority(timeout)
	for _, tt := range []struct {
		name string
		err  error
		why  string
	}{
		{"a..b", dns.ErrName, "no name"},
		{"s._domainkey.x.invalid", dns.ErrRefused, "the resolver knows of no zone"},
		{"s._domainkey.broken.example.org", dns.ErrServFail, "the resolver fails"},
		{"s._domainkey.none.example.com", dns.ErrNoServers, "a zone without servers"},
		{"_domainkey", dns.ErrNoZone, "nothing is left of the name"},
	} {
		if p := a.Ask(context.Background(), tt.name, dns.TXT); !errors.Is(p.Err, tt.err) || len(p.Views) > 0 {
			t.Errorf("%s: %+v", tt.why, p)
		}
	}
	p := a.Ask(context.Background(), "s._domainkey.gone.example.com", dns.TXT)
	if len(p.Views) != 1 || p.Views[0].Host != "ns.nowhere.example.org" || p.Views[0].Err == nil {
		t.Errorf("a server without address: %+v", p)
	}
	for _, name := range []string{"s3._domainkey.example.org", "s5._domainkey.example.org"} {
		p := a.Ask(context.Background(), name, dns.TXT)
		if len(p.Views) != 1 || p.Views[0].Status != dns.Failed || p.Views[0].Err == nil {
			t.Errorf("an alias that leads nowhere, %s: %+v", name, p)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if p := a.Ask(ctx, "s1._domainkey.example.org", dns.TXT); !errors.Is(p.Err, context.Canceled) {
		t.Errorf("cancelled: %+v", p)
	}
}

// RFC 1034, section 3.6.2: what stands where an alias leads is no apex at the alias.
func TestAuthorityAliasOfApex(t *testing.T) {
	a := newInternet(t).authority(timeout)
	s, err := a.Start(context.Background(), "s._domainkey.alias.example")
	if err != nil || s.Zone != "example" {
		t.Errorf("%+v, %v", s, err)
	}
}

// The bounds hold against zones that would have us ask the whole world.
func TestAuthorityBounds(t *testing.T) {
	for _, tt := range []struct {
		servers, each       int // addresses of each family
		four, six, omitting int
		says                string
		why                 string
	}{
		{30, 1, 30, 30, 0, "", "more servers than the root has: all are asked"},
		{2, 5, 10, 10, 0, "", "many addresses of a server, each of which may be another machine"},
		{13, 5, 38, 26, 13, "5 of its addresses are left out", "too many addresses: each server gives some up"},
		{80, 1, 64, 0, 65, "16 of them are left out", "too many servers: each at one address, and the others are named"},
	} {
		text := "example.org. SOA ns1.example.org. root.example.org. 7 60 60 3600 120\n"
		for i := range tt.servers {
			text += fmt.Sprintf("example.org. NS ns%02d.example.org.\n", i)
			for j := range tt.each {
				text += fmt.Sprintf("ns%02d.example.org. A 192.0.2.%d\nns%02d.example.org. AAAA 2001:db8::%d\n", i, j, i, j)
			}
		}
		n := newInternet(t)
		if err := n.root.Set(text); err != nil {
			t.Fatal(err)
		}
		p := n.authority(timeout).Ask(context.Background(), "s._domainkey.example.org", dns.TXT)
		var four, six, omitting int
		says := ""
		for _, v := range p.Views {
			switch {
			case errors.Is(v.Err, dns.ErrOmitted):
				omitting++
				says += v.Host + ": " + v.Err.Error() + "\n"
			case v.Addr.Is4():
				four++
			case v.Addr.Is6():
				six++
			}
		}
		if four != tt.four || six != tt.six || omitting != tt.omitting || !strings.Contains(says, tt.says) {
			t.Errorf("%s: %d IPv4, %d IPv6, %d with more: %s", tt.why, four, six, omitting, says)
		}
	}
}

// Nor does an alias lead on for ever.
func TestAuthorityChain(t *testing.T) {
	chain := newInternet(t)
	text := "example.org. SOA ns1.example.org. root.example.org. 7 60 60 3600 120\n"
	for i := range 30 {
		text += fmt.Sprintf("s%d._domainkey.example.org. CNAME s%d._domainkey.example.org.\n", i, i+1)
	}
	s := chain.serve(text, "192.0.2.1", "192.0.2.2", "2001:db8::2")
	p := chain.authority(timeout).Ask(context.Background(), "s0._domainkey.example.org", dns.TXT)
	if n := len(p.Views); n != 1 || p.Views[0].Err == nil || s.Queries("s8._domainkey.example.org") > 0 {
		t.Errorf("a long chain: %+v", p.Views)
	}
}

func TestPrimary(t *testing.T) {
	n := newInternet(t)
	s := n.serve(fmt.Sprintf(org, 7), "192.0.2.1")
	a := n.authority(timeout)
	host, at, err := a.Primary(context.Background(), "Example.org")
	if host != "ns1.example.org" || !slices.Equal(at, []netip.AddrPort{s.AddrPort()}) || err != nil {
		t.Errorf("%s, %v, %v", host, at, err)
	}
	if _, _, err := a.Primary(context.Background(), "sub.example.org"); !errors.Is(err, dns.ErrNoZone) {
		t.Errorf("no zone: %v", err)
	}
	host, _, err = a.Primary(context.Background(), "none.example.com")
	if host != "ns.none" || err == nil {
		t.Errorf("a hidden primary: %s, %v", host, err)
	}
}
