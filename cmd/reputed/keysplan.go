package main

import (
	"fmt"
	"time"

	"reputed/policy/mail"
	"reputed/signer"
)

// keyStep is a step in the life of a key. Its JSON is a promise to other programs.
type keyStep struct {
	Domain    mail.Domain  `json:"domain"`
	Selector  mail.Domain  `json:"selector,omitzero"` // zero: the key is to be made
	Algorithm string       `json:"algorithm,omitempty"`
	Bits      int          `json:"bits,omitempty"` // of a key that is to be made
	From      signer.State `json:"from"`
	To        signer.State `json:"to"`
	When      time.Time    `json:"when,omitzero"` // zero: not known, as it waits for something
	Due       bool         `json:"due"`
	Needs     string       `json:"needs,omitempty"` // what it waits for, besides its time
	Because   string       `json:"because"`
}

func newKeyStep(s signer.Step, now time.Time) keyStep {
	k := keyStep{
		Domain: s.ID.Domain, Selector: s.ID.Selector, Algorithm: s.Algorithm, Bits: s.Bits, From: s.From, To: s.To,
		When: s.When.UTC().Truncate(time.Second), Due: s.Due(now), Because: s.Because,
	}
	if s.Needs != signer.Nothing {
		k.Needs = s.Needs.String()
	}
	return k
}

// next says in a few words what happens to the key, and when.
func (k *keyStep) next(now time.Time) string {
	to := k.To.String()
	switch {
	case k.Due:
		return to + " now"
	case k.Needs == signer.Earlier.String():
		return to + " when " + k.Because
	case k.Needs != "":
		return to + " waits for " + k.Needs
	}
	return to + " " + ahead(now, k.When)
}

// when says when the step is taken.
func (k *keyStep) when(now time.Time) string {
	switch {
	case k.Due:
		return "now"
	case k.When.IsZero():
		return "not known yet"
	}
	return ahead(now, k.When)
}

// ahead says when something will be, and how long that is from now.
func ahead(now, then time.Time) string {
	if !then.After(now) {
		return clock(then)
	}
	return clock(then) + ", in " + ago(then.Add(time.Minute-1), now)
}

// why says what the step is for, and what it waits for.
func (k *keyStep) why() string {
	text := k.Because
	if k.Needs != "" && k.Needs != signer.Earlier.String() {
		text += "; waits for " + k.Needs
	}
	return text
}

// name says which key it is.
func (k *keyStep) name() string {
	if k.Selector.IsZero() {
		return "new " + keyKind(k.Algorithm, k.Bits)
	}
	return k.Selector.String()
}

// printPlan writes the steps for people, each key named once.
func printPlan(p printer, steps []keyStep, now time.Time) {
	rows := make([][]cell, 0, len(steps))
	last := ""
	for i := range steps {
		k := &steps[i]
		name := k.name()
		if k.Selector.IsZero() && k.From != signer.None { // the same new key, of which no size is told again
			name = last
		}
		shown := name
		if name == last {
			shown = ""
		}
		last = name
		c := faint
		if k.Due {
			c = bold
		}
		rows = append(rows, []cell{{shown, plain}, {k.To.String(), c}, {k.when(now), plain}, {printable(k.why()), plain}})
	}
	p.table("  ", rows)
}

// since says when a key came to its state.
func (f *keyFace) since() string {
	if f.Since.IsZero() {
		return ""
	}
	return f.Since.Format(time.DateOnly)
}

// title names a key and says what it is.
func (f *keyFace) title() string {
	id := signer.ID{Domain: f.Domain, Selector: f.Selector}
	if f.Algorithm == "" {
		return fmt.Sprintf("%s (%s)", id, f.State)
	}
	return fmt.Sprintf("%s (%s, %s)", id, f.State, f.kind())
}
