package exim

import (
	"slices"
	"strings"
	"time"

	"reputed/milter"
	"reputed/policy"
	"reputed/policy/mail"
)

// asking is a question while it is answered.
type asking struct {
	milter.Judgement
	server  *Server
	request *Request
	client  mail.Client
	header  mail.Header
	since   time.Time
}

// answer answers a question, whatever happens meanwhile.
func (s *Server) answer(r *Request) (text string) {
	if r.Selects {
		text = mustWait
		s.guard("selector", func() { text = s.selector(r.Domain) })
		return text
	}
	q := &asking{server: s, request: r, since: s.opt.Now()}
	if s.guard(string(r.Stage), func() { text = q.judge() }) == nil {
		return text
	}
	q.End()
	text = r.Stage.trouble()
	s.guard("trouble", func() { text = q.trouble() })
	return text
}

// guard runs a step. A panic costs the question, not the process.
func (s *Server) guard(what string, step func()) (panicked any) {
	defer func() {
		if panicked = recover(); panicked != nil {
			s.panics.Caught(what, panicked)
		}
	}()
	step()
	return nil
}

// selector names the key that signs for a domain.
func (s *Server) selector(domain string) string {
	d, err := mail.ParseDomain(strings.TrimSpace(domain))
	if err != nil || s.opt.Selector == nil {
		return ""
	}
	found := s.opt.Selector(d)
	if found.Wait {
		return mustWait
	}
	return found.Name.String()
}

// judge gives the answer.
func (q *asking) judge() string {
	q.Site = q.server.opt.Site()
	q.fill()
	switch q.request.Stage {
	case AtMail:
		return q.mail()
	case AtRcpt:
		return q.rcpt()
	}
	return q.message()
}

// fill fills in what is known of the transaction.
func (q *asking) fill() {
	r := q.request
	q.client = mail.Client{Helo: r.Helo, Port: r.Port, Local: r.Stage == AtLocal || !r.Client.IsValid()}
	if q.Tx.Client, q.Tx.Header = &q.client, &q.header; !q.client.Local {
		q.client.Addr = r.Client.Unmap()
		// Of a program on this host, Exim gives the name of its user as if he had logged in.
		q.Tx.Login, q.Tx.AuthType = r.Login, r.AuthType
		if !q.Tx.Authenticated() && authenticated(r.Proto) {
			q.Tx.AuthType = r.Proto
		}
	}
	q.Tx.QueueID, q.Tx.Path = r.ID, r.Sender
	q.Tx.ReversePath, _ = mail.ParsePath(r.Sender) // what is no address is in no domain of ours; Path keeps its text
	if r.Stage == AtRcpt {
		return
	}
	if r.Received > 1 { // more than Exim's own
		q.header.Add([]byte("Received"), nil)
	}
	for _, value := range r.From {
		q.header.Add([]byte("From"), []byte(value))
	}
	q.Tx.Cut = q.header.Size() >= maxFrom
	q.Tx.Body = max(0, r.Size-int64(q.header.Size()))
	q.Tx.RecipientCount = max(r.Count, len(r.Recipients))
	for _, path := range r.Recipients[:min(len(r.Recipients), mail.MaxRecipients)] {
		q.Tx.Recipients = append(q.Tx.Recipients, q.recipient(path))
	}
}

// maxFrom is how much of the From fields may be there. Exim cuts off fields that it expands at 64 KiB, of which half may
// be doubled colons ($lh_from:): nobody knows what stood behind that, perhaps another field.
const maxFrom = 32 << 10

// authenticated tells whether a protocol's name says that the client logged in: RFC 3848, section 1, and RFC 6531,
// section 4.3, in the words of Exim ("esmtpsa", "utf8esmtpa").
func authenticated(proto string) bool {
	return strings.HasSuffix(proto, "smtpa") || strings.HasSuffix(proto, "smtpsa")
}

func (q *asking) recipient(path string) mail.Recipient {
	r := mail.Recipient{Path: path}
	r.Addr, _ = mail.ParsePath(path)
	switch r.Stay = q.request.Stay; {
	case q.request.Stage == AtData:
		r.Stay = mail.Leaves
	case q.request.Stage == AtLocal && r.Stay == mail.StayUnknown:
		r.Stay = q.Site.Outbound.Stay(&r)
	}
	return r
}

