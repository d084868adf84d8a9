package milter

import (
	"errors"
	"fmt"
	"time"

	"reputed/milter/wire"
	"reputed/policy"
	"reputed/policy/mail"
)

// state is how far the message of a session has come.
type state uint8

const (
	idle     state = iota // between messages
	envelope              // MAIL was taken; recipients come
	header                // fields come
	body                  // the header is complete
)

// session is one SMTP session as the MTA shows it. It belongs to one connection and one goroutine, and keeps what
// outlives a message: the client and the macros of the connection.
type session struct {
	server  *Server
	client  mail.Client
	canHold bool      // the MTA lets us quarantine
	step    time.Time // when the step in hand began; header fields are none
	message           // the one in hand

	connMacros wire.Macros // those of CONNECT and HELO
	connSize   int         // their octets
	packet     int         // octets of a packet that is larger than others
	share      *Share      // of what all sessions may keep
}

// message is all that ends with a message. See reset, which leaves the memory of it.
type message struct {
	Judgement
	macros wire.Macros
	course
}

// course is how a message goes.
type course struct {
	state   state
	begun   bool // MAIL came
	seal    Seal
	failure error         // our own: the message is answered by Site.OnError
	crowded bool          // there was no room for it: nothing of it is kept
	took    time.Duration // of the steps before the one in hand
}

func newSession(s *Server) *session {
	return &session{
		server: s, connMacros: wire.Macros{}, share: s.budget.Share(),
		message: message{macros: wire.Macros{}, Judgement: Judgement{Tx: mail.Transaction{Header: new(mail.Header)}}},
	}
}

// reset forgets the message in hand. Memory that the next one can use is kept.
func (s *session) reset() {
	s.release()
	large := s.share.Restart(s.lasting())
	if large {
		s.Tx.Header, s.Tx.Recipients = new(mail.Header), nil
	}
	if large || len(s.macros) > ordinaryMacros {
		s.macros = wire.Macros{}
	}
	clear(s.macros)
	s.Judgement.reset(&s.client)
	s.course = course{}
}

// forget gives up what is kept of a message that is answered, for nothing need come before the next one: Postfix sends no
// ABORT then. What comes all the same is out of order, and still known to belong to a message of that class.
func (s *session) forget() {
	site, class, why := s.Site, s.Class, s.Why
	s.reset()
	s.begun, s.Site, s.Class, s.Why = true, site, class, why
}

// release gives the seal back. What it was for is over, so a panic costs no message: the seal is forgotten first, and the
// next message begins without it.
func (s *session) release() {
	seal := s.seal
	if seal == nil {
		return
	}
	s.seal = nil
	defer func() {
		if v := recover(); v != nil {
			s.server.panics.Caught("release", v)
		}
	}()
	seal.Release()
}

// quit forgets the client too: the MTA may put another SMTP session on the same connection.
func (s *session) quit() {
	if len(s.connMacros) > ordinaryMacros {
		s.connMacros = wire.Macros{}
	}
	clear(s.connMacros)
	s.connSize = 0
	s.client = mail.Client{}
	s.reset()
}

// connect begins an SMTP session.
func (s *session) connect(p wire.Peer) reply {
	s.reset()
	addr := p.Addr.Unmap()
	s.client = mail.Client{
		Addr: addr,
		Port: p.Port,
		Name: p.Name,
		// Postfix shows mail from sendmail(1) as 127.0.0.1, port 0. An XCLIENT proxy may leave the port out as well, so
		// the address counts too.
		Local: p.Family == wire.FamilyUnix || p.Port == 0 && addr.IsValid() && addr.IsLoopback(),
	}
	s.keep(len(p.Name))
	return proceed
}

func (s *session) helo(name string) reply {
	s.drop(len(s.client.Helo))
	s.client.Helo = name
	s.keep(len(name))
	return proceed
}

// mail begins a message, and tells whose it is.
func (s *session) mail(path string) reply {
	if s.begun { // neither ABORT nor macros came between: nothing that is here belongs to this message
		s.reset()
	}
	s.begun = true
	s.client.Daemon = s.macro("{daemon_name}")
	s.Site = s.server.site()
	s.state = envelope
	s.Tx.Client = &s.client
	s.Tx.Login, s.Tx.AuthType = s.macros["{auth_authen}"], s.macros["{auth_type}"]
	s.Tx.Path = mail.TrimPath(path)
	s.keep(pathSize(path))
	s.Tx.ReversePath, _ = mail.ParsePath(s.Tx.Path) // what is no address is in no domain of ours; Path keeps its text
	switch s.filtered() {
	case askedDaemon:
		s.Settle("exim took it in")
		return proceed
	case unaskedDaemon:
		s.SettleUnasked("exim took it in, unasked")
		return proceed
	}
	s.Begin()
	if s.Class == policy.Foreign {
		s.done(nil, nil)
		s.forget()
		return accept
	}
	return proceed
}

