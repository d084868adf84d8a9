package main

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"reputed/policy"
	"reputed/policy/check"
)

// checkChange is a finding that is not as it was.
type checkChange struct {
	Change  string             `json:"change"` // "new", "changed", "mended", "gone", "unknown"
	Item    string             `json:"item"`   // "": of all of it
	Subject string             `json:"subject,omitempty"`
	Was     *rememberedFinding `json:"was,omitempty"`
	Is      *policy.Finding    `json:"is,omitempty"`
	Since   time.Time          `json:"since,omitzero"` // of "unknown"
}

// Changes, in the order in which they are told.
const (
	changeNew     = "new"     // it is wrong, and was not, or was not known
	changeChanged = "changed" // it is wrong in another way
	changeMended  = "mended"  // it was wrong, and is not any more
	changeGone    = "gone"    // it was wrong, and is not there any more
	changeUnknown = "unknown" // it has not been known for a while
)

var changesInOrder = []string{changeNew, changeChanged, changeMended, changeGone, changeUnknown}

// checkDiff is what changed between two runs. Its JSON is a promise to other programs.
type checkDiff struct {
	At      time.Time     `json:"at"`
	Since   time.Time     `json:"since,omitzero"` // the run before; zero: there was none
	Verdict policy.Grade  `json:"verdict"`        // as it is now
	Changes []checkChange `json:"changes"`
	Host    checkedHost   `json:"host"`
	Cut     string        `json:"cut_short,omitempty"`
}

// topic is what findings are compared by: of one item about one subject there may be several.
type topic struct{ item, subject string }

// diff compares with the last run, and remembers this one. What could not be found out is no change, for it comes and
// goes with the network: what was known of it stays. Only where it stays unknown, that is told, once.
func (m *checkMemory) diff(a *checkAnswer) *checkDiff {
	d := &checkDiff{At: a.At, Since: m.At, Verdict: a.Verdict, Changes: []checkChange{}, Host: a.Host, Cut: a.Cut}
	was := map[topic][]*rememberedFinding{}
	for i := range m.Findings {
		f := &m.Findings[i]
		was[topic{f.Item, f.Subject}] = append(was[topic{f.Item, f.Subject}], f)
	}
	var kept []rememberedFinding
	unknown := map[string]bool{} // items of which not all is known
	for i := range a.Items {
		item := &a.Items[i]
		if item.Group == groupProviders { // it rests on the others
			continue
		}
		for _, t := range item.topics() {
			c := compare(t, was[t], item.Findings)
			d.Changes = append(d.Changes, c.changes...)
			kept = append(kept, c.kept(a.At)...)
			unknown[item.ID] = unknown[item.ID] || c.unknown
			delete(was, t)
		}
	}
	same := reflect.DeepEqual(m.Host, a.Host) && a.Cut == ""
	for i := range m.Findings { // in their order
		f := &m.Findings[i]
		switch _, left := was[topic{f.Item, f.Subject}]; {
		case !left:
		case same && a.walked[f.Item] && !unknown[f.Item]:
			if bad(f.Grade) {
				d.Changes = append(d.Changes, checkChange{Change: changeGone, Item: f.Item, Subject: f.Subject, Was: f})
			}
		case a.At.Sub(f.Seen) < memoryKept:
			kept = append(kept, *f)
		}
	}
	d.Changes = append(d.Changes, m.blind(a)...)
	m.At, m.Host, m.Findings = a.At, a.Host, kept
	return d
}

// topics gives what the findings are about, in their order.
func (i *itemAnswer) topics() (all []topic) {
	for _, f := range i.Findings {
		if t := (topic{i.ID, f.Subject}); !slices.Contains(all, t) {
			all = append(all, t)
		}
	}
	return all
}

func bad(g policy.Grade) bool { return g == policy.Warn || g == policy.Fail }

// comparison is what is known of a topic, before and now.
type comparison struct {
	topic
	unknown bool                 // not all is known now
	was     []*rememberedFinding // that are not matched
	is      []*policy.Finding    // all that are known
	changes []checkChange
}

// compare finds what changed of a topic, of which findings tell among others.
func compare(t topic, was []*rememberedFinding, findings []policy.Finding) *comparison {
	c := &comparison{topic: t, was: slices.Clone(was)}
	for i := range findings {
		f := &findings[i]
		if f.Subject == t.subject && f.Grade != policy.Unknown {
			c.is = append(c.is, f)
		}
		c.unknown = c.unknown || f.Subject == t.subject && f.Grade == policy.Unknown
	}
	left := c.match(c.is, func(w *rememberedFinding, f *policy.Finding) bool {
		return w.Result == f.Result && w.Reason == f.Reason
	})
	left = c.match(left, func(w *rememberedFinding, f *policy.Finding) bool {
		return w.Result == f.Result && f.Result != check.Listed // listings are told apart by their lists
	})
	left = c.match(left, func(w *rememberedFinding, f *policy.Finding) bool {
		return bad(w.Grade) && bad(f.Grade) && w.Result != f.Result
	})
	for _, f := range left {
		c.note(nil, f)
	}
	if c.unknown {
		return c
	}
	for _, w := range c.was { // which nothing says any more
		if bad(w.Grade) {
			mended := checkChange{Change: changeMended, Item: t.item, Subject: t.subject, Was: w, Is: c.pass()}
			c.changes = append(c.changes, mended)
		}
	}
	return c
}

