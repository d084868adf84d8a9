package milter

import (
	"strconv"
	"strings"

	"reputed/milter/wire"
	"reputed/policy"
)

// reply is an answer to one command of the MTA.
type reply struct {
	code byte
	data []byte
}

var (
	proceed = reply{code: wire.ReplyContinue}
	accept  = reply{code: wire.ReplyAccept}
)

// refusal gives the answer that makes the MTA pass our reply on to its client.
func refusal(r policy.Reply) reply {
	return reply{code: wire.ReplyCode, data: append([]byte(replyText(r)), 0)}
}

// maxReplyLine keeps a line, with its codes, below the 512 octets of RFC 5321, section 4.5.3.1.5.
const maxReplyLine = 400

// replyText writes a reply as the milter protocol wants it: each line with its codes, CRLF between lines, percent signs
// doubled because the MTA expands them, and nothing but printable US-ASCII.
func replyText(r policy.Reply) string {
	var lines []string
	for line := range strings.SplitSeq(r.Text, "\n") {
		lines = append(lines, foldReply(printable(line))...)
	}
	var b strings.Builder
	for i, line := range lines {
		sep := byte('-')
		if i == len(lines)-1 {
			sep = ' '
		}
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(strconv.Itoa(r.Code))
		b.WriteByte(sep)
		b.WriteString(r.Enhanced)
		b.WriteByte(' ')
		b.WriteString(strings.ReplaceAll(line, "%", "%%"))
	}
	return b.String()
}

// printable replaces what an SMTP reply must not hold (RFC 5321, section 4.2).
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, s)
}

// foldReply breaks a long line at spaces, or anywhere when there are none.
func foldReply(s string) []string {
	var lines []string
	for len(s) > maxReplyLine {
		cut := strings.LastIndexByte(s[:maxReplyLine], ' ')
		if cut <= 0 {
			cut = maxReplyLine
		}
		lines = append(lines, s[:cut])
		s = strings.TrimLeft(s[cut:], " ")
	}
	return append(lines, s)
}
