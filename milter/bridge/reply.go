package bridge

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"reputed/milter/wire"
	"reputed/policy/mail"
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
	Custom               // refuse it with Reply.Code and Reply.Lines
	Skip                 // no more of this kind
	Shutdown             // refuse the client
)

var kinds = [...]string{"none", "continue", "accept", "discard", "reject", "tempfail", "reply", "skip", "shutdown"}

func (k Kind) String() string { return kinds[k] }

// Reply is a filter's answer.
type Reply struct {
	Kind  Kind
	Code  int      // of Custom: 4xx or 5xx
	Lines []string // of Custom: what follows the code on each line, such as "5.7.1 no"
}

// Final tells that the filter wants to see no more of the message.
func (r Reply) Final() bool { return r.Kind >= Accept && r.Kind != Skip }

// Refused tells that the message, or the recipient, was refused.
func (r Reply) Refused() bool {
	return r.Kind == Reject || r.Kind == Tempfail || r.Kind == Custom || r.Kind == Shutdown
}

// String gives the answer as an SMTP client would see it, or the word for its kind.
func (r Reply) String() string {
	if r.Kind == Custom {
		return strconv.Itoa(r.Code) + " " + strings.Join(r.Lines, " ")
	}
	return r.Kind.String()
}

func parseReply(code byte, data []byte) (Reply, error) {
	switch code {
	case wire.ReplyContinue:
		return Reply{Kind: Continue}, nil
	case wire.ReplyAccept:
		return Reply{Kind: Accept}, nil
	case wire.ReplyDiscard:
		return Reply{Kind: Discard}, nil
	case wire.ReplyReject:
		return Reply{Kind: Reject}, nil
	case wire.ReplyTempfail:
		return Reply{Kind: Tempfail}, nil
	case wire.ReplySkip:
		return Reply{Kind: Skip}, nil
	case wire.ReplyShutdown, wire.ReplyConnFail:
		return Reply{Kind: Shutdown}, nil
	case wire.ReplyCode:
		return parseCustom(strings.TrimSuffix(string(data), "\x00"))
	}
	return Reply{}, fmt.Errorf("%w: unknown answer %q", wire.ErrPacket, code)
}

// replyLine is what Postfix takes for a line of a reply.
var replyLine = regexp.MustCompile(`^([45]\d\d)[ -](([245])\.\d{1,3}\.\d{1,3} )?(.*)$`)

// parseCustom reads a reply as Postfix does: every line has the code, the enhanced code agrees with it, and percent
// signs stand double.
func parseCustom(text string) (Reply, error) {
	r := Reply{Kind: Custom}
	for line := range strings.SplitSeq(text, "\r\n") {
		m := replyLine.FindStringSubmatch(line)
		if m == nil || m[3] != "" && m[3][0] != m[1][0] {
			return Reply{}, fmt.Errorf("%w: reply %q", wire.ErrPacket, line)
		}
		code, _ := strconv.Atoi(m[1])
		if r.Code != 0 && r.Code != code {
			return Reply{}, fmt.Errorf("%w: reply with codes %d and %d", wire.ErrPacket, r.Code, code)
		}
		r.Code = code
		r.Lines = append(r.Lines, strings.ReplaceAll(line[4:], "%%", "%"))
	}
	return r, nil
}

// ChangeKind is what a filter wants done to a message.
type ChangeKind byte

const (
	AddHeader    = ChangeKind(wire.ReplyAddHeader)
	InsertHeader = ChangeKind(wire.ReplyInsertHeader)
	ChangeHeader = ChangeKind(wire.ReplyChangeHeader) // an empty value deletes
	Quarantine   = ChangeKind(wire.ReplyQuarantine)
	ChangeFrom   = ChangeKind(wire.ReplyChangeFrom)
	AddRcpt      = ChangeKind(wire.ReplyAddRcpt)
	DeleteRcpt   = ChangeKind(wire.ReplyDeleteRcpt)
)

// Change is a change that a filter wants, in the order in which it wants them.
type Change struct {
	Kind  ChangeKind
	Index int    // of InsertHeader: fields above it; of ChangeHeader: which field of that name, from 1
	Name  string // of a header field
	Value string // of a header field, with its leading space and CRLF folds; else an address, or a reason to hold
}

// parseChange reads a change; ok tells whether the packet is one.
func parseChange(code byte, data []byte, spaced bool) (c Change, ok bool, err error) {
	c.Kind = ChangeKind(code)
	switch c.Kind {
	case InsertHeader, ChangeHeader:
		if len(data) < 4 {
			return c, true, fmt.Errorf("%w: change of a header field of %d octets", wire.ErrPacket, len(data))
		}
		c.Index = int(binary.BigEndian.Uint32(data))
		return c.field(data[4:], spaced)
	case AddHeader:
		return c.field(data, spaced)
	case Quarantine, ChangeFrom, AddRcpt, DeleteRcpt, ChangeKind(wire.ReplyAddRcptArgs):
		text, _, _ := bytes.Cut(data, []byte{0})
		c.Value = string(text)
		return c, true, nil
	}
	return c, false, nil
}

func (c Change) field(data []byte, spaced bool) (Change, bool, error) {
	name, value, err := wire.SplitHeader(data)
	if err != nil {
		return c, true, err
	}
	c.Name = string(name)
	c.Value = strings.ReplaceAll(strings.ReplaceAll(string(value), "\r\n", "\n"), "\n", "\r\n")
	if !spaced {
		c.Value = " " + c.Value
	}
	return c, true, nil
}

// Apply gives the header with the changes made, as Postfix makes them: index 0 is the top of the message.
func Apply(h *mail.Header, changes []Change) *mail.Header {
	fields := make([]mail.Field, h.Len())
	for i := range fields {
		fields[i] = h.At(i)
	}
	for _, c := range changes {
		fields = c.apply(fields)
	}
	out := new(mail.Header)
	for _, f := range fields {
		out.Add(f.Raw()[:bytes.IndexByte(f.Raw(), ':')], f.Value())
	}
	return out
}

func (c Change) apply(fields []mail.Field) []mail.Field {
	switch c.Kind {
	case AddHeader:
		return append(fields, mail.NewField(c.Name, c.Value))
	case InsertHeader:
		at := min(c.Index, len(fields))
		out := append([]mail.Field{}, fields[:at]...)
		return append(append(out, mail.NewField(c.Name, c.Value)), fields[at:]...)
	case ChangeHeader:
		n := 0
		for i, f := range fields {
			if !f.Is(c.Name) {
				continue
			}
			if n++; n < c.Index {
				continue
			}
			out := append([]mail.Field{}, fields[:i]...)
			if strings.TrimSpace(c.Value) != "" {
				out = append(out, mail.NewField(c.Name, c.Value))
			}
			return append(out, fields[i+1:]...)
		}
	}
	return fields
}
