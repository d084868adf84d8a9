package bridge

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"reputed/milter/wire"
	"reputed/policy/mail"
)

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

// parseChange reads a change; ok tells whether the packet is one. Spaced tells that values have their leading space.
func parseChange(code byte, data []byte, spaced bool) (c Change, ok bool, err error) {
	c.Kind = ChangeKind(code)
	switch c.Kind {
	case InsertHeader, ChangeHeader:
		if len(data) < 4 {
			return c, true, fmt.Errorf("%w: change of a header field of %d octets", wire.ErrPacket, len(data))
		}
		c.Index = int(min(binary.BigEndian.Uint32(data), math.MaxInt32))
		err = c.field(data[4:], spaced)
	case AddHeader:
		err = c.field(data, spaced)
	case Quarantine, ChangeFrom, AddRcpt, DeleteRcpt:
		c.Value, err = firstText(data)
	case ChangeKind(wire.ReplyAddRcptArgs):
		c.Kind = AddRcpt // the arguments, for the MTA that delivers, are left out
		c.Value, err = firstText(data)
	default:
		return Change{}, false, nil
	}
	return c, true, err
}

func firstText(data []byte) (string, error) {
	text, _, ok := bytes.Cut(data, []byte{0})
	if !ok {
		return "", fmt.Errorf("%w: text without end", wire.ErrPacket)
	}
	return string(text), nil
}

func (c *Change) field(data []byte, spaced bool) error {
	name, value, err := wire.SplitHeader(data)
	if err != nil {
		return err
	}
	for _, b := range name {
		if b <= ' ' || b > '~' || b == ':' { // RFC 5322, section 3.6.8
			return fmt.Errorf("%w: header field name %q", wire.ErrPacket, name)
		}
	}
	c.Name = string(name)
	if len(value) > 0 {
		c.Value = folded(string(value))
		if !spaced { // the MTA adds the space
			c.Value = " " + c.Value
		}
	}
	return nil
}

// folded gives a value with folds of CRLF. A line that does not begin with white space gets a tab, as Postfix does it:
// without, it would be a field of its own, or the end of the header.
func folded(value string) string {
	lines := strings.Split(strings.ReplaceAll(value, "\r\n", "\n"), "\n")
	for i, line := range lines[1:] {
		if line == "" || line[0] != ' ' && line[0] != '\t' {
			lines[i+1] = "\t" + line
		}
	}
	return strings.Join(lines, "\r\n")
}

// Apply gives the header with the changes made, as Postfix makes them: index 0 is the top of the message, a field
// inserted below the last one or changed where there is none comes last. The header stays as it is.
func Apply(h *mail.Header, changes []Change) *mail.Header {
	fields := make([]mail.Field, h.Len())
	for i := range fields {
		fields[i] = h.At(i)
	}
	for i := range changes {
		fields = changes[i].apply(fields)
	}
	out := new(mail.Header)
	for _, f := range fields {
		name, _, _ := bytes.Cut(f.Raw(), []byte{':'}) // with the white space some put before the colon
		out.Add(name, f.Value())
	}
	return out
}

func (c *Change) apply(fields []mail.Field) []mail.Field {
	switch c.Kind {
	case AddHeader:
		return append(fields, mail.NewField(c.Name, c.Value))
	case InsertHeader:
		return slices.Insert(fields, min(max(c.Index, 0), len(fields)), mail.NewField(c.Name, c.Value))
	case ChangeHeader:
		return c.change(fields)
	}
	return fields
}

func (c *Change) change(fields []mail.Field) []mail.Field {
	at, n := len(fields), 0
	for i := range fields {
		if fields[i].Is(c.Name) {
			if n++; n >= c.Index { // index 0 is taken for 1
				at = i
				break
			}
		}
	}
	switch {
	case at == len(fields) && c.Value == "":
		return fields
	case at == len(fields):
		return append(fields, mail.NewField(c.Name, c.Value))
	case c.Value == "":
		return slices.Delete(fields, at, at+1)
	}
	fields[at] = mail.NewField(c.Name, c.Value)
	return fields
}
