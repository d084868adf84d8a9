package check_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dns"
	"reputed/policy/mail"
	"reputed/policy/parallel"
)

func TestTLSRPT(t *testing.T) {
	t.Parallel()
	_, r := zone(t, `
good.example.   MX 10 mx.example.
mx.example.     A 198.51.100.7
_smtp._tls.good.example. TXT "v=TLSRPTv1; rua=mailto:tls@good.example,https://reports.example/tls"
none.example.   MX 10 mx.example.
twice.example.  MX 10 mx.example.
_smtp._tls.twice.example. TXT "v=TLSRPTv1; rua=mailto:a@twice.example"
_smtp._tls.twice.example. TXT "v=TLSRPTv1; rua=mailto:b@twice.example"
norua.example.  MX 10 mx.example.
_smtp._tls.norua.example. TXT "v=TLSRPTv1;"
bad.example.    MX 10 mx.example.
_smtp._tls.bad.example. TXT "v=TLSRPTv1; rua=tls@bad.example"
null.example.   MX 0 .
`)
	for name, want := range map[string]struct {
		result string
		grade  policy.Grade
		fix    string
	}{
		"good.example":  {"published", policy.Pass, ""},
		"none.example":  {"none", policy.Warn, `_smtp._tls.none.example. IN TXT "v=TLSRPTv1; rua=mailto:postmaster@none.example"`},
		"twice.example": {"several", policy.Fail, ""},
		"norua.example": {"invalid", policy.Fail, `_smtp._tls.norua.example. IN TXT "v=TLSRPTv1; rua=mailto:postmaster@norua.example"`},
		"bad.example":   {"invalid", policy.Fail, `_smtp._tls.bad.example. IN TXT "v=TLSRPTv1; rua=mailto:postmaster@bad.example"`},
	} {
		if f := one(t, "tlsrpt", sender(t, r, name, egress(t, ""))); f.Result != want.result || f.Grade != want.grade || f.Fix != want.fix {
			t.Errorf("%s: %+v", name, f)
		}
	}
	_, alias := zone(t, "dead.example. MX 10 mx.example.\nmx.example. A 192.0.2.1\n_smtp._tls.dead.example. CNAME gone.provider.example.\n")
	if f := one(t, "tlsrpt", sender(t, alias, "dead.example", egress(t, ""))); !strings.Contains(f.Advice, "nothing may stand beside one") {
		t.Errorf("an alias that leads nowhere: %+v", f)
	}
	if found := ask(t, t.Context(), "tlsrpt", sender(t, r, "null.example", egress(t, ""))); len(found) > 0 {
		t.Errorf("a domain that takes no mail: %+v", found)
	}
	neverWrong(t, "tlsrpt", "good.example. MX 10 mx.example.\n_smtp._tls.good.example. TXT \"v=TLSRPTv1; rua=mailto:a@good.example\"",
		func(r dns.Resolver) []policy.Finding {
			return ask(t, t.Context(), "tlsrpt", sender(t, r, "good.example", egress(t, "")))
		}, "_smtp._tls.good.example", "good.example", ".")
}

// validating is a resolver whose answers about names below some are validated.
func validating(r dns.Resolver, names ...string) dns.Resolver {
	return dns.ResolverFunc(func(ctx context.Context, name string, t dns.Type) dns.Answer {
		a := r.Resolve(ctx, name, t)
		for _, n := range names {
			if a.Status != dns.Failed && (name == n || strings.HasSuffix(name, "."+n)) {
				a.Secure = true
			}
		}
		return a
	})
}

var daneZone = `
example.org.     MX 10 good.example.net.
good.example.net. A 198.51.100.7
_25._tcp.good.example.net. TLSA 3 1 1 ` + strings.Repeat("ab", 32) + `
_25._tcp.good.example.net. TLSA 0 0 1 ` + strings.Repeat("ab", 32) + `
none.example.    MX 10 none.example.net.
none.example.net. A 198.51.100.7
pkix.example.    MX 10 pkix.example.net.
pkix.example.net. A 198.51.100.7
_25._tcp.pkix.example.net. TLSA 1 1 1 ` + strings.Repeat("ab", 32) + `
short.example.   MX 10 short.example.net.
short.example.net. A 198.51.100.7
_25._tcp.short.example.net. TLSA 3 1 1 abab
loose.example.   MX 10 loose.example.net.
loose.example.net. A 198.51.100.7
_25._tcp.loose.example.net. CNAME tlsa.unsigned.example.
tlsa.unsigned.example. TLSA 3 1 1 ` + strings.Repeat("ab", 32) + `
`