// mail answers at MAIL. What is asked about the envelope goes on when it is answered, so that it is known at RCPT.
func (q *asking) mail() string {
	if q.Begin(); q.Class == policy.Foreign {
		q.done(policy.Record{})
		return other
	}
	q.server.ahead(q)
	return ours
}

// rcpt answers at RCPT. The message may go on with other recipients.
func (q *asking) rcpt() string {
	if q.Classify(); q.Class == policy.Foreign {
		return other
	}
	if q.request.Stay != mail.Leaves {
		return ours
	}
	q.Begin()
	defer q.End()
	r := q.recipient(q.request.Recipients[0])
	v := q.Recipient(&r)
	if v.Action < policy.Defer {
		return ours // a recipient cannot be held: the message is, at data
	}
	q.done(policy.Record{Verdict: v, Rcpt: r.Path})
	return reply(v.Reply)
}

// message answers once all of the message is there.
func (q *asking) message() string {
	var more policy.Exemption
	q.Begin()
	defer q.End()
	if len(q.Tx.Recipients) == 0 { // those that stay are not told
		more = policy.AllStay
	}
	q.Finish(more)
	switch q.Class {
	case policy.Foreign: // was reported at MAIL
		return other
	case policy.Relayed:
		q.done(policy.Record{})
		return other
	}
	if q.request.Stage == AtLocal {
		q.soften()
	}
	switch q.Verdict.Action {
	case policy.Reject, policy.Defer:
		q.done(policy.Record{Verdict: q.Verdict})
		return reply(q.Verdict.Reply)
	case policy.Hold:
		q.done(policy.Record{Verdict: q.Verdict})
		return hold
	}
	q.note()
	return ours
}

// soften takes back what nobody would hear, or should: a refusal for now of a program's mail, and all that would keep a
// bounce. For now it is refused for a fault of ours only, and that is met again when it is to be signed: it waits then, at
// the filter, or because Exim is told no selector.
func (q *asking) soften() {
	if v := &q.Verdict; v.Action == policy.Defer || q.Tx.NullSender() {
		v.Action, v.Rule, v.Reply = policy.Log, "", policy.Reply{}
	}
}

// note hands on what was found about the way that the message leaves, which is not looked at again when it is signed.
func (q *asking) note() {
	v := policy.Verdict{Would: q.Sending.Would, Findings: q.Sending.Findings}
	speaks := slices.ContainsFunc(v.Findings, func(f policy.Finding) bool { return f.Grade != policy.Pass })
	if (speaks || v.Would > policy.Log) && q.server.opt.Noted != nil {
		q.report(policy.Record{Verdict: v}, q.server.opt.Noted)
	}
}

// trouble answers when we failed. Mail that is not ours passes; ours is not sent unsigned, unless the operator wants
// that.
func (q *asking) trouble() string {
	told := q.Why != "" // whose it is
	switch {
	case told && q.Class != policy.Ours:
		return other
	case q.request.Stage == AtLocal:
		return unasked
	case told && q.Site.OnError < policy.Defer:
		return ours
	}
	found := policy.Finding{Rule: "trouble", Result: "failed", Grade: policy.Fail, Reason: "panic, see the log"}
	q.done(policy.Record{Verdict: policy.Verdict{
		Action: policy.Defer, Rule: found.Rule, Reply: policy.Trouble(), Findings: []policy.Finding{found},
	}})
	return reply(policy.Trouble())
}

// trouble is the answer when nothing is known.
func (s Stage) trouble() string {
	if s == AtLocal {
		return unasked
	}
	return reply(policy.Trouble())
}

// done reports what became of the message, or of a recipient.
func (q *asking) done(r policy.Record) {
	if q.server.opt.Done != nil && q.Tx.Client != nil {
		q.report(r, q.server.opt.Done)
	}
}

func (q *asking) report(r policy.Record, to func(*policy.Record)) {
	r.Tx, r.Class, r.Why = &q.Tx, q.Class, q.Why
	r.Took = q.server.opt.Now().Sub(q.since)
	to(&r)
}
