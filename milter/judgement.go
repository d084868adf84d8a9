package milter

import (
	"context"
	"slices"

	"reputed/policy"
	"reputed/policy/mail"
)

// Judgement is what a [Site] makes of one message, step by step as the message becomes known. The session of a milter
// has one, and so has every other door by which messages are heard of: what is decided is the same everywhere. Site and
// Tx are filled in by those who hear of the message. It belongs to one goroutine.
type Judgement struct {
	Site    *Site
	Tx      mail.Transaction
	Class   policy.Class
	Why     string         // the reason for the class; "": it is not told yet
	Verdict policy.Verdict // on the message as a whole; zero before Finish
	Sending policy.Verdict // the part of it that is about the ways by which the message leaves

	settled  bool               // the envelope was judged elsewhere, or nobody would hear a refusal
	unasked  bool               // settled, and it was not judged
	finished bool               // the header is complete
	inquiry  Inquiry            // nil: nothing is asked
	halt     context.CancelFunc // ends the inquiry; nil with it
	routed   []routed           // verdicts on recipients
}

// routed is the verdict on all recipients that leave by one egress under the same circumstances.
type routed struct {
	egress  *mail.Egress
	exempt  policy.Exemption
	verdict policy.Verdict
}

// Classify tells the class, as far as MAIL shows it.
func (j *Judgement) Classify() { j.Class, j.Why = j.Site.Outbound.Classify(&j.Tx) }

// Begin tells the class, and unless the message is foreign it begins to ask about the envelope: answers are needed at
// the first recipient that leaves, and the MTA takes its time until then. End must follow.
func (j *Judgement) Begin() {
	j.Classify()
	if j.Class == policy.Foreign || j.Site.Inquire == nil {
		return
	}
	var ctx context.Context
	ctx, j.halt = context.WithCancel(context.Background())
	j.inquiry = j.Site.Inquire(ctx, &j.Tx)
}

// Settle takes the place of Begin for a message whose envelope was judged before: it is ours, and nothing is asked. Its
// recipients leave, and there is neither a client to try again nor anybody to bounce to.
func (j *Judgement) Settle(why string) { j.Class, j.Why, j.settled = policy.Ours, why, true }

// SettleUnasked takes the place of Settle for a message that was taken in while nobody was there to judge it. Whose it is
// is told here. Nothing is refused; what would have been for several From fields waits, for it cannot be signed.
func (j *Judgement) SettleUnasked(why string) {
	j.Settle(why)
	j.unasked = true
}

// Recipient gives the verdict on a recipient, of whom all is filled in. It is found once for all that are alike.
func (j *Judgement) Recipient(r *mail.Recipient) policy.Verdict {
	if i := j.route(r); i >= 0 {
		return j.routed[i].verdict
	}
	return policy.Verdict{}
}

// Finish tells the class, and of a message of ours the verdict, now that the header is complete and Tx holds the
// recipients that were taken. The exemptions are circumstances that Tx does not show.
func (j *Judgement) Finish(more policy.Exemption) {
	j.finished = true
	j.Tx.Author = j.Tx.Header.ReadAuthor()
	j.finishClass()
	if j.Class != policy.Ours {
		return
	}
	var found []policy.Finding
	for _, check := range j.Site.Checks {
		found = append(found, check(context.Background(), &j.Tx)...)
	}
	exempt := j.exemptions() | more
	if j.Tx.AllStay() {
		exempt |= policy.AllStay
	}
	j.Sending = j.recipients()
	j.Verdict = policy.Decide(j.Site.Rules, found, exempt).Join(j.Sending)
	if v := &j.Verdict; j.unasked && j.Tx.Author.Fields > 1 && v.Action < policy.Defer {
		v.Action, v.Rule = policy.Defer, "from"
		v.Reply = policy.Reply{Code: 451, Enhanced: "4.6.0", Text: "message has several From fields, and cannot be signed"}
	}
}

// finishClass tells the class, now that the header is complete. What was taken in unasked has one Received more, of the
// MTA that took it in. Where even that is missing somebody takes them out, and the sender alone must tell: a stranger's
// is not signed.
func (j *Judgement) finishClass() {
	if j.settled && !j.unasked {
		return
	}
	if j.unasked {
		switch j.Tx.Header.Count("Received") {
		case 0:
			if policy.CouldRelay(&j.Tx, j.Site.Own) {
				j.Class, j.Why = policy.Relayed, "sender not ours, no Received left to tell more"
			}
			return
		case 1:
			return
		}
	}
	j.Class, j.Why = j.Site.Outbound.Finish(&j.Tx, j.Class, j.Why, j.Site.Own)
}

// End ends what was asked.
func (j *Judgement) End() {
	if j.halt != nil {
		j.halt()
		j.halt = nil
	}
}

// Own tells whether the envelope sender is in a domain that we sign for.
func (j *Judgement) Own() bool { return j.Site.Own(j.Tx.ReversePath) }

// route gives the place of the verdict on a recipient, -1 when there is nothing to be said.
func (j *Judgement) route(r *mail.Recipient) int {
	if j.inquiry == nil || r.Stay == mail.Stays {
		return -1
	}
	egress, exempt := j.inquiry.Egress(r)
	if egress == nil {
		return -1
	}
	exempt |= j.exemptions()
	if r.Stay == mail.StayUnknown {
		exempt |= policy.MayStay
	}
	for i := range j.routed {
		if j.routed[i].egress == egress && j.routed[i].exempt == exempt {
			return i
		}
	}
	found, circumstances := j.inquiry.Findings(egress)
	v := policy.Decide(j.Site.Rules, found, exempt|circumstances)
	j.routed = append(j.routed, routed{egress, exempt, v})
	return len(j.routed) - 1
}

// recipients gives the verdict on all recipients that were taken, for the message as a whole.
func (j *Judgement) recipients() (v policy.Verdict) {
	var joined []int
	for i := range j.Tx.Recipients {
		at := j.route(&j.Tx.Recipients[i])
		if at >= 0 && !slices.Contains(joined, at) {
			joined = append(joined, at)
			v = v.Join(j.routed[at].verdict)
		}
	}
	return v
}

// exemptions gives the circumstances that sender and client make.
func (j *Judgement) exemptions() (x policy.Exemption) {
	if j.Tx.NullSender() {
		x |= policy.NullSender
	}
	if j.settled {
		return x | policy.Settled
	}
	if j.Tx.Authenticated() {
		x |= policy.Person
	}
	if !j.finished && policy.CouldRelay(&j.Tx, j.Site.Own) {
		x |= policy.MayRelay
	}
	if j.Tx.Client.Local {
		x |= policy.LocalPort
		if !j.Own() {
			x |= policy.NoBounce
		}
	}
	return x
}

// reset forgets the message. Memory that the next one can use is kept.
func (j *Judgement) reset(client *mail.Client) {
	j.End()
	j.Tx.Header.Reset()
	clear(j.Tx.Recipients) // hold no texts of the last message
	clear(j.routed)
	fields, recipients, verdicts := j.Tx.Header, j.Tx.Recipients[:0], j.routed[:0]
	*j = Judgement{} // in place: filled in at once it would be made on the stack first, which link.Run's is too small for
	j.Tx.Client, j.Tx.Header, j.Tx.Recipients, j.routed = client, fields, recipients, verdicts
}
