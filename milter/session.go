package milter

import (
	"context"
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
	lasting wire.Macros // those of CONNECT and HELO
	canHold bool        // the MTA lets us quarantine
	step    time.Time   // when the step in hand began
	message             // the one in hand
}

// message is all that ends with a message.
type message struct {
	state   state
	begun   bool // MAIL came
	site    *Site
	tx      mail.Transaction
	macros  wire.Macros
	class   policy.Class
	why     string
	verdict policy.Verdict
	inquiry Inquiry            // nil: nothing is asked
	halt    context.CancelFunc // ends the inquiry; nil with it
	routed  []routed           // verdicts on recipients
	seal    Seal
	failure error         // our own: the message is answered by Site.OnError
	took    time.Duration // of the steps before the one in hand
}

func newSession(s *Server) *session {
	return &session{
		server:  s,
		lasting: wire.Macros{},
		message: message{macros: wire.Macros{}, tx: mail.Transaction{Header: new(mail.Header)}},
	}
}

// reset forgets the message in hand. Memory that the next one can use is kept.
func (s *session) reset() {
	if s.seal != nil {
		s.seal.Release()
	}
	if s.halt != nil {
		s.halt()
	}
	clear(s.macros)
	s.tx.Header.Reset()
	clear(s.tx.Recipients) // hold no texts of the last message
	clear(s.routed)
	s.message = message{
		macros: s.macros,
		routed: s.routed[:0],
		tx:     mail.Transaction{Client: &s.client, Header: s.tx.Header, Recipients: s.tx.Recipients[:0]},
	}
}

// quit forgets the client too: the MTA may put another SMTP session on the same connection.
func (s *session) quit() {
	s.reset()
	clear(s.lasting)
	s.client = mail.Client{}
}

// takeMacros stores macros: those of CONNECT and HELO for the connection, all others for the message.
func (s *session) takeMacros(data []byte) error {
	if len(data) > 0 {
		switch data[0] {
		case wire.CmdConnect, wire.CmdHelo:
			_, err := s.lasting.Merge(data)
			return err
		case wire.CmdMail:
			s.reset() // some MTAs send no ABORT between messages
		case wire.CmdRcpt:
			delete(s.macros, "{rcpt_mailer}") // the last recipient's
		}
	}
	_, err := s.macros.Merge(data)
	return err
}

// macro gives the message's value of a macro, or the connection's.
func (s *session) macro(name string) string {
	if v, ok := s.macros[name]; ok {
		return v
	}
	return s.lasting[name]
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
	return proceed
}

func (s *session) helo(name string) reply {
	s.client.Helo = name
	return proceed
}

// mail begins a message, and tells whose it is.
func (s *session) mail(path string) reply {
	if s.begun { // neither ABORT nor macros came between: nothing that is here belongs to this message
		s.reset()
	}
	s.begun = true
	s.client.Daemon = s.macro("{daemon_name}")
	s.site = s.server.site()
	s.state = envelope
	s.tx.Client = &s.client
	s.tx.Login, s.tx.AuthType = s.macros["{auth_authen}"], s.macros["{auth_type}"]
	s.tx.Path = mail.TrimPath(path)
	s.tx.ReversePath, _ = mail.ParsePath(s.tx.Path) // what is no address is in no domain of ours; Path keeps its text
	s.class, s.why = s.site.Outbound.Classify(&s.tx)
	if s.class == policy.Foreign {
		s.done(nil, nil)
		return accept
	}
	s.inquire()
	return proceed
}

// rcpt takes a recipient, or refuses it.
func (s *session) rcpt(path string) reply {
	if s.state != envelope {
		return s.outOfOrder("RCPT")
	}
	r := mail.Recipient{Path: mail.TrimPath(path), Mailer: s.macro("{rcpt_mailer}")}
	r.Addr, _ = mail.ParsePath(r.Path)
	r.Stay = s.site.Outbound.Stay(&r)
	if v := s.judgeNow(&r); v.Action >= policy.Defer {
		return s.refuseRecipient(&r, v)
	}
	if s.tx.RecipientCount++; len(s.tx.Recipients) < mail.MaxRecipients {
		s.tx.Recipients = append(s.tx.Recipients, r)
	}
	return proceed
}

// field takes a header field.
func (s *session) field(name, value []byte) reply {
	if s.state != envelope && s.state != header {
		return s.outOfOrder("header field")
	}
	s.state = header
	h := s.tx.Header
	if h.Len() >= mail.MaxHeaderFields || h.Size()+len(name)+len(value) > mail.MaxHeaderSize {
		s.tx.Cut = true
		return proceed
	}
	h.Add(name, value)
	return proceed
}

