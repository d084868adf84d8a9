package spf_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reputed/policy/mail"
	"reputed/policy/spf"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

func indented(t *testing.T, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

// treeWorld has all kinds of terms, and something behind the match.
var treeWorld = records{
	"TXT tree.example": {"v=spf1 mx a:gone.example include:esp.example exists:%{i}.x.example ptr " +
		"include:dead.example -all"},
	"MX tree.example":     {"mx1.tree.example", "mx2.tree.example"},
	"A mx1.tree.example":  {"192.0.2.1"},
	"A mx2.tree.example":  {"192.0.2.2", "192.0.2.3"},
	"TXT esp.example":     {"v=spf1 ip4:203.0.113.0/24 redirect=net.esp.example"},
	"TXT net.esp.example": {"v=spf1 ip4:198.51.100.0/24 ~all"},
}

// The tree of a check ends where the evaluation did.
func TestTrace(t *testing.T) {
	c := spf.Checker{Resolver: treeWorld}
	q := spf.Request{IP: netip.MustParseAddr("198.51.100.7"), Domain: "tree.example", Trace: true}
	golden(t, "trace-pass.json", indented(t, c.Check(t.Context(), q).Trace))
	q.IP = netip.MustParseAddr("192.0.2.9")
	golden(t, "trace-permerror.json", indented(t, c.Check(t.Context(), q).Trace))
	q.Trace = false
	if o := c.Check(t.Context(), q); o.Trace != nil {
		t.Error("traced unasked")
	}
}

// A survey goes on where the evaluation ends, and counts all.
func TestSurvey(t *testing.T) {
	c := spf.Checker{Resolver: treeWorld}
	golden(t, "survey.json", indented(t, c.Survey(t.Context(), spf.Request{IP: netip.MustParseAddr("192.0.2.1"),
		Domain: "tree.example"})))
	world := records{
		"TXT mxs.example":    {"v=spf1 mx -all mx mx"},
		"MX mxs.example":     {"a.mxs.example", "b.mxs.example", "c.mxs.example"},
		"A a.mxs.example":    {"192.0.2.1"},
		"TXT all.example":    {"v=spf1 a ~all redirect=mxs.example"},
		"TXT redir.example":  {"v=spf1 redirect=mxs.example"},
		"TXT loop.example":   {"v=spf1 include:loop2.example -all"},
		"TXT loop2.example":  {"v=spf1 include:LOOP.example -all"},
		"TXT ex.example":     {"v=spf1 exists:%{i}.a.example exists:%{l}.b.example exists:c.example exists:%{d} -all"},
		"A c.example":        {"127.0.0.1"},
		"A ex.example":       {"127.0.0.1"},
		"TXT deadns.example": {"v=spf1 include:down.example a -all"},
		"TXT down.example":   {"fail"},
		"TXT bad.example":    {"v=spf1 include:worse.example -all"},
		"TXT worse.example":  {"v=spf1 ipv4:192.0.2.1"},
		"TXT dup.example":    {"v=spf1 include:mxs.example include:mxs.example -all"},
	}
	for i := range 10 {
		name := fmt.Sprintf("TXT w%d.example", i)
		world[name] = []string{"v=spf1"}
		for range 10 {
			world[name][0] += fmt.Sprintf(" include:w%d.example", i+1)
		}
	}
	world["TXT w10.example"] = []string{"v=spf1 mx -all"}
	tests := []struct {
		why, domain    string
		lookups, voids int
		complete       bool
	}{
		{"a match does not save the hosts behind it from being asked for; what follows all is never evaluated",
			"mxs.example", 1, 2, true},
		{"a redirect beside all costs nothing", "all.example", 1, 1, true},
		{"a redirect costs, with what it leads to", "redir.example", 2, 2, true},
		{"a loop breaks the limit", "loop.example", spf.MaxLookups + 1, 0, false},
		{"names that change with the mail are void to strangers, others when they are", "ex.example", 4, 2, true},
		{"a server that fails hides what is there", "deadns.example", 2, 1, false},
		{"so does an error", "bad.example", 1, 0, false},
		{"a record that is included twice costs twice", "dup.example", 4, 4, true},
		{"no record costs nothing", "none.example", 0, 0, true},
	}
	for _, tt := range tests {
		c := spf.Checker{Resolver: world}
		s := c.Survey(t.Context(), spf.Request{IP: netip.MustParseAddr("192.0.2.1"), Domain: tt.domain})
		if s.Lookups != tt.lookups || s.Voids != tt.voids || s.Complete != tt.complete {
			t.Errorf("%s: %s: %s", tt.why, tt.domain, indented(t, s))
		}
	}
	q := &counting{Resolver: world}
	c = spf.Checker{Resolver: q}
	if s := c.Survey(t.Context(), spf.Request{Domain: "w0.example"}); s.Complete || !s.Over() || q.n > 200 {
		t.Errorf("a wide tree: complete %v, %d look-ups, %d questions", s.Complete, s.Lookups, q.n)
	}
}

// A smarthost is reached by name.
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
		"TXT ip.example":        {"v=spf1 include:%{i}.x.example exists:%{i} -all"},
		"TXT ipr.example":       {"v=spf1 redirect=%{i}.x.example"},
		"TXT dead.example":      {"v=spf1 include:none.example include:spf.relay.example -all"},
		"TXT down.example":      {"fail"},
		"TXT incdown.example":   {"v=spf1 include:down.example include:spf.relay.example -all"},
		"TXT deep.example":      {"v=spf1 a a a a a a a a a a include:spf.relay.example -all"},
		"TXT wrong.example":     {"v=spf1 include:spf.relay.example ip5 -all"},
	}
	via, err := mail.ParseDomain("spf.relay.example")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		why, domain string
		result      spf.Result
		chain       string
	}{
		{"an include", "direct.example", spf.Pass, "direct.example>include:SPF.relay.example. SPF.relay.example>"},
		{"through another", "nested.example", spf.Pass,
			"nested.example>include:direct.example direct.example>include:SPF.relay.example. SPF.relay.example>"},
		{"a redirect", "redir.example", spf.Pass, "redir.example>redirect=spf.relay.example spf.relay.example>"},
		{"by a macro, and then a redirect", "macro.example", spf.Pass,
			"macro.example>include:spf.%{o} spf.macro.example>redirect=spf.relay.example spf.relay.example>"},
		{"the smarthost's own domain", "spf.relay.example", spf.Pass, "spf.relay.example>"},
		{"its addresses are not its name", "not.example", spf.Fail, "not.example>-all"},
		{"softfail", "soft.example", spf.SoftFail, "soft.example>~all"},
		{"nothing said", "open.example", spf.Neutral, "open.example>"},
		{"behind all nothing is reached", "late.example", spf.Fail, "late.example>-all"},
		{"forbidden by name", "neg.example", spf.Fail, "neg.example>-include:spf.relay.example spf.relay.example>"},
		{"a fail inside an include is no match", "inner.example", spf.Neutral, "inner.example>?all"},
		{"who knows what an address would be included by", "ip.example", spf.Fail, "ip.example>-all"},
		{"or redirected to", "ipr.example", spf.TempError, "ipr.example>redirect=%{i}.x.example"},
		{"a dead include before it", "dead.example", spf.PermError, "dead.example>include:none.example"},
		{"a dead server before it", "incdown.example", spf.TempError, "incdown.example>include:down.example"},
		{"the eleventh look-up", "deep.example", spf.PermError, "deep.example>include:spf.relay.example"},
		{"an error behind it", "wrong.example", spf.PermError, ""},
		{"no record", "none.example", spf.None, ""},
	}
	for _, tt := range tests {
		c := spf.Checker{Resolver: world}
		o := c.Reaches(t.Context(), spf.Request{Domain: tt.domain}, via)
		chain := ""
		for _, s := range o.Chain {
			chain += " " + s.Domain + ">" + s.Term
		}
		if o.Result != tt.result || chain != "" && chain[1:] != tt.chain || o.IP.IsValid() {
			t.Errorf("%s: %s: %s by%s (%v)", tt.why, tt.domain, o.Result, chain, o.Err)
		}
	}
}
