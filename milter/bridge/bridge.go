// Package bridge is the MTA's side of the milter protocol: it plays a message through any milter socket, as Postfix
// would, and gives the decision and the changes.
//
// [Dial] connects and negotiates. A [Session] is one SMTP session: [Session.Play] puts a whole message through it, and
// the methods named after the commands put single steps. Bodies stream.
//
// # Standards
//
// The milter protocol, version 6, as Postfix speaks it (src/milter/milter8.c): macros and command in one write; the
// filter's wishes to skip steps and replies honoured; answers that go beyond the offer, and malformed ones, refused.
//
// # Security
//
// The filter is trusted to change the message, and not to be well-formed: its packets are bounded and checked, and no
// field it adds can end the header or begin another field. Sender, recipients and header pass through as they are.
package bridge

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"reputed/milter/wire"
)

// What Postfix 3.7 offers.
const (
	postfixActions  uint32 = 0x1ff
	postfixProtocol uint32 = 0x1fffff
)

// Options of a session. The zero value is Postfix as Debian ships it.
type Options struct {
	Version  uint32        // offered; 0 is 6
	Actions  uint32        // offered; 0 is all that Postfix lets a filter do
	Protocol uint32        // offered; 0 is all of it; [OfferNothing] offers no bit
	Timeout  time.Duration // for each answer; 0 is 30 s, and 300 s at the end of a message
	Body     io.Writer     // takes the body a filter puts in place of the message's; nil: that is an error

	// Dialer connects to the socket; nil is [net.Dialer].
	Dialer func(context.Context, wire.Endpoint) (net.Conn, error)
}

// OfferNothing as [Options.Protocol] plays an MTA that insists on every step and every reply.
const OfferNothing uint32 = 1 << 31

func (o Options) withDefaults() Options {
	if o.Version == 0 {
		o.Version = wire.Version
	}
	if o.Actions == 0 {
		o.Actions = postfixActions
	}
	switch o.Protocol {
	case 0:
		o.Protocol = postfixProtocol
	case OfferNothing:
		o.Protocol = 0
	}
	if o.Dialer == nil {
		o.Dialer = func(ctx context.Context, at wire.Endpoint) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, at.Network, at.Address)
		}
	}
	return o
}

// Session is one SMTP session, played to a filter. It belongs to one goroutine. After an error it is of no more use:
// close it.
type Session struct {
	ctx     context.Context // ends the session
	release func() bool     // of ctx
	at      wire.Endpoint
	conn    net.Conn
	in      *wire.Reader
	opt     Options
	agree   wire.Negotiation
	choice  map[wire.Stage][]string // the filter's choice of macros; nil: it made none
	out     []byte                  // what goes out with the next write

	known   bool  // the filter was told of the client
	client  Reply // what the filter decided about the client, for all its messages
	message Reply // what it decided about the message in hand, before its end
	skipped byte  // the command of which it wants no more for now
}

