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
	Recipients []Recipient
	QueueID    string
	Header     *mail.Header
	Body       io.Reader // lines end in CRLF; nil is none
}

// Result is what became of a message.
type Result struct {
	Mail    Reply
	Rcpt    []Reply // one for each recipient; those after a refused sender are not asked
	End     Reply   // the decision; where it fell before the end of the message, that answer
	Changes []Change
}

// Play puts a message through the session, as Postfix does: the queue id is told when Postfix knows it, which over SMTP
// is from the second recipient on; sendmail(1) has its addresses without angle brackets. A refused recipient leaves the
// others; without any the content is not sent.
func (s *Session) Play(m Message) (Result, error) {
	var r Result
	reply, err := s.greet(m)
	if err == nil && !reply.Final() {
		reply, err = s.envelope(m, &r)
	}
	if err == nil && !reply.Final() {
		reply, err = s.content(m)
	}
	if err == nil && !reply.Final() {
		reply, r.Changes, err = s.End(Macro{"i", m.QueueID})
	}
	if err != nil {
		return r, err
	}
	r.End = reply
	return r, s.Abort() // as Postfix does after each message
}

func (m *Message) local() bool { return m.Client.Port == 0 }

func (m *Message) path(p string) string {
	if m.local() {
		return p
	}
	return "<" + p + ">"
}

// greet tells of the client, once.
func (s *Session) greet(m Message) (Reply, error) {
	if s.known {
		return Reply{}, nil
	}
	r, err := s.Connect(m.Client, Macro{"{daemon_name}", m.Daemon})
	if err != nil || r.Final() {
		return r, err
	}
	return s.Helo(m.Helo)
}

// envelope tells sender and recipients. Its reply is final when no content is to follow.
func (s *Session) envelope(m Message, r *Result) (reply Reply, err error) {
	id := Macro{"i", m.QueueID}
	if !m.local() {
		id.Value = ""
	}
	authType := ""
	if m.Login != "" {
		authType = "PLAIN"
	}
	r.Mail, err = s.Mail(m.path(m.Sender), id, Macro{"{auth_type}", authType}, Macro{"{auth_authen}", m.Login})
	if err != nil || r.Mail.Final() {
		return r.Mail, err
	}
	taken := false
	for i, to := range m.Recipients {
		if i > 0 {
			id.Value = m.QueueID
		}
		reply, err = s.Rcpt(m.path(to.Path), id, Macro{"{rcpt_mailer}", to.Mailer})
		if err != nil {
			return reply, err
		}
		r.Rcpt = append(r.Rcpt, reply)
		if !reply.Refused() {
			taken = true
		}
	}
	if !taken && len(m.Recipients) > 0 {
		return reply, nil
	}
	return Reply{Kind: Continue}, nil
}

// content sends header and body.
func (s *Session) content(m Message) (Reply, error) {
	id := Macro{"i", m.QueueID}
	if r, err := s.Data(id); err != nil || r.Final() {
		return r, err
	}
	for i := range m.Header.Len() {
		if r, err := s.Field(m.Header.At(i), id); err != nil || r.Final() {
			return r, err
		}
	}
	if r, err := s.EndHeader(id); err != nil || r.Final() {
		return r, err
	}
	return s.Body(m.Body, id)
}
