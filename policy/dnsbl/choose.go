package dnsbl

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Words that stand for many lists, besides tiers.
const (
	wordDefault = "default" // what is watched when nothing else is said
	wordAll     = "all"     // whatever can be asked
)

// Select gives the lists that words name: "default", "all", the word of a tier, an id. "-" before any of them takes
// away, wherever it stands. A list whose whole is chosen too is left out, and so is one whose replacement is. The error
// joins one for each word that names nothing, or a list that cannot be asked.
func (c *Catalogue) Select(words []string) ([]*List, error) {
	chosen := map[string]bool{}
	var errs []error
	for _, w := range words {
		bare, remove := strings.CutPrefix(w, "-")
		named, err := c.Named(bare)
		if err == nil && !remove {
			err = askable(bare, named)
		}
		errs = append(errs, err)
		for _, l := range named {
			if remove {
				chosen[l.ID] = false
			} else if _, decided := chosen[l.ID]; !decided && !l.NeedsKey() {
				chosen[l.ID] = true
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var lists []*List
	for _, l := range c.lists {
		if chosen[l.ID] && !c.covered(chosen, l) {
			lists = append(lists, l)
		}
	}
	return lists, nil
}

// Named gives the lists that a word without hyphen names: an id, a tier, "default" or "all". Whether they can be asked,
// or are asked as part of another, does not matter. The error says what was likely meant.
func (c *Catalogue) Named(name string) ([]*List, error) {
	if l, ok := c.byID[name]; ok {
		return []*List{l}, nil
	}
	is := func(l *List) bool { return l.Tier.String() == name }
	switch {
	case name == wordDefault:
		is = func(l *List) bool { return l.Default }
	case name == wordAll:
		is = func(*List) bool { return true }
	case !slices.Contains(tiers, name):
		ids := slices.Concat([]string{wordDefault, wordAll}, tiers)
		for _, l := range c.lists {
			ids = append(ids, l.ID)
		}
		return nil, fmt.Errorf("there is no list %q%s", name, hint(" (did you mean %q?)", name, ids))
	}
	var found []*List
	for _, l := range c.lists {
		if is(l) {
			found = append(found, l)
		}
	}
	return found, nil
}

// askable refuses a list that was named by its id and needs a key.
func askable(name string, named []*List) error {
	if len(named) == 1 && named[0].ID == name && named[0].NeedsKey() {
		return fmt.Errorf("list %q needs a key ([[policy.dnsbl.list]] with id = %q and key = \"...\")", name, name)
	}
	return nil
}

// covered tells whether what a list says is asked of another that is chosen: its whole, or its replacement, or the
// replacement of its whole.
func (c *Catalogue) covered(chosen map[string]bool, l *List) bool {
	if chosen[l.keyed] {
		return true
	}
	whole, ok := c.byID[l.PartOf]
	return ok && (chosen[whole.ID] || chosen[whole.keyed])
}
