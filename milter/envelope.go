package milter

import (
	"context"
	"slices"

	"reputed/policy"
	"reputed/policy/mail"
)

// routed is the verdict on all recipients that leave by one egress under the same circumstances.
type routed struct {
	egress  *mail.Egress
	exempt  policy.Exemption
	verdict policy.Verdict
}

// inquire begins to ask about the envelope. Answers are needed at the first recipient that leaves, and the MTA takes
// its time until then.
func (s *session) inquire() {
	if s.site.Inquire == nil {
		return
	}
	var ctx context.Context
	ctx, s.halt = context.WithCancel(context.Background())
	s.inquiry = s.site.Inquire(ctx, &s.tx)
}

// judgeNow gives the verdict on a recipient where a refusal can be answered: over SMTP, of one that leaves. The others
// are judged at the end of the header.
func (s *session) judgeNow(r *mail.Recipient) policy.Verdict {
	if s.client.Local || r.Stay != mail.Leaves {
		return policy.Verdict{}
	}
	return s.judge(r)
}

// judge gives the verdict on a recipient.
func (s *session) judge(r *mail.Recipient) policy.Verdict {
	if i := s.route(r); i >= 0 {
		return s.routed[i].verdict
	}
	return policy.Verdict{}
}

// route gives the place of the verdict on a recipient, -1 when there is nothing to be said. It is found once for all
// that are alike.
func (s *session) route(r *mail.Recipient) int {
	if s.inquiry == nil || r.Stay == mail.Stays {
		return -1
	}
	egress, exempt := s.inquiry.Egress(r)
	if egress == nil {
		return -1
	}
	exempt |= s.exemptions()
	if r.Stay == mail.StayUnknown {
		exempt |= policy.MayStay
	}
	for i := range s.routed {
		if s.routed[i].egress == egress && s.routed[i].exempt == exempt {
			return i
		}
	}
	found, circumstances := s.inquiry.Findings(egress)
	v := policy.Decide(s.site.Rules, found, exempt|circumstances)
	s.routed = append(s.routed, routed{egress, exempt, v})
	return len(s.routed) - 1
}

// judgeRecipients gives the verdict on all recipients that were taken, for the message as a whole.
func (s *session) judgeRecipients() (v policy.Verdict) {
	var joined []int
	for i := range s.tx.Recipients {
		at := s.route(&s.tx.Recipients[i])
		if at >= 0 && !slices.Contains(joined, at) {
			joined = append(joined, at)
			v = v.Join(s.routed[at].verdict)
		}
	}
	return v
}

// refuseRecipient answers a recipient; the message may go on with others.
func (s *session) refuseRecipient(r *mail.Recipient, v policy.Verdict) reply {
	s.tx.QueueID = s.macro("i")
	s.report(policy.Record{Verdict: v, Rcpt: r.Path})
	return refusal(v.Reply)
}
