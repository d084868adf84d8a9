package config

import (
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// checkShape holds the index against what the TOML library read: every table, key and element must be in it.
func checkShape(t *testing.T, at *node, value any) {
	t.Helper()
	switch value := value.(type) {
	case map[string]any:
		if len(at.kids) != len(value) {
			t.Fatalf("line %d: %d keys of %d", at.line, len(at.kids), len(value))
		}
		for key, v := range value {
			kid := at.kids[key]
			if kid == nil {
				t.Fatalf("line %d: no key %q", at.line, key)
			}
			checkShape(t, kid, v)
		}
	case []map[string]any:
		elements := make([]any, len(value))
		for i, v := range value {
			elements[i] = v
		}
		checkShape(t, at, elements)
	case []any:
		if len(at.items) != len(value) {
			t.Fatalf("line %d: %d elements of %d", at.line, len(at.items), len(value))
		}
		for i, v := range value {
			checkShape(t, at.items[i], v)
		}
	}
}

const awkward = `a = 1 # a = 2
'b' = "x # \" = [ \\" # a comment
"c\u0064" = '''
d = 3
'''''
e.f . "g h" = """\
 [z]
 \""" k = 1
""""

[ m . 'n' ]
list = [ "a", # one
  ['b', { c = 1, d.e = [2] }],
  2000-01-01 00:00:00Z, -1.5e3 ] # three
[[t]]
k = {}
[[t]]
k = []
[t.sub]
k = true
[[t.more]]
k = 1
[[t.more]]
k = 2
[last]`

func TestIndex(t *testing.T) {
	var values map[string]any
	if err := toml.Unmarshal([]byte(awkward), &values); err != nil {
		t.Fatal(err)
	}
	root, twice := index(awkward)
	if len(twice) > 0 {
		t.Errorf("%+v is not there twice", twice)
	}
	checkShape(t, root, values)
	lines := strings.Split(awkward, "\n")
	tests := []struct {
		at    *node
		begin string // how the line begins
	}{
		{root.kid("a"), "a ="},
		{root.kid("b"), "'b'"},
		{root.kid("cd"), `"c`},
		{root.kid("e").kid("f").kid("g h"), "e.f"},
		{root.kid("m"), "[ m"},
		{root.kid("m").kid("n").kid("list"), "list"},
		{root.kid("m").kid("n").kid("list").item(0), "list"},
		{root.kid("m").kid("n").kid("list").item(1).item(1).kid("d").kid("e").item(0), "  ['b'"},
		{root.kid("m").kid("n").kid("list").item(3), "  2000"},
		{root.kid("t").item(1).kid("k"), "k = []"},
		{root.kid("t").item(1).kid("sub").kid("k"), "k = true"},
		{root.kid("t").item(1).kid("more").item(0).kid("k"), "k = 1"},
		{root.kid("t").item(1).kid("more").item(1).kid("k"), "k = 2"},
		{root.kid("last"), "[last]"},
		{root.kid("nothing"), "a ="},
		{root.kid("m").kid("nothing"), "[ m"},
	}
	for _, tt := range tests {
		if got := lines[tt.at.line-1]; !strings.HasPrefix(got, tt.begin) {
			t.Errorf("line %d is %q, want %q", tt.at.line, got, tt.begin)
		}
	}
}

// The index has the shape of every valid text, and ends on any other.
func FuzzIndex(f *testing.F) {
	f.Add(awkward)
	f.Add("[a.b]\nc=1\n[a]\nd=2\n[[x]]\n[x.y]\nz=[[],[[1]]]")
	f.Add("a = { b = 1,\n c = 2 }\r\n'' = ''\n")
	f.Add("\"\\x61\\e\" = \"\"\"\"\"\"\nx=''''''")
	f.Add("[[[[")
	f.Add("\xff\xfe")
	f.Add("a.b=1\na=2\n")
	f.Fuzz(func(t *testing.T, text string) {
		root, twice := index(text)
		var values map[string]any
		if toml.Unmarshal([]byte(text), &values) == nil && len(twice) == 0 && !strings.Contains(text, `\`) {
			checkShape(t, root, values)
		}
	})
}

func TestNearest(t *testing.T) {
	words := []string{"listen", "on_error", "socket_mode", "rsa"}
	for s, want := range map[string]string{
		"lisen": "listen", "LISTEN": "listen", "litsen": "listen", "listens": "listen", "onerror": "on_error",
		"socketmode": "socket_mode", "rs": "rsa", "port": "", "": "", "colour": "",
	} {
		if got := nearest(s, words); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}
