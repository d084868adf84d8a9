package check

import (
	"context"

	"reputed/policy"
	"reputed/policy/mail"
)

// Envelope is what is looked at of a message before its content comes: who sends it, and by which egress it leaves.
type Envelope struct {
	Routes   policy.Routes
	Rewrites policy.Rewrites
	Holds    func(mail.Domain) bool // whether we sign for the domain, which makes it one of ours
	SPF      *SPF                   // nil: not looked at
	DNSBL    *DNSBL                 // nil: not looked at
}

// Inquiry is what is found out about the envelope of one message. It belongs to the goroutine of its session.
type Inquiry struct {
	envelope *Envelope
	routes   policy.Routes
	ours     bool // the sender is in a domain of ours, or logged in
	asked    []*asked
}

// Own tells whether an envelope sender is in a domain of ours, as the MTA rewrites it.
func (e *Envelope) Own(sender mail.Address) bool { return e.Holds(e.Rewrites.Apply(sender).Domain) }

// Begin starts to ask about a message, of which MAIL is known. What was asked ends with ctx.
func (e *Envelope) Begin(ctx context.Context, tx *mail.Transaction) *Inquiry {
	sender := e.Rewrites.Apply(tx.ReversePath)
	q := &Inquiry{envelope: e, routes: e.Routes.For(sender, tx.Client.Daemon)}
	own := e.Holds(sender.Domain)
	q.ours = own || tx.Authenticated()
	if e.SPF != nil {
		q.asked = e.SPF.begin(ctx, q.routes, identity{sender: sender, null: tx.NullSender(), own: own || tx.NullSender()})
	}
	return q
}

// Egress gives the way by which mail for a recipient leaves, nil when no address of it is known; and whether he must be
// reached.
func (q *Inquiry) Egress(r *mail.Recipient) (*mail.Egress, policy.Exemption) {
	e := q.routes.Choose(r)
	if e == nil || len(e.Addresses) == 0 && e.Via.IsZero() {
		return nil, 0
	}
	if q.envelope.DNSBL != nil && q.envelope.DNSBL.mustReach(r) {
		return e, policy.Role
	}
	return e, 0
}

// Findings gives what is known of sending by an egress, and the circumstances. It waits for what was asked at MAIL.
func (q *Inquiry) Findings(e *mail.Egress) (found []policy.Finding, circumstances policy.Exemption) {
	for _, a := range q.asked {
		if a.egress == e {
			found = append(found, a.wait())
		}
	}
	if q.envelope.DNSBL != nil {
		found = append(found, q.envelope.DNSBL.findings(e)...)
	}
	if e.Guessed {
		circumstances |= policy.Guessed
	}
	if !q.ours {
		circumstances |= policy.NotOurs
	}
	return found, circumstances
}
