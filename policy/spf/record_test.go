package spf_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reputed/policy/spf"
)

// Records that operators write, and what is wrong with them.
func TestParse(t *testing.T) {
	tests := map[string]string{ // "" is right
		"v=spf1":           "",
		"V=SPF1 MX A -ALL": "",
		"v=spf1  a   mx ":  "",
		"v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 a:mail.example.org/28//64 a//64 ?all": "",
		"v=spf1 exists:%{ir}.%{l1r-}.example.org redirect=%{d2}.example.org":             "",
		"v=spf1 unknown=%{d} moo.cow-1_=x -all":                                          "",
		"v=spf10 -all":                                                                   "does not begin with v=spf1",
		"v=spf1 +a:example.org/33":                                                       "prefix length",
		"v=spf1 a/08":                                                                    "prefix length",
		"v=spf1 ip4:192.0.2.256":                                                         "no such address",
		"v=spf1 ip4:2001:db8::1":                                                         "no such address",
		"v=spf1 ip4:192.0.2":                                                             "no such address",
		"v=spf1 ip4":                                                                     "needs an address",
		"v=spf1 all:x":                                                                   "takes no argument",
		"v=spf1 include":                                                                 "needs a domain",
		"v=spf1 include:":                                                                "needs a domain",
		"v=spf1 include:example.org/24":                                                  "no domain",
		"v=spf1 a:example":                                                               "no domain",
		"v=spf1 a:192.0.2.1":                                                             "no domain",
		"v=spf1 ipv4:192.0.2.1":                                                          "no such mechanism",
		"v=spf1 -all;":                                                                   "no such mechanism",
		"v=spf1 mx,a":                                                                    "no such mechanism",
		"v=spf1 exists:%{x}.example.org":                                                 "no macro",
		"v=spf1 exists:%{d0}.example.org":                                                "no macro",
		"v=spf1 exists:%d.example.org":                                                   "no macro",
		"v=spf1 exists:%{d.example.org":                                                  "without end",
		"v=spf1 redirect=a.example redirect=b.example":                                   "twice",
		"v=spf1 exp=":                                                                    "needs a domain",
		"v=spf1 \u200bmx -all":                                                           "no visible ASCII",
	}
	for text, want := range tests {
		_, err := spf.Parse(text)
		if (err == nil) != (want == "") || err != nil && (!errors.Is(err, spf.ErrSyntax) ||
			!strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// What is read is written in a form that is read the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"v=spf1 mx a -all", "v=spf1 a:b.example/24//64 ip4:192.0.2.0/28 ip6:2001:db8::/32 ptr ?all", "v=spf1 a//0 mx/0",
		"V=SPF1 +exists:%{ir}.%{L1r-}.b.example x=%{d} exp=%%%_%-%{o} redirect=b.example",
		"v=spf1 ip6:::ffff:192.0.2.1/120",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := spf.Parse(text)
		if err != nil {
			if !errors.Is(err, spf.ErrSyntax) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		var terms []string
		for _, m := range r.Mechanisms {
			terms = append(terms, m.String())
		}
		again, err := spf.Parse("v=spf1 " + strings.Join(terms, " "))
		if err != nil {
			t.Fatalf("%q: written as %q: %v", text, terms, err)
		}
		for i := range again.Mechanisms {
			a, b := r.Mechanisms[i], again.Mechanisms[i]
			a.Text, b.Text = "", ""
			if a.String() != b.String() || a.Kind != b.Kind || a.Qualifier != b.Qualifier || a.Prefix != b.Prefix ||
				a.Bits4 != b.Bits4 || a.Bits6 != b.Bits6 {
				t.Fatalf("%q: %s", text, cmp.Diff(a.String(), b.String()))
			}
		}
	})
}
