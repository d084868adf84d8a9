package mail_test

import (
	"errors"
	"strings"
	"testing"

	"reputed/policy/mail"
)

func domain(t testing.TB, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestParseDomain(t *testing.T) {
	label63, label64 := strings.Repeat("a", 63), strings.Repeat("a", 64)
	longest := strings.Repeat(label63+".", 3) + strings.Repeat("b", 61)
	tests := []struct {
		in, want string // "" is an error
		why      string
	}{
		{"example.org", "example.org", "as it is"},
		{"Example.ORG.", "example.org", "any case, final dot"},
		{"bücher.example", "xn--bcher-kva.example", "U-labels"},
		{"BÜCHER.example", "xn--bcher-kva.example", "U-labels in capitals"},
		{"XN--BCHER-KVA.example", "xn--bcher-kva.example", "A-labels in capitals"},
		{"faß.example", "xn--fa-hia.example", "UTS 46, non-transitional"},
		{"例え.テスト", "xn--r8jz45g.xn--zckzah", "a name without any ASCII"},
		{"例え。テスト", "xn--r8jz45g.xn--zckzah", "an ideographic full stop separates labels"},
		{"s1._domainkey.example.org", "s1._domainkey.example.org", "underscores, as in the DNS"},
		{"r3---sn-x.example", "r3---sn-x.example", "hyphens where registrars do not allow them"},
		{"localhost", "localhost", "one label"},
		{longest, longest, "253 octets"},
		{longest + "b", "", "254 octets"},
		{label63 + ".example", label63 + ".example", "a label of 63"},
		{label64 + ".example", "", "a label of 64"},
		{"", "", "empty"},
		{".", "", "the root"},
		{".example", "", "an empty label at the front"},
		{"a..example", "", "an empty label within"},
		{"example..", "", "two dots at the end"},
		{"[192.0.2.1]", "", "an address literal"},
		{"exa mple", "", "a space"},
		{"example.org\r\nX: y", "", "a line end"},
		{"a\x00b", "", "NUL"},
		{"xn--a", "xn--a", "what stands in the DNS is not decoded"},
		{"\xff.example", "", "not UTF-8"},
		{strings.Repeat("ü", 5000), "", "endless"},
	}
	for _, tt := range tests {
		d, err := mail.ParseDomain(tt.in)
		if d.String() != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: %.40q gives %q, %v", tt.why, tt.in, d, err)
		}
		if err != nil && !errors.Is(err, mail.ErrDomain) {
			t.Errorf("%s: error %v", tt.why, err)
		}
	}
	if got := domain(t, "xn--bcher-kva.example").Unicode(); got != "bücher.example" {
		t.Errorf("for people: %s", got)
	}
}

func TestWithin(t *testing.T) {
	tests := []struct {
		d, parent string
		want      bool
	}{
		{"example.org", "example.org", true},
		{"a.example.org", "example.org", true},
		{"notexample.org", "example.org", false},
		{"org", "example.org", false},
		{"example.org", "org", true},
	}
	for _, tt := range tests {
		if got := domain(t, tt.d).Within(domain(t, tt.parent)); got != tt.want {
			t.Errorf("%s within %s: %v", tt.d, tt.parent, got)
		}
	}
	if (mail.Domain{}).Within(mail.Domain{}) || domain(t, "a").Within(mail.Domain{}) {
		t.Error("something is within no domain")
	}
	if p := domain(t, "a.example.org").Parent(); p != domain(t, "example.org") || !domain(t, "org").Parent().IsZero() {
		t.Errorf("parent %s", p)
	}
}

func TestDomainText(t *testing.T) {
	var d mail.Domain
	if err := d.UnmarshalText([]byte("Bücher.example")); err != nil || d != domain(t, "xn--bcher-kva.example") {
		t.Errorf("%s, %v", d, err)
	}
	if text, err := d.MarshalText(); err != nil || string(text) != "xn--bcher-kva.example" {
		t.Errorf("%s, %v", text, err)
	}
	if err := d.UnmarshalText(nil); err != nil || !d.IsZero() {
		t.Errorf("the empty text: %s, %v", d, err)
	}
	if err := d.UnmarshalText([]byte("a b")); err == nil {
		t.Error("a space was taken")
	}
}

// What is parsed is canonical: parsing it again changes nothing, and it holds only what may stand in the DNS.
func FuzzDomain(f *testing.F) {
	for _, s := range []string{"example.org", "Bücher.Example.", "xn--bcher-kva.example", "a..b", "例え。テスト", "_x.y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := mail.ParseDomain(s)
		if err != nil {
			if !d.IsZero() {
				t.Fatalf("%q: an error and %q", s, d)
			}
			return
		}
		again, err := mail.ParseDomain(d.String())
		if err != nil || again != d {
			t.Fatalf("%q: %q, then %q, %v", s, d, again, err)
		}
		if strings.Trim(d.String(), "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" || len(d.String()) > 253 {
			t.Fatalf("%q: %q is not canonical", s, d)
		}
		if p := d.Parent(); !d.Within(d) || !p.IsZero() && !d.Within(p) {
			t.Fatalf("%q is not within itself or its parent %q", d, p)
		}
	})
}
