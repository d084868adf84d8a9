package check_test

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dns"
	"reputed/policy/dns/dnstest"
	"reputed/policy/mail"
	"reputed/policy/spf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(check.Unasked{M: m}) }

const faultZone = `
good.example.      TXT "v=spf1 include:_spf.good.example mx -all"
_spf.good.example. TXT "v=spf1 ip4:198.51.100.0/24 a:out.good.example -all"
out.good.example.  A   203.0.113.25
good.example.      MX  10 out.good.example.
`

// Whatever goes wrong in the DNS, an egress that is authorised is never taken for one that is not; no message waits
// beyond the deadline; and nothing is left running (TestMain).
func TestSPFUnderFaults(t *testing.T) {
	server, err := dnstest.Start(faultZone)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	faults := map[string]dnstest.Fault{
		"late":                   {Delay: 10 * time.Millisecond},
		"too late":               {Delay: time.Second},
		"silent":                 {Kind: dnstest.Drop},
		"SERVFAIL":               {Kind: dnstest.ServFail},
		"REFUSED":                {Kind: dnstest.Refused},
		"no EDNS":                {Kind: dnstest.NoEDNS},
		"truncated":              {Kind: dnstest.Truncate},
		"truncated over TCP too": {Kind: dnstest.TruncateAll},
		"another id":             {Kind: dnstest.WrongID},
		"another question":       {Kind: dnstest.WrongQuestion},
		"forged, then true":      {Kind: dnstest.Forged},
		"garbage":                {Kind: dnstest.Garbage},
		"records that are none":  {Kind: dnstest.Broken},
		"64 KB":                  {Kind: dnstest.Huge},
		"it ends at an alias":    {Kind: dnstest.Short},
		"aliases in a loop":      {Kind: dnstest.Loop},
		"a resolver that lies":   {Kind: dnstest.Lie, Addr: netip.MustParseAddr("192.0.2.1")},
		"SERVFAIL, then well":    {Kind: dnstest.ServFail, Times: 1},
		"silent once":            {Kind: dnstest.Drop, Times: 1},
	}
	const deadline = 150 * time.Millisecond
	for name, fault := range faults {
		for _, at := range []string{".", "good.example", "_spf.good.example", "out.good.example"} {
			t.Run(fmt.Sprintf("%s/%s", name, at), func(t *testing.T) {
				server.Heal()
				server.Fault(at, fault)
				cache := dns.NewCache(dns.NewClient(dns.Options{Servers: []netip.AddrPort{server.AddrPort()}, Timeout: 50 * time.Millisecond}), dns.CacheOptions{})
				defer cache.Close()
				f, took := underFaults(t, cache, deadline)
				if f.Result != string(spf.Pass) && f.Result != string(spf.TempError) {
					t.Errorf("%s: %s", f.Result, f.Reason)
				}
				if f.Result == string(spf.TempError) && f.Grade != policy.Unknown {
					t.Errorf("a temperror of grade %v acts", f.Grade)
				}
				if took > deadline+time.Second { // the second is for a machine that is busy
					t.Errorf("it took %v", took)
				}
			})
		}
	}
}

// underFaults asks about a good sender.
func underFaults(t *testing.T, resolver dns.Resolver, deadline time.Duration) (policy.Finding, time.Duration) {
	t.Helper()
	e := egress(t, "", "203.0.113.25")
	envelope := check.Envelope{
		Routes: policy.Routes{{Egress: e}},
		Holds:  func(mail.Domain) bool { return true },
		SPF:    &check.SPF{Checker: &spf.Checker{Resolver: resolver}, Deadline: deadline},
	}
	tx := &mail.Transaction{Client: &mail.Client{}, Path: "a@good.example"}
	tx.ReversePath, _ = mail.ParsePath(tx.Path)
	start := time.Now()
	found, _ := envelope.Begin(t.Context(), tx).Findings(e)
	return found[0], time.Since(start)
}

// A record that forbade the egress, mended while the servers fail: what was known before refuses nobody.
func TestSPFMendedInBlackout(t *testing.T) {
	server, err := dnstest.Start(`good.example. 1 TXT "v=spf1 a:late.example -all"`)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	var ahead atomic.Int64
	cache := dns.NewCache(dns.NewClient(dns.Options{Servers: []netip.AddrPort{server.AddrPort()}, Timeout: 50 * time.Millisecond}),
		dns.CacheOptions{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	defer cache.Close()
	if f, _ := underFaults(t, cache, time.Second); f.Result != string(spf.Fail) {
		t.Fatalf("%s: %s", f.Result, f.Reason)
	}
	server.Fault(".", dnstest.Fault{Kind: dnstest.ServFail})
	ahead.Store(int64(23 * time.Hour))
	if f, _ := underFaults(t, cache, time.Second); f.Result != string(spf.TempError) {
		t.Errorf("%s: %s", f.Result, f.Reason)
	}
}
