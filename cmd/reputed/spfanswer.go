package main

import (
	"fmt"
	"strings"
	"time"

	"reputed/policy/spf"
)

// spfAnswers are those for each subject. The JSON of one is a promise to other programs.
type spfAnswers []*spfAnswer

// spfAnswer is what SPF says of a sender and this host.
type spfAnswer struct {
	Subject  string       `json:"subject"` // the domain whose record was asked
	Verdicts []spfVerdict `json:"egress"`
	Cost     *spf.Survey  `json:"cost"`             // of the record at worst
	TTL      int          `json:"ttl"`              // seconds that all of it holds; 0: none, or nothing is known
	Advice   *spf.Advice  `json:"advice,omitempty"` // absent when all is well, or not known

	ttl time.Duration
}

// spfVerdict is what the record says of one address or smarthost.
type spfVerdict struct {
	Egress      string     `json:"name"`
	Of          string     `json:"of"` // the address, or "via" and the name of the smarthost
	Guessed     bool       `json:"guessed,omitempty"`
	Result      spf.Result `json:"result"`
	Unsure      bool       `json:"unsure,omitempty"` // the record may list the smarthost's addresses, and then it passes
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
func (a *spfAnswer) add(way *spf.Way) {
	o, of := &way.Outcome, way.IP.String()
	if way.Smarthost {
		of = "via " + way.Egress.Via.String()
	}
	a.hold(o.TTL)
	v := spfVerdict{
		Egress: way.Egress.Name, Of: of, Guessed: way.Egress.Guessed, Result: o.Result, Unsure: o.Unsure,
		Domain: o.Domain, Term: o.Term, Lookups: o.Lookups, Voids: o.Voids, Explanation: o.Explanation, Trace: o.Trace,
	}
	for _, step := range o.Chain {
		v.Chain = append(v.Chain, step.Domain+": "+step.Term)
	}
	if o.Err != nil {
		v.Error = o.Err.Error()
	}
	a.Verdicts = append(a.Verdicts, v)
}

// hold notes how long an answer holds.
func (a *spfAnswer) hold(ttl time.Duration) {
	if ttl > 0 && (a.ttl == 0 || ttl < a.ttl) {
		a.ttl = ttl
		a.TTL = int(ttl.Round(time.Second) / time.Second)
	}
}

// forJSON gives what is printed: a single answer bare.
func (all spfAnswers) forJSON() any {
	if len(all) == 1 {
		return all[0]
	}
	return struct {
		Subjects spfAnswers `json:"subjects"`
	}{all}
}

// status gives the exit status of all together.
func (all spfAnswers) status() error {
	code := exitOK
	for _, a := range all {
		if c := a.passes(); c == exitFailed || code == exitOK {
			code = c
		}
	}
	if code == exitOK {
		return nil
	}
	return status{code: code}
}

// passes gives the exit status: what is known to be bad weighs more than what is not known.
func (a *spfAnswer) passes() (code int) {
	code = exitOK
	for _, v := range a.Verdicts {
		switch {
		case v.Result == spf.Pass:
		case v.Result != spf.TempError && !v.Unsure:
			return exitFailed
		default:
			code = exitTemporary
		}
	}
	return code
}

// print writes the answers for people.
func (all spfAnswers) print(p printer) {
	for i, a := range all {
		if i > 0 {
			p.printf("\n")
		}
		a.print(p)
	}
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
		line := fmt.Sprintf("at worst %d of %d look-ups, %d of %d void",
			a.Cost.Lookups, spf.MaxLookups, a.Cost.Voids, spf.MaxVoids)
		if !a.Cost.Complete {
			line += ", of what could be asked"
		}
		if a.ttl > 0 {
			line += "; holds for " + forPeople(a.ttl)
		}
		p.printf("\n  %s\n", p.paint(over, line))
	}
	p.printf("\n")
	var rows [][]cell
	for _, v := range a.Verdicts {
		of, result := cell{v.Of, plain}, cell{string(v.Result), spfColour(v.Result)}
		if v.Guessed {
			of.text += " (guessed)"
		}
		if v.Unsure {
			result = cell{"unknown", amber}
		}
		rows = append(rows, []cell{of, result, {printable(v.because()), plain}})
	}
	p.table("  ", rows)
	a.printAdvice(p)
}

// forPeople says about how long something lasts.
func forPeople(d time.Duration) string {
	switch {
	case d < 55*time.Second:
		return fmt.Sprintf("%d s", d.Round(time.Second)/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d.Round(time.Minute)/time.Minute)
	}
	return fmt.Sprintf("%d h", d.Round(time.Hour)/time.Hour)
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
	case v.Unsure && v.Error != "":
		return "permerror, unless the addresses before that are the smarthost's: " + v.Error
	case v.Error != "":
		return v.Error
	case v.Unsure:
		return strings.TrimSpace(string(v.Result)+" "+v.by()) + ", unless the addresses before that are the smarthost's"
	}
	return v.by()
}

// by names the term that matched.
func (v *spfVerdict) by() string {
	if v.Term == "" {
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
		*rows = append(*rows, []cell{
			{indent + branch + printable(term.Text), plain}, {term.Cost(), plain}, {printable(findings(term)), plain},
		})
		if term.Error != "" {
			*rows = append(*rows, []cell{{indent + below + printable(term.Error), red}})
		}
		if term.Record != nil {
			traceRows(rows, term.Record, indent+below)
		}
	}
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
	for _, c := range a.Advice.Changes {
		if text := changed(c); text != "" {
			p.printf("    %s\n", printable(text))
		}
	}
	p.printf("to paste into the zone:\n  %s\n", printable(a.Advice.ZoneLine()))
}

// changed says what becomes of a term that stands in the record; "" of a new one.
func changed(c spf.Change) string {
	switch {
	case c.Old == "":
		return ""
	case c.New == "":
		return c.Old + " goes: " + c.Why
	case c.Old == c.New:
		return c.Old + " moves: " + c.Why
	}
	return c.Old + " becomes " + c.New + ": " + c.Why
}