// Dial connects to a milter and negotiates. When ctx ends, so does the session: whatever waits in it returns an error.
func Dial(ctx context.Context, at wire.Endpoint, o Options) (*Session, error) {
	o = o.withDefaults()
	conn, err := o.Dialer(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("milter %s: %w (does the filter run, and may you write to the socket?)", at, err)
	}
	s := &Session{ctx: ctx, at: at, conn: conn, in: wire.NewReader(conn), opt: o}
	s.in.Max = maxReply
	s.release = context.AfterFunc(ctx, func() { conn.Close() })
	if err := s.negotiate(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// maxReply bounds a packet of the filter. Bodies in replacement come in as large ones as the filter likes.
const maxReply = 1 << 20

func (s *Session) negotiate() error {
	offer := wire.Negotiation{Version: s.opt.Version, Actions: s.opt.Actions, Protocol: s.opt.Protocol}
	s.out = offer.Append(s.out)
	code, data, err := s.exchange(s.timeout())
	if err != nil {
		return err
	}
	if code != wire.CmdNegotiate {
		return s.wrong("%w: it answers %q to the negotiation", wire.ErrPacket, code)
	}
	n, err := wire.ParseNegotiation(data)
	if err != nil {
		return s.wrong("%w", err)
	}
	if n.Version > offer.Version || n.Actions&^offer.Actions != 0 || n.Protocol&^offer.Protocol != 0 {
		return s.wrong("it wants more than was offered: version %d of %d, actions %#x of %#x, protocol %#x of %#x",
			n.Version, offer.Version, n.Actions, offer.Actions, n.Protocol, offer.Protocol)
	}
	if s.choice, err = parseChoice(n.Macros); err != nil {
		return s.wrong("%w", err)
	}
	n.Macros = bytes.Clone(n.Macros)
	s.agree = n
	return nil
}

// parseChoice reads the filter's choice of macros; see [wire.MacroChoice].
func parseChoice(data []byte) (map[wire.Stage][]string, error) {
	if len(data) == 0 {
		return nil, nil
	}
	choice := map[wire.Stage][]string{}
	for len(data) > 0 {
		if len(data) < 4 {
			return nil, fmt.Errorf("%w: choice of macros without stage", wire.ErrPacket)
		}
		list, rest, ok := bytes.Cut(data[4:], []byte{0})
		if !ok {
			return nil, fmt.Errorf("%w: choice of macros without end", wire.ErrPacket)
		}
		isBlank := func(c rune) bool { return c == ' ' || c == ',' || c == '\t' }
		choice[wire.Stage(binary.BigEndian.Uint32(data))] = strings.FieldsFunc(string(list), isBlank)
		data = rest
	}
	return choice, nil
}

// Agreed gives what was agreed on with the filter.
func (s *Session) Agreed() wire.Negotiation { return s.agree }

func (s *Session) agreed(bit uint32) bool { return s.agree.Protocol&bit != 0 }

func (s *Session) timeout() time.Duration {
	if s.opt.Timeout > 0 {
		return s.opt.Timeout
	}
	return 30 * time.Second
}

func (s *Session) endTimeout() time.Duration {
	if s.opt.Timeout > 0 {
		return s.opt.Timeout
	}
	return 300 * time.Second
}

// wrong makes an error about the filter.
func (s *Session) wrong(format string, args ...any) error {
	return fmt.Errorf("milter "+strings.ReplaceAll(s.at.String(), "%", "%%")+": "+format, args...)
}

// broken makes an error about the connection. When that was cut because the context ended, this is what it says.
func (s *Session) broken(what string, err error) error {
	if s.ctx.Err() != nil {
		err = context.Cause(s.ctx)
	}
	return s.wrong("%s: %w", what, err)
}

// flush sends what waits.
func (s *Session) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	s.conn.SetWriteDeadline(time.Now().Add(s.timeout()))
	_, err := s.conn.Write(s.out)
	s.out = s.out[:0]
	if err != nil {
		return s.broken("it takes nothing", err)
	}
	return nil
}

// exchange sends what waits, and takes one packet, valid until the next one.
func (s *Session) exchange(limit time.Duration) (code byte, data []byte, err error) {
	if err := s.flush(); err != nil {
		return 0, nil, err
	}
	for {
		s.conn.SetReadDeadline(time.Now().Add(limit))
		if code, _, err = s.in.Next(); err != nil {
			return 0, nil, s.broken("no answer", err)
		}
		if code != wire.ReplyProgress {
			break
		}
	}
	if data, err = s.in.Payload(); err != nil {
		return 0, nil, s.broken("half an answer", err)
	}
	return code, data, nil
}

// Quit tells the filter that the SMTP session ends, and closes the connection.
func (s *Session) Quit() error {
	s.out = wire.Append(s.out, wire.CmdQuit)
	err := s.flush()
	if cerr := s.Close(); err == nil {
		err = cerr
	}
	return err
}

// Close cuts the connection, as an MTA does that dies. After [Session.Quit] it has nothing to do.
func (s *Session) Close() error {
	s.release()
	return s.conn.Close()
}
