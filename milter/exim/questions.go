package exim

import "sync/atomic"

// Questions says how many were asked since the start, by stage.
type Questions struct {
	Mail, Rcpt, Data, Local uint64
	Selector                uint64 // "selector DOMAIN"
	Bad                     uint64 // those that made no sense, and count nowhere else
}

// questions counts them.
type questions struct{ mail, rcpt, data, local, selector, bad atomic.Uint64 }

// count counts a question; err is why it cannot be answered.
func (q *questions) count(r *Request, err error) {
	switch {
	case err != nil:
		q.bad.Add(1)
	case r.Selects:
		q.selector.Add(1)
	case r.Stage == AtMail:
		q.mail.Add(1)
	case r.Stage == AtRcpt:
		q.rcpt.Add(1)
	case r.Stage == AtLocal:
		q.local.Add(1)
	default:
		q.data.Add(1)
	}
}

// Questions gives how many were asked so far.
func (s *Server) Questions() Questions {
	q := &s.asked
	return Questions{
		Mail: q.mail.Load(), Rcpt: q.rcpt.Load(), Data: q.data.Load(), Local: q.local.Load(), Selector: q.selector.Load(),
		Bad: q.bad.Load(),
	}
}

// Panics gives how many were survived, by the step of a question that they were in.
func (s *Server) Panics() map[string]uint64 { return s.panics.Counts() }

// Connections gives how many are open, and how many may be.
func (s *Server) Connections() (open, limit int) { return s.gate.Open() }
