package mail_test

import (
	netmail "net/mail"
	"strings"
	"testing"

	"reputed/policy/mail"
)

// From fields on which readers disagree. Where one reader sees an address and another a different one, the field is not
// understood: what it says must not be vouched for.
func TestAmbiguousMailboxes(t *testing.T) {
	tests := []struct {
		in, want string // addresses with blanks between
		ok       bool
		why      string
	}{
		{"<a@evil.example,b@example.org>", "", false, "two addresses in one bracket"},
		{"a@evil.example@example.org", "", false, "two at signs"},
		{"<a@evil.example@example.org>", "", false, "two at signs in brackets"},
		{"<a;b@example.org>", "", false, "the end of a group in brackets"},
		{"<a:b@example.org>", "", false, "a colon without source route"},
		{"<a\\,b@example.org>", "", false, "a backslash outside quotes"},
		{"<[a]@example.org>", "", false, "brackets in a local part"},
		{`<"a@evil.example,b"@example.org>`, `"a@evil.example,b"@example.org`, true,
			"the same in quotes is a local part"},
		{"<@evil.example,@x.example:a@example.org>", "a@example.org", true,
			"a source route is ignored (RFC 5322, section 4.4)"},

		{"<a@example.org> b@evil.example", "a@example.org", false, "an address behind the brackets"},
		{"<a@example.org> trailing", "a@example.org", false, "a word behind the brackets"},
		{`<a@example.org> "b@evil.example"`, "a@example.org", false, "a quoted string behind the brackets"},
		{"Ann <a@example.org> (b@evil.example)", "a@example.org", true, "a comment behind the brackets"},
		{"Ann <a@example.org> \r\n\t", "a@example.org", true, "folds behind the brackets"},

		{"a@example.org, rubbish, b@example.net", "a@example.org b@example.net", false, "what is understood is kept"},
		{"a..b@example.org", `"a..b"@example.org`, true, "two dots: against the rule, and in use"},
		{"a.@example.org", `"a."@example.org`, true, "a final dot: against the rule, and in use"},
		{"a@example.org; b@example.net", "a@example.org b@example.net", true,
			"a semicolon for a comma, as address books write it"},
		{"=?utf-8?q?Ann=2C_b=40evil.example?= <a@example.org>", "a@example.org", true,
			"a comma in an encoded word is none"},
		{"=?utf-8?q?b=40evil.example?=", "", false, "an encoded word is no address"},
		{"\xff\xfe <a@example.org>", "a@example.org", true, "a name in another charset"},
	}
	for _, tt := range tests {
		found, ok := mail.ParseMailboxes([]byte(tt.in))
		var words []string
		for _, a := range found {
			words = append(words, a.String())
		}
		if got := strings.Join(words, " "); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %q gives %q, %v; want %q, %v", tt.why, tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

// What the standard library understands, we understand too, with the same domains. The one exception, on purpose:
// address literals, and what is no domain name by RFC 1035 or UTS 46, for no key can exist for them.
func FuzzMailboxesLikeStandardLibrary(f *testing.F) {
	for _, s := range []string{
		"Ann <a@example.org>", `a@b, "x, y" <c@d>`, "g: a@b, c@d;", "a@b (c)", "=?utf-8?q?x?= <a@b>", "g:;",
		`"a\"b" <"c d"@e>`,
		"Ann.B <a@b>", "a@b , c@d", "ü <ü@ü.example>", "g: x <a@b>;, c@d", `"(" <a@b>`, "a@b (c (d))", "<a@b>",
		"x y z <a@b>,",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		theirs, err := netmail.ParseAddressList(s)
		if err != nil {
			return
		}
		var want []string
		for _, a := range theirs {
			d, err := mail.ParseDomain(a.Address[strings.LastIndexByte(a.Address, '@')+1:])
			if err != nil {
				return
			}
			want = append(want, d.String())
		}
		found, ok := mail.ParseMailboxes([]byte(s))
		var got []string
		for _, a := range found {
			got = append(got, a.Domain.String())
		}
		if !ok || strings.Join(got, " ") != strings.Join(want, " ") {
			t.Fatalf("%q: we find %q (understood: %v), net/mail %q", s, got, ok, want)
		}
	})
}
