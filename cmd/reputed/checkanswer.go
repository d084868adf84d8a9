package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"reputed/policy"
	"reputed/policy/check"
)

// checkAnswer is what the checklist comes to. Its JSON is a promise to other programs.
type checkAnswer struct {
	At      time.Time    `json:"at"`
	Verdict policy.Grade `json:"verdict"`
	Counts  checkCounts  `json:"counts"`
	Host    checkedHost  `json:"host"`
	Items   []itemAnswer `json:"items"`
	Cut     string       `json:"cut_short,omitempty"` // "timeout" or "interrupted": not everything was asked
}

// checkCounts is how many findings have each grade.
type checkCounts struct {
	Pass    int `json:"pass"`
	Warn    int `json:"warn"`
	Fail    int `json:"fail"`
	Unknown int `json:"unknown"`
}

func (c *checkCounts) add(g policy.Grade) {
	switch g {
	case policy.Pass:
		c.Pass++
	case policy.Warn:
		c.Warn++
	case policy.Fail:
		c.Fail++
	default:
		c.Unknown++
	}
}

// checkedHost is what was checked.
type checkedHost struct {
	Name    string   `json:"name"`
	Egress  []string `json:"egress"`  // addresses, and smarthosts as "via NAME"
	Guessed bool     `json:"guessed"` // the egress is guessed from the interfaces of this host
	Domains []string `json:"domains"`
	Keys    int      `json:"keys"`
}

// itemAnswer is what one item of the checklist found.
type itemAnswer struct {
	ID       string           `json:"id"`
	Group    string           `json:"group"`
	About    string           `json:"about"`
	Info     bool             `json:"info,omitempty"`
	Verdict  policy.Grade     `json:"verdict"`
	Findings []policy.Finding `json:"findings"`
}

// newCheckAnswer sorts out what was found. An item that found nothing to look at is left out.
func newCheckAnswer(h *check.Host, outcomes []check.Outcome, now time.Time) *checkAnswer {
	a := &checkAnswer{At: now.UTC().Truncate(time.Second), Host: newCheckedHost(h), Items: []itemAnswer{}}
	for _, o := range outcomes {
		if len(o.Findings) == 0 {
			continue
		}
		i := itemAnswer{ID: o.Item.ID, Group: o.Item.Group, About: o.Item.About, Info: o.Item.Info, Findings: o.Findings}
		for _, f := range o.Findings {
			i.Verdict = worse(i.Verdict, f.Grade)
			a.Counts.add(f.Grade)
		}
		a.Items = append(a.Items, i)
		if !i.Info || i.Verdict == policy.Fail {
			a.Verdict = worse(a.Verdict, i.Verdict)
		}
	}
	if len(a.Items) == 0 {
		a.Verdict = policy.Unknown
	}
	return a
}

const groupProviders = "what providers want"

// provider gives in one line what of a provider's requirements is met.
func (i *itemAnswer) provider() []cell {
	var met, unmet, bulk, unknown []string
	for _, f := range i.Findings {
		switch f.Grade {
		case policy.Pass:
			met = append(met, f.Result)
		case policy.Unknown:
			unknown = append(unknown, f.Result)
		case policy.Warn:
			bulk = append(bulk, f.Result)
		default:
			unmet = append(unmet, f.Result)
		}
	}
	var parts []string
	for _, part := range []struct {
		text  string
		words []string
	}{{"not met: ", unmet}, {"not met, for who sends 5,000 messages a day: ", bulk}, {"not known: ", unknown}, {"met: ", met}} {
		if len(part.words) > 0 {
			parts = append(parts, part.text+strings.Join(part.words, ", "))
		}
	}
	return []cell{{i.Verdict.String(), gradeColour(i.Verdict)}, {i.ID, plain}, {strings.Join(parts, "; "), plain}}
}

// addProviders adds what large providers want: an item for each, that counts no further, for what it rests on has
// counted.
func (a *checkAnswer) addProviders(findings []policy.Finding) {
	for _, f := range findings {
		id := strings.ToLower(f.Subject)
		last := len(a.Items) - 1
		if last < 0 || a.Items[last].ID != id {
			a.Items = append(a.Items, itemAnswer{ID: id, Group: groupProviders, About: "published requirements of " + f.Subject, Info: true})
			last++
		}
		a.Items[last].Findings = append(a.Items[last].Findings, f)
		a.Items[last].Verdict = worse(a.Items[last].Verdict, f.Grade)
	}
}

func newCheckedHost(h *check.Host) checkedHost {
	of := checkedHost{Name: h.Name.String(), Egress: []string{}, Domains: []string{}, Keys: len(h.Keys)}
	for _, r := range h.Routes {
		of.Guessed = of.Guessed || r.Egress.Guessed
		for _, a := range r.Egress.Addresses {
			if !slices.Contains(of.Egress, a.String()) {
				of.Egress = append(of.Egress, a.String())
			}
		}
		if !r.Egress.Via.IsZero() {
			of.Egress = append(of.Egress, "via "+r.Egress.Via.String())
		}
	}
	for _, d := range h.Domains {
		of.Domains = append(of.Domains, d.String())
	}
	return of
}

// badness orders grades by how much they matter: what is known to be wrong weighs more than what is not known.
func badness(g policy.Grade) int {
	return map[policy.Grade]int{policy.Pass: 0, policy.Unknown: 1, policy.Warn: 2, policy.Fail: 3}[g]
}

