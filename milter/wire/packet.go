package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Append adds a packet to dst: its length, the code, and the parts as they are.
func Append(dst []byte, code byte, parts ...[]byte) []byte {
	n := 1
	for _, p := range parts {
		n += len(p)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	dst = append(dst, code)
	for _, p := range parts {
		dst = append(dst, p...)
	}
	return dst
}

// AppendStrings adds a packet whose data are texts, each ended by NUL.
func AppendStrings(dst []byte, code byte, texts ...string) []byte {
	n := 1
	for _, t := range texts {
		n += len(t) + 1
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	dst = append(dst, code)
	for _, t := range texts {
		dst = append(dst, t...)
		dst = append(dst, 0)
	}
	return dst
}

// AppendInsertHeader adds a packet that puts a field on top of the message: [ReplyInsertHeader] at index 0. Folds of the
// value travel as LF, since MTAs put their own line ends there.
func AppendInsertHeader(dst []byte, name, value []byte) []byte {
	n := 1 + 4 + len(name) + 1 + len(value) - bytes.Count(value, []byte("\r\n")) + 1
	dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	dst = append(dst, ReplyInsertHeader, 0, 0, 0, 0)
	dst = append(append(dst, name...), 0)
	for {
		line, rest, more := bytes.Cut(value, []byte("\r\n"))
		dst = append(dst, line...)
		if !more {
			return append(dst, 0)
		}
		dst = append(dst, '\n')
		value = rest
	}
}

// SplitHeader takes the data of [CmdHeader] apart. The value may itself hold NULs, as a message may: only the last one
// ends it.
func SplitHeader(data []byte) (name, value []byte, err error) {
	name, value, ok := bytes.Cut(data, []byte{0})
	if !ok || len(name) == 0 {
		return nil, nil, fmt.Errorf("%w: header field without name", ErrPacket)
	}
	return name, bytes.TrimSuffix(value, []byte{0}), nil
}

// Peer is the data of [CmdConnect].
type Peer struct {
	Name   string
	Family byte
	Port   uint16
	Addr   netip.Addr // invalid for a unix socket or an unknown client
	Path   string     // of a unix socket
}

// Append adds the packet for it to dst.
func (p Peer) Append(dst []byte) []byte {
	head := append([]byte(p.Name), 0, p.Family)
	if p.Family == FamilyUnknown {
		return Append(dst, CmdConnect, head)
	}
	head = binary.BigEndian.AppendUint16(head, p.Port)
	text := p.Path
	if p.Addr.IsValid() {
		text = p.Addr.String()
	}
	return Append(dst, CmdConnect, head, []byte(text), []byte{0})
}

// Negotiation is the data of [CmdNegotiate], both ways.
type Negotiation struct {
	Version  uint32
	Actions  uint32
	Protocol uint32
	Macros   []byte // the filter's choice of macros, as it stands in the packet; see [MacroChoice]
}

// ParseNegotiation reads the data of [CmdNegotiate].
func ParseNegotiation(data []byte) (Negotiation, error) {
	if len(data) < 12 {
		return Negotiation{}, fmt.Errorf("%w: negotiation of %d octets", ErrPacket, len(data))
	}
	return Negotiation{
		Version:  binary.BigEndian.Uint32(data),
		Actions:  binary.BigEndian.Uint32(data[4:]),
		Protocol: binary.BigEndian.Uint32(data[8:]),
		Macros:   data[12:],
	}, nil
}

// Append adds the packet for it to dst.
func (n Negotiation) Append(dst []byte) []byte {
	var b [12]byte
	binary.BigEndian.PutUint32(b[0:], n.Version)
	binary.BigEndian.PutUint32(b[4:], n.Actions)
	binary.BigEndian.PutUint32(b[8:], n.Protocol)
	return Append(dst, CmdNegotiate, b[:], n.Macros)
}

// Stage is a step of the SMTP session that has macros of its own.
type Stage uint32

const (
	StageConnect Stage = iota
	StageHelo
	StageMail
	StageRcpt
	StageData
	StageEnd
	StageEndHeader
)

// MacroChoice gives [Negotiation.Macros] for a choice of macros. An MTA that is told some stages sends no macros at the
// others, so all have to be named.
func MacroChoice(choice map[Stage]string) []byte {
	var b []byte
	for s := StageConnect; s <= StageEndHeader; s++ {
		b = binary.BigEndian.AppendUint32(b, uint32(s))
		b = append(append(b, choice[s]...), 0)
	}
	return b
}

// Macros are the MTA's words for things: "i" is the queue id, "{auth_authen}" the login. A name of more than one
// letter has braces.
type Macros map[string]string

// Merge takes the data of [CmdMacro] into m, which begin with the command that the macros belong to. An MTA sends at each
// step what is new there, so earlier macros stay. It tells by how many octets m has grown, about.
func (m Macros) Merge(data []byte) (grown int, err error) {
	if len(data) == 0 {
		return 0, fmt.Errorf("%w: macros without command", ErrPacket)
	}
	data = data[1:]
	for len(data) > 0 {
		name, rest, ok := bytes.Cut(data, []byte{0})
		if !ok {
			return grown, fmt.Errorf("%w: macro name without end", ErrPacket)
		}
		value, rest, ok := bytes.Cut(rest, []byte{0})
		if !ok {
			return grown, fmt.Errorf("%w: macro value without end", ErrPacket)
		}
		grown += m.set(name, value)
		data = rest
	}
	return grown, nil
}

// Forget takes a macro out. It tells by how many octets m has grown, about: none, or less than that.
func (m Macros) Forget(name string) (grown int) {
	value, ok := m[name]
	if !ok {
		return 0
	}
	delete(m, name)
	return -MacroSize(name, value)
}

// MacroSize tells how many octets a macro takes, its place in the map included, about.
func MacroSize[T string | []byte](name, value T) int { return 64 + len(name) + len(value) }

// maxMacros bounds what a peer can make us remember. MTAs know some fifty.
const maxMacros = 256

// set stores a macro, sparing the allocation when it stands there already.
func (m Macros) set(name, value []byte) (grown int) {
	if len(name) == 3 && name[0] == '{' {
		name = name[1:2] // "{i}" is "i"
	}
	old, ok := m[string(name)]
	switch {
	case ok && old == string(value), !ok && len(m) >= maxMacros:
		return 0
	case ok:
		grown = len(value) - len(old)
	default:
		grown = MacroSize(name, value)
	}
	m[known(name)] = string(value)
	return grown
}

// known gives the name of a macro, sparing the allocation for those that are asked for.
func known(name []byte) string {
	switch string(name) {
	case "i":
		return "i"
	case "j":
		return "j"
	case "{daemon_name}":
		return "{daemon_name}"
	case "{auth_type}":
		return "{auth_type}"
	case "{auth_authen}":
		return "{auth_authen}"
	case "{rcpt_mailer}":
		return "{rcpt_mailer}"
	}
	return string(name)
}
