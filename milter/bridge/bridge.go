// Package bridge is the MTA's side of the milter protocol: it plays a message through any milter socket, as Postfix
// would, and gives the decision and the changes.
//
// [Dial] connects and negotiates. A [Session] is one SMTP session: [Session.Play] puts a whole message through it, and
// the methods named after the commands put single steps. Bodies stream.
//
// # Standards
//
// The milter protocol, version 6, as Postfix 3.7 speaks it: macros and command in one write; the filter's wishes to
// skip steps and replies honoured; answers that go beyond the offer, and malformed replies, refused.
//
// # Security
//
// The filter is trusted to change the message, and not to be well-formed: its packets are bounded and checked. Sender,
// recipients and header pass through as they are.
package bridge

import (
	"context"
	"fmt"
	"io"
	"net"
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
	return o
}

// Session is one SMTP session, played to a filter. It belongs to one goroutine.
type Session struct {
	conn  net.Conn
	in    *wire.Reader
	opt   Options
	agree wire.Negotiation
	out   []byte // what goes out with the next write
	known bool   // the filter was told of the client
}

// Dial connects to a milter and negotiates.
func Dial(ctx context.Context, at wire.Endpoint, o Options) (*Session, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, at.Network, at.Address)
	if err != nil {
		return nil, fmt.Errorf("milter %s: %w (does the filter run, and may you write to the socket?)", at, err)
	}
	s := &Session{conn: conn, in: wire.NewReader(conn), opt: o.withDefaults()}
	s.in.Max = maxReply
	if err := s.negotiate(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("milter %s: %w", at, err)
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
		return fmt.Errorf("%w: %q for an answer to the negotiation", wire.ErrPacket, code)
	}
	n, err := wire.ParseNegotiation(data)
	if err != nil {
		return err
	}
	if n.Version > offer.Version || n.Actions&^offer.Actions != 0 || n.Protocol&^offer.Protocol != 0 {
		return fmt.Errorf("the filter wants more than was offered: version %d, actions %#x, protocol %#x", n.Version, n.Actions, n.Protocol)
	}
	n.Macros = append([]byte(nil), n.Macros...)
	s.agree = n
	return nil
}

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

// flush sends what waits.
func (s *Session) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	s.conn.SetWriteDeadline(time.Now().Add(s.timeout()))
	_, err := s.conn.Write(s.out)
	s.out = s.out[:0]
	return err
}

// exchange sends what waits, and takes one packet.
func (s *Session) exchange(limit time.Duration) (code byte, data []byte, err error) {
	if err := s.flush(); err != nil {
		return 0, nil, err
	}
	s.conn.SetReadDeadline(time.Now().Add(limit))
	for {
		code, _, err = s.in.Next()
		if err != nil {
			return 0, nil, fmt.Errorf("no answer from the filter: %w", err)
		}
		if code != wire.ReplyProgress {
			break
		}
		s.conn.SetReadDeadline(time.Now().Add(limit))
	}
	data, err = s.in.Payload()
	return code, data, err
}

// Quit tells the filter that the SMTP session ends, and closes the connection.
func (s *Session) Quit() error {
	s.out = wire.Append(s.out, wire.CmdQuit)
	err := s.flush()
	if cerr := s.conn.Close(); err == nil {
		err = cerr
	}
	return err
}

// Close cuts the connection, as an MTA does that dies.
func (s *Session) Close() error { return s.conn.Close() }
