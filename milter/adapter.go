package milter

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"time"

	gomilter "github.com/emersion/go-milter"

	"reputed/milter/wire"
)

// link is one connection of the MTA. It stands between the socket and go-milter, which sees it as its net.Conn, and is
// the only code that knows go-milter's quirks:
//
//   - After any final reply go-milter takes a new backend, and the client is forgotten. Here one backend serves the
//     connection, and replies never look final.
//   - It replaces all macros at each macro packet, drops header fields that hold NUL, and ends the connection at
//     UNKNOWN and QUIT_NC. Those packets, and the body, are taken here and never reach it.
//   - It answers every negotiation with version 2, all its own flags and no look at the offer. The answer is made here.
//   - It has no deadlines, a packet limit of its own, and writes each packet at once. Here deadlines hold, and what is
//     written waits for the next read, so that an inserted field and the final reply leave in one write.
//   - It writes to the standard logger at any error and panic. It is shown io.EOF only.
type link struct {
	net.Conn
	server *Server
	*memory
	muted  uint32    // NoReply bits agreed on
	spaced bool      // header values travel with their leading space
	in     []byte    // rest of a packet that go-milter has not read yet
	by     time.Time // when the packet in hand must be complete; zero between packets
	deep   bool      // the stack is as large as it will be
	over   bool      // nothing is read any more
	born   time.Time
	begun  atomic.Int64  // nanoseconds after that, when the message in hand began; 0: none is. Set by who reads
	leave  atomic.Bool   // it is to end when no message is in hand
	last   time.Time     // when it ends then; zero before
	gone   chan struct{} // closed with the connection
}

// memory is what a connection leaves to a later one: MTAs make one for each SMTP session, and most of what it takes is
// buffers.
type memory struct {
	session *session
	packets *wire.Reader
	frame   []byte // a packet for go-milter
	out     []byte // replies that wait for the next read
}

// newLink takes a connection.
func (s *Server) newLink(conn net.Conn) *link {
	m, ok := s.memory.Get().(*memory)
	if !ok {
		m = &memory{session: newSession(s), packets: wire.NewReader(nil)}
		m.packets.Max, m.packets.Grow = s.opt.Limits.Packet, m.session.growPacket
	}
	l := &link{Conn: conn, server: s, memory: m, born: s.opt.Now(), gone: make(chan struct{})}
	m.packets.Reset(socket{l})
	return l
}

// recycle leaves the memory to another connection. Nothing of this one must be in it, and nobody use it any more.
func (l *link) recycle() {
	l.packets.Reset(nil)
	l.session.quit() // gives back what an unfinished message holds
	l.session.canHold = false
	l.out = l.out[:0]
	l.server.memory.Put(l.memory)
}

// What we want of an MTA. Without the first we cannot sign.
const (
	wantActions  = wire.ActAddHeader
	likeActions  = wire.ActQuarantine | wire.ActSetMacros
	likeProtocol = wire.NoData | wire.NoUnknown | wire.NoReplyConnect | wire.NoReplyHelo | wire.NoReplyHeader |
		wire.NoReplyEOH | wire.NoReplyBody | wire.LeadingSpace
)

// macroChoice is all that we look at. The queue id comes when the MTA has one: over SMTP, Postfix has none before the
// second recipient.
var macroChoice = wire.MacroChoice(map[wire.Stage]string{
	wire.StageConnect: "j {daemon_name}",
	wire.StageMail:    "i {auth_type} {auth_authen}",
	wire.StageRcpt:    "i {rcpt_mailer}",
	wire.StageEnd:     "i",
})

// Run serves the connection until it ends.
func (l *link) Run() {
	defer l.recycle()
	defer l.Close()
	if err := l.negotiate(); err != nil {
		l.report(err)
		return
	}
	backend := &gomilter.Server{NewMilter: func() gomilter.Milter { return backend{l} }}
	backend.Serve(&oneConn{link: l}) // returns at once: the session runs in a goroutine of go-milter's
	<-l.gone
}

