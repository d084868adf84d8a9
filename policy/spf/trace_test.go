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
	// Whose address is not known may have one of IPv6, to which all hosts of the mx are void.
	if s := c.Survey(t.Context(), spf.Request{Domain: "mxs.example"}); s.Voids != 3 {
		t.Errorf("of an address that is not known: %s", indented(t, s))
	}
	q.n = 0
	if s := c.Survey(t.Context(), spf.Request{IP: netip.MustParseAddr("192.0.2.1"), Domain: "w0.example"}); s.Complete ||
		!s.Over() || q.n > 200 {
		t.Errorf("a wide tree: complete %v, %d look-ups, %d questions", s.Complete, s.Lookups, q.n)
	}
}
