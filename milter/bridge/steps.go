package bridge

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"reputed/milter/wire"
	"reputed/policy/mail"
)

// Macro is a macro's name and value.
type Macro struct{ Name, Value string }

// Connect tells of the client.
func (s *Session) Connect(p wire.Peer, macros ...Macro) (Reply, error) {
	s.known = true
	if s.agreed(wire.NoConnect) {
		return Reply{}, nil
	}
	s.macros(wire.CmdConnect, macros)
	s.out = p.Append(s.out)
	return s.reply(wire.NoReplyConnect)
}

// Helo tells the client's name for itself.
func (s *Session) Helo(name string, macros ...Macro) (Reply, error) {
	if s.agreed(wire.NoHelo) {
		return Reply{}, nil
	}
	s.macros(wire.CmdHelo, macros)
	s.out = wire.AppendStrings(s.out, wire.CmdHelo, name)
	return s.reply(wire.NoReplyHelo)
}

// Mail begins a message. The path is as the MTA writes it: Postfix leaves the angle brackets out for sendmail(1).
func (s *Session) Mail(path string, macros ...Macro) (Reply, error) {
	if s.agreed(wire.NoMail) {
		return Reply{}, nil
	}
	s.macros(wire.CmdMail, macros)
	s.out = wire.AppendStrings(s.out, wire.CmdMail, path)
	return s.reply(wire.NoReplyMail)
}

// Rcpt adds a recipient.
func (s *Session) Rcpt(path string, macros ...Macro) (Reply, error) {
	if s.agreed(wire.NoRcpt) {
		return Reply{}, nil
	}
	s.macros(wire.CmdRcpt, macros)
	s.out = wire.AppendStrings(s.out, wire.CmdRcpt, path)
	return s.reply(wire.NoReplyRcpt)
}

// Data says that the content follows. A filter of version 3 or less does not know the command.
func (s *Session) Data(macros ...Macro) (Reply, error) {
	if s.agreed(wire.NoData) || s.agree.Version < 4 {
		return Reply{}, nil
	}
	s.macros(wire.CmdData, macros)
	s.out = wire.Append(s.out, wire.CmdData)
	return s.reply(wire.NoReplyData)
}

// Field sends a header field.
func (s *Session) Field(f mail.Field, macros ...Macro) (Reply, error) {
	if s.agreed(wire.NoHeader) {
		return Reply{}, nil
	}
	value := bytes.ReplaceAll(f.Value(), []byte("\r\n"), []byte("\n"))
	if !s.agreed(wire.LeadingSpace) {
		value = bytes.TrimPrefix(value, []byte(" "))
	}
	s.macros(wire.CmdHeader, macros)
	s.out = wire.Append(s.out, wire.CmdHeader, f.Name(), []byte{0}, value, []byte{0})
	return s.reply(wire.NoReplyHeader)
}

// EndHeader says that the header is complete.
func (s *Session) EndHeader(macros ...Macro) (Reply, error) {
	if s.agreed(wire.NoEndHeader) {
		return Reply{}, nil
	}
	s.macros(wire.CmdEndHeader, macros)
	s.out = wire.Append(s.out, wire.CmdEndHeader)
	return s.reply(wire.NoReplyEOH)
}

// bodyChunk is how much of a body Postfix sends at once.
const bodyChunk = 65535

// Body sends the body, lines ending in CRLF, until the reader ends or the filter wants no more.
func (s *Session) Body(r io.Reader, macros ...Macro) (Reply, error) {
	if s.agreed(wire.NoBody) || r == nil {
		return Reply{Kind: Continue}, nil
	}
	buf := make([]byte, bodyChunk)
	for {
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			s.macros(wire.CmdBody, macros)
			s.out = wire.Append(s.out, wire.CmdBody, buf[:n])
			reply, rerr := s.reply(wire.NoReplyBody)
			if rerr != nil || reply.Kind == Skip || reply.Final() {
				return reply, rerr
			}
			if rerr := s.flush(); rerr != nil { // nothing of a body is kept
				return Reply{}, rerr
			}
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return Reply{Kind: Continue}, nil
		default:
			return Reply{}, fmt.Errorf("reading the body: %w", err)
		}
	}
}

