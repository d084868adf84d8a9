package signer

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"reputed/policy/mail"
)

// Rule says how mail of a From domain is signed. A domain that has keys needs none.
type Rule struct {
	Domain     mail.Domain   // zero: every domain that no other rule is about
	Below      bool          // what lies below Domain, and not Domain itself
	Subdomains bool          // Domain, and what lies below it
	SignAs     mail.Domain   // d=, the domain whose keys sign; zero: Domain
	Selectors  []mail.Domain // which of its keys; none: all
}

// signAs gives d=.
func (r *Rule) signAs() mail.Domain {
	if r.SignAs.IsZero() {
		return r.Domain
	}
	return r.SignAs
}

// Ring is a set of keys, and which of them sign for whom. It never changes; the caller swaps rings as a whole.
//
// Keys sign while they are [Active]. A domain whose keys have never signed, and which no rule is about, is as if there
// were no keys: to prepare one changes nothing.
type Ring struct {
	keys    map[mail.Domain][]*Key // sorted by selector; without those that are revoked
	signing map[mail.Domain][]*Key // those of them that sign, if no rule names some
	unseen  map[ID]bool            // keys that are not published
	exact   map[mail.Domain]*Rule
	below   map[mail.Domain]*Rule // what lies below
	every   *Rule
	naming  map[mail.Domain][]*Rule // rules that name selectors, by the domain whose keys these are
}

// NewRing makes a ring. Expected are domains that should have keys, because there is a place for them, whether or not
// any could be read. The error names every selector of a rule for which there is no key; the ring is usable all the
// same.
func NewRing(rules []Rule, expected []mail.Domain, keys []*Key) (*Ring, error) {
	r := &Ring{keys: map[mail.Domain][]*Key{}, exact: map[mail.Domain]*Rule{}, below: map[mail.Domain]*Rule{}}
	for _, k := range keys {
		if k.State() < Revoked {
			r.keys[k.id.Domain] = append(r.keys[k.id.Domain], k)
		}
		if !k.State().Fresh() {
			r.exact[k.id.Domain] = &Rule{Domain: k.id.Domain}
		}
	}
	for _, ks := range r.keys {
		slices.SortFunc(ks, func(a, b *Key) int { return strings.Compare(a.id.Selector.String(), b.id.Selector.String()) })
	}
	for _, d := range expected {
		if r.exact[d] == nil {
			r.exact[d] = &Rule{Domain: d}
		}
	}
	for i := range rules {
		r.add(&rules[i])
	}
	r.naming = map[mail.Domain][]*Rule{}
	for _, some := range []map[mail.Domain]*Rule{r.exact, r.below, {{}: r.every}} { // those that hold
		for _, rule := range some {
			if rule != nil && len(rule.Selectors) > 0 {
				r.naming[rule.signAs()] = append(r.naming[rule.signAs()], rule)
			}
		}
	}
	return r.Without(nil), r.missing(rules)
}

func (r *Ring) add(rule *Rule) {
	switch {
	case rule.Domain.IsZero():
		r.every = rule
	case rule.Below:
		r.below[rule.Domain] = rule
	default:
		r.exact[rule.Domain] = rule
		if rule.Subdomains {
			r.below[rule.Domain] = rule
		}
	}
}

// missing reports the selectors that rules name in vain.
func (r *Ring) missing(rules []Rule) error {
	var errs []error
	for i := range rules {
		d := rules[i].signAs()
		for _, s := range rules[i].Selectors {
			if !slices.ContainsFunc(r.keys[d], func(k *Key) bool { return k.id.Selector == s }) {
				errs = append(errs, fmt.Errorf("domain %s: there is no usable key for its selector %s", d, s))
			}
		}
	}
	return errors.Join(errs...)
}

// Without gives the ring that signs as well as it can when the records of some keys are known to be gone, or to hold
// something else. For each algorithm the other active keys sign; without any, the newest retiring one, whose record is
// still there, also where the active one was revoked or is broken. If that leaves a domain none, all its active keys go
// on: a signature that cannot be verified is no worse than none (RFC 6376, section 6.1).
func (r *Ring) Without(unseen map[ID]bool) *Ring {
	c := *r
	c.unseen, c.signing = maps.Clone(unseen), make(map[mail.Domain][]*Key, len(r.keys))
	for d, ks := range r.keys {
		c.signing[d] = signing(ks, unseen)
	}
	return &c
}

