package dmarc_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reputed/policy/dmarc"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		text string
		want string // what it comes to, see show
		why  string
	}{
		{"v=DMARC1; p=none", "none", "the least"},
		{"v=DMARC1;p=reject;", "reject", "without spaces, and with a last semicolon"},
		{"v = DMARC1 ; p = quarantine ", "quarantine", "RFC 9989, section 4.8: equals and dmarc-sep have white space"},
		{"v=DMARC1; p=Reject; SP=None", "reject sp=none", "names and values have no case"},
		{"v=DMARC1; p=reject; sp=quarantine; np=reject", "reject sp=quarantine np=reject", "names below"},
		{"v=DMARC1; p=none; adkim=s; aspf=s", "none adkim=s aspf=s", "strict"},
		{"v=DMARC1; p=none; adkim=r; aspf=r; t=n; psd=u; fo=0; pct=100", "none", "the defaults"},
		{"v=DMARC1; p=reject; t=y", "reject t=y", "a test"},
		{"v=DMARC1; p=none; psd=y", "none psd=y", "a public suffix"},
		{"v=DMARC1; p=none; psd=n", "none psd=n", "an organization"},
		{"v=DMARC1; p=reject; pct=20", "reject pct=20", "RFC 7489"},
		{"v=DMARC1; p=none; rua=mailto:a@b.example", "none rua=b.example", "reports"},
		{"v=DMARC1; p=none; rua=mailto:a@b.example , mailto:c@d.example", "none rua=b.example,d.example", "to two"},
		{"v=DMARC1; p=none; rua=mailto:a%2Cb@c.example", "none rua=c.example", "a comma is encoded"},
		{"v=DMARC1; p=none; rua=mailto:a@c.example?subject=x", "none rua=c.example", "RFC 6068: with a field"},
		{"v=DMARC1; p=none; ruf=mailto:a@b.example; fo=1:d:s", "none ruf=b.example", "RFC 7489: more options"},

		{"v=DMARC1", "? ignored no-policy", "nothing is said"},
		{"v=DMARC1; sp=reject", "? sp=reject ignored no-policy", "only of names below"},
		{"v=DMARC1; rua=mailto:a@b.example", "? rua=b.example no-policy", "section 4.10.1: as p=none"},
		{"v=DMARC1; rua=mailto:", "? rua=! ignored bad-uri no-policy", "to nobody"},
		{"v=DMARC1; p=monitor", "? ignored bad-policy", "a word of other tools"},
		{"v=DMARC1; p=", "? ignored bad-policy", "an empty one"},
		{"v=DMARC1; p=reject; sp=all", "reject ignored bad-policy", "for names below"},
		{"v=DMARC1; p=reject; np=all; rua=mailto:a@b.example", "reject rua=b.example bad-policy", "as p=none"},
		{"v=DMARC1; rua=mailto:a@b.example; p=none", "none rua=b.example policy-later", "RFC 7489, section 6.3"},
		{"v=DMARC1; p=none; p=reject", "none twice", "which one"},
		{"v=DMARC1; p=none; adkim=strict", "none bad-value", "the default counts"},
		{"v=DMARC1; p=none; t=1; psd=x; fo=9; pct=200", "none bad-value bad-value bad-value bad-value", "likewise"},
		{"v=DMARC1; p=none; pct=x", "none bad-value", "no number"},
		{"v=DMARC1; p=none; pct=-1", "none bad-value", "a negative one"},
		{"v=DMARC1; p=none;; fo=1", "none empty-tag", "a semicolon too many"},
		{"v=DMARC1; p=none; rua", "none no-tag", "without a value"},
		{"v=DMARC1; p=none; rua=mailto:a@b.example; mailto:c@d.example", "none rua=b.example no-tag", "a semicolon for a comma"},
		{"v=DMARC1 p=none", "", "a space for the semicolon: another version"},
		{"v=DMARC1; p=none sp=none", "? ignored bad-policy", "a space for the semicolon"},
		{"v=DMARC1; p=none; rua=a@b.example", "none rua=! bad-uri", "without mailto:"},
		{"v=DMARC1; p=none; rua=mailto:a@b.example,c@d.example", "none rua=b.example,! bad-uri", "the second without"},
		{"v=DMARC1; p=none; rua=mailto:<a@b.example>", "none rua=! bad-uri", "in angle brackets"},
		{"v=DMARC1; p=none; rua=mailto:a", "none rua=! bad-uri", "without a host"},
		{"v=DMARC1; p=none; rua=mailto:a@b.example!10m", "none rua=b.example size-limit", "RFC 7489"},
		{"v=DMARC1; p=none; rua=https://b.example/x", "none rua=! odd-scheme", "not by mail"},
		{"v=DMARC1; p=none; ri=86400; rf=afrf", "none old-tag old-tag", "removed"},
		{"v=DMARC1; p=none; policy=reject", "none unknown-tag", "misspelt"},
		{"v=DMARC1; p=none; rua=mailto:\u00e4@b.example", "none rua=b.example odd-octets", "not ASCII"},

		{"", "", "nothing"},
		{"v=spf1 -all", "", "another record"},
		{"v=dmarc1; p=none", "", "the version has a case"},
		{"V=DMARC1; p=none", "", "its name, too: it is a tag of RFC 6376"},
		{"p=none; v=DMARC1", "", "it must be the first"},
		{`"v=DMARC1; p=none"`, "", "quotation marks were published with it"},
		{" v=DMARC1; p=none", "", "white space before it"},
		{"v=DMARC12; p=none", "", "another version"},
	} {
		r, err := dmarc.Parse(tt.text)
		if got := show(r); got != tt.want || errors.Is(err, dmarc.ErrNoRecord) != (tt.want == "") {
			t.Errorf("%s: %q: %s, %v; want %s", tt.why, tt.text, got, err, tt.want)
		}
	}
}

