package dnsbl_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"reputed/policy/dns"
	"reputed/policy/dnsbl"
)

// nameAsked gives the name that a list is asked for.
func nameAsked(t testing.TB, l *dnsbl.List, s dnsbl.Subject) string {
	t.Helper()
	var name string
	dnsbl.Query(t.Context(), dns.ResolverFunc(func(_ context.Context, n string, _ dns.Type) dns.Answer {
		name = n
		return dns.Answer{Status: dns.NXDomain}
	}), l, s)
	return name
}

// RFC 5782, section 2.4 has the example for IPv6, and section 2.1 the one for IPv4.
func TestNames(t *testing.T) {
	lists := own(t, map[string]any{"id": "ugly", "zone": "ugly.example.com"},
		map[string]any{"id": "names", "zone": "names.example.com", "subject": "domain"})
	tests := []struct {
		list    *dnsbl.List
		subject dnsbl.Subject
		want    string
	}{
		{lists[0], address("192.0.2.99"), "99.2.0.192.ugly.example.com"},
		{lists[0], address("::ffff:192.0.2.99"), "99.2.0.192.ugly.example.com"},
		{lists[0], address("2001:db8:1:2:3:4:567:89ab"),
			"b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ugly.example.com"},
		{lists[1], dnsbl.Domain(domain(t, "example.net")), "example.net.names.example.com"},
		{lists[1], dnsbl.Domain(domain(t, "BÜCHER.example")), "xn--bcher-kva.example.names.example.com"},
		{lists[1], address("192.0.2.99"), ""}, // a list of domains must not be asked about addresses
		{lists[0], dnsbl.Domain(domain(t, "example.net")), ""},
		{lists[1], dnsbl.Domain(domain(t, strings.Repeat("a.", 120)+"example")), ""}, // too long for a name
		{lists[0], dnsbl.Subject{}, ""},
	}
	for _, tt := range tests {
		if got := nameAsked(t, tt.list, tt.subject); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.subject, got, tt.want)
		}
	}
}

func address(s string) dnsbl.Subject { return dnsbl.Address(netip.MustParseAddr(s)) }

// Any address is found again in the name that is asked for it.
func TestNamesProperty(t *testing.T) {
	l := own(t, map[string]any{"id": "ugly", "zone": "ugly.example.com"})[0]
	six := func(b [16]byte) bool {
		a := netip.AddrFrom16(b)
		if a.Is4In6() {
			return true
		}
		nibbles := strings.Split(strings.TrimSuffix(nameAsked(t, l, dnsbl.Address(a)), ".ugly.example.com"), ".")
		var got [16]byte
		for i, n := range nibbles {
			v, err := strconv.ParseUint(n, 16, 4)
			if err != nil || len(nibbles) != 32 {
				return false
			}
			got[15-i/2] |= byte(v) << (4 * (i % 2))
		}
		return got == b
	}
	four := func(b [4]byte) bool {
		want := fmt.Sprintf("%d.%d.%d.%d.ugly.example.com", b[3], b[2], b[1], b[0])
		return nameAsked(t, l, dnsbl.Address(netip.AddrFrom4(b))) == want
	}
	if err := quick.Check(six, nil); err != nil {
		t.Error(err)
	}
	if err := quick.Check(four, nil); err != nil {
		t.Error(err)
	}
}

// always answers so.
func always(a dns.Answer) dns.Resolver {
	return dns.ResolverFunc(func(context.Context, string, dns.Type) dns.Answer { return a })
}

func found(addrs ...string) dns.Answer {
	a := dns.Answer{Status: dns.Found, TTL: 5 * time.Minute}
	for _, s := range addrs {
		a.Records = append(a.Records, dns.Record{Addr: netip.MustParseAddr(s)})
	}
	return a
}

