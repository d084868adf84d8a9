package milter

import (
	"regexp"
	"strings"
	"testing"

	"reputed/policy"
)

// replyLine is a line of a reply as the milter protocol wants it: RFC 5321, section 4.2, with percent signs doubled.
var replyLine = regexp.MustCompile(`^550[ -]5\.7\.1 ([ -$&-~]|%%)*$`)

// What strangers wrote may be in a reply. Neither does it end the line, nor is it expanded, nor does a terminal obey it.
func TestReplyText(t *testing.T) {
	long := strings.Repeat("x", maxReplyLine)
	for text, want := range map[string]string{
		"no":                        "550 5.7.1 no",
		"":                          "550 5.7.1 ",
		"two\nlines":                "550-5.7.1 two\r\n550 5.7.1 lines",
		"a\r\n250 2.0.0 OK":         "550-5.7.1 a?\r\n550 5.7.1 250 2.0.0 OK", // in the code of the refusal
		"100% {a} %s %%":            "550 5.7.1 100%% {a} %%s %%%%",
		"NUL \x00, ESC \x1b[2J, ü":  "550 5.7.1 NUL ?, ESC ?[2J, ?",
		"\x7f\u009b\u202e\xff":      "550 5.7.1 ????",
		long + " " + long:           "550-5.7.1 " + long + "\r\n550 5.7.1 " + long,
		strings.Repeat("%", 2) + "": "550 5.7.1 %%%%",
	} {
		if got := replyText(policy.Reply{Code: 550, Enhanced: "5.7.1", Text: text}); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func FuzzReplyText(f *testing.F) {
	for _, s := range []string{"no", "a\r\nb", "%s", "\x00\x1b\xff", strings.Repeat("a b%", 300), strings.Repeat("%", 900)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Split(replyText(policy.Reply{Code: 550, Enhanced: "5.7.1", Text: text}), "\r\n")
		for i, line := range lines {
			if !replyLine.MatchString(line) || (line[3] == ' ') != (i == len(lines)-1) {
				t.Fatalf("%q gives %q", text, lines)
			}
			if n := len(strings.ReplaceAll(line, "%%", "%")); n > 510 { // RFC 5321, section 4.5.3.1.5, less the line end
				t.Fatalf("%q gives a line of %d octets", text, n)
			}
		}
	})
}
