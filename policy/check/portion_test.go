package check_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dkim"
	"reputed/policy/dns"
	"reputed/policy/dnsbl"
	"reputed/policy/mail"
)

// crowd is a resolver that knows as many domains as there are, all set up alike, but that each seventh has no MX. Their
// reports go to a host that does not say that it takes them.
func crowd(_ context.Context, name string, t dns.Type) dns.Answer {
	records := map[dns.Type][]dns.Record{
		dns.MX: {{Name: "mx.example.net", Pref: 10}}, dns.A: {{Addr: netip.MustParseAddr("203.0.113.25")}},
		dns.TXT: {{Text: "v=spf1 ip4:203.0.113.25 -all"}},
	}[t]
	switch {
	case strings.HasPrefix(name, "_dmarc.d"):
		records = nil
	case name == "_dmarc.org.example":
		records = []dns.Record{{Text: "v=DMARC1; p=reject; rua=mailto:a@reports.example.net"}}
	case strings.HasPrefix(name, "_25._tcp."):
		records = []dns.Record{{Text: "", Name: ""}}
	case strings.HasPrefix(name, "_"), strings.Contains(name, "._"), t == dns.MX && strings.HasPrefix(name, "d7"):
		records = nil
	}
	if len(records) == 0 {
		return dns.Answer{Status: dns.NoData, Name: name, Secure: true}
	}
	return dns.Answer{Status: dns.Found, Name: name, Records: records, Secure: true}
}

// hosting is a host of so many domains, the last of which is its own name, each with a key; and a key for every third
// more.
func hosting(t testing.TB, n int, resolve dns.ResolverFunc) *check.Host {
	catalogue, err := dnsbl.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	h := sending(t, "203.0.113.25")
	h.Resolver = resolve
	h.Listings = func(s dnsbl.Subject) []dnsbl.Result {
		return []dnsbl.Result{{List: catalogue.Lists()[0], Subject: s, State: dnsbl.Clear}}
	}
	h.Local.Stat = func(string) (check.FileFact, error) { return check.FileFact{Mode: 0o600, Owner: "reputed"}, nil }
	public := ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)) // the same each time
	for i := range n {
		d := domain(t, fmt.Sprintf("d%d.org.example", i))
		if i == n-1 {
			d = h.Routes[0].Egress.Hostname
		}
		h.Domains = append(h.Domains, d)
		for k := range 1 + (i+2)%3/2 {
			h.Keys = append(h.Keys, check.Key{
				Want: dkim.Want{Domain: d, Selector: domain(t, fmt.Sprintf("s%d", k)), Public: public}, Path: "/keys/" + d.String(),
			})
		}
	}
	h.Signs = func(from mail.Domain) mail.Domain { return from }
	return h
}

// told is what is told of findings: all but evidence, where random names are.
func told(all []string, found []policy.Finding) []string {
	for _, f := range found {
		all = append(all, fmt.Sprint(f.Rule, f.Subject, f.Result, f.Grade, f.Reason, f.Advice, f.Fix))
	}
	return all
}

// In portions, nothing else is found than at once, and nothing twice.
func TestPortions(t *testing.T) {
	for why, change := range map[string]func(*check.Host){
		"as it is":                 func(*check.Host) {},
		"keys are not known":       func(h *check.Host) { h.Keys, h.Signs, h.NoKeys = nil, nil, "they cannot be read" },
		"fewer domains than keys":  func(h *check.Host) { h.Domains = h.Domains[:20] },
		"neither domains nor keys": func(h *check.Host) { h.Domains, h.Keys = nil, nil },
	} {
		made := func() *check.Host {
			h := hosting(t, 2500, crowd)
			change(h)
			return h
		}
		var once, portions []string
		for _, o := range made().Walk(t.Context(), check.Items(), nil) {
			once = told(once, o.Findings)
		}
		h, asked := made(), map[string]int{}
		domains := slices.Clone(h.Domains)
		h.WalkInPortions(t.Context(), check.Items(), func(o check.Outcome) {
			portions = told(portions, o.Findings)
			asked[o.Item.ID]++
			if o.Item.Group == check.GroupSPF && asked["dkim"] > 0 {
				t.Errorf("%s: keys, which may take all the time, were asked about before SPF", why)
			}
		})
		slices.Sort(once)
		slices.Sort(portions)
		if diff := cmp.Diff(once, portions); diff != "" {
			t.Errorf("%s: %s", why, diff)
		}
		if !slices.Equal(h.Domains, domains) {
			t.Errorf("%s: %d domains are left", why, len(h.Domains))
		}
		if asked["ptr"] != 1 || why == "as it is" && asked["mx"] != 4 {
			t.Errorf("%s: %v", why, asked)
		}
	}
}

// However many domains there are, a cache, which takes 512 questions at once, does not have to decline any.
func TestQuestionsAtOnce(t *testing.T) {
	var now, peak atomic.Int64
	h := hosting(t, 1000, func(ctx context.Context, name string, of dns.Type) dns.Answer {
		n := now.Add(1)
		defer now.Add(-1)
		for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
		}
		time.Sleep(time.Millisecond) // as it is on the way
		return crowd(ctx, name, of)
	})
	h.Walk(t.Context(), check.Items(), nil)
	if n := peak.Load(); n < 32 || n > 512 {
		t.Errorf("%d at once", n)
	}
}

// What a walk has in memory at once: as much as a portion takes, however many domains there are.
func TestMemoryOfWalk(t *testing.T) {
	const n = 5000
	h := hosting(t, n, crowd)
	before, peak := live(), uint64(0)
	h.WalkInPortions(t.Context(), check.Items(), func(o check.Outcome) {
		if o.Item.ID == "mx" || o.Item.ID == "dnssec" { // others have told before, and hold what they share
			peak = max(peak, live())
		}
	})
	took := (int64(peak) - int64(before)) / n
	if took > 4<<10 { // at once it would be twice as much
		t.Errorf("%d octets for each of %d domains", took, n)
	}
	if after := int64(live()) - int64(before); after > n<<10 {
		t.Errorf("%d octets are kept", after)
	}
	t.Logf("%d octets for each of %d domains", took, n)
	runtime.KeepAlive(h)
}

// live gives the octets that live.
func live() uint64 {
	runtime.GC()
	runtime.GC() // what has a finalizer, and what pools keep, goes in the second
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
