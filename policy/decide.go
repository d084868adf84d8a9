package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Reply is an answer to the SMTP client. Text is for the peer: generic, no addresses of ours, no secrets.
type Reply struct {
	Code     int    // 4xx or 5xx
	Enhanced string // RFC 3463: "5.7.23"
	Text     string // one line per '\n'
}

// IsZero tells that there is no reply.
func (r Reply) IsZero() bool { return r.Code == 0 }

// String gives the reply in one line, as it is logged. Not escaped.
func (r Reply) String() string {
	if r.IsZero() {
		return ""
	}
	return fmt.Sprintf("%d %s %s", r.Code, r.Enhanced, r.Text)
}

// Temporary gives the reply with a 4 in front: the same subject, but the client shall try again.
func (r Reply) Temporary() Reply {
	r.Code = 451
	if len(r.Enhanced) > 1 {
		r.Enhanced = "4" + r.Enhanced[1:]
	}
	return r
}

// Permanent gives the reply with a 5 in front.
func (r Reply) Permanent() Reply {
	if r.Code < 500 {
		r.Code = 550
	}
	if len(r.Enhanced) > 1 {
		r.Enhanced = "5" + r.Enhanced[1:]
	}
	return r
}

// Trouble gives the reply to mail of ours when this program itself fails: nothing is known about the mail.
func Trouble() Reply {
	return Reply{451, "4.3.0", "mail compliance service has trouble, please try again later"}
}

// Exemption is a circumstance that lifts rules. They combine.
type Exemption uint16

const (
	NullSender Exemption = 1 << iota // RFC 5321, section 4.5.5: refusing a bounce loses it
	AllStay                          // no recipient leaves this host
	MayStay                          // the recipient may or may not leave: the MTA does not say
	LocalPort                        // sendmail(1): a 4xx would leave the mail in the MTA's maildrop with nobody told
	Person                           // the client logged in: a person or a program, which would not try again after a 4xx
	NoBounce                         // sendmail(1) with a stranger's sender: a 5xx would make the MTA bounce to him
	NotOurs                          // the sender is in no domain of ours, and did not log in: a forwarder's, a customer's
	MayRelay                         // the mail may turn out to be passing through: see [CouldRelay]
	Role                             // the recipient is one who must be reached: a postmaster, an operator of a list
	Guessed                          // the egress is a guess: no rule acts, and the verdict says what it would do
	Settled                          // it was judged when it was taken in: only a fault of this host's makes it wait
)

// Rule says what the results of one check lead to.
type Rule struct {
	Name    string            // the Finding.Rule it is about
	On      map[string]Action // by Finding.Result; a result not named here is logged
	Replies map[string]Reply  // by Finding.Result; "{subject}" and "{told}" in the text stand for fields of the finding
	Spares  Exemption         // circumstances under which it only logs
	Trouble bool              // the fault is this host's, not the mail's: a Defer is never turned into a Hold
	Observe bool              // it never acts: the verdict says what it would do
}

// Verdict is the decision on a message.
type Verdict struct {
	Action   Action
	Rule     string // the rule that decided; "" when nothing but Log came of it
	Reply    Reply  // zero unless Defer or Reject
	Would    Action // what rules that only observe, or know the egress by a guess, would do
	Findings []Finding
}

// Join gives the verdict on a message from verdicts on parts of it: the stronger decides.
func (v Verdict) Join(w Verdict) Verdict {
	v.Findings = slices.Concat(v.Findings, w.Findings) // those of a part may be shared
	v.Would = max(v.Would, w.Would)
	if w.Action > v.Action {
		v.Action, v.Rule, v.Reply = w.Action, w.Rule, w.Reply
	}
	return v
}

// Decide weighs findings: the strongest action wins, among equals the first finding. It is pure. The exemptions are
// the circumstances of the message. A finding of grade Unknown never leads to more than Log.
func Decide(rules []Rule, found []Finding, exempt Exemption) Verdict {
	v := Verdict{Findings: found}
	for i := range found {
		f := &found[i]
		r := ruleFor(rules, f.Rule)
		if r == nil || f.Grade == Unknown || r.Spares&exempt != 0 {
			continue
		}
		act := r.On[f.Result]
		if act == Defer && exempt&(LocalPort|Person) != 0 && !r.Trouble || act == Reject && exempt&NoBounce != 0 {
			act = Hold
		}
		if exempt&Settled != 0 {
			if act < Defer || !r.Trouble || act == Reject && f.Grade != Fail {
				continue
			}
			act = Defer // once it was taken in, nobody hears more
		}
		if r.Observe || exempt&Guessed != 0 {
			v.Would = max(v.Would, act)
			continue
		}
		if act > v.Action {
			v.Action, v.Rule, v.Reply = act, r.Name, r.reply(f, act)
		}
	}
	return v
}

func ruleFor(rules []Rule, name string) *Rule {
	for i := range rules {
		if rules[i].Name == name {
			return &rules[i]
		}
	}
	return nil
}

// reply gives the text for a refusal.
func (r *Rule) reply(f *Finding, act Action) Reply {
	if act < Defer {
		return Reply{}
	}
	reply, ok := r.Replies[f.Result]
	if !ok {
		reply = Reply{550, "5.7.1", "mail refused by policy"}
	}
	reply.Text = strings.NewReplacer("{subject}", f.Subject, "{told}", f.Told).Replace(reply.Text)
	if act == Defer {
		return reply.Temporary()
	}
	return reply.Permanent()
}