// endHeader judges the message, for all that counts is known by now, and begins its signature.
func (s *session) endHeader() reply {
	if s.state != envelope && s.state != header {
		return s.outOfOrder("end of header")
	}
	s.state = body
	s.tx.Author = s.tx.Header.ReadAuthor()
	s.class, s.why = s.site.Outbound.Finish(&s.tx, s.class, s.why, s.site.Own)
	if s.class != policy.Ours {
		return proceed
	}
	var found []policy.Finding
	for _, check := range s.site.Checks {
		found = append(found, check(context.Background(), &s.tx)...)
	}
	exempt := s.exemptions()
	if s.tx.AllStay() {
		exempt |= policy.AllStay
	}
	s.verdict = policy.Decide(s.site.Rules, found, exempt).Join(s.judgeRecipients())
	if s.verdict.Action >= policy.Defer {
		return proceed // a refused message is never signed
	}
	seal, err := s.site.Seal(&s.tx)
	switch {
	case err == nil:
		s.seal = seal
	case !errors.Is(err, ErrUnsigned):
		s.failure = err
	}
	return proceed
}

// exemptions gives the circumstances that sender and client make.
func (s *session) exemptions() (x policy.Exemption) {
	if s.tx.NullSender() {
		x |= policy.NullSender
	}
	if s.tx.Authenticated() {
		x |= policy.Person
	}
	if s.state == envelope && policy.CouldRelay(&s.tx, s.site.Own) {
		x |= policy.MayRelay
	}
	if s.client.Local {
		x |= policy.LocalPort
		if !s.site.Own(s.tx.ReversePath) {
			x |= policy.NoBounce
		}
	}
	return x
}

// chunk takes a piece of the body.
func (s *session) chunk(p []byte) {
	if s.state != body {
		s.outOfOrder("body")
		return
	}
	s.tx.Body += int64(len(p))
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
	s.tx.QueueID = s.macro("i")
	if s.failure != nil {
		return s.fail()
	}
	if s.class != policy.Ours {
		s.done(nil, nil)
		return end{reply: accept}
	}
	if s.verdict.Action >= policy.Defer || s.verdict.Action == policy.Hold && !s.canHold {
		return s.refuse()
	}
	return s.sign()
}

// refuse answers with the reply of the verdict. A message that should be held, but the MTA cannot, comes later again.
func (s *session) refuse() end {
	if s.verdict.Action == policy.Hold {
		s.verdict.Action = policy.Defer
		s.verdict.Reply = policy.Reply{Code: 451, Enhanced: "4.7.1", Text: "mail held back by policy"}
	}
	s.done(nil, nil)
	return end{reply: refusal(s.verdict.Reply)}
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
	if s.verdict.Action == policy.Hold {
		e.quarantine = "reputed: " + s.verdict.Rule
	}
	s.done(signed, existing)
	return e
}

// fail answers a message that we could not treat. Mail that is not ours passes; ours is not sent unsigned, unless the
// operator wants that.
func (s *session) fail() end {
	s.tx.QueueID = s.macro("i")
	s.server.log.Error("message failed", "queue", s.tx.QueueID, "err", s.failure)
	found := policy.Finding{Rule: "trouble", Result: "failed", Grade: policy.Fail, Reason: s.failure.Error()}
	s.verdict.Findings = append(s.verdict.Findings, found)
	unknown := s.why == "" // whose it is was never told
	if !unknown && (s.class != policy.Ours || s.site.OnError < policy.Defer) {
		s.verdict.Action = policy.Log
		s.done(nil, nil)
		return end{reply: accept}
	}
	s.verdict.Action, s.verdict.Rule, s.verdict.Reply = policy.Defer, found.Rule, policy.Trouble()
	s.done(nil, nil)
	return end{reply: refusal(s.verdict.Reply)}
}

// done reports the message and goes back to between messages.
func (s *session) done(signed, existing []mail.Signed) {
	s.report(policy.Record{Verdict: s.verdict, Signed: signed, Already: existing})
	s.state = idle
}

// report hands over a record, with what is the same in all records of the message.
func (s *session) report(r policy.Record) {
	if s.server.opt.Done == nil || s.site == nil {
		return
	}
	r.Tx, r.Class, r.Why = &s.tx, s.class, s.why
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
func (s *session) panicked(what string, v any, stack []byte) {
	s.server.log.Error("panic", "in", what, "panic", fmt.Sprint(v), "stack", string(stack))
	s.failure = fmt.Errorf("panic in %s", what)
	s.state = body
}