// negotiate reads the MTA's offer and answers it.
func (l *link) negotiate() error {
	code, size, err := l.next()
	if err != nil {
		return err
	}
	if code != wire.CmdNegotiate || size > 4<<10 {
		return fmt.Errorf("%w: it begins with %q, not with a negotiation", wire.ErrPacket, code)
	}
	data, err := l.packets.Payload()
	if err != nil {
		return err
	}
	offer, err := wire.ParseNegotiation(data)
	if err != nil {
		return err
	}
	if offer.Actions&wantActions != wantActions {
		return errors.New("the MTA does not let filters add header fields, so nothing could be signed")
	}
	answer := wire.Negotiation{
		Version:  min(offer.Version, wire.Version),
		Actions:  offer.Actions & (wantActions | likeActions),
		Protocol: offer.Protocol & likeProtocol,
	}
	if answer.Actions&wire.ActSetMacros != 0 {
		answer.Macros = macroChoice
	}
	l.muted, l.spaced = answer.Protocol, answer.Protocol&wire.LeadingSpace != 0
	l.session.canHold = answer.Actions&wire.ActQuarantine != 0
	l.out = answer.Append(l.out)
	return nil
}

// Read gives go-milter the packets that it treats well, and treats the others itself.
func (l *link) Read(p []byte) (int, error) {
	defer l.survive()
	if l.over {
		return 0, io.EOF
	}
	if !l.deep {
		l.deep = true
		deepen()
	}
	for len(l.in) == 0 {
		if err := l.flush(); err != nil {
			return 0, l.end(err)
		}
		if err := l.packet(); err != nil {
			return 0, l.end(err)
		}
	}
	n := copy(p, l.in)
	l.in = l.in[n:]
	return n, nil
}

// survive ends the connection after a panic outside of all that is guarded, which go-milter does not hear of.
func (l *link) survive() {
	if v := recover(); v != nil {
		l.server.panics.Caught(InConnection, v)
		l.out, l.over = l.out[:0], true
	}
}

// deepen makes the stack of a goroutine that is new as large as a message needs. Left to itself it doubles where it is
// deepest, three times over, and each frame is walked each time.
//
//go:noinline
func deepen() {
	var room [8 << 10]byte
	runtime.KeepAlive(&room)
}

// Write keeps what go-milter writes until the next read.
func (l *link) Write(p []byte) (int, error) {
	l.out = append(l.out, p...)
	return len(p), nil
}

// Close ends the connection; go-milter calls it when its session ends. What is still to be said is said first.
func (l *link) Close() error {
	select {
	case <-l.gone:
		return nil
	default:
	}
	l.flush()
	close(l.gone)
	return l.Conn.Close()
}

func (l *link) flush() error {
	if len(l.out) == 0 {
		return nil
	}
	l.Conn.SetWriteDeadline(time.Now().Add(l.server.opt.Limits.PacketTimeout))
	_, err := l.Conn.Write(l.out)
	l.out = l.out[:0]
	return err
}

// end reports why the connection ends, and gives go-milter the one error on which it is quiet.
func (l *link) end(err error) error {
	l.report(err)
	return io.EOF
}

// report logs an error of the connection, unless it is an ordinary end.
func (l *link) report(err error) {
	if err == io.EOF || errors.Is(err, net.ErrClosed) || l.server.gate.Draining() {
		return
	}
	l.server.log.Warn("milter connection ended", "peer", l.Conn.RemoteAddr().String(), "err", err)
}

