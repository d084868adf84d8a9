package milter

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"net/textproto"

	gomilter "github.com/emersion/go-milter"

	"reputed/milter/wire"
)

// backend is the session as go-milter calls it.
type backend struct{ *link }

// step runs a step of the session and writes its answer. go-milter gets none: it would make a buffer for each, and
// forget the session at answers that do not continue.
func (b backend) step(what string, mute uint32, step func() reply) (gomilter.Response, error) {
	defer b.survive()
	r := proceed
	b.guard(what, func() { r = step() })
	b.answer(r, mute)
	return nil, nil
}

// Connect, Helo and the other methods are gomilter.Milter.
func (b backend) Connect(host, family string, port uint16, ip net.IP, _ *gomilter.Modifier) (gomilter.Response, error) {
	p := wire.Peer{Name: host, Port: port, Family: wire.FamilyUnknown}
	switch family {
	case "unix":
		p.Family = wire.FamilyUnix
	case "tcp4", "tcp6": // what else an address stands behind is none of a client
		p.Addr, _ = netip.AddrFromSlice(ip)
	}
	return b.step("connect", wire.NoReplyConnect, func() reply { return b.session.connect(p) })
}

func (b backend) Helo(name string, _ *gomilter.Modifier) (gomilter.Response, error) {
	return b.step("helo", wire.NoReplyHelo, func() reply { return b.session.helo(name) })
}

func (b backend) MailFrom(path string, _ *gomilter.Modifier) (gomilter.Response, error) {
	return b.step("mail", 0, func() reply { return b.session.mail(path) })
}

func (b backend) RcptTo(path string, _ *gomilter.Modifier) (gomilter.Response, error) {
	return b.step("rcpt", 0, func() reply { return b.session.rcpt(path) })
}

func (b backend) Headers(textproto.MIMEHeader, *gomilter.Modifier) (gomilter.Response, error) {
	return b.step("end of header", wire.NoReplyEOH, b.session.endHeader)
}

// Body is the end of the message.
func (b backend) Body(*gomilter.Modifier) (gomilter.Response, error) {
	defer b.survive()
	if !b.finish("end of message", b.session.end) && !b.finish("failure", b.session.fail) {
		b.finish("failure", b.session.giveUp)
	}
	b.guard("abort", b.session.forget)
	return nil, nil
}

// finish answers the end of a message, and tells whether it could: after a panic nothing of the answer is left.
func (b backend) finish(what string, step func() end) (done bool) {
	before := len(b.out)
	b.guard(what, func() {
		b.answerEnd(step())
		done = true
	})
	if !done {
		b.out = b.out[:before]
	}
	return done
}

// answerEnd writes what becomes of a message.
func (b backend) answerEnd(e end) {
	for i := len(e.fields) - 1; i >= 0; i-- { // each goes on top of the others
		f := e.fields[i]
		value := f.Value()
		if !b.spaced { // the MTA adds the space
			value = bytes.TrimPrefix(value, []byte{' '})
		}
		b.out = wire.AppendInsertHeader(b.out, f.Name(), value)
	}
	if e.quarantine != "" {
		b.out = wire.AppendStrings(b.out, wire.ReplyQuarantine, e.quarantine)
	}
	b.answer(e.reply, 0)
}

func (b backend) Abort(*gomilter.Modifier) error {
	defer b.survive()
	b.guard("abort", b.session.reset)
	return nil
}

// Header and BodyChunk are never called: their packets do not reach go-milter.
func (backend) Header(string, string, *gomilter.Modifier) (gomilter.Response, error) { return nil, nil }
func (backend) BodyChunk([]byte, *gomilter.Modifier) (gomilter.Response, error)      { return nil, nil }

// oneConn is a listener that has one connection to give.
type oneConn struct {
	link *link
	used bool
}

func (o *oneConn) Accept() (net.Conn, error) {
	if o.used {
		return nil, io.EOF
	}
	o.used = true
	return o.link, nil
}

func (o *oneConn) Close() error   { return nil }
func (o *oneConn) Addr() net.Addr { return o.link.Conn.LocalAddr() }
