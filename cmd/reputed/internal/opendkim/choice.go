package opendkim

import (
	"slices"
	"strings"

	"reputed/policy/mail"
)

// choice is how OpenDKIM chooses the keys for a message.
type choice struct {
	verifies bool          // it signs nothing
	table    *signingTable // nil: there are no tables
	keys     []*keyTable
	multiple bool // MultipleSignatures
	dkimpy   bool // it is dkimpy-milter

	algorithm string // SignatureAlgorithm
	exempt    dataset

	domains    dataset // Domain, without tables
	subdomains bool
	single     []key // KeyFile and Selector, and those of dkimpy-milter
}

// wanted is a signature that OpenDKIM makes.
type wanted struct {
	key
	line int  // of the signing table, an index; -1: there is none
	lost bool // the signature is not made after all
}

// verdict is what OpenDKIM does with a message.
type verdict struct {
	sign  []wanted
	fault string // why it defers the message; "": it does not
}

// choose follows opendkim.conf(5), under SigningTable and Domain.
func (c *choice) choose(a mail.Address) verdict {
	domain := a.Domain.String()
	switch {
	case c.verifies, c.exempt.has(domain):
		return verdict{}
	case c.table != nil:
		return c.byTable(a)
	}
	return c.byDomain(domain)
}

// byDomain is the choice without tables: d= is the domain as it stands in the set.
func (c *choice) byDomain(domain string) (v verdict) {
	for d := domain; d != ""; _, d, _ = strings.Cut(d, ".") {
		if c.domains.has(d) {
			for _, k := range c.single {
				k.domain = d
				v.sign = append(v.sign, wanted{key: k, line: -1})
			}
			return v
		}
		if !c.subdomains {
			break
		}
	}
	return v
}

// has tells whether a domain is in a set of domains.
func (d *dataset) has(domain string) bool {
	return d.find(domain, true) >= 0 || d.find("*", true) >= 0
}

// byTable is the choice by tables. The manual promises a signature for each line that fits, if there are to be several;
// the program, in version 2.11, makes those of the first and of the last one.
func (c *choice) byTable(a mail.Address) (v verdict) {
	domain := a.Domain.String()
	lines := c.table.matches(a, c.multiple)
	for i, n := range lines {
		l := &c.table.lines[n]
		found := false
		for _, t := range c.keys {
			entry, ok := t.find(l.keyFor(domain))
			if !ok {
				continue
			}
			found = true
			if t.wrong[entry] != nil {
				v.fault = "the key of " + t.set.items[entry].at.String() + " cannot be used"
			}
			lost := 0 < i && i < len(lines)-1 && !c.dkimpy
			v.sign = append(v.sign, wanted{t.keys[entry].of(domain), n, lost})
		}
		if !found {
			v.fault = "there is no key of the name that " + l.at.String() + " gives"
		}
	}
	return v
}

// loses tells whether a line, though it fits, makes no signature.
func (c *choice) loses(a mail.Address, line int) bool {
	return slices.ContainsFunc(c.choose(a).sign, func(w wanted) bool { return w.line == line && w.lost })
}
