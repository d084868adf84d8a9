package signer

import (
	"cmp"
	"errors"
	"fmt"
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
type Ring struct {
	keys  map[mail.Domain][]*Key // sorted by selector
	exact map[mail.Domain]*Rule
	below map[mail.Domain]*Rule // what lies below
	every *Rule
}

// NewRing makes a ring. Expected are domains that should have keys, because there is a place for them, whether or not
// any could be read. The error names every selector of a rule for which there is no key; the ring is usable all the
// same.
func NewRing(rules []Rule, expected []mail.Domain, keys []*Key) (*Ring, error) {
	r := &Ring{keys: map[mail.Domain][]*Key{}, exact: map[mail.Domain]*Rule{}, below: map[mail.Domain]*Rule{}}
	for _, k := range keys {
		r.keys[k.id.Domain] = append(r.keys[k.id.Domain], k)
	}
	for d, ks := range r.keys {
		slices.SortFunc(ks, func(a, b *Key) int { return strings.Compare(a.id.Selector.String(), b.id.Selector.String()) })
		r.exact[d] = &Rule{Domain: d}
	}
	for _, d := range expected {
		r.exact[d] = &Rule{Domain: d}
	}
	for i := range rules {
		r.add(&rules[i])
	}
	return r, r.missing(rules)
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

// Keys gives all keys, sorted by name.
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
	Status Status
	Domain mail.Domain // d=
	Keys   []*Key      // all of them sign
}

// Choose finds the keys for a From domain: its own rule or keys, then the rule of the nearest domain above it that
// covers what lies below, then the rule for every domain.
func (r *Ring) Choose(from mail.Domain) Choice {
	rule := r.rule(from)
	if rule == nil {
		rule = r.every
	}
	if rule == nil || from.IsZero() {
		return Choice{}
	}
	c := Choice{Status: NoKey, Domain: rule.signAs(), Keys: r.keys[rule.signAs()]}
	if len(rule.Selectors) > 0 {
		c.Keys = pick(c.Keys, rule.Selectors)
	}
	if len(c.Keys) > 0 {
		c.Status = Usable
	}
	return c
}

// Holds tells whether the domain is ours: whether there is a rule or a key for it. The rule for every domain makes
// none ours.
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

// find gives a key by its name, or nil.
func (r *Ring) find(id ID) *Key {
	for _, k := range r.keys[id.Domain] {
		if k.id == id {
			return k
		}
	}
	return nil
}
