package spf

import (
	"net/netip"
	"strings"
	"testing"
)

// fixed are values for macros.
type fixed struct{}

func (fixed) value(letter byte) string { return "Strong-Bad.x@example." + string(letter) }

// Any text: what is accepted expands without a panic, and a name never gets too long to be asked for by labels alone.
func FuzzMacro(f *testing.F) {
	for _, s := range []string{"%{ir}.%{v}._spf.%{d2}", "%{L1r-+}.x", "%%%_%-.example", "%{s99999999999}", "%{l0}",
		"%", "%{", "a.%{D}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, explanation := range []bool{false, true} {
			m, err := parseMacros(text, explanation)
			if err != nil {
				continue
			}
			name := m.expand(fixed{})
			if !strings.Contains(text, "%") && name != text {
				t.Fatalf("%q became %q", text, name)
			}
			if short := truncate(name); len(short) > maxName && strings.Contains(short, ".") {
				t.Fatalf("%q is still of %d octets", text, len(short))
			}
		}
	})
}

// RFC 7208, section 7.4 and others of its examples.
func TestExpand(t *testing.T) {
	e := &evaluation{ip: netip.MustParseAddr("192.0.2.3"), local: "strong-bad", sender: "email.example.com",
		domain: "email.example.com", helo: "h.example"}
	six := *e
	six.ip = netip.MustParseAddr("2001:db8::cb01")
	tests := map[string]string{
		"%{s}": "strong-bad@email.example.com", "%{o}": "email.example.com", "%{d}": "email.example.com",
		"%{d4}": "email.example.com",
		"%{d3}": "email.example.com", "%{d2}": "example.com", "%{d1}": "com", "%{dr}": "com.example.email",
		"%{d2r}": "example.email",
		"%{l}":   "strong-bad", "%{l-}": "strong.bad", "%{lr}": "strong-bad", "%{lr-}": "bad.strong",
		"%{l1r-}":               "strong",
		"%{ir}.%{v}._spf.%{d2}": "3.2.0.192.in-addr._spf.example.com",
		"%{lr-}.lp._spf.%{d2}":  "bad.strong.lp._spf.example.com",
		"%{H}.%{S}":             "h.example.strong-bad%40email.example.com",
	}
	for text, want := range tests {
		m, err := parseMacros(text, false)
		if err != nil || m.expand(e) != want {
			t.Errorf("%s: %q, want %q (%v)", text, m.expand(e), want, err)
		}
	}
	const nibbles = "1.0.B.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6"
	m, _ := parseMacros("%{ir}.%{v}._spf.%{d2}", false)
	if got := m.expand(&six); got != nibbles+"._spf.example.com" {
		t.Error(got)
	}
	if got := reverseName(e.ip); got != "3.2.0.192.in-addr.arpa" {
		t.Error(got)
	}
	if got := reverseName(six.ip); got != nibbles+".arpa" {
		t.Error(got)
	}
}