// The {daemon_name} of our transport filter for Exim: for mail that was told to be ours when Exim took it in, and for
// mail that Exim got no answer about.
const (
	askedDaemon   = "exim-filter"
	unaskedDaemon = "exim-filter-unasked"
)

// filtered gives the {daemon_name} of mail that comes from the transport filter of Exim's, "" of all other. What Exim
// took in, it asked about then; now it sends it, perhaps after an operator released it, and nothing is refused any more,
// for there is nobody to hear it: the message is signed, or waits while this host has no key to sign it with. Of what
// Exim could not ask about, strangers' leaves as it came.
func (s *session) filtered() string {
	if d := s.client.Daemon; s.client.Local && (d == askedDaemon || d == unaskedDaemon) {
		return d
	}
	return ""
}

// rcpt takes a recipient, or refuses it.
func (s *session) rcpt(path string) reply {
	if s.state != envelope {
		return s.outOfOrder("RCPT")
	}
	r := mail.Recipient{Path: mail.TrimPath(path), Mailer: s.macro("{rcpt_mailer}")}
	r.Addr, _ = mail.ParsePath(r.Path)
	r.Stay = s.Site.Outbound.Stay(&r)
	if s.settled {
		r.Stay = mail.Leaves
	}
	if v := s.judgeNow(&r); v.Action >= policy.Defer {
		return s.refuseRecipient(&r, v)
	}
	if s.Tx.RecipientCount++; len(s.Tx.Recipients) < mail.MaxRecipients && s.keep(recipientSize(&r)) {
		s.Tx.Recipients = append(s.Tx.Recipients, r)
	}
	return proceed
}

// judgeNow gives the verdict on a recipient where a refusal can be answered: over SMTP, of one that leaves. The others
// are judged at the end of the header.
func (s *session) judgeNow(r *mail.Recipient) policy.Verdict {
	if s.client.Local || r.Stay != mail.Leaves {
		return policy.Verdict{}
	}
	return s.Recipient(r)
}

// refuseRecipient answers a recipient; the message may go on with others.
func (s *session) refuseRecipient(r *mail.Recipient, v policy.Verdict) reply {
	s.Tx.QueueID = s.macro("i")
	s.report(policy.Record{Verdict: v, Rcpt: r.Path})
	return refusal(v.Reply)
}

// field takes a header field.
func (s *session) field(name, value []byte) reply {
	if s.state != envelope && s.state != header {
		return s.outOfOrder("header field")
	}
	s.state = header
	fields, size := mail.MaxHeaderFields, mail.MaxHeaderSize
	if s.settled {
		fields, size = maxSettled, maxSettled
	}
	h := s.Tx.Header
	if h.Len() >= fields || h.Size()+len(name)+len(value) > size {
		s.Tx.Cut = true
		return proceed
	}
	if s.keep(fieldSize(name, value)) {
		h.Add(name, value)
	}
	return proceed
}

// maxSettled bounds the header of what Exim has taken in, whatever there is: nobody would hear a refusal. It is what the
// transport filter shows at most, 4 MiB, with a CR for each line end: lines of a header have two octets at least.
const maxSettled = 6 << 20

// endHeader judges the message, for all that counts is known by now, and begins its signature.
func (s *session) endHeader() reply {
	if s.state != envelope && s.state != header {
		return s.outOfOrder("end of header")
	}
	s.state = body
	if s.crowded { // there is nothing to judge by
		return proceed
	}
	s.Finish(0)
	if s.Class != policy.Ours {
		return proceed
	}
	if s.settled && s.Tx.Cut { // Exim's ACLs do not count
		s.failure = errors.New("more header than is signed")
		return proceed
	}
	if s.Verdict.Action >= policy.Defer {
		return proceed // a refused message is never signed
	}
	seal, err := s.Site.Seal(&s.Tx)
	switch {
	case err == nil:
		s.seal = seal
	case !errors.Is(err, ErrUnsigned):
		s.failure = err
	}
	return proceed
}

