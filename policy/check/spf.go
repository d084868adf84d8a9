package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"reputed/policy"
	"reputed/policy/dns"
	"reputed/policy/mail"
	"reputed/policy/spf"
)

// SPF asks whether the sender's SPF record authorises the addresses of an egress. An evaluation runs for each egress
// that a message may take, from MAIL on.
type SPF struct {
	Checker  *spf.Checker
	Memory   Memory        // what the Checker's resolver remembers; nil: nothing
	Deadline time.Duration // from MAIL on, for all of it: what is not known then is a temperror
	Caught   func(any)     // is told of panics in an evaluation, perhaps of several at once, where they are; nil: nobody
}

// Memory answers questions without waiting. It is false where it cannot.
type Memory interface {
	Recall(name string, t dns.Type) (dns.Answer, bool)
}

// Partial is the result when some addresses of an egress pass and others do not: by which of them mail leaves is up to
// the MTA, and to what addresses the receiver has.
const Partial = "partial"

// identity is whose record is asked: RFC 7208, section 2.4.
type identity struct {
	sender mail.Address // as the world will see it; zero for the null sender, and for what is no address
	null   bool         // the null sender, for which the name of the egress stands
	own    bool         // the record is the operator's to mend
}

// asked is the question whether SPF lets a sender use an egress.
type asked struct {
	spf     *SPF
	egress  *mail.Egress
	who     identity
	finding policy.Finding // once done
	done    chan struct{}  // nil: it was known at once
	ctx     context.Context
}

// begin evaluates for each egress of the routes what can be told from memory, and begins to ask about the others.
func (s *SPF) begin(ctx context.Context, routes policy.Routes, who identity) (all []*asked) {
	open := 0
	for i := range routes {
		e := routes[i].Egress
		if slices.ContainsFunc(all, func(a *asked) bool { return a.egress == e }) {
			continue
		}
		a := &asked{spf: s, egress: e, who: who}
		if !a.recall(ctx) {
			a.done = make(chan struct{})
			open++
		}
		all = append(all, a)
	}
	if open > 0 {
		s.ask(ctx, all, open)
	}
	return all
}

// ask starts the evaluations that are open.
func (s *SPF) ask(ctx context.Context, all []*asked, open int) {
	ctx, cancel := context.WithTimeout(ctx, s.Deadline)
	var left atomic.Int32
	left.Store(int32(open))
	answered := func() {
		if left.Add(-1) == 0 {
			cancel() // the timer goes with the last answer
		}
	}
	for _, a := range all {
		if a.done == nil {
			continue
		}
		a.ctx = ctx
		go func() {
			a.finding = s.find(ctx, s.Checker, a.egress, a.who)
			close(a.done)
			answered()
		}()
	}
}

// recall finds what can be found without waiting, which is all of it once senders of the domain were there before:
// then a message costs neither a goroutine nor a timer.
func (a *asked) recall(ctx context.Context) bool {
	if a.spf.Memory == nil {
		return false
	}
	from := &fromMemory{memory: a.spf.Memory}
	checker := *a.spf.Checker
	checker.Resolver = from
	a.finding = a.spf.find(ctx, &checker, a.egress, a.who)
	return !from.lacks
}

// fromMemory is a resolver that waits for nobody.
type fromMemory struct {
	memory Memory
	lacks  bool // an answer: what was made of the answers says nothing
}

var errNotRemembered = errors.New("not remembered")

func (f *fromMemory) Resolve(_ context.Context, name string, t dns.Type) dns.Answer {
	a, ok := f.memory.Recall(name, t)
	if !ok {
		f.lacks = true
		return dns.Answer{Err: errNotRemembered}
	}
	return a
}

// wait gives the answer, or says that there was none in time.
func (a *asked) wait() policy.Finding {
	if a.done == nil {
		return a.finding
	}
	select {
	case <-a.done:
		return a.finding
	case <-a.ctx.Done():
	}
	select {
	case <-a.done: // both may be so
		return a.finding
	default:
		return a.spf.missed(a.egress, a.who)
	}
}

// find evaluates for an egress. A panic is a fault of ours and no knowledge: the mail goes on.
func (s *SPF) find(ctx context.Context, checker *spf.Checker, e *mail.Egress, who identity) (f policy.Finding) {
	defer func() {
		if v := recover(); v != nil {
			if s.Caught != nil {
				s.Caught(v)
			}
			f = s.missed(e, who)
			f.Reason = fmt.Sprintf("panic while the SPF record was evaluated: %v", v)
		}
	}()
	if who.sender.IsZero() && !who.null {
		return finding("spf", string(spf.None), policy.Warn, "the envelope sender is no address, so no domain can authorise it")
	}
	ways := checker.Ways(ctx, spf.Request{Helo: e.Hostname.String(), Sender: who.sender}, e)
	f, edit := judge(who.subject(e), ways)
	// What is another's is not ours to mend, and a guess is nothing to publish.
	if f.Grade != policy.Pass && f.Grade != policy.Unknown && who.own && !e.Guessed {
		edit.Via = e.Via
		a := spf.Advise(edit)
		f.Advice, f.Fix = a.Reason, a.ZoneLine()
	}
	return f
}