// What an answer means, by the list that gives it.
func TestQuery(t *testing.T) {
	c := builtin(t)
	stale := found("127.0.0.2")
	stale.Stale = true
	tests := []struct {
		list   string
		answer dns.Answer
		state  dnsbl.State
		want   string // of a listing: severity, and patterns; else: a part of the reason
	}{
		{"spamhaus-zen", dns.Answer{Status: dns.NXDomain}, dnsbl.Clear, ""},
		{"spamhaus-zen", dns.Answer{Status: dns.NoData}, dnsbl.Clear, ""},
		{"spamhaus-zen", dns.Answer{Status: dns.Found}, dnsbl.Clear, ""}, // an alias to nothing
		{"spamhaus-zen", found("127.0.0.2"), dnsbl.Listed, "block 127.0.0.2"},
		{"spamhaus-zen", found("127.0.0.4", "127.0.0.11"), dnsbl.Listed, "block 127.0.0.4 127.0.0.11"},
		{"spamhaus-zen", found("127.0.0.77"), dnsbl.Unknown, "answers 127.0.0.77, and nobody knows"},
		{"spamhaus-zen", found("127.0.0.77", "127.0.0.2"), dnsbl.Listed, "block 127.0.0.2"},
		{"spamhaus-zen", found("127.0.0.2", "127.255.255.254"), dnsbl.Refused, "answers 127.255.255.254: the question came"},
		{"spamhaus-zen", found("::ffff:127.0.0.2"), dnsbl.Broken, "answers ::ffff:127.0.0.2"},
		{"mailspike-bl", found("127.0.0.12"), dnsbl.Listed, "warn 127.0.0.12"},
		{"blocklist-de", found("127.0.0.15"), dnsbl.Listed, "warn 127.0.0.15"}, // the address goes before the network
		{"blocklist-de", found("127.0.0.7"), dnsbl.Listed, "warn 127.0.0.0/24"},
		{"validity-score", found("127.0.4.99"), dnsbl.Listed, "good 127.0.4.80-100"},
		{"validity-score", found("127.0.4.3"), dnsbl.Listed, "warn 127.0.4.0-69"},
		{"dnswl", found("127.0.5.2"), dnsbl.Listed, "good 127.0.*.2"},
		{"dnswl", found("127.0.0.255"), dnsbl.Refused, "too many questions"},
		{"surbl", found("127.0.0.80"), dnsbl.Listed, "block bit:16 bit:64"}, // each bit is a code
		{"surbl", found("127.0.0.1"), dnsbl.Refused, "the resolver is refused"},
		{"surbl", found("127.0.0.2"), dnsbl.Unknown, "answers 127.0.0.2"},
		{"spamhaus-dbl", found("127.0.1.255"), dnsbl.Refused, "takes names only"},
		{"spamhaus-zen", dns.Answer{Err: dns.ErrTimeout}, dnsbl.Unknown, "does not answer in time"},
		{"spamhaus-zen", dns.Answer{Err: dns.ErrServFail}, dnsbl.Unknown, "SERVFAIL"},
		{"spamhaus-zen", dns.Answer{Err: dns.ErrRefused}, dnsbl.Refused, "REFUSED"},
		{"spamhaus-zen", dns.Answer{Err: dns.ErrMalformed}, dnsbl.Unknown, "malformed"},
		{"spamhaus-zen", dns.Answer{Err: dns.ErrNetwork}, dnsbl.Unknown, "cannot be reached"},
		{"spamhaus-zen", dns.Answer{}, dnsbl.Unknown, "failed"},
		{"spamhaus-zen", stale, dnsbl.Unknown, "old answer"},
	}
	for _, tt := range tests {
		l := listOf(t, c, tt.list)
		subject := address("192.0.2.1")
		if l.Domains {
			subject = dnsbl.Domain(domain(t, "example.net"))
		}
		texts := 0
		r := dnsbl.Query(t.Context(), dns.ResolverFunc(func(_ context.Context, _ string, k dns.Type) dns.Answer {
			if k == dns.TXT {
				texts++
				return dns.Answer{Status: dns.Found, Records: []dns.Record{{Text: "see our page"}}}
			}
			return tt.answer
		}), l, subject)
		got := r.Reason
		if r.State == dnsbl.Listed {
			got = r.Severity().String()
			for _, m := range r.Codes {
				got += " " + m.Pattern.String()
			}
			if r.Text != "see our page" || r.TTL != tt.answer.TTL {
				t.Errorf("%s: %+v", tt.list, r)
			}
		} else if texts != 0 || r.Codes != nil || r.Text != "" {
			t.Errorf("%s: no listing, but %d questions for its reason: %+v", tt.list, texts, r)
		}
		if coded := r.State == dnsbl.Refused && tt.answer.Status == dns.Found; r.Coded != coded {
			t.Errorf("%s %v: refused by a code: %t", tt.list, tt.answer, r.Coded)
		}
		if r.State != tt.state || !strings.Contains(got, tt.want) || r.List != l || r.Subject != subject {
			t.Errorf("%s %v: %v %q, want %v %q", tt.list, tt.answer, r.State, got, tt.state, tt.want)
		}
	}
}