func TestDANE(t *testing.T) {
	t.Parallel()
	_, r := zone(t, daneZone)
	for _, tt := range []struct {
		domain, result string
		grade          policy.Grade
		signed         []string
		why            string
	}{
		{"example.org", "published", policy.Pass, []string{"example.org", "example.net"}, "as it should be"},
		{"example.org", "unsigned", policy.Warn, []string{"example.net"}, "RFC 7672, section 2.2.1: the MX records count"},
		{"none.example", "none", policy.Warn, []string{"none.example", "example.net"}, "no record"},
		{"pkix.example", "unusable", policy.Warn, []string{"pkix.example", "example.net"}, "RFC 7672, section 3.1.3: authorities are not for mail"},
		{"short.example", "unusable", policy.Warn, []string{"short.example", "example.net"}, "no hash"},
		{"loose.example", "unsigned", policy.Warn, []string{"loose.example", "loose.example.net"}, "the record is elsewhere"},
	} {
		resolver := validating(r, tt.signed...)
		if tt.domain == "loose.example" {
			resolver = dns.ResolverFunc(func(ctx context.Context, name string, qt dns.Type) dns.Answer {
				a := r.Resolve(ctx, name, qt)
				a.Secure = qt != dns.TLSA
				return a
			})
		}
		if f := one(t, "dane", sender(t, resolver, tt.domain, egress(t, ""))); f.Result != tt.result || f.Grade != tt.grade {
			t.Errorf("%s: %s: %+v", tt.domain, tt.why, f)
		}
	}
	if found := ask(t, t.Context(), "dane", sender(t, r, "example.org", egress(t, ""))); len(found) > 0 {
		t.Errorf("where nothing is validated, nothing is said: %+v", found)
	}
	h := sender(t, validating(r, "example.org", "example.net"), "example.org", egress(t, ""))
	h.Domains = append(h.Domains, domain(t, "example.org"))
	if found := ask(t, t.Context(), "dane", h); len(found) != 1 {
		t.Errorf("a host is told of once: %+v", found)
	}
	neverWrong(t, "dane", daneZone, func(r dns.Resolver) []policy.Finding {
		return ask(t, t.Context(), "dane", sender(t, validating(r, "example.org", "example.net"), "example.org", egress(t, "")))
	}, "_25._tcp.good.example.net", "good.example.net", "example.org")
}

func TestDNSSEC(t *testing.T) {
	t.Parallel()
	text := `
signed.example. MX 10 mx.signed.example.
mx.signed.example. A 198.51.100.7
signed.example. DS 60485 13 2 ` + strings.Repeat("ab", 32) + `
plain.example.  MX 10 mx.signed.example.
`
	_, r := zone(t, text)
	for _, tt := range []struct {
		domain    string
		validates bool
		result    string
		grade     policy.Grade
	}{
		{"signed.example", true, "signed", policy.Pass},
		{"mx.signed.example", true, "signed", policy.Pass},
		{"signed.example", false, "unvalidated", policy.Unknown},
		{"mx.signed.example", false, "unvalidated", policy.Unknown},
		{"plain.example", true, "unsigned", policy.Warn},
		{"gone.example", false, "unsigned", policy.Warn},
	} {
		resolver := r
		if tt.validates {
			resolver = validating(r, "signed.example")
		}
		if f := one(t, "dnssec", sender(t, resolver, tt.domain, egress(t, ""))); f.Result != tt.result || f.Grade != tt.grade {
			t.Errorf("%s: %+v", tt.domain, f)
		}
	}
	neverWrong(t, "dnssec", text, func(r dns.Resolver) []policy.Finding {
		return ask(t, t.Context(), "dnssec", sender(t, r, "plain.example", egress(t, "")))
	}, "plain.example", ".")
	failing := dns.ResolverFunc(func(ctx context.Context, name string, qt dns.Type) dns.Answer {
		if qt == dns.DS {
			return r.Resolve(ctx, name, qt)
		}
		return dns.Answer{Err: dns.ErrServFail}
	})
	if f := one(t, "dnssec", sender(t, failing, "signed.example", egress(t, ""))); f.Result != "failing" || f.Grade != policy.Unknown {
		t.Errorf("wrong signatures: %+v", f)
	}
}

// A panic in a question costs the item that asks, and is said; and it is told of once, whatever else rests on it.
func TestPanicInAQuestion(t *testing.T) {
	var telling sync.Mutex
	told := ""
	h := &check.Host{
		Domains:  []mail.Domain{domain(t, "example.org")},
		Keys:     []check.Key{key(t, "example.org", "active", false)},
		Routes:   policy.Routes{{Egress: egress(t, "", "203.0.113.25")}},
		Lists:    lists(t, "spamhaus-zen"),
		Resolver: dns.ResolverFunc(func(context.Context, string, dns.Type) dns.Answer { panic("broken") }),
		Caught: func(v any) {
			telling.Lock()
			defer telling.Unlock()
			told += fmt.Sprint(v)
		},
	}
	for _, tt := range []struct{ id, told string }{
		{"mx", "broken"},
		{"dmarc", "broken"},
		{"align", ""},  // rests on that of dmarc
		{"tlsrpt", ""}, // on that of mx
		{"mtasts", ""},
		{"dane", ""},
		{"dnssec", ""},
		{"ptr", "broken"},
		{"spf", "brokenbroken"}, // of the domain, and of the name in EHLO
		{"dkim", "broken"},
		{"listed", "broken"},
		{"domainlisted", ""}, // rests on that of listed
	} {
		told = ""
		o := h.Walk(t.Context(), []check.Item{item(t, tt.id)}, nil)
		known := slices.ContainsFunc(o[0].Findings, func(f policy.Finding) bool { return f.Grade != policy.Unknown })
		if len(o[0].Findings) == 0 || known || told != tt.told {
			t.Errorf("%s: told of %q, %+v", tt.id, told, o)
		}
	}
}

// A panic of who is told of an outcome is one of who walks, when all items were asked.
func TestPanicOfWhoIsTold(t *testing.T) {
	var asked atomic.Int64
	items := slices.Repeat([]check.Item{{ID: "x", Ask: func(context.Context, *check.Host) []policy.Finding {
		asked.Add(1)
		return nil
	}}}, 40)
	defer func() {
		if p, is := recover().(*parallel.Panic); !is || p.Value != "oh" || asked.Load() != 40 {
			t.Errorf("%v, when %d items were asked", p, asked.Load())
		}
	}()
	new(check.Host).Walk(t.Context(), items, func(check.Outcome) { panic("oh") })
}
