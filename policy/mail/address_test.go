package mail_test

import (
	netmail "net/mail"
	"strings"
	"testing"
	"time"

	"reputed/policy/mail"
)

func TestParsePath(t *testing.T) {
	tests := []struct {
		in, want string
		ok       bool
		why      string
	}{
		{"<a@example.org>", "a@example.org", true, "SMTP"},
		{"a@example.org", "a@example.org", true, "sendmail(1)"},
		{"<>", "", true, "the null sender"},
		{"", "", true, "the null sender of sendmail(1)"},
		{"<@x.example,@y.example:a@example.org>", "a@example.org", true, "a source route"},
		{`<"a b"@example.org>`, `"a b"@example.org`, true, "a quoted local part"},
		{`<"a\"@\\b"@example.org>`, `"a\"@\\b"@example.org`, true, "quotes and an at sign in it"},
		{"<ü@bücher.example>", "ü@xn--bcher-kva.example", true, "SMTPUTF8"},
		{"<A@EXAMPLE.org>", "A@example.org", true, "the local part keeps its case"},
		{"<a@[192.0.2.1]>", "", false, "an address literal has no domain"},
		{"<postmaster>", "", false, "no domain"},
		{"<@example.org>", "", false, "no local part"},
		{"<a b@example.org>", "", false, "a space"},
		{"<a@b@>", "", false, "no domain after the last at sign"},
		{`<"a@example.org>`, "", false, "an open quote"},
		{"<a\r\n@example.org>", "", false, "a line end"},
	}
	for _, tt := range tests {
		a, err := mail.ParsePath(tt.in)
		if a.String() != tt.want || (err == nil) != tt.ok {
			t.Errorf("%s: %q gives %q, %v", tt.why, tt.in, a, err)
		}
	}
}

func TestParseMailboxes(t *testing.T) {
	tests := []struct {
		in, want string // addresses with blanks between
		ok       bool
		why      string
	}{
		{" a@example.org", "a@example.org", true, "an address"},
		{" Ann <a@example.org>", "a@example.org", true, "a display name"},
		{` "Ann, of Org" <a@example.org>`, "a@example.org", true, "a comma in quotes"},
		{" =?utf-8?q?=3Cx=40evil.example=3E?= <a@example.org>", "a@example.org", true, "an encoded word is only a name"},
		{" a@example.org (x@evil.example)", "a@example.org", true, "a comment"},
		{" (one (two) \\) three) a@example.org", "a@example.org", true, "nested and escaped comments"},
		{" a @ example . org", "a@example.org", true, "white space around dots (obsolete)"},
		{" Ann\r\n\t<a@example.org>\r\n ", "a@example.org", true, "folds"},
		{" a@example.org, Bob <b@example.net>", "a@example.org b@example.net", true, "two authors"},
		{" friends: a@example.org, b@example.net;", "a@example.org b@example.net", true, "a group"},
		{" undisclosed-recipients:;", "", true, "an empty group"},
		{" , a@example.org,,", "a@example.org", true, "empty entries (obsolete)"},
		{` "a@evil.example" <a@example.org>`, "a@example.org", true, "an address for a name, quoted"},
		{" a@evil.example <a@example.org>", "a@example.org", true, "an address for a name, not quoted: the brackets count"},
		{` "a b"@example.org`, `"a b"@example.org`, true, "a quoted local part"},
		{" <@x.example:a@example.org>", "a@example.org", true, "a source route"},
		{" ann@bücher.example", "ann@xn--bcher-kva.example", true, "U-labels"},
		{" a@еxample.org", "a@xn--xample-2of.org", true, "a Cyrillic look-alike is another domain"},
		{" <a@example.org> <b@example.net>", "a@example.org", false, "two brackets in one entry"},
		{" Ann", "", false, "no address"},
		{" <>", "", false, "empty brackets"},
		{" a@example.org b@example.net", "", false, "two addresses without a comma"},
		{" <a@example.org", "a@example.org", false, "an open bracket"},
		{` "a@example.org`, "", false, "an open quote"},
		{" a@example.org (open", "a@example.org", false, "an open comment"},
		{" a@[192.0.2.1]", "", false, "an address literal"},
		{" a@example.org\x00", "", false, "NUL"},
		{" a@exam\rple.org", "", false, "a lone CR"},
		{"", "", true, "nothing"},
	}
	for _, tt := range tests {
		found, ok := mail.ParseMailboxes([]byte(tt.in))
		var words []string
		for _, a := range found {
			words = append(words, a.String())
		}
		if got := strings.Join(words, " "); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %q gives %q, %v", tt.why, tt.in, got, ok)
		}
	}
}

