package config

import (
	"errors"
	"fmt"
	"strings"

	"reputed/policy/mail"
	"reputed/signer"
)

// Domain says how mail of one domain is signed. A domain whose keys lie in the directory of keys needs none.
type Domain struct {
	Name       Pattern       `json:"name"`
	SignAs     mail.Domain   `json:"sign_as"`    // the domain whose keys are used; zero: that of Name
	Selectors  []mail.Domain `json:"selectors"`  // none: every active key of the domain
	Subdomains bool          `json:"subdomains"` // an exact name also stands for what lies below it
}

// Rules gives the [[domain]] entries as the signer's rules.
func (c *Config) Rules() []signer.Rule {
	var rules []signer.Rule
	for _, d := range c.Domains {
		rules = append(rules, signer.Rule{
			Domain:     d.Name.Domain,
			Below:      d.Name.Below,
			Subdomains: d.Subdomains,
			SignAs:     d.SignAs,
			Selectors:  d.Selectors,
		})
	}
	return rules
}

// Pattern says which From domains an entry is about.
type Pattern struct {
	Domain mail.Domain // zero: every domain
	Below  bool        // what lies below Domain, and not Domain itself
}

// String gives "example.org", "*.example.org" or "*".
func (p Pattern) String() string {
	switch {
	case p.Domain.IsZero():
		return "*"
	case p.Below:
		return "*." + p.Domain.String()
	}
	return p.Domain.String()
}

// MarshalText writes [Pattern.String].
func (p Pattern) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// pattern parses the name of an entry.
func pattern(s string) (p Pattern, err error) {
	if s == "*" {
		return Pattern{Below: true}, nil
	}
	bare, below := strings.CutPrefix(s, "*.")
	if strings.Contains(bare, "*") {
		return p, fmt.Errorf("%q: a star stands for all labels before a domain, or for every domain "+
			"(\"example.org\", \"*.example.org\" or \"*\")", s)
	}
	p.Domain, err = domain(bare)
	p.Below = below
	return p, err
}

// readDomains reads the [[domain]] entries.
func (c *Config) readDomains(entries []*section) {
	lines := make(map[Pattern]int)
	for _, s := range entries {
		d := Domain{Selectors: []mail.Domain{}}
		d.read(s)
		if first := lines[d.Name]; first != 0 {
			s.wrong("name", "%q has an entry already, at line %d", d.Name, first)
		} else if d.Name != (Pattern{}) {
			lines[d.Name] = s.at.kid("name").line
		}
		c.Domains = append(c.Domains, d)
	}
}

func (d *Domain) read(s *section) {
	text(s, "name", pattern, &d.Name)
	if !s.has("name") {
		s.wrong("name", "every [[domain]] has a name (\"example.org\", \"*.example.org\" or \"*\")")
	}
	text(s, "sign_as", signAs, &d.SignAs)
	list(s, "selectors", signer.ParseSelector, &d.Selectors)
	s.flag("subdomains", &d.Subdomains)
	switch {
	case d.Name == Pattern{Below: true} && d.SignAs.IsZero() && !s.has("sign_as"):
		s.wrong("sign_as", "\"*\" stands for every domain, so it must say whose keys to use (such as \"example.org\")")
	case d.Name.Below && d.Subdomains:
		s.wrong("subdomains", "%q stands for what lies below already (remove it)", d.Name)
	}
}

// signAs parses the domain to sign in; empty is the From domain's own.
func signAs(s string) (mail.Domain, error) {
	if s == "" {
		return mail.Domain{}, nil
	}
	if strings.Contains(s, "*") {
		return mail.Domain{}, errors.New("keys belong to one domain, without a star (such as \"example.org\")")
	}
	return domain(s)
}