// match takes the findings out that are those of before, and notes what became of them.
func (c *comparison) match(
	is []*policy.Finding, same func(*rememberedFinding, *policy.Finding) bool,
) (left []*policy.Finding) {
	for _, f := range is {
		at := slices.IndexFunc(c.was, func(w *rememberedFinding) bool { return same(w, f) })
		if at < 0 {
			left = append(left, f)
			continue
		}
		c.note(c.was[at], f)
		c.was = slices.Delete(c.was, at, at+1)
	}
	return left
}

// note notes what became of a finding; without was, it was not there.
func (c *comparison) note(was *rememberedFinding, is *policy.Finding) {
	change := checkChange{Item: c.item, Subject: c.subject, Was: was, Is: is}
	switch wasBad := was != nil && bad(was.Grade); {
	case !wasBad && bad(is.Grade):
		change.Change = changeNew
	case wasBad && !bad(is.Grade):
		change.Change = changeMended
	case wasBad && (was.Grade != is.Grade || was.Result != is.Result):
		change.Change = changeChanged
	default:
		return
	}
	c.changes = append(c.changes, change)
}

// pass gives what is said instead of something that was wrong; nil: nothing.
func (c *comparison) pass() *policy.Finding {
	for _, f := range c.is {
		if !bad(f.Grade) {
			return f
		}
	}
	return nil
}

// kept gives what the next run is to know.
func (c *comparison) kept(at time.Time) (all []rememberedFinding) {
	for _, f := range c.is {
		all = append(all, rememberedFinding{c.item, c.subject, f.Grade, f.Result, f.Reason, at})
	}
	if c.unknown {
		for _, w := range c.was {
			all = append(all, *w)
		}
	}
	return all
}

// print writes what changed.
func (d *checkDiff) print(to printer) {
	p := &findingPrinter{printer: to}
	d.Host.print(to)
	p.printf("%s\n", d.title())
	for _, change := range changesInOrder {
		first := true
		for i := range d.Changes {
			c := &d.Changes[i]
			if c.Change != change {
				continue
			}
			if first && !d.Since.IsZero() {
				p.printf("\n%s\n", p.paint(bold, change))
			} else if first {
				p.printf("\n")
			}
			first = false
			p.change(c)
		}
	}
	p.printf("\n%s\n", p.paint(gradeColour(d.Verdict), "now: "+d.Verdict.String()))
	if d.Cut != "" {
		p.printf("%s\n", cutShort(d.Cut))
	}
}

func (d *checkDiff) title() string {
	switch {
	case d.Since.IsZero() && len(d.Changes) == 0:
		return "the first run, and nothing is wrong; the next one says what changed"
	case d.Since.IsZero():
		return "the first run: this is what is wrong; the next one says what changed"
	case len(d.Changes) == 0:
		return "nothing changed since " + clock(d.Since)
	}
	return "changed since " + clock(d.Since)
}

// change writes a change.
func (p *findingPrinter) change(c *checkChange) {
	if c.Change == changeUnknown {
		since := "not known since " + clock(c.Since)
		if c.Is != nil {
			p.finding(&itemAnswer{ID: c.Item}, c.Is)
			p.table("  ", align([][]cell{{{}, {}, {since, faint}}}))
			return
		}
		p.table("  ", align([][]cell{{{"", plain}, {"", plain}, {"the verdict is " + since, plain}}}))
		return
	}
	if c.Is == nil || c.Change == changeMended && c.Is.Grade != policy.Pass {
		p.table("  ", align([][]cell{{{"", plain}, {c.Item, plain}, {c.Was.about(), plain}}}))
		return
	}
	p.finding(&itemAnswer{ID: c.Item}, c.Is)
	if c.Was != nil {
		p.table("  ", align([][]cell{{{}, {}, {"was " + c.Was.Grade.String() + ": " + c.Was.about(), faint}}}))
	}
}

// about says what it was.
func (f *rememberedFinding) about() string { return printable(withSubject(f.Subject, f.Reason)) }

// subject is what the mail about it is called.
func (d *checkDiff) subject() string {
	var parts []string
	for _, change := range changesInOrder {
		n := 0
		for i := range d.Changes {
			if d.Changes[i].Change == change {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, change))
		}
	}
	return fmt.Sprintf("reputed check of %s: %s (%s)", d.Host.called(), d.Verdict, strings.Join(parts, ", "))
}

// printDiff prints what changed, and mails it if that is wished.
func (q *checkQuestion) printDiff(ctx context.Context, e *env, m *checkMemory, a *checkAnswer) error {
	d := m.diff(a)
	if q.json {
		if err := writeJSON(e.stdout, d); err != nil {
			return err
		}
	} else {
		d.print(e.printer())
	}
	if q.mailTo == "" || len(d.Changes) == 0 {
		return nil
	}
	var body strings.Builder
	d.print(printer{Writer: &body, width: mailWidth})
	err := letter{to: q.mailTo, subject: d.subject(), body: body.String(), at: e.now()}.send(ctx)
	if err != nil {
		return status{exitFault, fmt.Errorf("--mail: %w", err)}
	}
	return nil
}
