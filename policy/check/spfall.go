package check

import (
	"strings"

	"reputed/policy"
	"reputed/policy/mail"
	"reputed/policy/spf"
)

// itemSPFAll looks at what a record says of everybody else.
func itemSPFAll() Item {
	return perRecord("spfall", "whether each SPF record ends in -all or ~all, and allows not the whole world",
		func(_ *Host, a *audit) []policy.Finding { return []policy.Finding{a.all()} })
}

// all judges the end of the record. Both -all and ~all are well: receivers that go by DMARC treat them alike.
func (a *audit) all() policy.Finding {
	f := finding("spfall", "none", policy.Warn, "")
	f.Subject = a.subject
	end, term, known := ending(a.Cost.Record)
	f.Evidence = []policy.Evidence{{Name: "TXT " + end.Domain, Value: cut(end.Text)}, expect("-all or ~all at the end")}
	switch {
	case !known:
		f.Result, f.Grade, f.Advice = "unknown", policy.Unknown, adviceDNS
		f.Reason = "how the record ends is not known: " + end.Error
		if a.Cost.Wrong != nil {
			f.Result, f.Grade, f.Advice = "broken", policy.Warn, "mend the record"
			f.Reason = "receivers do not come to the end of the record: " + end.Error
		}
		return f
	case term == "":
		f.Reason = "the record of " + end.Domain + " says nothing of all others, which is neutral"
	default:
		f.Result = term
		f.Reason = "the record of " + end.Domain + " ends in " + term
	}
	switch term {
	case "-all", "~all":
		f.Grade = policy.Pass
		return f
	case "+all":
		f.Grade = policy.Fail
		f.Reason += ": it allows the whole world to send in the name of " + a.subject
	case "?all":
		f.Grade = policy.Fail
		f.Reason += ": it says nothing of strangers, who may send in the name of " + a.subject
	}
	f.Advice = "end the record in ~all; in -all, once no host that sends mail of the domain is missing"
	if name, ours := a.place(end); ours {
		f.Fix = spf.ZoneLine(name, withEnd(end.Text, "~all"))
	}
	return f
}

// place gives the name at which a record of the subject stands, if it is the operator's: his own, or one below it that
// he has his record redirect to.
func (a *audit) place(t *spf.Trace) (name string, ours bool) {
	if t == a.Cost.Record {
		return a.owner(), true
	}
	to, err := mail.ParseDomain(t.Domain)
	own, err2 := mail.ParseDomain(a.subject)
	return t.Domain, err == nil && err2 == nil && to.Within(own)
}

// ending follows redirects to the record that says how strangers are treated, and gives its all in the long form; "":
// it has none.
func ending(t *spf.Trace) (end *spf.Trace, all string, known bool) {
	r, err := spf.Parse(t.Text)
	if err != nil {
		return &spf.Trace{Domain: t.Domain, Text: t.Text, Error: orElse(t.Error, err)}, "", false
	}
	for i := range r.Mechanisms {
		if m := &r.Mechanisms[i]; m.Kind == spf.All {
			return t, string(m.Qualifier) + "all", true
		}
	}
	if n := len(t.Terms); n > len(r.Mechanisms) {
		if to := t.Terms[n-1].Record; to != nil {
			return ending(to)
		}
		const why = "it is redirected, to where only a message shows"
		return &spf.Trace{Domain: t.Domain, Text: t.Text, Error: why}, "", false
	}
	return t, "", true
}

func orElse(text string, err error) string {
	if text == "" {
		return err.Error()
	}
	return text
}

// withEnd gives the record with another end.
func withEnd(text, end string) string {
	fields := strings.Fields(text)
	for i, field := range fields {
		if r, err := spf.Parse("v=spf1 " + field); err == nil && len(r.Mechanisms) == 1 && r.Mechanisms[0].Kind == spf.All {
			fields[i] = end
			return strings.Join(fields, " ")
		}
	}
	return strings.Join(append(fields, end), " ")
}
