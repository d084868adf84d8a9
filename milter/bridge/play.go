package bridge

import (
	"io"

	"reputed/milter/wire"
	"reputed/policy/mail"
)

// Recipient is a recipient as the MTA routed it.
type Recipient struct {
	Path   string // without angle brackets
	Mailer string // {rcpt_mailer}: the transport it leaves by; "" is not told
}

// Message is a message to play. The client is told of once for each session.
type Message struct {
	Client     wire.Peer // port 0 plays sendmail(1)
	Helo       string
	Daemon     string // {daemon_name}
	Login      string // {auth_authen}; "" is not logged in
	Sender     string // without angle brackets; "" is the null sender
	Mailer     string // {mail_mailer}: the transport by which the sender is reached; "" is not told
	Recipients []Recipient
	QueueID    string
	Header     *mail.Header
	Body       io.Reader // lines end in CRLF; nil is none
}

// Result is what became of a message. A step that the filter does not want, or that was not reached, has the zero
// reply.
type Result struct {
	Connect, Helo Reply // zero for all but the first message of a session
	Mail          Reply
	Rcpt          []Reply // one for each recipient that was told
	Data          Reply
	Outcome       // where the decision fell before the end of the message, End is that answer
}

// Play puts a message through the session, as Postfix does: the queue id is told when Postfix knows it, which over SMTP
// is once a recipient was taken; sendmail(1) has its addresses without angle brackets and says nothing of mailers. A
// refused recipient leaves the others; without any the content is not sent. For sendmail(1) a refused recipient is an
// error, for Postfix cannot take that: the mail would stay in its queue.
func (s *Session) Play(m Message) (Result, error) {
	var r Result
	end, err := s.greet(&m, &r)
	if err == nil && !end.Final() {
		end, err = s.envelope(&m, &r)
	}
	if err == nil && !end.Final() {
		end, err = s.content(&m, &r)
	}
	if err != nil {
		return r, err
	}
	if end.Final() {
		r.End = end
	} else if r.Outcome, err = s.End(Macro{"i", m.QueueID}); err != nil {
		return r, err
	}
	return r, s.Abort()
}

func (m *Message) local() bool { return m.Client.Port == 0 }

func (m *Message) path(p string) string {
	if m.local() {
		return p
	}
	return "<" + p + ">"
}

// overSMTP gives what Postfix does not tell of mail from sendmail(1).
func (m *Message) overSMTP(value string) string {
	if m.local() {
		return ""
	}
	return value
}

// greet tells of the client, once. A client that the filter decided about has that decision for each message.
func (s *Session) greet(m *Message, r *Result) (reply Reply, err error) {
	if s.known {
		return s.decided(), nil
	}
	if r.Connect, err = s.Connect(m.Client, Macro{"{daemon_name}", m.Daemon}); err != nil || r.Connect.Final() {
		return r.Connect, err
	}
	r.Helo, err = s.Helo(m.Helo)
	return r.Helo, err
}

// envelope tells sender and recipients. Its reply is final when no content is to follow.
func (s *Session) envelope(m *Message, r *Result) (reply Reply, err error) {
	id := Macro{"i", m.QueueID}
	if !m.local() {
		id.Value = "" // Postfix has no queue file before it took a recipient
	}
	macros := []Macro{id, {"{mail_mailer}", m.overSMTP(m.Mailer)}}
	if m.Login != "" {
		macros = append(macros, Macro{"{auth_type}", "PLAIN"}, Macro{"{auth_authen}", m.Login})
	}
	if r.Mail, err = s.Mail(m.path(m.Sender), nil, macros...); err != nil || r.Mail.Final() {
		return r.Mail, err
	}
	taken := false
	for _, to := range m.Recipients {
		reply, err = s.Rcpt(m.path(to.Path), id, Macro{"{rcpt_mailer}", m.overSMTP(to.Mailer)})
		if err != nil {
			return reply, err
		}
		r.Rcpt = append(r.Rcpt, reply)
		if s.decided().Kind != None {
			return reply, nil
		}
		if reply.Refused() {
			if m.local() {
				return reply, s.wrong("it refuses %q, a recipient of sendmail(1), which Postfix cannot take", to.Path)
			}
			continue
		}
		taken, id.Value = true, m.QueueID
	}
	if !taken && len(m.Recipients) > 0 {
		return reply, nil
	}
	return Reply{}, nil
}

// content sends header and body.
func (s *Session) content(m *Message, r *Result) (reply Reply, err error) {
	id := Macro{"i", m.QueueID}
	if r.Data, err = s.Data(id); err != nil || r.Data.Final() {
		return r.Data, err
	}
	for i := range m.Header.Len() {
		if reply, err = s.Header(m.Header.At(i), id); err != nil || reply.Final() {
			return reply, err
		}
	}
	if reply, err = s.EndHeader(id); err != nil || reply.Final() {
		return reply, err
	}
	return s.Body(m.Body, id)
}
