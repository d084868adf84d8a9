package check

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"reputed/policy"
	"reputed/policy/iprev"
	"reputed/policy/mail"
	"reputed/policy/parallel"
	"reputed/policy/spf"
)

// audit is what the record of one subject comes to. All items about SPF share it.
type audit struct {
	subject  string // in A-labels
	helo     bool   // it is the name of an egress, and no domain of senders
	egresses []*mail.Egress
	fault    string // of ours: nothing is known
	spf.Audit
}

// guessed tells that some of the addresses are guessed: they may not be what the world sees.
func (a *audit) guessed() bool {
	return slices.ContainsFunc(a.egresses, func(e *mail.Egress) bool { return e.Guessed })
}

// addresses gives those that mail of the subject leaves from; none where they are a smarthost's, or not known.
func (a *audit) addresses() (all []netip.Addr) {
	for _, e := range a.egresses {
		for _, addr := range e.Addresses {
			if !slices.Contains(all, addr) {
				all = append(all, addr)
			}
		}
	}
	return all
}

// audits asks about every domain that mail is sent from, as the MTA rewrites it, and every name that the host greets
// with, once for all items.
func (h *Host) audits(ctx context.Context) []audit {
	return h.audited.get(func() []audit {
		checker := &spf.Checker{Resolver: h.resolver(), Receiver: h.Name.String(), Now: h.Now}
		all := h.spfSubjects()
		parallel.AtMost(domainsAtOnce, len(all), func(i int) {
			a := &all[i]
			defer func() {
				if v := recover(); v != nil { // a fault of ours, and no knowledge
					a.fault = h.fault(v)
				}
			}()
			a.Audit = checker.Audit(ctx, spf.Request{Domain: a.subject, Trace: true}, a.egresses)
		})
		return all
	})
}

// spfSubjects gives whose records are asked: RFC 7208, section 2.3 and 2.4.
func (h *Host) spfSubjects() (all []audit) {
	add := func(subject string, helo bool, egresses []*mail.Egress) {
		at := slices.IndexFunc(all, func(a audit) bool { return a.subject == subject })
		if at < 0 {
			all = append(all, audit{subject: subject, helo: helo, egresses: egresses})
			return
		}
		for _, e := range egresses {
			if !slices.Contains(all[at].egresses, e) {
				all[at].egresses = append(slices.Clip(all[at].egresses), e)
			}
		}
	}
	for _, d := range h.Domains {
		sender := h.Rewrites.Apply(mail.Address{Local: "postmaster", Domain: d})
		add(sender.Domain.String(), false, h.Routes.Of(sender))
	}
	if h.further() {
		return all
	}
	for _, r := range h.Routes {
		if name := r.Egress.Hostname; isPublic(name) && !h.relayed(r.Egress) {
			add(name.String(), true, []*mail.Egress{r.Egress})
		}
	}
	if len(h.Routes) == 0 && isPublic(h.Name) && !h.relaysAll() {
		add(h.Name.String(), true, nil)
	}
	return all
}

// isPublic tells whether receivers can look a name up. That they cannot, the item about names in EHLO says.
func isPublic(name mail.Domain) bool {
	switch iprev.FlawOf(name.String()) {
	case "", iprev.NoSuffix, iprev.Invalid:
		return !name.IsZero()
	}
	return false
}

func itemSPF() Item {
	return Item{
		ID: "spf", Group: GroupSPF,
		About: "whether the SPF records allow the addresses that mail leaves from",
		Ask: func(ctx context.Context, h *Host) (all []policy.Finding) {
			audits := h.audits(ctx)
			for i := range audits {
				all = append(all, audits[i].passes())
			}
			return all
		},
	}
}

