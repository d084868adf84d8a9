package opendkim

import (
	"io/fs"
	"slices"
	"strings"

	"reputed/policy/mail"
	"reputed/signer"
)

// entry is a [[domain]] to be.
type entry struct {
	area       area
	subdomains bool
	signAs     mail.Domain
	selectors  []mail.Domain
}

// domains makes the [[domain]] entries: for each area, the keys that OpenDKIM uses there for a sender of whom no line
// speaks in particular. Whoever fares otherwise is found by [Outcome.Compare].
func (im *importer) domains() {
	var entries []entry
	for _, a := range im.areas() {
		if e, ok := im.entry(a); ok {
			entries = append(entries, e)
		}
	}
	held := map[mail.Domain][]*Placement{}
	for _, p := range im.places {
		held[p.ID.Domain] = append(held[p.ID.Domain], p)
	}
	for _, e := range join(entries) {
		im.out.domain(e, e.named(held[e.signAs]))
	}
}

// areas gives the areas that need an entry, each once: those that the configuration speaks of, and the domains of keys,
// for a domain with keys signs here unless an entry says otherwise.
func (im *importer) areas() []area {
	c := im.choice
	var all []area
	if c.table == nil {
		for _, it := range c.domains.items {
			if it.key == "*" {
				all = append(all, area{})
			} else if d, err := mail.ParseDomain(it.key); err == nil {
				all = append(all, area{d, false})
				if c.subdomains {
					all = append(all, area{d, true})
				}
			}
		}
	} else {
		all = im.tableAreas(c.table)
	}
	seen := map[area]bool{}
	return slices.DeleteFunc(all, func(a area) bool {
		twice := seen[a]
		seen[a] = true
		return twice
	})
}

func (im *importer) tableAreas(t *signingTable) (all []area) {
	var byName bool
	for _, l := range t.lines {
		if l.name != "" {
			all = append(all, t.areasOf(l.key)...)
		}
		byName = byName || l.name == "%"
	}
	add := func(name string) {
		if d, err := mail.ParseDomain(name); err == nil && strings.Contains(name, ".") {
			all = append(all, area{d, false})
		}
	}
	for _, kt := range im.choice.keys {
		for i, k := range kt.keys {
			if byName && kt.set.kind != refile {
				add(kt.set.items[i].key)
			}
			add(k.domain)
			for _, name := range im.filesFor(k.file) {
				add(name)
			}
		}
	}
	return all
}

// filesFor gives what may stand for % in the path of a key, by the files that are there.
func (im *importer) filesFor(pattern string) (names []string) {
	dir, rest, found := strings.Cut(pattern, "%")
	if !found || strings.Contains(rest, "%") {
		return nil
	}
	dir, head := dir[:strings.LastIndexByte(dir, '/')+1], dir[strings.LastIndexByte(dir, '/')+1:]
	tail, inside, _ := strings.Cut(rest, "/")
	for _, name := range im.files(im.inJail(dir)) {
		middle, ok := strings.CutPrefix(name, head)
		if middle, isTail := strings.CutSuffix(middle, tail); ok && isTail {
			if _, err := fs.Stat(im.root, rooted(im.inJail(dir+name+"/"+inside))); err == nil {
				names = append(names, middle)
			}
		}
	}
	return names
}

// entry finds the keys for an area, and gives them their places.
func (im *importer) entry(a area) (entry, bool) {
	e := entry{area: a}
	sample := a.sample()
	v := im.choice.choose(sample)
	ids := im.idsFor(a, v)
	if len(ids) == 0 {
		// A domain that should be signed for and cannot be is held up until it has a key, and never sent unsigned.
		e.signAs = a.domain
		return e, !a.below && !a.domain.IsZero() && (v.fault != "" || len(v.sign) > 0)
	}
	e.signAs = ids[0].Domain
	for _, id := range ids { // several domains have no counterpart: the one of the sender serves DMARC
		if sample.Domain.Within(id.Domain) {
			e.signAs = id.Domain
			break
		}
	}
	for _, id := range ids {
		if id.Domain == e.signAs && !slices.Contains(e.selectors, id.Selector) {
			e.selectors = append(e.selectors, id.Selector)
		}
	}
	return e, true
}

// idsFor gives the names of the keys of a verdict that can be expressed here.
func (im *importer) idsFor(a area, v verdict) (ids []signer.ID) {
	for _, w := range v.sign {
		if w.lost {
			continue
		}
		if (a.below || a.domain.IsZero()) && w.domain == a.sample().Domain.String() {
			continue // d= follows the sender, which no entry can say of more than one domain
		}
		if id, err := w.id(); err == nil {
			im.place(id, w.key)
			ids = append(ids, id)
		}
	}
	return ids
}

// join makes one entry of two that are about a domain and what lies below it, and say the same.
func join(entries []entry) (joined []entry) {
	index := map[area]int{}
	for _, e := range entries {
		other := area{e.area.domain, !e.area.below}
		if i, ok := index[other]; ok && !e.area.domain.IsZero() && joined[i].signAs == e.signAs &&
			slices.Equal(joined[i].selectors, e.selectors) {
			joined[i].area.below, joined[i].subdomains = false, true
			continue
		}
		index[e.area] = len(joined)
		joined = append(joined, e)
	}
	return joined
}

// named gives the selectors that an entry must name: none where they are all that the domain has, so that keys to come
// may take their place.
func (e *entry) named(held []*Placement) []mail.Domain {
	for _, p := range held {
		if !slices.Contains(e.selectors, p.ID.Selector) {
			return e.selectors
		}
	}
	return nil
}

// files gives the names of what is in a directory.
func (im *importer) files(dir string) (names []string) {
	entries, _ := fs.ReadDir(im.root, rooted(dir)) // one that cannot be read shows with its keys
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