// The reason that a list gives is bounded, and what is not text in it is marked.
func TestReasonBounded(t *testing.T) {
	w := &world{zones: map[string]*zone{"bl.example.net": {
		listed: map[string]string{"1.2.0.192": "127.0.0.2"},
		texts:  map[string]string{"1.2.0.192": "\xff" + strings.Repeat("é", 4000)},
	}}}
	l := own(t, map[string]any{"id": "local", "zone": "bl.example.net"})[0]
	r := dnsbl.Query(t.Context(), w, l, address("192.0.2.1"))
	if len(r.Text) > 410 || !strings.HasPrefix(r.Text, "?é") || !strings.HasSuffix(r.Text, "é...") {
		t.Errorf("%q", r.Text)
	}
}

// A key stands in the name that is asked for, and nowhere else.
func TestKeyIsSecret(t *testing.T) {
	const key = "s3cr3tk3y"
	l := listOf(t, withKey(t, builtin(t), "spamhaus-zen-dqs", key), "spamhaus-zen-dqs")
	if got := nameAsked(t, l, address("192.0.2.1")); got != "1.2.0.192."+key+".zen.dq.spamhaus.net" {
		t.Errorf("asked for %s", got)
	}
	blank := listOf(t, builtin(t), "spamhaus-zen-dqs")
	if got := nameAsked(t, blank, address("192.0.2.1")); got != "" {
		t.Errorf("without a key: asked for %s", got)
	}
	for _, a := range []dns.Answer{
		found("127.0.0.2"), found("203.0.113.1"), found("127.255.255.255"),
		{Err: fmt.Errorf("%w: 1.2.0.192.%s.zen.dq.spamhaus.net", dns.ErrTimeout, key)},
		{Err: fmt.Errorf("no such thing as 1.2.0.192.%s.zen.dq.spamhaus.net", key)},
	} {
		r := dnsbl.Query(t.Context(), dns.ResolverFunc(func(_ context.Context, n string, k dns.Type) dns.Answer {
			if k == dns.TXT {
				return dns.Answer{Status: dns.Found, Records: []dns.Record{{Text: "https://x.example/?q=" + strings.ToUpper(n)}}}
			}
			return a
		}), l, address("192.0.2.1"))
		var out strings.Builder
		text, err := json.Marshal(l)
		more, err2 := json.Marshal(r)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "list", l, "value", *l, "result", r)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "list", l, "value", *l, "result", r)
		fmt.Fprintf(&out, "%s %s %v %v %v %+v %#v %v %+v %#v", text, more, err, err2, l, *l, *l, r, r, r)
		fmt.Fprintf(&out, "%v %q %#v %+v", l.Key, l.Key, l.Key, struct{ k dnsbl.Key }{l.Key})
		if strings.Contains(strings.ToLower(out.String()), key) {
			t.Errorf("the key is in:\n%s", out.String())
		}
	}
	text, err := json.Marshal(l)
	if err != nil || !strings.Contains(string(text), `"zone":"{key}.zen.dq.spamhaus.net"`) ||
		!strings.Contains(string(text), `"min_poll":"15m"`) || !strings.Contains(string(text), `"subject":"ip"`) {
		t.Errorf("%s, %v", text, err)
	}
	_, err = builtin(t).Read(map[string]any{"id": "spamhaus-zen-dqs", "key": key + " " + key})
	if err == nil || strings.Contains(err.Error(), key) {
		t.Errorf("%v", err)
	}
}

