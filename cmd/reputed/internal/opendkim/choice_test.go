package opendkim

import (
	"fmt"
	"strings"
	"testing"

	"reputed/policy/mail"
)

// Patterns have one special character, the star, which stands for any text; opendkim(8), data sets.
func TestGlob(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{"*", "", true},
		{"*@example.org", "ann@example.org", true},
		{"*@example.org", "ann@sub.example.org", false},
		{"*@*.example.org", "ann@a.b.example.org", true},
		{"*@*.example.org", "ann@example.org", false},
		{"ann", "ann", true},
		{"ann", "anna", false},
		{"a*a", "a", false}, // the two ends do not overlap
		{"a*b*c", "axbxbxc", true},
		{"a*b*c", "axxc", false},
		{"a.b", "axb", false},
		{"a**b", "ab", true},
	} {
		if got := glob(tt.pattern, tt.text); got != tt.want {
			t.Errorf("glob(%q, %q) = %t", tt.pattern, tt.text, got)
		}
	}
}

// The lines that count, by their numbers: opendkim.conf(5), SigningTable.
func TestMatches(t *testing.T) {
	names := "ann@a.example.org\na.example.org\nann@.a.example.org\nann@.example.org\n.example.org\n" +
		"ann@*\n*\n*@literal.example"
	patterns := "*@a.example.org\n*@*.example.org\nann@*\n*x*@b.example\n*"
	tests := []struct {
		kind     kind
		table    string
		address  string
		multiple bool
		want     string
	}{
		{file, names, "ann@a.example.org", false, "[0]"},
		{file, names, "ANN@A.Example.ORG", false, "[0]"},
		{file, names, "bob@a.example.org", false, "[1]"},
		{file, names, "ann@b.a.example.org", false, "[2]"},
		{file, names, "ann@b.example.org", false, "[3]"},
		{file, names, "bob@b.a.example.org", false, "[4]"},
		{file, names, "ann@example.org", false, "[5]"},
		{file, names, "bob@literal.example", false, "[6]"},
		{file, names, "ann@a.example.org", true, "[0 1 3 4 5 6]"},
		{refile, patterns, "ann@a.example.org", false, "[0]"},
		{refile, patterns, "ann@a.example.org", true, "[0 1 2 4]"},
		{refile, patterns, "axb@b.example", false, "[3]"},
		{refile, patterns, "bob@b.example", false, "[4]"},
	}
	for _, tt := range tests {
		set := dataset{kind: tt.kind, items: parseLines("table", strings.ReplaceAll(tt.table, "\n", " key\n"))}
		set.index()
		a, err := mail.ParsePath(tt.address)
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(newSigningTable(setting{}, set).matches(a, tt.multiple))
		if got != tt.want {
			t.Errorf("%s, several %t: lines %s, want %s", tt.address, tt.multiple, got, tt.want)
		}
	}
}

// A table of many domains, each with a key of its own, is read and looked up without going through it for each.
func TestLargeTable(t *testing.T) {
	const domains = 5_000
	var lines, keys strings.Builder
	for i := range domains {
		fmt.Fprintf(&lines, "*@d%d.example %%\n", i)
		fmt.Fprintf(&keys, "d%d.example %%:s:/etc/none.pem\n", i)
	}
	root := mapFS(map[string]string{"etc/st": lines.String(), "etc/kt": keys.String()})
	o, err := importText("KeyTable file:/etc/kt\nSigningTable refile:/etc/st", root)
	if err != nil {
		t.Fatal(err)
	}
	if len(o.Config.Domains) != domains || len(o.Keys) != domains {
		t.Errorf("%d domains, %d keys", len(o.Config.Domains), len(o.Keys))
	}
}