// show writes a record in one line: the policy, what is not by default, what is wrong with it.
func show(r *dmarc.Record) string {
	if r == nil {
		return ""
	}
	p := "?"
	if r.Policy != dmarc.Unset {
		p = string(r.Policy)
	}
	parts := []string{p}
	add := func(really bool, s string) {
		if really {
			parts = append(parts, s)
		}
	}
	hosts := func(uris []dmarc.URI) string {
		var all []string
		for _, u := range uris {
			if u.Err != nil {
				all = append(all, "!")
			} else {
				all = append(all, u.Host.String())
			}
		}
		return strings.Join(all, ",")
	}
	add(r.Subdomains != "", "sp="+string(r.Subdomains))
	add(r.Nonexistent != "", "np="+string(r.Nonexistent))
	add(r.StrictDKIM, "adkim=s")
	add(r.StrictSPF, "aspf=s")
	add(r.Testing, "t=y")
	add(r.Boundary != dmarc.Undetermined, "psd="+string(r.Boundary))
	add(r.Percent != 100, "pct=20")
	add(len(r.Aggregate) > 0, "rua="+hosts(r.Aggregate))
	add(len(r.Failure) > 0, "ruf="+hosts(r.Failure))
	add(r.Ignored(), "ignored")
	for _, d := range r.Deviations {
		parts = append(parts, string(d.What))
	}
	return strings.Join(parts, " ")
}

