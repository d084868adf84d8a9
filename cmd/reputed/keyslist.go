package main

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"reputed/policy/dkim"
	"reputed/signer"
)

func keysListCommand(e *env) *cobra.Command {
	var offline, asJSON bool
	var servers []string
	cmd := &cobra.Command{
		Use:   "list [DOMAIN|SELECTOR...]",
		Short: "list the keys, what the DNS shows of them, and what happens next",
		Long: `List all keys, or those of the domains and selectors named: how far each has come and since when, what the
servers of its zone show of it now, and the next step of its life. Below, what is wrong with the files.

One look at the DNS does not tell since when it shows a record: what the daemon does next may come sooner.

With --json: an object with at, directory, keys (domain, selector, algorithm, bits, state, since, dns, and next,
the step: to, when, due, needs, because) and problems (path, text, remedy).

Exit status: 0 done; 64 wrong arguments; 66 or 78 the configuration cannot be read or has errors; 77 the
directory of keys may not be read.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := openKeysAt(configFlag(cmd), servers)
			if err != nil {
				return err
			}
			chosen, err := set.choose(args)
			if err != nil {
				return err
			}
			list := keyList{At: e.now().UTC().Truncate(time.Second), Directory: set.cfg.Signing.Keys, Keys: []listedKey{}}
			var seen map[signer.ID]dkim.Seen
			if !offline { // what happens to a key hangs on the others of its domain
				seen = lookAtKeys(cmd.Context(), e, set, set.beside(chosen))
			}
			list.read(set, chosen, seen)
			if len(args) == 0 {
				chosen = nil
			}
			list.Problems = append(set.problems(chosen), set.warnings(chosen)...)
			if asJSON {
				return writeJSON(e.stdout, list)
			}
			if len(list.Keys) == 0 {
				e.printer().printf("%v\n", set.errNoKeys())
			}
			list.print(e.printer())
			return nil
		},
	}
	cmd.Flags().BoolVar(&offline, "offline", false, "do not ask the DNS")
	serverFlag(cmd, &servers)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func serverFlag(cmd *cobra.Command, servers *[]string) {
	cmd.Flags().StringSliceVar(servers, "server", nil,
		"find the servers of zones through this name server, `HOST:PORT`, instead of the configured ones")
}

// openKeysAt is openKeys, with other name servers if some are named.
func openKeysAt(file string, servers []string) (*keySet, error) {
	cfg, _, err := loadConfig(file)
	if err != nil {
		return nil, err
	}
	if len(servers) > 0 {
		if cfg.DNS.Servers, err = serverAddresses(servers); err != nil {
			return nil, status{exitUsage, err}
		}
	}
	return readKeys(cfg)
}

// keyList is all keys. Its JSON is a promise to other programs.
type keyList struct {
	At        time.Time    `json:"at"`
	Directory string       `json:"directory"`
	Keys      []listedKey  `json:"keys"`
	Problems  []keyProblem `json:"problems,omitempty"`
}

// listedKey is a key of the list.
type listedKey struct {
	keyFace
	life signer.Life
	DNS  *dkim.Seen `json:"dns,omitempty"`  // absent: it was not asked
	Next *keyStep   `json:"next,omitempty"` // absent: nothing is to happen
}

// read takes what is known of the keys.
func (list *keyList) read(set *keySet, chosen []signer.Life, seen map[signer.ID]dkim.Seen) {
	steps := set.plan(list.At, sighted(seen), false)
	for _, l := range chosen {
		k := listedKey{keyFace: newKeyFace(l), life: l}
		of, asked := seen[l.ID]
		if asked {
			k.DNS = &of
		}
		if step, ok := signer.Next(steps, l.ID); ok && (seen != nil || !asksDNS(step.Needs)) {
			next := newKeyStep(step, list.At)
			if step.Needs == signer.EveryServer && len(of.Lagging)+len(of.Silent) == 0 { // all are at private addresses
				next.Needs = "the world, or the resolver, to show its record"
			}
			k.Next = &next
		}
		list.Keys = append(list.Keys, k)
	}
}

// asksDNS tells of a step whose time is only known to who asks the DNS.
func asksDNS(n signer.Need) bool { return n == signer.Answer || n == signer.Successor }

// print writes the list for people.
func (list *keyList) print(p printer) {
	var rows [][]cell
	for i := range list.Keys {
		k := &list.Keys[i]
		next := ""
		if k.Next != nil {
			next = printable(k.Next.next(list.At))
		}
		rows = append(rows, []cell{
			{k.Domain.String(), plain}, {k.Selector.String(), plain}, {k.kind(), plain}, {k.State.String(), k.colour()},
			{k.since(), plain}, k.shown(), {next, plain},
		})
	}
	if len(rows) > 0 {
		var head []cell
		for _, name := range []string{"domain", "selector", "key", "state", "since", "dns", "next"} {
			head = append(head, cell{name, faint})
		}
		p.table("", p.fold(append([][]cell{head}, rows...)))
	}
	if len(list.Problems) > 0 {
		p.printf("\n")
		printKeyProblems(p, list.Problems, amber)
	}
}

// fold puts the last column of a table below the rest where a terminal has too little room for it.
func (p printer) fold(rows [][]cell) [][]cell {
	const room = 2 * leastWrapped
	var widths []int
	for _, row := range rows {
		widths = append(widths, make([]int, len(row)-min(len(row), len(widths)))...)
		for i, c := range row[:len(row)-1] {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text)+2)
		}
	}
	at := 0
	for _, w := range widths {
		at += w
	}
	if p.width == 0 || p.width-at >= room {
		return rows
	}
	var folded [][]cell
	for i, row := range rows {
		last := row[len(row)-1]
		folded = append(folded, row[:len(row)-1])
		if last.text != "" && i > 0 { // the head of the column says nothing there
			folded = append(folded, []cell{{"  " + rows[0][len(row)-1].text + ": " + last.text, last.colour}})
		}
	}
	return folded
}

func (k *listedKey) colour() colour {
	switch k.State {
	case signer.Active:
		return green
	case signer.Revoked, signer.Removed:
		return faint
	}
	return plain
}

// shown says in a word what the DNS shows.
func (k *listedKey) shown() cell {
	if k.DNS == nil {
		return cell{}
	}
	word := shownWord(k.State, k.DNS)
	if k.DNS.Result == dkim.NXDomain || k.DNS.Result == dkim.NoData {
		word = "nothing"
	}
	text, verdict := word, judgeKey(k.life, k.DNS).verdict
	switch k.DNS.Sighting {
	case dkim.Unknown:
		text = "unknown"
	case dkim.Partly:
		text = "partly " + strings.TrimSuffix("("+word+")", "(match)")
	}
	if k.DNS.Via == dkim.Resolver {
		text += " (resolver)"
	}
	return cell{strings.TrimSpace(text), verdict.colour()}
}
