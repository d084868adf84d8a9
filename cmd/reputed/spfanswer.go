package main

import (
	"fmt"
	"strings"

	"reputed/policy/spf"
)

// spfAnswer is what SPF says of a sender and this host. Its JSON is a promise to other programs.
type spfAnswer struct {
	Subject  string       `json:"subject"` // the domain whose record was asked
	Verdicts []spfVerdict `json:"egress"`
	Cost     *spf.Survey  `json:"cost"`             // of the record at worst
	Advice   *spf.Advice  `json:"advice,omitempty"` // absent when all is well, or not known
}

// spfVerdict is what the record says of one address or smarthost.
type spfVerdict struct {
	Egress      string     `json:"name"`
	Of          string     `json:"of"` // the address, or "via" and the name of the smarthost
	Result      spf.Result `json:"result"`
	Domain      string     `json:"domain,omitempty"` // whose record decided
	Term        string     `json:"term,omitempty"`   // of that record
	Chain       []string   `json:"chain,omitempty"`  // how it was reached
	Lookups     int        `json:"lookups"`
	Voids       int        `json:"voids"`
	Explanation string     `json:"explanation,omitempty"`
	Error       string     `json:"error,omitempty"`
	Trace       *spf.Trace `json:"trace,omitempty"`
}

// add notes the outcome for one address or smarthost.
func (a *spfAnswer) add(egress, of string, o spf.Outcome) {
	a.Subject = o.Subject
	v := spfVerdict{
		Egress: egress, Of: of, Result: o.Result, Domain: o.Domain, Term: o.Term, Lookups: o.Lookups, Voids: o.Voids,
		Explanation: o.Explanation, Trace: o.Trace,
	}
	for _, step := range o.Chain {
		v.Chain = append(v.Chain, step.Domain+": "+step.Term)
	}
	if o.Err != nil {
		v.Error = o.Err.Error()
	}
	a.Verdicts = append(a.Verdicts, v)
}

// status gives the exit status: what is known to be bad weighs more than what is not known.
func (a *spfAnswer) status() error {
	code := exitOK
	for _, v := range a.Verdicts {
		switch {
		case v.Result == spf.Pass:
		case v.Result != spf.TempError:
			code = exitFailed
		case code == exitOK:
			code = exitTemporary
		}
	}
	if code == exitOK {
		return nil
	}
	return status{code: code}
}

// print writes the answer for people.
func (a *spfAnswer) print(p printer) {
	p.printf("%s\n", p.paint(bold, printable(a.Subject)))
	if a.Cost != nil {
		var rows [][]cell
		traceRows(&rows, a.Cost.Record, "")
		p.table("  ", rows)
		over := plain
		if a.Cost.Over() {
			over = red
		}
		line := fmt.Sprintf("at worst %d of %d look-ups, %d of %d void", a.Cost.Lookups, spf.MaxLookups, a.Cost.Voids, spf.MaxVoids)
		if !a.Cost.Complete {
			line += ", of what could be asked"
		}
		p.printf("\n  %s\n", p.paint(over, line))
	}
	p.printf("\n")
	var rows [][]cell
	for _, v := range a.Verdicts {
		rows = append(rows, []cell{{v.Of, plain}, {string(v.Result), spfColour(v.Result)}, {printable(v.because()), plain}})
	}
	p.table("  ", rows)
	a.printAdvice(p)
}

func spfColour(r spf.Result) colour {
	switch r {
	case spf.Pass:
		return green
	case spf.Fail, spf.PermError:
		return red
	}
	return amber
}

// because says how the verdict came about.
func (v *spfVerdict) because() string {
	switch {
	case v.Error != "":
		return v.Error
	case v.Term == "":
		return ""
	}
	text := "by " + v.Term + " of " + v.Domain
	if v.Explanation != "" {
		text += ", which explains: " + v.Explanation
	}
	return text
}

// traceRows lays a record out: a line for each term, and below it what it led to.
func traceRows(rows *[][]cell, t *spf.Trace, indent string) {
	switch {
	case t.Text != "":
		*rows = append(*rows, []cell{{indent + printable(t.Text), faint}})
	case t.Error == "":
		*rows = append(*rows, []cell{{indent + "no SPF record", amber}})
	}
	if t.Error != "" {
		*rows = append(*rows, []cell{{indent + printable(t.Error), red}})
	}
	for i := range t.Terms {
		term := &t.Terms[i]
		branch, below := "├ ", "│ "
		if i == len(t.Terms)-1 {
			branch, below = "└ ", "  "
		}
		*rows = append(*rows, []cell{{indent + branch + printable(term.Text), plain}, {cost(term), plain}, {printable(findings(term)), plain}})
		if term.Error != "" {
			*rows = append(*rows, []cell{{indent + below + printable(term.Error), red}})
		}
		if term.Record != nil {
			traceRows(rows, term.Record, indent+below)
		}
	}
}

// cost says what a term costs of the limits.
func cost(t *spf.Term) string {
	text := ""
	switch t.Lookups {
	case 0:
		return ""
	case 1:
		text = "1 look-up"
	default:
		text = fmt.Sprintf("%d look-ups", t.Lookups)
	}
	if t.Voids > 0 {
		text += fmt.Sprintf(", %d void", t.Voids)
	}
	return text
}

// findings says what the questions of a term brought.
func findings(t *spf.Term) string {
	var parts []string
	for _, q := range t.Questions {
		found := strings.Join(q.Values, " ")
		if found == "" {
			found = "(" + q.Status + ")"
		}
		if q.Type == "MX" {
			found = "MX " + found + ":"
		}
		parts = append(parts, found)
	}
	return strings.Join(parts, " ")
}

// printAdvice writes the edit to paste.
func (a *spfAnswer) printAdvice(p printer) {
	if a.Advice == nil {
		return
	}
	p.printf("\n")
	for _, line := range wrap(printable(a.Advice.Reason), 80) {
		p.printf("%s\n", line)
	}
	if a.Advice.New == "" {
		return
	}
	for _, old := range a.Advice.Old {
		p.printf("  %s %s\n", p.paint(red, "-"), printable(old))
	}
	p.printf("  %s %s\n", p.paint(green, "+"), printable(a.Advice.New))
	p.printf("to paste into the zone:\n  %s\n", printable(a.Advice.ZoneLine()))
}