// End ends the message, and gives what the filter decided and wants changed.
func (s *Session) End(macros ...Macro) (Reply, []Change, error) {
	s.macros(wire.CmdEnd, macros)
	s.out = wire.Append(s.out, wire.CmdEnd)
	var changes []Change
	for {
		code, data, err := s.exchange(s.endTimeout())
		if err != nil {
			return Reply{}, nil, err
		}
		if code == wire.ReplyReplaceBody {
			if s.opt.Body == nil {
				return Reply{}, nil, fmt.Errorf("the filter replaces the body, which is not wanted here")
			}
			if _, err := s.opt.Body.Write(data); err != nil {
				return Reply{}, nil, err
			}
			continue
		}
		if c, ok, err := parseChange(code, data, s.agreed(wire.LeadingSpace)); err != nil {
			return Reply{}, nil, err
		} else if ok {
			changes = append(changes, c)
			continue
		}
		reply, err := parseReply(code, data)
		return reply, changes, err
	}
}

// Abort forgets the message in hand; the client stays known.
func (s *Session) Abort() error {
	s.out = wire.Append(s.out, wire.CmdAbort)
	return s.flush()
}

// Agreed gives what was agreed on with the filter.
func (s *Session) Agreed() wire.Negotiation { return s.agree }

func (s *Session) agreed(bit uint32) bool { return s.agree.Protocol&bit != 0 }

// reply takes the answer to what waits to go out, unless it was agreed that there is none.
func (s *Session) reply(mute uint32) (Reply, error) {
	if s.agreed(mute) {
		if len(s.out) < 4<<10 { // Postfix's buffer: small commands leave together
			return Reply{Kind: Continue}, nil
		}
		return Reply{Kind: Continue}, s.flush()
	}
	code, data, err := s.exchange(s.timeout())
	if err != nil {
		return Reply{}, err
	}
	return parseReply(code, data)
}

// macros sends those macros that the filter wants at a command. Without a choice of its own it gets all.
func (s *Session) macros(cmd byte, macros []Macro) {
	wanted := s.wanted(cmd)
	data := []byte{cmd}
	for _, m := range macros {
		if m.Value == "" || wanted != nil && !strings.Contains(" "+*wanted+" ", " "+m.Name+" ") {
			continue
		}
		data = append(append(append(append(data, m.Name...), 0), m.Value...), 0)
	}
	if len(data) > 1 {
		s.out = wire.Append(s.out, wire.CmdMacro, data)
	}
}

// stageOf says at which stage's macros Postfix looks for a command.
var stageOf = map[byte]wire.Stage{
	wire.CmdConnect: wire.StageConnect, wire.CmdHelo: wire.StageHelo, wire.CmdMail: wire.StageMail,
	wire.CmdRcpt: wire.StageRcpt, wire.CmdData: wire.StageData, wire.CmdHeader: wire.StageEndHeader,
	wire.CmdEndHeader: wire.StageEndHeader, wire.CmdBody: wire.StageEnd, wire.CmdEnd: wire.StageEnd,
}

// wanted gives the filter's choice for a command; nil when it made none at all. A stage that a choice leaves out gets
// no macros.
func (s *Session) wanted(cmd byte) *string {
	rest := s.agree.Macros
	if len(rest) == 0 {
		return nil
	}
	none := ""
	for len(rest) > 4 {
		stage := wire.Stage(binary.BigEndian.Uint32(rest))
		list, after, ok := bytes.Cut(rest[4:], []byte{0})
		if !ok {
			break
		}
		if stage == stageOf[cmd] {
			text := string(list)
			return &text
		}
		rest = after
	}
	return &none
}
