package spf

import (
	"fmt"

	"reputed/policy/dns"
)

// Trace is the evaluation of one record, with those that it led to. Its JSON is for machines that show it.
type Trace struct {
	Domain string `json:"domain"`
	Text   string `json:"record,omitempty"` // "": there is none, or none that could be got
	Result Result `json:"result,omitempty"` // what it came to; "": of a survey
	Error  string `json:"error,omitempty"`  // of the record itself; what a term led to stands there
	Terms  []Term `json:"terms,omitempty"`  // mechanisms in order, then the redirect; none when the record is wrong
}

// Term is a term of a record and what became of it.
type Term struct {
	Text      string     `json:"term"`
	State     State      `json:"state"`
	Lookups   int        `json:"lookups"` // that it cost, with all below it
	Voids     int        `json:"voids"`
	Error     string     `json:"error,omitempty"`
	Questions []Question `json:"questions,omitempty"` // all but those for SPF records
	Record    *Trace     `json:"include,omitempty"`   // where an include or redirect led
}

// Cost says what the term costs of the limits; "": nothing.
func (t *Term) Cost() string {
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

// Question is a question that a term asked.
type Question struct {
	Type   string   `json:"type"`
	Name   string   `json:"name"`
	Status string   `json:"status"`
	Values []string `json:"values,omitempty"` // addresses or names
}

// State is what became of a term.
type State string

const (
	Matched   State = "match"     // or, of a redirect, followed
	Unmatched State = "no-match"  // evaluated, and does not match
	Unreached State = "unreached" // the evaluation ended before it
	Broken    State = "error"     // it ended the evaluation
)

// trace evaluates the record of a domain, and keeps how.
func (e *evaluation) trace(domain string) (Result, error) {
	outer, term := e.node, e.term
	node := &Trace{Domain: domain}
	if term == nil {
		e.out.Trace = node
	} else {
		term.Record = node
	}
	e.node, e.term = node, nil
	result, err := e.evaluate(domain)
	node.close(result, err)
	e.node, e.term = outer, term
	return result, err
}

// close keeps what the record came to.
func (n *Trace) close(result Result, err error) {
	n.Result = result
	for i := range n.Terms {
		if n.Terms[i].State == Broken {
			return
		}
	}
	if err != nil {
		n.Error = err.Error()
	}
}

// terms lists the terms of the record, as not reached yet.
func (n *Trace) terms(r *Record) {
	n.Terms = make([]Term, len(r.Mechanisms), len(r.Mechanisms)+1)
	for i := range r.Mechanisms {
		n.Terms[i] = Term{Text: r.Mechanisms[i].Text, State: Unreached}
	}
	if r.Redirect.text != "" {
		n.Terms = append(n.Terms, Term{Text: r.redirectTerm(), State: Unreached})
	}
}

// enter begins a term of the record that is evaluated, when traced.
func (e *evaluation) enter(i int) {
	if e.node != nil {
		e.term = &e.node.Terms[i]
		e.term.Lookups, e.term.Voids = -e.out.Lookups, -e.out.Voids
	}
}

// leave ends the term that enter began.
func (e *evaluation) leave(matched bool, err error) {
	if e.term == nil {
		return
	}
	t := e.term
	e.term = nil
	t.Lookups += e.out.Lookups
	t.Voids += e.out.Voids
	switch {
	case err != nil:
		t.State = Broken
		if t.Record == nil || t.Record.Result == None {
			t.Error = err.Error()
		}
	case matched:
		t.State = Matched
	default:
		t.State = Unmatched
	}
}

// note keeps a question of the term, when traced.
func (e *evaluation) note(name string, t dns.Type, a dns.Answer) {
	if e.term == nil || t == dns.TXT {
		return
	}
	q := Question{Type: t.String(), Name: name, Status: a.Status.String()}
	for _, r := range a.Records {
		if r.Addr.IsValid() {
			q.Values = append(q.Values, r.Addr.String())
		} else {
			q.Values = append(q.Values, r.Name)
		}
	}
	e.term.Questions = append(e.term.Questions, q)
}
