package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"reputed/policy/dnsbl"
)

func listsCommand(e *env) *cobra.Command {
	var show listsView
	var dead, asJSON bool
	cmd := &cobra.Command{
		Use:   "lists",
		Short: "show the DNS lists that are known, and those that are watched",
		Long: `Show the catalogue of DNS lists (DNSBL), as the configuration changes it: block lists of addresses, of
domains, and allow lists, the most important first. A list is marked * when it is watched, + when a watched
list holds its entries, and - when it cannot be asked without a key. Lists that few receivers look at and that
are not watched are left out, unless --all is given.

Exit status: 0 done; 64 wrong arguments; 66 or 78 the configuration cannot be read or has errors.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := loadConfig(configFlag(cmd))
			if err != nil {
				return err
			}
			chosen, err := cfg.Policy.DNSBL.Choose()
			if err != nil {
				return status{exitFault, err}
			}
			answer := any(show.read(chosen.Catalogue, chosen.Watched))
			if dead {
				answer = deadLists{Built: builtOn(chosen.Catalogue), Dead: chosen.Catalogue.Dead()}
			}
			if asJSON {
				return writeJSON(e.stdout, answer)
			}
			answer.(interface{ print(printer) }).print(e.printer())
			return nil
		},
	}
	cmd.Flags().BoolVar(&show.all, "all", false, "show every list")
	cmd.Flags().BoolVar(&dead, "dead", false, "show the zones that must not be asked any more, and why")
	cmd.Flags().BoolVarP(&show.verbose, "verbose", "v", false, "show who runs a list, and where to look entries up and have them removed")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.MarkFlagsMutuallyExclusive("dead", "all")
	cmd.MarkFlagsMutuallyExclusive("dead", "verbose")
	return cmd
}

func builtOn(c *dnsbl.Catalogue) string { return c.Built().Format("2006-01-02") }

// listsView is which lists to show, and how.
type listsView struct{ all, verbose bool }

// knownLists is the catalogue. Its JSON is a promise to other programs.
type knownLists struct {
	Built string      `json:"built"` // the day of which the facts are
	Lists []knownList `json:"lists"`

	verbose bool
	known   int // how many there are, with those that are not shown
	watched int
	dead    int
}

// knownList is one list.
type knownList struct {
	*dnsbl.List
	watched bool
	within  bool // a watched list holds its entries
}

// MarshalJSON writes the list as the catalogue does, and beside that how it stands here.
func (l knownList) MarshalJSON() ([]byte, error) {
	facts, err := json.Marshal(l.List)
	if err != nil {
		return nil, err
	}
	here, err := json.Marshal(struct {
		Watched  bool `json:"watched"`
		NeedsKey bool `json:"needs_key"` // it cannot be asked
	}{l.watched, l.NeedsKey()})
	return slices.Concat(bytes.TrimSuffix(facts, []byte("}")), []byte(","), bytes.TrimPrefix(here, []byte("{"))), err
}

// read puts the lists in the order in which they are shown.
func (v listsView) read(c *dnsbl.Catalogue, watched []*dnsbl.List) *knownLists {
	all := c.Lists()
	k := &knownLists{
		Built: builtOn(c), Lists: []knownList{}, verbose: v.verbose,
		known: len(all), watched: len(watched), dead: len(c.Dead()),
	}
	for _, l := range all {
		in := knownList{
			List:    l,
			watched: slices.ContainsFunc(watched, func(w *dnsbl.List) bool { return w.ID == l.ID }),
			within:  slices.ContainsFunc(watched, func(w *dnsbl.List) bool { return w.ID == l.PartOf }),
		}
		if v.all || in.watched || l.Tier > dnsbl.Informational {
			k.Lists = append(k.Lists, in)
		}
	}
	slices.SortStableFunc(k.Lists, func(a, b knownList) int { // those of the configuration come last in a catalogue
		return cmp.Or(rank(a.Kind == dnsbl.AllowList)-rank(b.Kind == dnsbl.AllowList), rank(a.Domains)-rank(b.Domains),
			cmp.Compare(b.Tier, a.Tier))
	})
	return k
}

func rank(last bool) int {
	if last {
		return 1
	}
	return 0
}

// title is what a list stands under.
func (l *knownList) title() string {
	of := "addresses"
	if l.Domains {
		of = "domains"
	}
	if l.Kind == dnsbl.AllowList {
		return fmt.Sprintf("allow lists of %s, %s", of, l.Tier)
	}
	matter := map[dnsbl.Tier]string{
		dnsbl.Critical:      "large providers refuse mail by them",
		dnsbl.Important:     "gateways refuse mail by them, or filters weigh them",
		dnsbl.Informational: "few receivers look at them",
	}
	return fmt.Sprintf("lists of %s, %s: %s", of, l.Tier, matter[l.Tier])
}

// print writes the lists for people: a table for each title.
func (k *knownLists) print(p printer) {
	for rest := k.Lists; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].title() == rest[0].title() {
			n++
		}
		k.printGroup(p, rest[:n])
		p.printf("\n")
		rest = rest[n:]
	}
	p.printf("* watched (%d of %d lists)   + a watched list holds its entries   - needs a key\n", k.watched, k.known)
	p.printf("public: whether it answers those who ask through a public resolver\n")
	if left := k.known - len(k.Lists); left > 0 {
		p.printf("left out: %s that few receivers look at, and that are not watched: reputed lists --all\n",
			count(left, "list"))
	}
	p.printf("not to be asked: %s: reputed lists --dead\n", count(k.dead, "zone"))
}

// printGroup writes the lists under one title.
func (k *knownLists) printGroup(p printer, lists []knownList) {
	p.printf("%s\n", p.paint(bold, lists[0].title()))
	rows := [][]cell{{{"", plain}, {"list", faint}, {"zone", faint}, {"access", faint}, {"public", faint}}}
	if !lists[0].Domains {
		rows[0] = slices.Insert(rows[0], 3, cell{"family", faint})
	}
	for i := range lists {
		rows = append(rows, lists[i].row())
	}
	for i, line := range p.layout("", rows) {
		p.printf("%s\n", line)
		if k.verbose && i > 0 {
			lists[i-1].printMore(p)
		}
	}
}

// row is what stands in the table.
func (l *knownList) row() []cell {
	mark, colour := "", plain
	switch {
	case l.watched:
		mark, colour = "*", green
	case l.within:
		mark = "+"
	case l.NeedsKey():
		mark = "-"
	}
	row := []cell{{mark, colour}, {l.ID, plain}, {l.Zone, plain}}
	if !l.Domains {
		families := map[dnsbl.Families]string{dnsbl.IPv4: "v4", dnsbl.IPv6: "v6", dnsbl.IPv4 | dnsbl.IPv6: "v4 v6"}
		row = append(row, cell{families[l.Families], plain})
	}
	public := map[dnsbl.PublicResolver]cell{dnsbl.PublicOK: {"yes", plain}, dnsbl.PublicRefused: {"no", amber}}
	return append(row, cell{l.Access.String(), plain}, public[l.PublicResolver])
}

// printMore writes what does not fit into the table.
func (l *knownList) printMore(p printer) {
	rows := [][]cell{
		{{"name", faint}, {printable(l.Name) + ", by " + printable(l.Operator), plain}},
		{{"look up", faint}, {l.LookupURL, plain}},
		{{"removal", faint}, {l.RemovalURL, plain}},
		{{"entries end", faint}, {printable(l.Expiry), plain}},
		{{"note", faint}, {printable(l.Note), plain}},
	}
	if l.PartOf != "" {
		rows = append(rows, []cell{{"part of", faint}, {l.PartOf, plain}})
	}
	p.table("     ", slices.DeleteFunc(rows, func(row []cell) bool { return row[1].text == "" }))
}

// deadLists is the zones that must not be asked. Its JSON is a promise to other programs.
type deadLists struct {
	Built string       `json:"built"`
	Dead  []dnsbl.Dead `json:"dead"`
}

// print writes the zones for people.
func (d deadLists) print(p printer) {
	rows := [][]cell{{{"zone", faint}, {"since", faint}, {"why not to ask it", faint}}}
	for _, z := range d.Dead {
		reason := z.Reason
		if len(z.Includes) > 0 {
			reason += " (also asked as " + strings.Join(z.Includes, ", ") + ")"
		}
		rows = append(rows, []cell{{z.Zone, plain}, {z.Since, plain}, {reason, plain}})
	}
	p.table("", rows)
}