// Time grows with the length of the field, not faster: a message must not be able to stop us.
func TestMailboxesAreLinear(t *testing.T) {
	for _, s := range []string{"(", "((", ")", "<", "\"", ",", ":", "a@b,", " .", "\\", "[", "a ", "\"\" ", "a.b@c <"} {
		start := time.Now()
		mail.ParseMailboxes([]byte(strings.Repeat(s, 100_000)))
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%q repeated takes %v", s, took)
		}
	}
}

func TestAuthor(t *testing.T) {
	var h mail.Header
	h.Add([]byte("FROM"), []byte(" a@example.org, b@example.org, a@example.org"))
	h.Add([]byte("Subject"), []byte(" From: x@evil.example"))
	h.Add([]byte("From "), []byte(" c@example.net, rubbish"))
	a := h.ReadAuthor()
	if a.Fields != 2 || !a.Broken || len(a.Addresses) != 3 || len(a.Domains()) != 2 {
		t.Errorf("%+v", a)
	}
	h.Reset()
	h.Add([]byte("From"), []byte(strings.Repeat("a@example.org,", 10)+manyAuthors(100)))
	if a = h.ReadAuthor(); !a.Broken || len(a.Addresses) != 32 {
		t.Errorf("%d addresses kept, broken %v", len(a.Addresses), a.Broken)
	}
}

func manyAuthors(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("a@d" + strings.Repeat("x", i) + ".example,")
	}
	return b.String()
}

// Where the standard library understands a From field, so do we, and find the same domains. It is the stricter reader;
// what it takes and we do not is written down here.
func FuzzMailboxes(f *testing.F) {
	for _, s := range []string{"Ann <a@example.org>", "a@b, \"x, y\" <c@d>", "g: a@b, c@d;", "(c) a@b", "=?utf-8?q?x?= <a@b>", "a . b @ c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		found, ok := mail.ParseMailboxes([]byte(s))
		for _, a := range found {
			if a.Domain.IsZero() {
				t.Fatalf("%q: an address without domain", s)
			}
		}
		theirs, err := netmail.ParseAddressList(s)
		if err != nil || !ok {
			return
		}
		var domains []string
		for _, a := range theirs {
			d, err := mail.ParseDomain(a.Address[strings.LastIndexByte(a.Address, '@')+1:])
			if err != nil {
				return // it takes address literals, and names that are no domains
			}
			domains = append(domains, d.String())
		}
		if len(domains) != len(found) {
			t.Fatalf("%q: we find %v, net/mail %v", s, found, domains)
		}
		for i := range domains {
			if domains[i] != found[i].Domain.String() {
				t.Fatalf("%q: we find %v, net/mail %v", s, found, domains)
			}
		}
	})
}

// A path that is taken is taken again in the form we write it.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"<a@example.org>", `"a b"@c`, "<@x:a@b>", "", "<>", `<"\""@b>`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := mail.ParsePath(s)
		if err != nil {
			return
		}
		again, err := mail.ParsePath("<" + a.String() + ">")
		if err != nil || again != a {
			t.Fatalf("%q: %#v is written %q and read %#v, %v", s, a, a.String(), again, err)
		}
	})
}
