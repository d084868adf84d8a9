package bridge

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"reputed/milter/wire"
)

// Kind is what a filter answers.
type Kind uint8

const (
	None     Kind = iota // not asked
	Continue             // go on
	Accept               // take the message, ask no more about it
	Discard              // take it, and drop it
	Reject               // refuse it, with the MTA's own words
	Tempfail             // refuse it for now, with the MTA's own words
	Custom               // refuse it with the filter's words: Reply.Code, Enhanced and Text
	Skip                 // no more of this kind
	Shutdown             // refuse the client
)

var kinds = [...]string{"none", "continue", "accept", "discard", "reject", "tempfail", "reply", "skip", "shutdown"}

func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k]
	}
	return strconv.Itoa(int(k))
}

// Reply is a filter's answer.
type Reply struct {
	Kind     Kind
	Code     int      // of Custom: 4xx or 5xx
	Enhanced string   // of Custom: "5.7.1" (RFC 3463), "" when the filter gives none
	Text     []string // of Custom: the lines, without codes; not escaped
}

// Final tells that the filter wants to see no more of the message. At RCPT a refusal is final for the recipient only.
func (r Reply) Final() bool { return r.Kind >= Accept && r.Kind != Skip }

// Refused tells that the message, or the recipient, was refused.
func (r Reply) Refused() bool {
	return r.Kind == Reject || r.Kind == Tempfail || r.Kind == Custom || r.Kind == Shutdown
}

// String gives the answer as an SMTP client would see it, in one line, or the word for its kind.
func (r Reply) String() string {
	if r.Kind != Custom {
		return r.Kind.String()
	}
	s := strconv.Itoa(r.Code)
	if r.Enhanced != "" {
		s += " " + r.Enhanced
	}
	return s + " " + strings.Join(r.Text, " ")
}

// words are the answers that are a code and nothing else.
var words = map[byte]Kind{
	wire.ReplyContinue: Continue,
	wire.ReplyAccept:   Accept,
	wire.ReplyDiscard:  Discard,
	wire.ReplyReject:   Reject,
	wire.ReplyTempfail: Tempfail,
	wire.ReplySkip:     Skip,
	wire.ReplyShutdown: Shutdown,
	wire.ReplyConnFail: Shutdown,
}

func parseReply(code byte, data []byte) (Reply, error) {
	if code == wire.ReplyCode {
		return parseCustom(strings.TrimSuffix(string(data), "\x00"))
	}
	kind, ok := words[code]
	if !ok {
		return Reply{}, fmt.Errorf("%w: unknown answer %q", wire.ErrPacket, code)
	}
	if len(data) > 0 {
		return Reply{}, fmt.Errorf("%w: answer %q with %d octets behind it", wire.ErrPacket, code, len(data))
	}
	return Reply{Kind: kind}, nil
}

// replyLine is a line of a reply: code, separator, perhaps an enhanced code, text.
var replyLine = regexp.MustCompile(`^([45][0-9]{2})([ -])(?:([45]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$))?(.*)$`)

// parseCustom reads a reply as Postfix does: a digit after the code must be the code's first, and percent signs stand
// double, for Sendmail takes the text for a format. What would break the SMTP dialogue is refused besides (RFC 5321,
// section 4.2.1): lines with different codes, and a last line that says that more follow.
func parseCustom(text string) (Reply, error) {
	r := Reply{Kind: Custom}
	lines := strings.Split(text, "\r\n")
	for i, line := range lines {
		m := replyLine.FindStringSubmatch(line)
		if m == nil || (m[2] == "-") != (i < len(lines)-1) || strings.ContainsAny(line, "\r\n\x00") {
			return Reply{}, fmt.Errorf("%w: reply line %q", wire.ErrPacket, line)
		}
		if c := line[4:]; c != "" && '0' <= c[0] && c[0] <= '9' && c[0] != line[0] {
			return Reply{}, fmt.Errorf("%w: reply line %q: the codes disagree", wire.ErrPacket, line)
		}
		code, _ := strconv.Atoi(m[1])
		if i > 0 && (code != r.Code || m[3] != r.Enhanced) {
			return Reply{}, fmt.Errorf("%w: reply line %q: other codes than on the first line", wire.ErrPacket, line)
		}
		r.Code, r.Enhanced = code, m[3]
		r.Text = append(r.Text, unpercent(m[4]))
	}
	return r, nil
}

// unpercent makes one percent sign of two, and drops single ones.
func unpercent(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			if i++; i == len(s) {
				break
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