func TestApplied(t *testing.T) {
	for _, tt := range []struct {
		text          string
		own, sub, non dmarc.Policy
	}{
		{"v=DMARC1; p=reject", "reject", "reject", "reject"},
		{"v=DMARC1; p=reject; sp=none", "reject", "none", "none"},
		{"v=DMARC1; p=none; sp=none; np=reject", "none", "none", "reject"},
		{"v=DMARC1; p=none; np=reject", "none", "none", "reject"},
		{"v=DMARC1; p=reject; sp=x; rua=mailto:a@b.example", "none", "none", "none"},
		{"v=DMARC1; rua=mailto:a@b.example", "none", "none", "none"},
	} {
		r, err := dmarc.Parse(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		got := []dmarc.Policy{r.Applied(false, true), r.Applied(true, true), r.Applied(true, false)}
		if diff := cmp.Diff([]dmarc.Policy{tt.own, tt.sub, tt.non}, got); diff != "" {
			t.Errorf("%s: %s", tt.text, diff)
		}
	}
}

// What is to be pasted says what was meant, and has nothing to be said against it.
func TestEdit(t *testing.T) {
	for _, tt := range []struct {
		text string
		set  map[string]string
		want string
		why  string
	}{
		{"", nil, "v=DMARC1; p=none", "of nothing"},
		{"", map[string]string{"rua": "mailto:a@b.example"}, "v=DMARC1; p=none; rua=mailto:a@b.example", "the first one"},
		{"v=DMARC1; p=reject; fo=1", nil, "v=DMARC1; p=reject; fo=1", "nothing is lost"},
		{"v=DMARC1; fo=1; p=reject", nil, "v=DMARC1; p=reject; fo=1", "p= stands where all look for it"},
		{"v=DMARC1; rua=mailto:a@b.example", nil, "v=DMARC1; p=none; rua=mailto:a@b.example", "what it counts as"},
		{"v=DMARC1; p=all; sp=reject", nil, "v=DMARC1; p=none; sp=reject", "no policy"},
		{"v=DMARC1; p=none; pct=20", map[string]string{"pct": ""}, "v=DMARC1; p=none", "taken out"},
		{"v=DMARC1; p=none; ri=1; polcy=x; adkim=strict;;", nil, "v=DMARC1; p=none", "of no use"},
		{"v=DMARC1; p=none; p=reject", nil, "v=DMARC1; p=none", "the first"},
		{
			"v=DMARC1; p=none; rua=mailto:a@b.example!10m,c@d.example, mailto:e@f.example", nil,
			"v=DMARC1; p=none; rua=mailto:a@b.example,mailto:e@f.example", "addresses that are some",
		},
		{"v=DMARC1; p=none; rua=a@b.example", nil, "v=DMARC1; p=none", "none is left"},
	} {
		r, _ := dmarc.Parse(tt.text)
		got := r.Edit(tt.set)
		if got != tt.want {
			t.Errorf("%s: %q: %s", tt.why, tt.text, got)
		}
		if again, err := dmarc.Parse(got); err != nil || len(again.Deviations) > 0 {
			t.Errorf("%s: %q: %v, %+v", tt.why, got, err, again)
		}
	}
}

// FuzzParse reads any text, and what its mended form is.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"v=DMARC1; p=none", "v=DMARC1;p=reject;sp=quarantine;np=none;adkim=s;aspf=r;t=y;psd=n;fo=1:d:s;pct=50",
		"v=DMARC1; p=none; rua=mailto:a@b.example!10m,https://x.example/;; ruf=mailto:a%2Cb@c.example?x=y; zz",
		"v=DMARC1; p=none; rua=mailto:%zz@x,mailto:\"a b\"@[192.0.2.1]", "v=spf1 -all", "v=DMARC1" + strings.Repeat(";a=b", 99),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := dmarc.Parse(text)
		if (r == nil) != errors.Is(err, dmarc.ErrNoRecord) || (r == nil) != (err != nil) {
			t.Fatalf("%+v, %v", r, err)
		}
		if r == nil {
			return
		}
		for _, d := range r.Deviations {
			if text := d.Text(); text == "" || text == string(d.What) || len(text) > 500 {
				t.Fatalf("%+v: %q", d, text)
			}
		}
		mended := r.Edit(nil)
		again, err := dmarc.Parse(mended)
		if err != nil {
			t.Fatalf("%q: %v", mended, err)
		}
		for _, d := range again.Deviations {
			if d.What != dmarc.OddScheme { // nothing else can be done about it
				t.Fatalf("%q became %q: %s", text, mended, d.Text())
			}
		}
		if p := again.Applied(false, true); p.Weaker(r.Applied(false, true)) {
			t.Fatalf("%q became %q, which is weaker", text, mended)
		}
	})
}
