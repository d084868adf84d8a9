package main

import (
	"fmt"
	"slices"
	"strings"

	"reputed/policy"
)

// findingPrinter writes findings.
type findingPrinter struct {
	printer
	verbose bool   // with what was asked and answered
	advised string // last: what is advised again is not told again
	unknown string // why something was not known, last
}

// print writes the answer for people: item after item, and what is wrong first in each.
func (a *checkAnswer) print(to printer, verbose bool) {
	p := &findingPrinter{printer: to, verbose: verbose}
	a.Host.print(to)
	group := ""
	for i := range a.Items {
		item := &a.Items[i]
		if item.Group != group {
			group = item.Group
			p.printf("\n%s\n", p.paint(bold, group))
		}
		switch {
		case item.Group == groupProviders && !verbose:
			p.table("  ", align([][]cell{item.provider()}))
		case i > 0 && item.repeats(&a.Items[i-1]):
			either := cell{"not known either, for the same reason", faint}
			p.table("  ", align([][]cell{{item.grade(item.Verdict), {item.ID, plain}, either}}))
		default:
			p.item(item)
		}
	}
	p.printf("\n")
	a.printSummary(to)
}

// repeats tells that an item knows nothing for the reasons that the one before it has.
func (i *itemAnswer) repeats(before *itemAnswer) bool {
	return i.Group == before.Group && slices.EqualFunc(i.Findings, before.Findings, func(f, b policy.Finding) bool {
		return f.Grade == policy.Unknown && b.Grade == policy.Unknown && f.Reason == b.Reason
	})
}

// manyPasses is how many findings of an item that are as they should be are shown one by one.
const manyPasses = 2

// item writes an item. What is as it should be is summed up when there is much of it, unless everything is wanted.
func (p *findingPrinter) item(i *itemAnswer) {
	sorted := slices.Clone(i.Findings)
	slices.SortStableFunc(sorted, func(x, y policy.Finding) int { return badness(y.Grade) - badness(x.Grade) })
	passes := 0
	for n := range sorted {
		f := &sorted[n]
		if f.Grade == policy.Pass {
			if passes++; passes > manyPasses && !p.verbose {
				continue
			}
		}
		p.finding(i, f)
	}
	if more := passes - manyPasses; more > 0 && !p.verbose {
		p.table("  ", align([][]cell{{{}, {}, {fmt.Sprintf("and %d more that are as they should be", more), faint}}}))
	}
}

// fixIndent is where what is to be pasted begins. It is never broken into lines: it would not work then.
const fixIndent = "      "

// finding writes a finding: what is so, what to do about it, what to paste, and how it was found out.
func (p *findingPrinter) finding(i *itemAnswer, f *policy.Finding) {
	reason := f.Reason
	if reason == "" {
		reason = f.Result
	}
	if f.Grade == policy.Unknown && !p.verbose {
		reason, p.unknown = asAbove(reason, p.unknown), reason
	}
	p.table("  ", align([][]cell{{i.grade(f.Grade), {i.ID, plain}, {printable(withSubject(f.Subject, reason)), plain}}}))
	all := p.verbose || f.Grade != policy.Pass
	if f.Advice != "" && all && (f.Advice != p.advised || f.Fix != "") {
		p.table("  ", align([][]cell{{{}, {}, {"→", plain}, {printable(f.Advice), plain}}}))
	}
	if f.Grade != policy.Pass {
		p.advised = f.Advice
	}
	if f.Fix != "" && all {
		for line := range strings.Lines(f.Fix) {
			p.printf("%s%s\n", fixIndent, p.paint(bold, printable(strings.TrimRight(line, "\n"))))
		}
	}
	if p.verbose {
		p.table("  ", align(evidenceRows(f.Evidence)))
	}
}

// asAbove leaves out of a reason what the one before it ended in, from a colon on: that a name server fails need be read
// once.
func asAbove(reason, before string) string {
	const least = 20 // what is shorter is no longer to read
	for at := strings.Index(reason, ": "); at >= 0; {
		if cause := reason[at:]; len(cause) > least && strings.HasSuffix(before, cause) {
			return reason[:at] + ": as above"
		}
		next := strings.Index(reason[at+1:], ": ")
		if next < 0 {
			break
		}
		at += 1 + next
	}
	return reason
}

// withSubject puts what a finding is about before its reason, if that does not name it.
func withSubject(subject, reason string) string {
	if subject == "" || strings.Contains(reason, subject) {
		return reason
	}
	return subject + ": " + reason
}

func evidenceRows(all []policy.Evidence) (rows [][]cell) {
	for _, e := range all {
		lines := strings.Split(strings.TrimRight(e.Value, "\n"), "\n")
		lines[0] = strings.TrimSuffix(e.Name+": "+lines[0], ": ") // a term that says all by itself
		for n, line := range lines {
			if n > 0 {
				line = "  " + line
			}
			rows = append(rows, []cell{{}, {}, {printable(line), faint}})
		}
	}
	return rows
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

// grade shows a grade. What does not count is no warning.
func (i *itemAnswer) grade(g policy.Grade) cell {
	if g == policy.Warn && !i.counts(g) && i.Group != groupProviders {
		return cell{"info", plain}
	}
	return cell{g.String(), gradeColour(g)}
}

func gradeColour(g policy.Grade) colour {
	return map[policy.Grade]colour{policy.Pass: green, policy.Warn: amber, policy.Fail: red, policy.Unknown: amber}[g]
}

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
	}{
		{"not met: ", unmet}, {"not met, from 5,000 messages a day on: ", bulk}, {"not known: ", unknown}, {"met: ", met},
	} {
		if len(part.words) > 0 {
			parts = append(parts, part.text+strings.Join(part.words, ", "))
		}
	}
	return []cell{i.grade(i.Verdict), {i.ID, plain}, {strings.Join(parts, "; "), plain}}
}

// printSummary writes the last lines.
func (a *checkAnswer) printSummary(p printer) {
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
	p.printf("%s", p.paint(gradeColour(a.Verdict), a.Verdict.String()))
	switch {
	case len(parts) > 0:
		p.printf(": %s", strings.Join(parts, ", "))
	case len(a.Items) == 0:
		p.printf(": nothing to look at")
	}
	p.printf("\n")
	if a.Cut != "" {
		p.printf("%s\n", cutShort(a.Cut))
	}
	if a.Counts.Fail+a.Counts.Warn+a.Counts.Unknown > 0 {
		p.printf("how each was found out: --verbose\n")
	}
}

// cutShort says that not everything was asked.
func cutShort(why string) string {
	if why == cutInterrupted {
		return "interrupted: what was not asked by then is unknown"
	}
	return "the time was up before everything was asked: give it more, such as --timeout 2m"
}
