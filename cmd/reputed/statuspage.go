package main

import (
	"fmt"
	"strconv"
	"strings"

	live "reputed/cmd/reputed/internal/status"
	"reputed/policy/dnsbl"
)

// countRows says what became of messages. What there was none of is left faint.
func countRows(r *live.Report) (rows [][]cell) {
	add := func(n uint64, what, means string, c colour) {
		if n == 0 {
			c = faint
		}
		rows = append(rows, []cell{{strconv.FormatUint(n, 10), c}, {what, c}, {means, faint}})
	}
	n := r.Counts
	add(n.Signed, "signed", "ours, sent", plain)
	add(n.Unsigned, "unsigned", "ours, sent without a signature", amber)
	add(n.Held, "held", "ours, kept in the queue", amber)
	add(n.Deferred, "deferred", "ours, to be sent again later", amber)
	add(n.Rejected, "rejected", "ours, refused", amber)
	add(n.Relayed, "relayed", "passing through", plain)
	add(n.Foreign, "foreign", "of others, passed unseen", plain)
	width := 0
	for _, row := range rows {
		width = max(width, len(row[0].text))
	}
	for _, row := range rows { // numbers stand to the right
		row[0].text = strings.Repeat(" ", width-len(row[0].text)) + row[0].text
	}
	return rows
}

// printEgress tells of each address on which lists it is, or may be; the others are counted.
func printEgress(p printer, e *live.Egress) {
	title := "egress " + printable(e.Name)
	if e.Guessed {
		title += ", guessed"
	}
	if !e.Via.IsZero() {
		title += ", via " + e.Via.String()
	}
	p.printf("\n%s\n", title)
	for i := range e.Addresses {
		a := &e.Addresses[i]
		printStanding(p, a.Addr.String(), a.Listings, 0)
	}
}

func printDomains(p printer, domains []live.Domain) {
	if len(domains) == 0 {
		return
	}
	p.printf("\ndomains signed for\n")
	for i := range domains {
		printStanding(p, domains[i].Name.String(), domains[i].Listings, domains[i].Clear)
	}
}

// printStanding says how something stands: how much is clear, besides what is counted already, and what is not.
func printStanding(p printer, what string, listings []live.Listing, clearOf int) {
	var rows [][]cell
	all := clearOf + len(listings)
	for i := range listings {
		l := &listings[i]
		if l.State == dnsbl.Clear {
			clearOf++
		}
		if l.State != dnsbl.Clear || l.Pending {
			rows = append(rows, listingCells(l))
		}
	}
	summary, c := fmt.Sprintf("clear on %d of %d lists", clearOf, all), green
	switch {
	case all == 0:
		summary, c = "no list is watched for it", faint
	case clearOf < all:
		c = plain
	}
	p.printf("  %s: %s\n", what, p.paint(c, summary))
	p.table("      ", rows)
}

// listingCells says how something stands at a list where it is not clear.
func listingCells(l *live.Listing) []cell {
	if l.State == dnsbl.Listed {
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
	if l.Pending {
		const unsure = "one answer says that it is listed; a second must confirm it"
		return []cell{{l.List, amber}, {"unsure", amber}, {unsure, plain}}
	}
	c := faint
	if l.Acts {
		c = amber
	}
	return []cell{{l.List, c}, {l.State.String(), c}, {printable(l.Reason), plain}}
}

// printLists tells of those that are not believed, and why.
func printLists(p printer, lists []live.List) {
	var rows [][]cell
	healthy := 0
	for i := range lists {
		l := &lists[i]
		if l.Health == dnsbl.Healthy {
			healthy++
			continue
		}
		c := faint
		if l.Acts {
			c = amber
		}
		text := l.Reason
		if l.Remedy != "" {
			text += " (" + l.Remedy + ")"
		}
		rows = append(rows, []cell{{l.ID, c}, {l.Health.String(), c}, {printable(text), plain}})
	}
	if len(lists) == 0 {
		p.printf("\nno list is watched\n")
		return
	}
	p.printf("\nlists: %d of %d answer as they should\n", healthy, len(lists))
	p.table("  ", rows)
}

func printResolver(p printer, r *live.Report) {
	v := &r.Resolver
	p.printf("\nresolver")
	if len(r.Lists) > 0 {
		c := amber
		if v.Health == dnsbl.Healthy {
			c = green
		}
		p.printf(": %s", p.paint(c, v.Health.String()))
	}
	p.printf("\n")
	if v.Reason != "" {
		p.table("  ", [][]cell{{{printable(v.Reason), plain}}})
	}
	if v.Remedy != "" {
		p.table("  ", [][]cell{{{printable(v.Remedy), plain}}})
	}
	answered := v.Client.Found + v.Client.NoData + v.Client.NXDomain
	line := fmt.Sprintf("for SPF: %d queries, %d answered, %d without answer",
		v.Client.Queries, answered, v.Client.Failed())
	if asked := v.Cache.Hits + v.Cache.Misses; asked > 0 {
		line += fmt.Sprintf("; %d of %d questions answered from memory", v.Cache.Hits, asked)
	}
	p.printf("  %s\n", line)
}

func printKeys(p printer, keys []live.Key) {
	if len(keys) == 0 {
		return
	}
	p.printf("\nkeys\n")
	var rows [][]cell
	for _, k := range keys {
		size := cell{fmt.Sprintf("%d bits", k.Bits), plain}
		if k.Weak {
			size = cell{size.text + ", weak", amber}
		}
		rows = append(rows, []cell{{k.Domain.String(), plain}, {k.Selector.String(), plain}, {k.Algorithm, plain}, size})
	}
	p.table("  ", rows)
}
