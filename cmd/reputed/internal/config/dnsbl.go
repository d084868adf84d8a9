package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"reputed/policy"
	"reputed/policy/dnsbl"
)

// DNSBL says which lists are asked about the addresses of the egresses, and what a listing leads to.
type DNSBL struct {
	Listed  policy.Action `json:"listed"`   // every address of the egress is listed
	ActOn   []string      `json:"act_on"`   // the lists that lead to it, in the words of Watch
	Watch   []string      `json:"watch"`    // the lists that are asked, in the words of [dnsbl.Catalogue.Select]
	HoldMax Duration      `json:"hold_max"` // how long held mail waits before an alert tells of it
	Lists   []List        `json:"list"`     // in the order of the file

	catalogue *dnsbl.Catalogue // with Lists in it; nil: the built-in one
}

// Chosen is what the section comes to.
type Chosen struct {
	Catalogue *dnsbl.Catalogue // the built-in one, with the lists of the configuration in it
	Watched   []*dnsbl.List    // in the order of the catalogue; none: nothing is asked

	acting map[string]bool // by id
}

// Acts tells whether the listing of an address on a list may act: by its codes of severity block, and no others.
func (c *Chosen) Acts(l *dnsbl.List) bool { return c.acting[l.ID] }

// Choose gives what the section comes to. It fails only where the built-in catalogue is broken.
func (b *DNSBL) Choose() (*Chosen, error) {
	catalogue := b.catalogue
	if catalogue == nil {
		var err error
		if catalogue, err = dnsbl.Builtin(); err != nil {
			return nil, err
		}
	}
	watched, err := catalogue.Select(b.Watch)
	if err != nil {
		return nil, err
	}
	c := &Chosen{Catalogue: catalogue, Watched: watched, acting: make(map[string]bool)}
	for _, l := range watched {
		if canAct(l) && naming(catalogue, b.ActOn, false, l) != "" && naming(catalogue, b.ActOn, true, l) == "" {
			c.acting[l.ID] = true
		}
	}
	return c, nil
}

// canAct tells whether there is a listing of an address for which receivers refuse mail.
func canAct(l *dnsbl.List) bool { return !l.Domains && blocks(l) }

func blocks(l *dnsbl.List) bool {
	return slices.ContainsFunc(l.Codes, func(c dnsbl.Code) bool { return c.Severity == dnsbl.Block })
}

// naming gives the first of the words that names a list of the catalogue, or, to take away, names it behind "-"; or "".
// [dnsbl.Catalogue.Select] would leave out what is part of another list, also when that is not asked.
func naming(c *dnsbl.Catalogue, words []string, takeAway bool, l *dnsbl.List) string {
	for _, w := range words {
		bare, minus := strings.CutPrefix(w, "-")
		if lists, err := c.Named(bare); err == nil && minus == takeAway && slices.Contains(lists, l) {
			return w
		}
	}
	return ""
}

func defaultDNSBL() DNSBL {
	return DNSBL{
		ActOn:   []string{dnsbl.Critical.String()},
		Watch:   []string{"default"},
		HoldMax: Duration(24 * time.Hour),
		Lists:   []List{},
	}
}

func (b *DNSBL) read(s *section) {
	text(s, "listed", choice(policy.Log, policy.Hold, policy.Defer, policy.Reject), &b.Listed)
	text(s, "hold_max", between(Duration(time.Minute), Duration(30*24*time.Hour)), &b.HoldMax)
	entries := s.tables("list")
	found := len(s.doc.errs)
	var spoiled []string
	if len(s.values) > 0 { // the catalogue takes longer to read than any file
		spoiled = b.readLists(s, entries)
	}
	names := func(w string) (string, error) {
		if b.catalogue == nil || slices.Contains(spoiled, strings.TrimPrefix(w, "-")) {
			return w, nil
		}
		_, err := b.catalogue.Select([]string{w})
		return w, err
	}
	list(s, "act_on", names, &b.ActOn)
	list(s, "watch", names, &b.Watch)
	if b.catalogue != nil && len(s.doc.errs) == found {
		b.check(s)
	}
}

// check notes what can never act.
func (b *DNSBL) check(s *section) {
	c, err := b.Choose()
	if err != nil {
		s.wrong("watch", "%v", err)
		return
	}
	found := len(s.doc.errs)
	for i, w := range b.ActOn {
		if l, is := c.Catalogue.List(w); is && !c.acting[w] {
			s.wrongAt(s.at.kid("act_on").item(i), "act_on", fmt.Sprintf("%q can never act: %s", w, b.idle(c, l)))
		}
	}
	switch {
	case b.Listed == policy.Log || len(s.doc.errs) > found:
	case len(c.Watched) == 0:
		s.wrong("watch", "no list is asked, so no address is ever listed and %q never happens (such as [\"default\"], or "+
			"listed = \"log\")", b.Listed)
	case len(c.acting) == 0:
		s.wrong("act_on", "none of the lists that are asked may act, so %q never happens (name some of those in watch, or "+
			"listed = \"log\")", b.Listed)
	}
}

// idle tells why a list that act_on names can never act.
func (b *DNSBL) idle(c *Chosen, l *dnsbl.List) string {
	if l.Domains {
		return "it lists domains, and only the listing of an address acts"
	}
	if !blocks(l) {
		return "receivers refuse no mail for it (none of its codes has severity block)"
	}
	if w := naming(c.Catalogue, b.ActOn, true, l); w != "" {
		return fmt.Sprintf("%q in the same list takes it away", w)
	}
	if w := naming(c.Catalogue, b.Watch, true, l); w != "" {
		return fmt.Sprintf("%q in watch takes it away", w)
	}
	for _, w := range c.Watched {
		if w.ID == l.PartOf || w.Replaces == l.ID || w.Replaces != "" && w.Replaces == l.PartOf {
			return fmt.Sprintf("%q is asked instead, and says all that it does (write that one)", w)
		}
	}
	return "it is not watched (add it to watch)"
}