// chunk takes a piece of the body.
func (s *session) chunk(p []byte) {
	if s.state != body {
		s.outOfOrder("body")
		return
	}
	s.Tx.Body += int64(len(p))
	if s.seal == nil || s.failure != nil {
		return
	}
	if _, err := s.seal.Write(p); err != nil {
		s.failure = err
	}
}

// end is the answer to a whole message: what to put on top of it, whether to hold it and why, and the reply.
type end struct {
	fields     []mail.Field
	quarantine string // why to hold it; "" is not to
	reply      reply
}

// end decides the fate of the message.
func (s *session) end() end {
	if s.state == envelope || s.state == header { // an MTA need not say that the header ends when nothing follows
		s.endHeader()
	}
	if s.state != body {
		s.outOfOrder("end of message")
	}
	s.Tx.QueueID = s.macro("i")
	if s.failure != nil {
		return s.fail()
	}
	if s.Class != policy.Ours {
		s.done(nil, nil)
		return end{reply: accept}
	}
	if s.Verdict.Action >= policy.Defer || s.Verdict.Action == policy.Hold && !s.canHold {
		return s.refuse()
	}
	return s.sign()
}

// refuse answers with the reply of the verdict. A message that should be held, but the MTA cannot, comes later again.
func (s *session) refuse() end {
	if v := &s.Verdict; v.Action == policy.Hold {
		v.Action, v.Reply = policy.Defer, policy.Reply{Code: 451, Enhanced: "4.7.1", Text: "mail held back by policy"}
	}
	s.done(nil, nil)
	return end{reply: refusal(s.Verdict.Reply)}
}

// sign answers an accepted message of ours.
func (s *session) sign() end {
	e := end{reply: accept}
	var signed, existing []mail.Signed
	if s.seal != nil {
		if e.fields, signed, s.failure = s.seal.Fields(); s.failure != nil {
			return s.fail()
		}
		existing = s.seal.Existing()
	}
	if s.Verdict.Action == policy.Hold {
		e.quarantine = "reputed: " + s.Verdict.Rule
	}
	s.done(signed, existing)
	return e
}

// fail answers a message that we could not treat. Mail that is not ours passes; ours is not sent unsigned, unless the
// operator wants that. What there was no room for comes later again, whosever it is.
func (s *session) fail() end {
	s.Tx.QueueID = s.macro("i")
	s.server.log.Error("message failed", "queue", s.Tx.QueueID, "err", s.failure)
	found := policy.Finding{Rule: "trouble", Result: "failed", Grade: policy.Fail, Reason: s.failure.Error()}
	s.Verdict.Findings = append(s.Verdict.Findings, found)
	unknown := s.Why == "" || s.crowded // whose it is was never told, or not to the end
	if !unknown && (s.Class != policy.Ours || s.Site.OnError < policy.Defer) {
		s.Verdict.Action = policy.Log
		s.done(nil, nil)
		return end{reply: accept}
	}
	s.Verdict.Action, s.Verdict.Rule, s.Verdict.Reply = policy.Defer, found.Rule, policy.Trouble()
	s.done(nil, nil)
	return end{reply: refusal(s.Verdict.Reply)}
}

// giveUp answers a message of which not even the failure could be treated: it comes later again.
func (s *session) giveUp() end {
	s.state = idle
	return end{reply: refusal(policy.Trouble())}
}

// done reports the message and goes back to between messages.
func (s *session) done(signed, existing []mail.Signed) {
	s.report(policy.Record{Verdict: s.Verdict, Signed: signed, Already: existing})
	s.state = idle
}

// report hands over a record, with what is the same in all records of the message.
func (s *session) report(r policy.Record) {
	if s.server.opt.Done == nil || s.Site == nil {
		return
	}
	r.Tx, r.Class, r.Why = &s.Tx, s.Class, s.Why
	r.Took = s.took + s.server.opt.Now().Sub(s.step)
	s.server.opt.Done(&r)
}

// outOfOrder marks a message whose commands came in an order that the protocol does not know: it fails at its end, for
// we cannot say that we have seen all of it. Only there, since not every command may be refused.
func (s *session) outOfOrder(what string) reply {
	if s.failure == nil {
		s.failure = fmt.Errorf("%s out of order", what)
	}
	return proceed
}

// panicked is what remains of a panic: the message fails at its end, the session goes on.
func (s *session) panicked(what string, v any) {
	s.server.panics.Caught(what, v)
	s.failure = fmt.Errorf("panic in %s", what)
	s.state = body
}