// subject names the domain whose record is asked.
func (who *identity) subject(e *mail.Egress) string {
	if who.null {
		return e.Hostname.String()
	}
	return who.sender.Domain.String()
}

// missed is the finding when there is no answer in time.
func (s *SPF) missed(e *mail.Egress, who identity) policy.Finding {
	f := finding("spf", string(spf.TempError), policy.Unknown, "")
	f.Subject = who.subject(e)
	f.Reason = fmt.Sprintf("the SPF record of %s was not known within %v", f.Subject, s.Deadline)
	return f
}

// leaving names a way.
func leaving(w *spf.Way) string {
	if w.Smarthost {
		return "mail via " + w.Egress.Via.String()
	}
	return w.IP.String()
}

// mildness orders results that are no pass: of several, the first is what the egress comes to, for every address gives
// at least that.
var mildness = []spf.Result{spf.TempError, spf.Neutral, spf.None, spf.SoftFail, spf.PermError, spf.Fail}

// judge makes one finding of the results of all addresses. It fails only when all of them do; what is not known of one
// is not known of the whole.
func judge(subject string, all []spf.Way) (policy.Finding, spf.Case) {
	f := policy.Finding{Rule: "spf", Subject: subject}
	counted, passed, mildest := 0, 0, len(mildness)
	for i := range all {
		if all[i].Beside {
			continue
		}
		counted++
		if result := all[i].Known(); result == spf.Pass {
			passed++
		} else {
			mildest = min(mildest, slices.Index(mildness, result))
		}
	}
	var edit spf.Case
	switch {
	case passed == counted:
		f.Result, f.Grade = string(spf.Pass), policy.Pass
		return f, edit
	case passed > 0 && mildness[mildest] != spf.TempError:
		f.Result, f.Grade = Partial, policy.Warn
	default:
		f.Result, f.Grade = string(mildness[mildest]), spfGrade(mildness[mildest])
	}
	f.Reason = spfReason(subject, all)
	for i := range all {
		edit.Outcomes = append(edit.Outcomes, all[i].Outcome)
		if all[i].Beside {
			continue
		}
		said, trouble := spfSaid(&all[i])
		f.Evidence = append(f.Evidence, policy.Evidence{Name: leaving(&all[i]), Value: said + trouble})
	}
	return f, edit
}

func spfGrade(r spf.Result) policy.Grade {
	switch r {
	case spf.Pass:
		return policy.Pass
	case spf.Fail, spf.PermError:
		return policy.Fail
	case spf.TempError:
		return policy.Unknown
	}
	return policy.Warn
}

// spfSaid tells what the record says of a way: the result with the term it comes from, and what is wrong.
func spfSaid(r *spf.Way) (result, trouble string) {
	switch {
	case r.Result != spf.Pass && r.Stale:
		return string(spf.TempError), fmt.Sprintf(": the DNS does not answer, and what it said before comes to %s", r.Result)
	case r.Result != spf.Pass && r.Unsure:
		return string(spf.TempError), ": the record lists addresses, and whether they are the smarthost's is not known"
	case r.Err != nil:
		return string(r.Result), ": " + r.Err.Error()
	case r.Term == "":
		return string(r.Result), ""
	case r.Domain == r.Subject:
		return fmt.Sprintf("%s by %s", r.Result, r.Term), ""
	}
	return fmt.Sprintf("%s by %s of %s", r.Result, r.Term, r.Domain), ""
}

// spfReason says what speaks against the egress: of all addresses that do not pass, those together of which the record
// says the same.
func spfReason(subject string, all []spf.Way) string {
	type group struct{ result, addresses, trouble string }
	var groups []group
	for i := range all {
		if all[i].Result == spf.Pass || all[i].Beside {
			continue
		}
		said, trouble := spfSaid(&all[i])
		at := slices.IndexFunc(groups, func(g group) bool { return g.result == said && g.trouble == trouble })
		if at >= 0 {
			groups[at].addresses += " and " + leaving(&all[i])
		} else {
			groups = append(groups, group{said, leaving(&all[i]), trouble})
		}
	}
	var parts []string
	for _, g := range groups {
		parts = append(parts, g.result+" for "+g.addresses+g.trouble)
	}
	return "SPF of " + subject + ": " + strings.Join(parts, ", ")
}

// SPFRule says what the results lead to. With observe it only says what they would.
func SPFRule(on map[string]policy.Action, observe bool) policy.Rule {
	refused := policy.Reply{
		Code: 550, Enhanced: "5.7.23", // RFC 7372, section 3.2
		Text: "the SPF record of {subject} does not allow mail from this server; " +
			"ask the administrator of {subject} to allow it, or send from another address",
	}
	rule := policy.Rule{
		Name: "spf",
		On:   on,
		Replies: map[string]policy.Reply{
			string(spf.PermError): {
				Code: 550, Enhanced: "5.7.24",
				Text: "the SPF record of {subject} has errors; ask the administrator of {subject} to mend it",
			},
		},
		Spares:  policy.NullSender | policy.AllStay | policy.MayStay | policy.NotOurs,
		Observe: observe,
	}
	for _, r := range []string{string(spf.Fail), Partial, string(spf.SoftFail), string(spf.Neutral), string(spf.None)} {
		rule.Replies[r] = refused
	}
	return rule
}
