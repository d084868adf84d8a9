package bridge

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"reputed/milter/wire"
	"reputed/policy/mail"
)

// Macro is a macro's name and value. One without value is not told.
type Macro struct{ Name, Value string }

// Connect tells of the client. What the filter decides here and at HELO holds for all messages of the session.
func (s *Session) Connect(p wire.Peer, macros ...Macro) (Reply, error) {
	s.known = true
	packet := p.Append(nil)
	return s.step(wire.CmdConnect, macros, packet[frameHead:])
}

// frameHead is what stands before a packet's data: length and code.
const frameHead = 5

// Helo tells the client's name for itself.
func (s *Session) Helo(name string, macros ...Macro) (Reply, error) {
	return s.step(wire.CmdHelo, macros, text(name))
}

// Mail begins a message. The path is as the MTA writes it: Postfix leaves the angle brackets out for sendmail(1). The
// arguments are those of ESMTP, such as "SIZE=1000".
func (s *Session) Mail(path string, args []string, macros ...Macro) (Reply, error) {
	data := text(path)
	for _, a := range args {
		data = append(data, text(a)...)
	}
	return s.step(wire.CmdMail, macros, data)
}

// Rcpt adds a recipient.
func (s *Session) Rcpt(path string, macros ...Macro) (Reply, error) {
	return s.step(wire.CmdRcpt, macros, text(path))
}

// Data says that the content follows. A filter of version 3 or less knows neither the command nor its macros.
func (s *Session) Data(macros ...Macro) (Reply, error) {
	if s.agree.Version < 4 {
		return s.decided(), nil
	}
	return s.step(wire.CmdData, macros)
}

// Header sends a header field. White space before its colon is lost, as in Postfix.
func (s *Session) Header(f mail.Field, macros ...Macro) (Reply, error) {
	value := bytes.ReplaceAll(f.Value(), []byte("\r\n"), []byte("\n"))
	if !s.agreed(wire.LeadingSpace) {
		value = bytes.TrimPrefix(value, []byte(" "))
	}
	return s.step(wire.CmdHeader, macros, f.Name(), []byte{0}, value, []byte{0})
}

// EndHeader says that the header is complete.
func (s *Session) EndHeader(macros ...Macro) (Reply, error) {
	return s.step(wire.CmdEndHeader, macros)
}

const (
	bodyChunk  = 65535   // how much of a body Postfix sends at once
	smallChunk = 8 << 10 // what most bodies fit into
)

// Body sends the body, lines ending in CRLF, until the reader ends or the filter wants no more. The reply is the last
// one, None when nothing was sent. Memory is bounded, whatever the size of the body.
func (s *Session) Body(r io.Reader, macros ...Macro) (reply Reply, err error) {
	if reply = s.decided(); reply.Kind != None || s.agreed(wire.NoBody) || r == nil {
		return reply, nil
	}
	buf := make([]byte, smallChunk)
	for {
		n, rerr := io.ReadFull(r, buf)
		if rerr == nil && len(buf) < bodyChunk {
			buf = append(buf, make([]byte, bodyChunk-len(buf))...)
			var more int
			if more, rerr = io.ReadFull(r, buf[n:]); rerr == io.EOF {
				rerr = io.ErrUnexpectedEOF
			}
			n += more
		}
		if n > 0 {
			reply, err = s.step(wire.CmdBody, macros, buf[:n])
			if err != nil || reply.Kind == Skip || reply.Final() {
				return reply, err
			}
		}
		switch rerr {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return reply, nil
		default:
			return Reply{}, fmt.Errorf("reading the body: %w", rerr)
		}
	}
}

// Outcome is what a filter made of a message.
type Outcome struct {
	End     Reply // the decision
	Changes []Change
}

// End ends the message, and gives what the filter decided and wants changed. A body in replacement goes to
// [Options.Body].
func (s *Session) End(macros ...Macro) (Outcome, error) {
	if r := s.decided(); r.Kind != None {
		return Outcome{End: r}, nil
	}
	s.tell(wire.CmdEnd, macros)
	s.out = wire.Append(s.out, wire.CmdEnd)
	var o Outcome
	for {
		code, data, err := s.exchange(s.endTimeout())
		if err != nil {
			return Outcome{}, err
		}
		if code == wire.ReplyReplaceBody {
			if err := s.replace(data); err != nil {
				return Outcome{}, err
			}
			continue
		}
		c, ok, err := parseChange(code, data, s.agreed(wire.LeadingSpace))
		if err != nil {
			return Outcome{}, s.wrong("%w", err)
		}
		if ok {
			o.Changes = append(o.Changes, c)
			continue
		}
		o.End, err = s.decide(wire.CmdEnd, code, data)
		return o, err
	}
}

