package spf_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"reputed/policy/dns"
	"reputed/policy/mail"
	"reputed/policy/spf"
)

func domain(t testing.TB, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A smarthost is reached by name. What its addresses are is not known, so terms that list addresses leave it open
// whether what is no pass is true.
func TestReaches(t *testing.T) {
	world := records{
		"TXT spf.relay.example": {"v=spf1 ip4:198.51.100.0/24 -all"},
		"TXT direct.example": {"v=spf1 mx a:gone.example a:gone2.example a:gone3.example " +
			"include:SPF.relay.example. -all"},
		"TXT nested.example":    {"v=spf1 include:direct.example ~all"},
		"TXT redir.example":     {"v=spf1 ip4:192.0.2.1 redirect=spf.relay.example"},
		"TXT macro.example":     {"v=spf1 include:spf.%{o} -all"},
		"TXT spf.macro.example": {"v=spf1 redirect=spf.relay.example"},
		"TXT not.example":       {"v=spf1 ip4:198.51.100.0/24 -all"},
		"TXT soft.example":      {"v=spf1 a ~all"},
		"TXT open.example":      {"v=spf1 mx"},
		"TXT late.example":      {"v=spf1 -all include:spf.relay.example"},
		"TXT neg.example":       {"v=spf1 -include:spf.relay.example ~all"},
		"TXT inner.example":     {"v=spf1 include:neg.example ?all"},
		"TXT ip.example":        {"v=spf1 include:%{i}.x.example -all"},
		"TXT ex.example":        {"v=spf1 exists:%{d}.x.example -all"},
		"TXT ipr.example":       {"v=spf1 redirect=%{i}.x.example"},
		"TXT dead.example":      {"v=spf1 include:none.example include:spf.relay.example -all"},
		"TXT deadlate.example":  {"v=spf1 ip6:2001:db8::1 include:none.example -all"},
		"TXT down.example":      {"fail"},
		"TXT incdown.example":   {"v=spf1 include:down.example include:spf.relay.example -all"},
		"TXT deep.example":      {"v=spf1 a a a a a a a a a a include:spf.relay.example -all"},
		"TXT wrong.example":     {"v=spf1 ip4:198.51.100.1 include:spf.relay.example ip5 -all"},
		"TXT quiet.example":     {"v=spf1 include:empty.example ~all"},
		"TXT empty.example":     {"v=spf1 -all"},
		"TXT flat.example":      {"v=spf1 include:not.example -all"},
		"TXT milder.example":    {"v=spf1 ?ip4:198.51.100.0/24 -all"},
		"TXT worse.example":     {"v=spf1 -ip4:192.0.2.0/24 ~all"},
		"TXT inmild.example":    {"v=spf1 include:worse2.example -all"},
		"TXT worse2.example":    {"v=spf1 ?ip4:198.51.100.0/24 -mx"},
		"TXT outneg.example":    {"v=spf1 -include:not.example ~all"},
	}
	tests := []struct {
		why, domain string
		result      spf.Result
		unsure      bool
		chain       string
	}{
		{"an include", "direct.example", spf.Pass, false,
			"direct.example>include:SPF.relay.example. SPF.relay.example>"},
		{"through another", "nested.example", spf.Pass, false,
			"nested.example>include:direct.example direct.example>include:SPF.relay.example. SPF.relay.example>"},
		{"a redirect", "redir.example", spf.Pass, false, "redir.example>redirect=spf.relay.example spf.relay.example>"},
		{"by a macro, and then a redirect", "macro.example", spf.Pass, false,
			"macro.example>include:spf.%{o} spf.macro.example>redirect=spf.relay.example spf.relay.example>"},
		{"the smarthost's own domain", "spf.relay.example", spf.Pass, false, "spf.relay.example>"},
		{"its network, and not its name", "not.example", spf.Fail, true, "not.example>-all"},
		{"an a may be the smarthost", "soft.example", spf.SoftFail, true, "soft.example>~all"},
		{"so may an mx", "open.example", spf.Neutral, true, "open.example>"},
		{"and whatever exists", "ex.example", spf.Fail, true, "ex.example>-all"},
		{"behind all nothing is reached", "late.example", spf.Fail, false, "late.example>-all"},
		{"forbidden by name", "neg.example", spf.Fail, false, "neg.example>-include:spf.relay.example spf.relay.example>"},
		{"a fail inside an include is no match", "inner.example", spf.Neutral, false, "inner.example>?all"},
		{"who knows what an address would be included by", "ip.example", spf.Fail, true, "ip.example>-all"},
		{"or redirected to", "ipr.example", spf.TempError, false, "ipr.example>redirect=%{i}.x.example"},
		{"a dead include before it", "dead.example", spf.PermError, false, "dead.example>include:none.example"},
		{"an address before a dead include", "deadlate.example", spf.PermError, true,
			"deadlate.example>include:none.example"},
		{"a dead server before it", "incdown.example", spf.TempError, false, "incdown.example>include:down.example"},
		{"the eleventh look-up", "deep.example", spf.PermError, true, "deep.example>include:spf.relay.example"},
		{"an error behind it is one to all", "wrong.example", spf.PermError, false, ""},
		{"no record", "none.example", spf.None, false, ""},
		{"an include without addresses", "quiet.example", spf.SoftFail, false, "quiet.example>~all"},
		{"an include with addresses", "flat.example", spf.Fail, true, "flat.example>-all"},
		{"neutral is better than fail", "milder.example", spf.Fail, true, "milder.example>-all"},
		{"what forbids makes nothing better", "worse.example", spf.SoftFail, false, "worse.example>~all"},
		{"what is no pass in an include is no match", "inmild.example", spf.Fail, false, "inmild.example>-all"},
		{"an include that forbids", "outneg.example", spf.SoftFail, false, "outneg.example>~all"},
	}
	for _, tt := range tests {
		c := spf.Checker{Resolver: world}
		o := c.Reaches(t.Context(), spf.Request{Domain: tt.domain}, domain(t, "spf.relay.example"))
		chain := ""
		for _, s := range o.Chain {
			chain += " " + s.Domain + ">" + s.Term
		}
		if o.Result != tt.result || chain != "" && chain[1:] != tt.chain || o.IP.IsValid() || o.Unsure != tt.unsure {
			t.Errorf("%s: %s: %s by%s, unsure %v (%v)", tt.why, tt.domain, o.Result, chain, o.Unsure, o.Err)
		}
	}
}

// Receivers pay for the smarthost's own record too. Where it breaks a limit only behind terms that list addresses, some
// of these may pass yet.
func TestReachesCosts(t *testing.T) {
	world := records{
		"TXT heavy.example": {"v=spf1 include:h1.example include:h2.example -all"}, // 4
		"TXT h1.example":    {"v=spf1 include:h3.example -all"},
		"TXT h2.example":    {"v=spf1 -all"},
		"TXT h3.example":    {"v=spf1 -all"},
		"TXT early.example": {"v=spf1 ip4:198.51.100.0/24 include:heavy.example -all"},
		"TXT voids.example": {"v=spf1 a:x1.example a:x2.example exists:%{i}.x3.example -all"},
		"TXT huge.example":  {"v=spf1" + strings.Repeat(" include:heavy.example", 50) + " -all"},
		"TXT loop.example":  {"v=spf1 include:back.example -all"},
		"TXT back.example":  {"v=spf1 include:loop.example -all"},
		"TXT bad.example":   {"v=spf1 include:none.example -all"},
		"TXT dark.example":  {"v=spf1 include:down.example -all"},
		"TXT down.example":  {"fail"},
		"TXT seven.example": {"v=spf1 include:h2.example include:h2.example include:h2.example include:h2.example " +
			"include:h2.example include:h2.example include:h2.example include:heavy.example -all"}, // 7 + 1 + 3
		"TXT eight.example": {"v=spf1 a a a a a a a a include:heavy.example -all"},
		"TXT six.example": {"v=spf1 include:h2.example include:h2.example include:h2.example include:h2.example " +
			"include:h2.example include:h2.example include:heavy.example -all"}, // 6 + 1 + 3
	}
	world["TXT any.example"] = []string{"v=spf1 include:%{l}.example -all"}
	tests := []struct {
		why, local, domain, via string
		result                  spf.Result
		unsure                  bool
		lookups, voids          int
		err                     error
	}{
		{"ten", "", "six.example", "heavy.example", spf.Pass, false, 10, 0, nil},
		{"eleven", "", "seven.example", "heavy.example", spf.PermError, false, 11, 0, spf.ErrLookups},
		{"eleven, behind others that may be it", "", "eight.example", "heavy.example", spf.PermError, true, 11, 0,
			spf.ErrLookups},
		{"within the limit", "early", "any.example", "early.example", spf.Pass, false, 5, 0, nil},
		{"void answers", "voids", "any.example", "voids.example", spf.PermError, true, 4, 3, spf.ErrVoids},
		{"no end", "huge", "any.example", "huge.example", spf.PermError, false, 11, 0, spf.ErrLookups},
		{"a loop", "loop", "any.example", "loop.example", spf.PermError, false, 11, 0, spf.ErrLookups},
		{"what is wrong behind its addresses is no business of theirs", "bad", "any.example", "bad.example", spf.Pass,
			false, 2, 0, nil},
		{"what could not be asked for is no knowledge", "dark", "any.example", "dark.example", spf.Pass, false, 2, 0, nil},
	}
	for _, tt := range tests {
		q := &counting{Resolver: world}
		c := spf.Checker{Resolver: q}
		o := c.Reaches(t.Context(), spf.Request{Domain: tt.domain, Local: tt.local, Trace: true}, domain(t, tt.via))
		if o.Result != tt.result || o.Unsure != tt.unsure || o.Lookups != tt.lookups || o.Voids != tt.voids ||
			!errors.Is(o.Err, tt.err) || q.n > maxQuestions {
			t.Errorf("%s: %d questions, %+v", tt.why, q.n, o)
		}
	}
}

// Names that could not be asked for may have been others, and then a look-up that was void need not have been.
func TestUnsureNames(t *testing.T) {
	world := records{
		"TXT p.example": {"v=spf1 exists:%{p}.a.example exists:%{p}.b.example exists:%{p}.c.example -all"},
		"TXT q.example": {"v=spf1 exists:%{p}.a.example include:none.example -all"},
		"TXT r.example": {"v=spf1 exists:%{p}.a.example ip4:192.0.2.1 -all"},
	}
	c := spf.Checker{Resolver: dns.ResolverFunc(func(ctx context.Context, name string, typ dns.Type) dns.Answer {
		if typ == dns.PTR {
			return dns.Answer{Err: dns.ErrTimeout}
		}
		return world.Resolve(ctx, name, typ)
	})}
	for name, want := range map[string]spf.Result{"p.example": spf.TempError, "q.example": spf.TempError,
		"r.example": spf.Pass, "none.example": spf.None} {
		o := c.Check(t.Context(), spf.Request{IP: netip.MustParseAddr("192.0.2.1"), Domain: name})
		if o.Result != want || want == spf.TempError && !errors.Is(o.Err, dns.ErrTimeout) {
			t.Errorf("%s: %s (%v)", name, o.Result, o.Err)
		}
	}
}
