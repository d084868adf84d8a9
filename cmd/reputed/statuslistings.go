package main

import (
	"fmt"
	"slices"
	"strings"

	live "reputed/cmd/reputed/internal/status"
	"reputed/policy/dnsbl"
)

// standings is how addresses or domains stand at lists. Those of which the same is to be told share a line.
type standings struct {
	lines []standLine
}

type standLine struct {
	names   []string
	summary string
	colour
	rows [][]cell
}

// add takes how something stands: listings, and how many lists besides it is known not to be on.
func (s *standings) add(r *live.Report, name string, listings []live.Listing, clearOf int) {
	n := standCount{all: clearOf + len(listings), clear: clearOf}
	line := standLine{names: []string{name}}
	var unknown causes
	for i := range listings {
		l := &listings[i]
		switch {
		case l.State == dnsbl.Clear && !l.Pending:
			n.clear++
			continue
		case l.State == dnsbl.Clear:
			n.clear++
		case l.State == dnsbl.Listed:
			n.listed++
		default:
			n.unknown++
		}
		switch {
		case l.State == dnsbl.Listed || l.Pending:
			line.rows = append(line.rows, listingCells(l))
		case r.Blame(l) == live.BlameResolver:
			n.blamed++
		case r.Blame(l) == live.BlameNothing: // else it is told of the list
			unknown.add(cause{l.State.String(), l.Reason, l.Remedy}, causing{l.List, l.Acts})
		}
	}
	line.rows = append(line.rows, unknown.rows()...)
	line.summary, line.colour = n.summary(resolverBlamed(r))
	for i := range s.lines {
		if like := &s.lines[i]; like.summary == line.summary && slices.EqualFunc(like.rows, line.rows, slices.Equal) {
			like.names = append(like.names, name)
			return
		}
	}
	s.lines = append(s.lines, line)
}

func (s *standings) print(p printer) {
	for _, l := range s.lines {
		p.printf("  %s: %s\n", live.Few(l.names), p.paint(l.colour, l.summary))
		p.table("      ", l.rows)
	}
}

// standCount is on how many lists something stands how.
type standCount struct {
	all, clear, listed int
	unknown            int // blamed ones, too
	blamed             int // for the resolver's fault
}

// summary says it in a few words; blamed is what stands behind the number of those.
func (n *standCount) summary(blamed string) (string, colour) {
	switch {
	case n.all == 0:
		return "no list is watched for it", faint
	case n.clear == n.all:
		return fmt.Sprintf("clear on %d of %d lists", n.clear, n.all), green
	}
	why := ""
	switch {
	case n.blamed == n.unknown && n.blamed > 0:
		why = blamed
	case n.blamed > 0:
		why = fmt.Sprintf(", on %d of them%s", n.blamed, blamed)
	}
	if n.unknown == n.all {
		return fmt.Sprintf("not known on %d of %d lists%s", n.unknown, n.all, why), plain
	}
	text := fmt.Sprintf("clear on %d of %d lists", n.clear, n.all)
	if n.unknown > 0 {
		text += fmt.Sprintf(", not known on %d%s", n.unknown, why)
	}
	return text, plain
}

// listingCells says how something stands at a list that says that it is there.
func listingCells(l *live.Listing) []cell {
	if l.State != dnsbl.Listed {
		const unsure = "one answer says that it is listed; another must confirm it"
		return []cell{{l.List, amber}, {"unsure", amber}, {unsure, plain}}
	}
	c := plain
	switch {
	case l.Severity >= dnsbl.Warn && l.Acts:
		c = red
	case l.Severity >= dnsbl.Warn:
		c = amber
	}
	text := fmt.Sprintf("%s, since %s", l.Meaning, clock(l.Since))
	if l.Text != "" {
		text += ": " + l.Text
	}
	return []cell{{l.List, c}, {l.Severity.String(), c}, {printable(text), plain}}
}

// cause is why lists tell nothing: those with the same cause are told of together.
type cause struct{ state, reason, remedy string }

// causing is a list that tells nothing.
type causing struct {
	id   string
	acts bool
}

// causes are lists by their cause, in the order in which they came.
type causes struct {
	all   []cause
	lists map[cause][]causing
}

func (c *causes) add(of cause, l causing) {
	if c.lists == nil {
		c.lists = map[cause][]causing{}
	}
	if c.lists[of] == nil {
		c.all = append(c.all, of)
	}
	if !slices.Contains(c.lists[of], l) {
		c.lists[of] = append(c.lists[of], l)
	}
}

// names names every list of a cause.
func (c *causes) names(of cause) string {
	var names []string
	for _, l := range c.lists[of] {
		names = append(names, l.id)
	}
	return strings.Join(names, ", ")
}

// rows gives one for each cause.
func (c *causes) rows() (rows [][]cell) {
	for _, of := range c.all {
		names, colour := nameLists(c.lists[of])
		text := of.reason
		if of.remedy != "" {
			text += " (" + of.remedy + ")"
		}
		rows = append(rows, []cell{{names, colour}, {of.state, colour}, {printable(text), plain}})
	}
	return rows
}

// nameLists names every list that acts, and few of the others.
func nameLists(lists []causing) (string, colour) {
	var act, others []string
	for _, l := range lists {
		if l.acts {
			act = append(act, l.id)
		} else {
			others = append(others, l.id)
		}
	}
	if len(act) == 0 {
		return live.Few(others), faint
	}
	names := strings.Join(act, ", ")
	if len(others) > 0 {
		names += ", " + live.Few(others)
	}
	return names, amber
}
