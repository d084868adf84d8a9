package exim

import (
	"fmt"
	"strings"

	"reputed/policy"
)

// What is answered when nothing is refused.
const (
	ours    = "OK ours"
	other   = "OK other"
	unasked = "OK unasked"
	hold    = "HOLD ours"
)

// mustWait is told in place of a selector, and is none (RFC 6376, section 3.1).
const mustWait = "!"

// maxReply keeps the reply of an SMTP server below the 512 octets of RFC 5321, section 4.5.3.1.5.
const maxReply = 480

// reply writes a refusal on one line: printable US-ASCII, and nothing that Exim would expand where somebody has it
// expanded a second time.
func reply(r policy.Reply) string {
	text := strings.Map(func(c rune) rune {
		switch {
		case c == '\n':
			return ' '
		case c < ' ', c > '~', c == '$', c == '\\':
			return '?'
		}
		return c
	}, fmt.Sprintf("%d %s %s", r.Code, r.Enhanced, r.Text))
	return text[:min(len(text), maxReply)]
}