// signing picks those keys of a domain that sign.
func signing(keys []*Key, unseen map[ID]bool) []*Key {
	var active, use []*Key
	standIn := map[string]*Key{} // by algorithm
	seen := map[string]bool{}    // algorithms of active keys that are published
	for _, k := range keys {
		switch old := standIn[k.algorithm]; {
		case k.State() == Active:
			active = append(active, k)
			seen[k.algorithm] = seen[k.algorithm] || !unseen[k.id]
		case k.State() == Retiring && !unseen[k.id] && (old == nil || k.newer(old)):
			standIn[k.algorithm] = k
		}
	}
	for _, k := range active {
		stand := standIn[k.algorithm]
		switch {
		case !unseen[k.id]:
			use = append(use, k)
		case !seen[k.algorithm] && stand != nil && !slices.Contains(use, stand):
			use = append(use, stand)
		}
	}
	for _, algorithm := range slices.Sorted(maps.Keys(standIn)) {
		of := func(k *Key) bool { return k.algorithm == algorithm }
		if !slices.ContainsFunc(active, of) {
			use = append(use, standIn[algorithm])
		}
	}
	if len(use) == 0 {
		return active
	}
	return use
}

// newer tells whether a key came into use after another one.
func (k *Key) newer(old *Key) bool {
	return cmp.Or(k.life.Times[Active].Compare(old.life.Times[Active]), k.life.Made().Compare(old.life.Made()),
		strings.Compare(k.id.Selector.String(), old.id.Selector.String())) > 0
}

// Bars tells whether rules keep a key from signing, because they name other keys of its domain. A key without selector
// stands for one that is yet to be made.
func (r *Ring) Bars(id ID) bool {
	return slices.ContainsFunc(r.naming[id.Domain], func(rule *Rule) bool {
		return !slices.Contains(rule.Selectors, id.Selector)
	})
}

// Keys gives all keys that are not revoked, sorted by name.
func (r *Ring) Keys() []*Key {
	var all []*Key
	for _, ks := range r.keys {
		all = append(all, ks...)
	}
	slices.SortFunc(all, func(a, b *Key) int {
		return cmp.Or(strings.Compare(a.id.Domain.String(), b.id.Domain.String()),
			strings.Compare(a.id.Selector.String(), b.id.Selector.String()))
	})
	return all
}

// Status is what a ring can do for a domain.
type Status uint8

const (
	Foreign Status = iota // it is none of ours
	NoKey                 // it should be signed for, but there is no usable key
	Usable                // it can be signed for
)

// Choice is how mail of a From domain is signed.
type Choice struct {
	Status  Status
	Domain  mail.Domain // d=
	Keys    []*Key      // all of them sign
	Waiting []*Key      // unless Usable: keys that will sign when everybody can see their records
}

// Choose finds the keys for a From domain: its own rule or keys, then the rule of the nearest domain above it that
// covers what lies below, then the rule for every domain.
func (r *Ring) Choose(from mail.Domain) Choice {
	rule := r.rule(from)
	if rule == nil {
		rule = r.every
	}
	if rule == nil || from.IsZero() {
		return Choice{Waiting: fresh(r.keys[from])}
	}
	c := Choice{Status: NoKey, Domain: rule.signAs(), Keys: r.signing[rule.signAs()]}
	if len(rule.Selectors) > 0 {
		c.Keys = signing(pick(r.keys[c.Domain], rule.Selectors), r.unseen)
	}
	if len(c.Keys) > 0 {
		c.Status = Usable
	} else {
		c.Waiting = fresh(r.keys[c.Domain])
	}
	return c
}

// fresh picks the keys that have never signed.
func fresh(keys []*Key) (some []*Key) {
	for _, k := range keys {
		if k.State().Fresh() {
			some = append(some, k)
		}
	}
	return some
}

// Holds tells whether the domain is ours: whether there is a rule for it, or a key that signs or has signed. The rule
// for every domain makes none ours.
func (r *Ring) Holds(d mail.Domain) bool { return r.rule(d) != nil }

func (r *Ring) rule(d mail.Domain) *Rule {
	if rule := r.exact[d]; rule != nil {
		return rule
	}
	for p := d.Parent(); !p.IsZero(); p = p.Parent() {
		if rule := r.below[p]; rule != nil {
			return rule
		}
	}
	return nil
}

func pick(keys []*Key, selectors []mail.Domain) []*Key {
	var some []*Key
	for _, k := range keys {
		if slices.Contains(selectors, k.id.Selector) {
			some = append(some, k)
		}
	}
	return some
}

// find gives a key by its name, if it signs or has signed, or nil.
func (r *Ring) find(id ID) *Key {
	for _, k := range r.keys[id.Domain] {
		if k.id == id && !k.State().Fresh() {
			return k
		}
	}
	return nil
}