// A key that stands where the reason of a list is cut off is hidden before that, not half of it after.
func TestKeyAtTheCut(t *testing.T) {
	const key = "s3cr3tk3y"
	l := listOf(t, withKey(t, builtin(t), "spamhaus-zen-dqs", key), "spamhaus-zen-dqs")
	for before := 380; before < 410; before++ {
		text := strings.Repeat(".", before) + key + " and more"
		r := dnsbl.Query(t.Context(), dns.ResolverFunc(func(_ context.Context, _ string, k dns.Type) dns.Answer {
			if k == dns.TXT {
				return dns.Answer{Status: dns.Found, Records: []dns.Record{{Text: text}}}
			}
			return found("127.0.0.2")
		}), l, address("192.0.2.1"))
		if strings.Contains(r.Text, "s3") {
			t.Errorf("%d octets before it: %s", before, r.Text)
		}
	}
}

// An entry whose texts hold its own key is refused, at the text, without showing it: it would be shown in replies.
func TestKeyInEntry(t *testing.T) {
	const key = "s3cr3tk3y"
	for path, value := range map[string]any{
		"lookup_url":              "https://look.example/S3CR3TK3Y/x",
		"removal_url":             "no page, s3cr3tk3y",
		"name":                    "List s3cr3tk3y",
		"note":                    "s3cr3tk3y",
		"zone":                    "{key}.s3cr3tk3y.example.net",
		"id":                      "local-s3cr3tk3y",
		"kind":                    "s3cr3tk3y",
		"families":                []any{"ipv4", "s3cr3tk3y"},
		"codes.127.0.0.2.meaning": map[string]any{"127.0.0.2": map[string]any{"meaning": "s3cr3tk3y", "severity": "warn"}},
		"error_codes.127.0.0.3":   map[string]any{"127.0.0.3": "the key s3cr3tk3y has expired"},
	} {
		entry := map[string]any{"id": "local", "zone": "{key}.bl.example.net", "key": key, "codes": anyCodes()}
		name, _, _ := strings.Cut(path, ".")
		entry[name] = value
		_, err := builtin(t).Read(entry)
		if err == nil || !strings.HasPrefix(err.Error(), path+": the key stands in it") ||
			strings.Contains(strings.ToLower(err.Error()), key) {
			t.Errorf("%s: %v", path, err)
		}
	}
	entry := map[string]any{"id": "local", "zone": "{key}.bl.example.net", "key": "key", "codes": anyCodes()}
	if _, err := builtin(t).Read(entry); err != nil {
		t.Errorf("the place for the key is not the key: %v", err)
	}
}

// A time-out, a refusal and a list that does not know us are told apart, each with what to do.
func TestRemedies(t *testing.T) {
	c := builtin(t)
	keyed := withKey(t, c, "spamhaus-zen-dqs", "k3y")
	for _, tt := range []struct {
		list   *dnsbl.List
		answer dns.Answer
		want   string
	}{
		{listOf(t, c, "spamhaus-zen"), found("127.255.255.254"), `unbound on this host ([dns] servers = ["127.0.0.1"]), or`},
		{listOf(t, c, "spamhaus-zen"), found("127.255.255.254"), "for list spamhaus-zen-dqs"},
		{listOf(t, keyed, "spamhaus-zen-dqs"), found("127.255.255.255"), "see that the key of list spamhaus-zen-dqs"},
		{listOf(t, c, "barracuda"), dns.Answer{Err: dns.ErrServFail}, "register the address of your resolver with B"},
		{listOf(t, c, "uribl"), found("127.0.0.1"), "unbound on this host"},
		{listOf(t, c, "spamcop"), found("192.0.2.80"), "see whether your resolver rewrites answers"},
		{listOf(t, c, "spamcop"), found("127.0.0.99"), "add it to the list"},
		{listOf(t, c, "spamcop"), dns.Answer{Err: dns.ErrRefused}, "access-control"},
	} {
		subject := address("192.0.2.1")
		if tt.list.Domains {
			subject = dnsbl.Domain(domain(t, "example.net"))
		}
		r := dnsbl.Query(t.Context(), always(tt.answer), tt.list, subject)
		if !strings.Contains(r.Remedy, tt.want) {
			t.Errorf("%s: %q, want %q", tt.list, r.Remedy, tt.want)
		}
	}
}
