package check

import (
	"context"
	"fmt"

	"reputed/policy"
	"reputed/policy/dns"
	"reputed/policy/mail"
	"reputed/policy/spf"
)

// itemSPFSingle: RFC 7208, section 4.5: of several records none counts.
func itemSPFSingle() Item {
	return Item{
		ID: "spfsingle", Group: GroupSPF, About: "whether each domain has one SPF record, and no more",
		Ask: func(ctx context.Context, h *Host) (all []policy.Finding) {
			audits := h.audits(ctx)
			for i := range audits {
				a := &audits[i]
				if mail.PrivateName(a.subject) {
					continue // nobody can have asked, nor can we: the item spf says so
				}
				answer := h.resolver().Resolve(ctx, a.subject, dns.TXT)
				if f := a.single(answer); f.Rule != "" {
					all = append(all, f)
				}
			}
			return all
		},
	}
}

// single counts the records. A name with which the host greets need not have one.
func (a *audit) single(answer dns.Answer) policy.Finding {
	if silent(answer) {
		return unknown("spfsingle", a.subject, "the SPF record of "+a.subject, answer)
	}
	var records []string
	for _, r := range answer.Records {
		if spf.IsRecord(r.Text) {
			records = append(records, r.Text)
		}
	}
	if len(records) == 0 && a.helo {
		return policy.Finding{}
	}
	f := finding("spfsingle", "one", policy.Pass, a.subject+" has one SPF record")
	f.Subject = a.subject
	for _, text := range records {
		f.Evidence = append(f.Evidence, policy.Evidence{Name: "TXT " + a.subject, Value: cut(text)})
	}
	switch len(records) {
	case 0:
		f.Result, f.Grade, f.Reason = "none", policy.Fail, a.subject+" has no SPF record"
		f.Evidence = []policy.Evidence{{Name: "TXT " + a.subject, Value: noRecord(answer)}}
		a.mend(&f)
	case 1:
		return f
	default:
		f.Result, f.Grade = Several, policy.Fail
		f.Reason = fmt.Sprintf("%s has %d SPF records, so none counts: permerror", a.subject, len(records))
		if a.mend(&f); f.Fix == "" {
			f.Advice = "merge them into one record" + prefixed("; ", f.Advice)
		}
	}
	f.Evidence = append(f.Evidence, expect("one TXT record that begins with v=spf1"))
	return f
}

// prefixed gives the text behind its prefix, if there is any.
func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

// noRecord says what is there instead of the record that is wanted.
func noRecord(a dns.Answer) string {
	if a.Status == dns.Found {
		return fmt.Sprintf("%d TXT records, none of them for SPF", len(a.Records))
	}
	return a.Status.String()
}
