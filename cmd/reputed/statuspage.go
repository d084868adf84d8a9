package main

import (
	"fmt"
	"strconv"
	"strings"

	live "reputed/cmd/reputed/internal/status"
	"reputed/policy/dnsbl"
	"reputed/signer"
)

// printCounts says what became of messages; of what there was none, nothing.
func printCounts(p printer, r *live.Report) {
	var rows [][]cell
	width := 0
	add := func(n uint64, what, means string, c colour) {
		if n > 0 {
			number := strconv.FormatUint(n, 10)
			width = max(width, len(number))
			rows = append(rows, []cell{{number, c}, {what, c}, {means, faint}})
		}
	}
	n := r.Counts
	add(n.Signed, "signed", "ours, sent", plain)
	add(n.Unsigned, "unsigned", "ours, sent without a signature", amber)
	add(n.Held, "held", "ours, kept in the queue", amber)
	add(n.Deferred, "deferred", "ours, to be sent again later", amber)
	add(n.Rejected, "rejected", "ours, refused", amber)
	add(n.Relayed, "relayed", "passing through", plain)
	add(n.Foreign, "foreign", "of others, passed unseen", plain)
	if len(rows) == 0 {
		p.printf("%s: nothing yet\n", p.paint(bold, "mail since the start"))
		return
	}
	for _, row := range rows { // numbers stand to the right
		row[0].text = strings.Repeat(" ", width-len(row[0].text)) + row[0].text
	}
	p.printf("%s\n", p.paint(bold, "mail since the start"))
	p.table("  ", rows)
}

// printEgress tells of each address on which lists it is, or may be; the others are counted.
func printEgress(p printer, r *live.Report, e *live.Egress) {
	title := "egress " + printable(e.Name)
	if e.Guessed {
		title += ", guessed"
	}
	if !e.Via.IsZero() {
		title += ", via " + e.Via.String()
	}
	p.printf("%s\n", p.paint(bold, title))
	var all standings
	for i := range e.Addresses {
		all.add(r, e.Addresses[i].Addr.String(), e.Addresses[i].Listings, 0)
	}
	all.print(p)
}

func printDomains(p printer, r *live.Report) {
	if len(r.Domains) == 0 {
		return
	}
	p.printf("%s\n", p.paint(bold, "domains signed for"))
	var all standings
	for i := range r.Domains {
		all.add(r, r.Domains[i].Name.String(), r.Domains[i].Listings, r.Domains[i].Clear)
	}
	all.print(p)
}

// printLists tells of those that are not believed, and why.
func printLists(p printer, r *live.Report) {
	if len(r.Lists) == 0 {
		p.printf("no list is watched\n")
		return
	}
	healthy, blamed := 0, blamedLists{}
	var others causes
	for i := range r.Lists {
		l := &r.Lists[i]
		switch {
		case l.Health == dnsbl.Healthy:
			healthy++
		case r.BlameFor(l) == live.BlameResolver:
			blamed.add(l)
		default:
			others.add(cause{l.Health.String(), l.Reason, l.Remedy}, causing{l.ID, l.Acts})
		}
	}
	line := fmt.Sprintf("%s: %d of %d answer", p.paint(bold, "lists"), healthy, len(r.Lists))
	if text := blamed.String(); text != "" {
		line += ": " + text + resolverBlamed(r) + blamed.acting()
	} else {
		line += " as they should"
	}
	p.printf("%s\n", line)
	p.table("  ", others.rows())
}

// blamedLists are those that are not heard for the resolver's fault: how many of each health, and which of them act.
type blamedLists struct {
	healths []dnsbl.Health
	count   [dnsbl.Faulty + 1]int
	act     []string
}

func (b *blamedLists) add(l *live.List) {
	if b.count[l.Health]++; b.count[l.Health] == 1 {
		b.healths = append(b.healths, l.Health)
	}
	if l.Acts {
		b.act = append(b.act, l.ID)
	}
}

func (b *blamedLists) String() string {
	var parts []string
	for _, h := range b.healths {
		parts = append(parts, fmt.Sprintf("%d %s", b.count[h], h))
	}
	return strings.Join(parts, ", ")
}

// acting names those that act.
func (b *blamedLists) acting() string {
	switch len(b.act) {
	case 0:
		return ""
	case 1:
		return ", among them " + b.act[0] + ", which acts"
	}
	return ", among them " + strings.Join(b.act, ", ") + ", which act"
}

// resolverBlamed says, behind a number, that it is so for the resolver.
func resolverBlamed(r *live.Report) string {
	if r.Resolver.Health == dnsbl.Untested {
		return " (being tested)"
	}
	return " (resolver " + r.Resolver.Health.String() + ")"
}

func printResolver(p printer, r *live.Report) {
	v := &r.Resolver
	p.printf("%s", p.paint(bold, v.Name()))
	if len(r.Lists) > 0 {
		c := amber
		if v.Health == dnsbl.Healthy {
			c = green
		}
		p.printf(": %s", p.paint(c, v.Health.String()))
		if v.Health != dnsbl.Healthy && !v.Since.IsZero() {
			p.printf(" since %s", live.Clock(r.At, v.Since))
		}
	}
	p.printf("\n")
	if v.Health == dnsbl.Silent && v.Reason != "" { // else it is told among the problems
		p.table("  ", [][]cell{{{printable(v.Reason), plain}}})
	}
	line := "for SPF: " + queries(&v.Client)
	if asked := v.Cache.Hits + v.Cache.Misses; asked > 0 {
		line += fmt.Sprintf("; %d of %d questions answered from memory", v.Cache.Hits, asked)
	}
	p.printf("  %s\n", line)
	if v.Lists.Queries > 0 {
		p.printf("  for lists: %s\n", queries(&v.Lists))
	}
}

// queries says what became of the questions of a client.
func queries(c *live.Client) string {
	if c.Queries == 0 {
		return "nothing yet"
	}
	answered := c.Found + c.NoData + c.NXDomain
	return fmt.Sprintf("%d queries, %d answered, %d without answer", c.Queries, answered, c.Failed())
}

func printKeys(p printer, r *live.Report) {
	if len(r.Keys) == 0 {
		return
	}
	p.printf("%s\n", p.paint(bold, "keys"))
	if w := r.KeyWatch; w != (live.KeyWatch{}) {
		p.printf("  %s at their records, %d without answer; %s, %s\n", count(int(w.Looks), "look"), w.Blind,
			count(int(w.Steps), "step")+" taken", count(int(w.Records), "record")+" changed")
		if w.Failures > 0 {
			p.printf("  %s of steps and changes: see the log\n", p.paint(amber, count(int(w.Failures), "failure")))
		}
	}
	var rows [][]cell
	for _, k := range r.Keys {
		size := cell{fmt.Sprintf("%d bits", k.Bits), plain}
		if k.Weak {
			size = cell{size.text + ", weak", amber}
		}
		row := []cell{{k.Domain.String(), plain}, {k.Selector.String(), plain}, {k.Algorithm, plain}, size}
		switch {
		case k.Unseen:
			row = append(row, cell{k.State + ", seen by nobody", amber})
		case k.Held:
			row = append(row, cell{k.State + ", held back", amber})
		case k.State != "" && k.State != signer.Active.String():
			row = append(row, cell{k.State + ", seen " + k.Sighting, plain})
		}
		rows = append(rows, row)
	}
	p.table("  ", rows)
}