// packet takes the next packet: it treats it, or leaves it in l.in for go-milter.
func (l *link) packet() error {
	code, size, err := l.next()
	if err == nil {
		err = checkSize(code, size)
	}
	if err != nil {
		return err
	}
	if code == wire.CmdBody || code == wire.CmdEnd { // the last piece of the body may come with the end
		if err := l.body(); err != nil {
			return err
		}
	}
	data, err := l.packets.Payload()
	switch {
	case err == wire.ErrRoom: // of a header field: all else is small. The next look for a packet skips it
		l.guard("header", l.session.crowd)
		l.answer(proceed, wire.NoReplyHeader)
		return nil
	case err != nil:
		return err
	}
	switch code {
	case wire.CmdBody:
		l.answer(proceed, wire.NoReplyBody)
		return nil
	case wire.CmdMacro:
		return l.session.takeMacros(data)
	case wire.CmdHeader:
		return l.header(data)
	case wire.CmdUnknown, wire.CmdData:
		l.answer(proceed, wire.NoReplyUnknown|wire.NoReplyData)
		return nil
	case wire.CmdQuitNew:
		l.guard("quit", l.session.quit)
		return nil
	case wire.CmdConnect:
		if data, err = connectData(data); err != nil {
			return err
		}
	case wire.CmdHelo, wire.CmdMail, wire.CmdRcpt, wire.CmdEndHeader, wire.CmdEnd, wire.CmdAbort, wire.CmdQuit:
	default:
		return fmt.Errorf("%w: unknown command %q", wire.ErrPacket, code)
	}
	if cap(l.frame) > ordinaryFrame {
		l.frame = nil
	}
	l.frame = wire.Append(l.frame[:0], code, data)
	l.in = l.frame
	return nil
}

// ordinaryFrame is how large a packet for go-milter may have been whose memory is kept.
const ordinaryFrame = 1 << 10

// checkSize bounds what is kept of a packet, some of it a thousand times over. Header fields have bounds of their own,
// and bodies are not kept.
func checkSize(code byte, size int) error {
	switch code {
	case wire.CmdHeader, wire.CmdBody, wire.CmdEnd:
		return nil
	}
	if size > wire.MaxCommand {
		return fmt.Errorf("%w: command %q with %d octets, at most %d", wire.ErrPacket, code, size, wire.MaxCommand)
	}
	return nil
}

// body takes a piece of the body, as it comes from the socket.
func (l *link) body() error {
	for {
		p, err := l.packets.Chunk()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		l.guard("body", func() { l.session.chunk(p) })
	}
}

// header takes a field.
func (l *link) header(data []byte) error {
	name, value, err := wire.SplitHeader(data)
	if err != nil {
		return err
	}
	if !l.spaced { // the MTA took the space away
		value = append([]byte{' '}, value...)
	}
	l.protect("header", func() { l.session.field(name, value) }) // two looks at the clock take longer than a field
	l.answer(proceed, wire.NoReplyHeader)
	return nil
}

// answer writes a reply, unless it was agreed that there is none.
func (l *link) answer(r reply, mute uint32) {
	if l.muted&mute == 0 {
		l.out = wire.Append(l.out, r.code, r.data)
	}
}

// connectData checks the data of CONNECT, of which go-milter would complain to the standard logger, or in a reply that
// nobody waits for. It removes the tag that Sendmail puts before IPv6 addresses, which go-milter does not know.
func connectData(data []byte) ([]byte, error) {
	nul := bytes.IndexByte(data, 0)
	if nul < 0 || len(data) < nul+2 {
		return nil, fmt.Errorf("%w: CONNECT of %d octets", wire.ErrPacket, len(data))
	}
	const port = 2 // octets between the family and the address
	addr := nul + 2 + port
	switch data[nul+1] {
	case wire.FamilyInet, wire.FamilyInet6:
		if len(data) < addr {
			return nil, fmt.Errorf("%w: CONNECT without port", wire.ErrPacket)
		}
		return append(data[:addr:addr], bytes.TrimPrefix(data[addr:], []byte("IPv6:"))...), nil
	}
	return data, nil
}

// guard runs a step of the session, and counts its time.
func (l *link) guard(what string, step func()) {
	start := l.server.opt.Now()
	l.session.step = start
	l.protect(what, step)
	l.session.took += l.server.opt.Now().Sub(start)
}

// protect runs a step of the session. A panic costs the message, not the process.
func (l *link) protect(what string, step func()) {
	defer func() {
		if v := recover(); v != nil {
			l.session.panicked(what, v)
		}
		l.note()
	}()
	step()
}

// note keeps since when a message is in hand.
func (l *link) note() {
	switch {
	case l.session.state == idle:
		l.begun.Store(0)
	case l.begun.Load() == 0:
		l.begun.Store(max(1, int64(l.session.step.Sub(l.born))))
	}
}