// passes tells whether each address is allowed. What one of them comes to at worst is what it comes to: the MTA may
// choose that one.
func (a *audit) passes() policy.Finding {
	f := finding("spf", string(spf.Pass), policy.Pass, "")
	f.Subject = a.subject
	weight := map[policy.Grade]int{policy.Warn: 1, policy.Unknown: 2, policy.Fail: 3}
	passed, counted := 0, 0
	for i := range a.Ways {
		w := &a.Ways[i]
		if w.Beside {
			continue
		}
		counted++
		result := w.Known()
		if w.Stale { // it may have been changed since
			result = spf.TempError
		}
		if result == spf.Pass {
			passed++
		}
		if grade := spfGrade(result); weight[grade] > weight[f.Grade] {
			f.Result, f.Grade = string(result), grade
		}
		said, trouble := spfSaid(w)
		f.Evidence = append(f.Evidence, policy.Evidence{
			Name: "SPF of " + a.subject + " for " + leaving(w), Value: said + trouble,
		})
	}
	if passed > 0 && passed < counted && f.Grade != policy.Unknown {
		f.Result = Partial
	}
	if counted == 0 {
		return a.nowhere(f)
	}
	f.Evidence = append(a.recordEvidence(), f.Evidence...)
	f.Evidence = append(f.Evidence, expect("pass for each of them"))
	if f.Reason = spfReason(a.subject, a.Ways); f.Grade == policy.Pass {
		f.Reason = fmt.Sprintf("SPF of %s: pass for %s", a.subject, a.names())
	} else if a.Cost.Stale && passed == counted {
		f.Reason = "SPF of " + a.subject + ": pass, by " + staleRecord
	}
	switch f.Grade {
	case policy.Pass:
	case policy.Unknown:
		f.Advice = adviceDNS
	default:
		f.Advice, f.Fix = editOf(&a.Advice), a.Advice.ZoneLine()
	}
	return ofGuess(a.guessed(), f)
}

const staleRecord = "an older answer only, as the DNS does not answer"

// nowhere is the finding where no address is known.
func (a *audit) nowhere(f policy.Finding) policy.Finding {
	f.Result, f.Grade = string(spf.TempError), policy.Unknown
	f.Reason = "no address is known that mail of " + a.subject + " leaves from"
	f.Advice = "name it: --egress ADDRESS, or write [[egress]]"
	if a.fault != "" {
		f.Reason, f.Advice = a.fault, ""
	}
	return f
}

// names gives all ways.
func (a *audit) names() string {
	var names []string
	for i := range a.Ways {
		if !a.Ways[i].Beside {
			names = append(names, leaving(&a.Ways[i]))
		}
	}
	return strings.Join(names, " and ")
}

// recordEvidence is what the DNS says at the subject's name.
func (a *audit) recordEvidence() []policy.Evidence {
	var all []policy.Evidence
	for _, text := range a.Ways[0].Texts {
		all = append(all, policy.Evidence{Name: "TXT " + a.subject, Value: cut(text)})
	}
	if len(all) == 0 && a.Ways[0].Result != spf.TempError {
		all = append(all, policy.Evidence{Name: "TXT " + a.subject, Value: "no SPF record"})
	}
	return all
}

// mend says what to publish where there is not one record. Guessed addresses are nothing to publish.
func (a *audit) mend(f *policy.Finding) {
	if f.Advice = adviceGuessed; !a.guessed() {
		f.Advice, f.Fix = editOf(&a.Advice), a.Advice.ZoneLine()
	}
}

// editOf says what to do with the record of an advice, and why.
func editOf(a *spf.Advice) string {
	switch {
	case a.New == "":
		return a.Reason
	case len(a.Old) == 0:
		return "publish this: " + a.Reason
	}
	return "put this in its place: " + a.Reason
}

// owner is the name at which the record stands: the subject, or where its aliases lead.
func (a *audit) owner() string {
	if len(a.Ways) > 0 {
		return cmp.Or(a.Ways[0].Owner, a.subject)
	}
	return a.subject
}

// unheard is the finding where the record is not known; false: it is.
func (a *audit) unheard(rule string) (policy.Finding, bool) {
	f := finding(rule, "unknown", policy.Unknown, a.fault)
	f.Subject = a.subject
	if a.fault != "" {
		return f, true
	}
	if a.Cost.Stale {
		f.Reason, f.Advice = "the SPF record of "+a.subject+" is not known today: there is "+staleRecord, adviceDNS
		return f, true
	}
	if t := a.Cost.Record; t.Text == "" && t.Error != "" && a.Cost.Wrong == nil {
		f.Reason, f.Advice = "the SPF record of "+a.subject+" is not known: "+t.Error, adviceDNS
		return f, true
	}
	return f, false
}

// perRecord is an item that looks at each record, and tells of those that are not known.
func perRecord(id, about string, look func(*Host, *audit) []policy.Finding) Item {
	return Item{ID: id, Group: GroupSPF, About: about, Ask: func(ctx context.Context, h *Host) (all []policy.Finding) {
		audits := h.audits(ctx)
		for i := range audits {
			a := &audits[i]
			if f, so := a.unheard(id); so {
				all = append(all, f)
			} else if a.Cost.Record.Text != "" {
				all = append(all, look(h, a)...)
			}
		}
		return all
	}}
}

const adviceGuessed = "these addresses are guessed from the interfaces of this host, and may not be those that the " +
	"world sees: write [[egress]] first, or name them with --egress"