// replace takes a piece of a body in replacement.
func (s *Session) replace(data []byte) error {
	if s.opt.Body == nil {
		return s.wrong("it replaces the body, which is not wanted here")
	}
	if _, err := s.opt.Body.Write(data); err != nil {
		return fmt.Errorf("writing the body in replacement: %w", err)
	}
	return nil
}

// Abort forgets the message in hand; the client stays known. Postfix does so after each message.
func (s *Session) Abort() error {
	s.message, s.skipped = Reply{}, 0
	if !s.known || s.client.Kind != None {
		return nil
	}
	s.out = wire.Append(s.out, wire.CmdAbort)
	return s.flush()
}

func text(s string) []byte { return append([]byte(s), 0) }

// decided gives what the filter decided for the rest of the session or the message. It is not asked again.
func (s *Session) decided() Reply {
	if s.client.Kind != None {
		return s.client
	}
	return s.message
}

// wishes gives the bits by which a filter says that it does not want a command, or will not answer it.
func wishes(cmd byte) (unwanted, mute uint32) {
	switch cmd {
	case wire.CmdConnect:
		return wire.NoConnect, wire.NoReplyConnect
	case wire.CmdHelo:
		return wire.NoHelo, wire.NoReplyHelo
	case wire.CmdMail:
		return wire.NoMail, wire.NoReplyMail
	case wire.CmdRcpt:
		return wire.NoRcpt, wire.NoReplyRcpt
	case wire.CmdData:
		return wire.NoData, wire.NoReplyData
	case wire.CmdHeader:
		return wire.NoHeader, wire.NoReplyHeader
	case wire.CmdEndHeader:
		return wire.NoEndHeader, wire.NoReplyEOH
	case wire.CmdBody:
		return wire.NoBody, wire.NoReplyBody
	}
	return 0, 0
}

// step shows the filter a command, unless it wants none of the kind, and takes its answer, unless there is to be none.
func (s *Session) step(cmd byte, macros []Macro, data ...[]byte) (Reply, error) {
	if r := s.decided(); r.Kind != None {
		return r, nil
	}
	if cmd == s.skipped {
		return Reply{}, nil
	}
	s.skipped = 0
	unwanted, mute := wishes(cmd)
	s.tell(cmd, macros)
	if s.agreed(unwanted) {
		return Reply{}, nil // the macros are told all the same
	}
	s.out = wire.Append(s.out, cmd, data...)
	if s.agreed(mute) {
		if len(s.out) < writeBuffer {
			return Reply{Kind: Continue}, nil
		}
		return Reply{Kind: Continue}, s.flush()
	}
	code, answer, err := s.exchange(s.timeout())
	if err != nil {
		return Reply{}, err
	}
	return s.decide(cmd, code, answer)
}

// writeBuffer is Postfix's: commands without answer leave together.
const writeBuffer = 4 << 10

// decide reads an answer, and remembers what it decides.
func (s *Session) decide(cmd, code byte, data []byte) (Reply, error) {
	r, err := parseReply(code, data)
	if err != nil {
		return Reply{}, s.wrong("%w, after %q", err, cmd)
	}
	client := cmd == wire.CmdConnect || cmd == wire.CmdHelo
	switch {
	case client && r.Kind == Discard, cmd == wire.CmdEnd && r.Kind == Skip,
		r.Kind == Skip && s.opt.Protocol&wire.Skip == 0:
		return Reply{}, s.wrong("%w: answer %q is not for %q", wire.ErrPacket, code, cmd)
	case r.Kind == Skip:
		s.skipped = cmd
	case r.Kind == Shutdown, client && r.Final():
		s.client = r
	case r.Kind == Accept, r.Kind == Discard:
		s.message = r
	}
	return r, nil
}

// tell sends those macros that the filter wants at a command. Without a choice of its own it gets all; with one it gets
// none at the stages it leaves out.
func (s *Session) tell(cmd byte, macros []Macro) {
	wanted := s.choice[stage(cmd)]
	data := []byte{cmd}
	for _, m := range macros {
		if m.Value != "" && (s.choice == nil || slices.Contains(wanted, m.Name)) {
			data = append(append(data, text(m.Name)...), text(m.Value)...)
		}
	}
	if len(data) > 1 {
		s.out = wire.Append(s.out, wire.CmdMacro, data)
	}
}

// stage says at which stage's macros Postfix looks for a command.
func stage(cmd byte) wire.Stage {
	switch cmd {
	case wire.CmdConnect:
		return wire.StageConnect
	case wire.CmdHelo:
		return wire.StageHelo
	case wire.CmdMail:
		return wire.StageMail
	case wire.CmdRcpt:
		return wire.StageRcpt
	case wire.CmdData:
		return wire.StageData
	case wire.CmdHeader, wire.CmdEndHeader:
		return wire.StageEndHeader
	}
	return wire.StageEnd
}