func worse(a, b policy.Grade) policy.Grade {
	if badness(b) > badness(a) {
		return b
	}
	return a
}

func gradeColour(g policy.Grade) colour {
	return map[policy.Grade]colour{policy.Pass: green, policy.Warn: amber, policy.Fail: red, policy.Unknown: amber}[g]
}

// exitFail is the exit status of a check that failed, as Nagios expects it. With the others see [exitWarn].
const exitFail = 2

// status gives the exit status.
func (a *checkAnswer) status() error {
	code := map[policy.Grade]int{policy.Warn: exitWarn, policy.Fail: exitFail, policy.Unknown: exitUnknown}[a.Verdict]
	if code == exitOK {
		return nil
	}
	return status{code: code}
}

// print writes the answer for people.
func (a *checkAnswer) print(p printer, verbose bool) {
	p.printf("%s\n", p.paint(bold, a.Host.String()))
	group := ""
	for i := range a.Items {
		item := &a.Items[i]
		if item.Group != group {
			group = item.Group
			p.printf("\n%s\n", p.paint(bold, group))
		}
		if item.Group == groupProviders && !verbose {
			p.table("  ", align([][]cell{item.provider()}))
			continue
		}
		p.table("  ", item.rows(verbose))
	}
	p.printf("\n%s\n", a.summary(p))
}

// String says what was checked.
func (h *checkedHost) String() string {
	parts := []string{h.Name}
	if h.Name == "" {
		parts[0] = "a host without a name"
	}
	egress := strings.Join(h.Egress, ", ")
	switch {
	case egress == "":
		egress = "no known address"
	case h.Guessed:
		egress += " (guessed)"
	}
	parts = append(parts, egress)
	switch n := len(h.Domains); {
	case n > 3:
		parts = append(parts, count(n, "domain"))
	case n > 0:
		parts = append(parts, strings.Join(h.Domains, ", "))
	}
	return strings.Join(parts, " · ")
}

// manyPasses is how many findings of an item that are as they should be are shown one by one.
const manyPasses = 2

// rows gives an item for a table: what is wrong first. What is as it should be is summed up when there is much of it,
// unless everything is wanted.
func (i *itemAnswer) rows(verbose bool) (rows [][]cell) {
	sorted := slices.Clone(i.Findings)
	slices.SortStableFunc(sorted, func(x, y policy.Finding) int { return badness(y.Grade) - badness(x.Grade) })
	passes := 0
	for n := range sorted {
		f := &sorted[n]
		if f.Grade == policy.Pass {
			if passes++; passes > manyPasses && !verbose {
				continue
			}
		}
		rows = append(rows, i.row(f, verbose)...)
	}
	if more := passes - manyPasses; more > 0 && !verbose {
		rows = append(rows, []cell{{"", plain}, {"", plain}, {fmt.Sprintf("and %d more that are as they should be", more), faint}})
	}
	return align(rows)
}

// gradeWidth and idWidth make the columns of all groups stand below each other.
const (
	gradeWidth = len("unknown")
	idWidth    = len("dkimstrength")
)

func align(rows [][]cell) [][]cell {
	for _, row := range rows {
		for n, width := range []int{gradeWidth, idWidth} {
			if n < len(row)-1 && len(row[n].text) < width {
				row[n].text += strings.Repeat(" ", width-len(row[n].text))
			}
		}
	}
	return rows
}

// row gives a finding: what is so, what to do about it, what to paste, and how it was found out.
func (i *itemAnswer) row(f *policy.Finding, verbose bool) [][]cell {
	reason := f.Reason
	if reason == "" {
		reason = f.Result
	}
	rows := [][]cell{{{f.Grade.String(), gradeColour(f.Grade)}, {i.ID, plain}, {printable(reason), plain}}}
	add := func(text string, c colour) {
		rows = append(rows, []cell{{"", plain}, {"", plain}, {printable(text), c}})
	}
	if f.Grade == policy.Pass && !verbose {
		return rows
	}
	if f.Advice != "" {
		add(f.Advice, plain)
	}
	for line := range strings.Lines(f.Fix) {
		add("    "+strings.TrimRight(line, "\n"), bold)
	}
	if verbose {
		for _, e := range f.Evidence {
			lines := strings.Split(strings.TrimRight(e.Value, "\n"), "\n")
			add(e.Name+": "+lines[0], faint)
			for _, line := range lines[1:] {
				add("  "+line, faint)
			}
		}
	}
	return rows
}

// summary is the last line.
func (a *checkAnswer) summary(p printer) string {
	var parts []string
	say := func(n int, g policy.Grade) {
		if n > 0 {
			parts = append(parts, p.paint(gradeColour(g), fmt.Sprintf("%d %s", n, g)))
		}
	}
	say(a.Counts.Fail, policy.Fail)
	say(a.Counts.Warn, policy.Warn)
	say(a.Counts.Unknown, policy.Unknown)
	say(a.Counts.Pass, policy.Pass)
	text := p.paint(gradeColour(a.Verdict), a.Verdict.String())
	if len(parts) > 0 {
		text += ": " + strings.Join(parts, ", ")
	}
	switch a.Cut {
	case "timeout":
		text += "\nthe time was up before everything was asked: give it more, such as --timeout 2m"
	case "interrupted":
		text += "\ninterrupted: what was not asked by then is unknown"
	}
	if a.Counts.Fail+a.Counts.Warn+a.Counts.Unknown > 0 {
		text += "\nhow each was found out: --verbose"
	}
	return text
}
