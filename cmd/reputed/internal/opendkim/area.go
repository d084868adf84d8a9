package opendkim

import (
	"slices"
	"strings"

	"reputed/policy/mail"
)

// area is a set of From domains that an entry of our configuration can be about.
type area struct {
	domain mail.Domain // zero: every domain
	below  bool        // what lies below it, and not itself
}

func (a area) String() string {
	switch {
	case a.domain.IsZero():
		return "*"
	case a.below:
		return "*." + a.domain.String()
	}
	return a.domain.String()
}

// sample gives a sender in the area, of whom no line speaks in particular.
func (a area) sample() mail.Address {
	d := a.domain
	switch {
	case d.IsZero():
		d, _ = mail.ParseDomain("some.example")
	case a.below:
		if below, err := mail.ParseDomain("some." + d.String()); err == nil {
			d = below
		}
	}
	return mail.Address{Local: "someone", Domain: d}
}

// areasOf gives the areas that a pattern is about. What else it fits shows in its samples.
func (t *signingTable) areasOf(pattern string) []area {
	patterns := t.set.kind == refile
	host := strings.TrimPrefix(strings.ToLower(pattern), "*@")
	switch {
	case pattern == "*", patterns && host == "*":
		return []area{{}}
	case strings.Contains(host, "@"): // single senders
		return nil
	}
	if patterns {
		host = host[strings.LastIndexByte(host, '*')+1:]
	}
	d, err := mail.ParseDomain(strings.TrimPrefix(host, "."))
	switch {
	case err != nil:
		return nil
	case strings.HasPrefix(host, "."):
		return []area{{d, true}}
	case patterns && !strings.HasPrefix(pattern, "*@"): // "*example.org"
		return []area{{d, false}, {d, true}}
	}
	return []area{{d, false}}
}

// fillings are what samples have in the place of a star.
var fillings = [...]string{"some", "someone", "some.example", "someone@some.example", "someone@", "@some.example", ""}

// samplesOf gives senders whom a line fits.
func (t *signingTable) samplesOf(pattern string) (all []mail.Address) {
	pattern = strings.ToLower(pattern)
	var texts []string
	if t.set.kind == refile {
		_, rest, _ := strings.Cut(pattern, "*")
		texts = []string{"someone@" + strings.TrimPrefix(rest, "@")}
		for _, f := range fillings {
			texts = append(texts, strings.ReplaceAll(pattern, "*", f))
		}
	} else {
		user, host, full := strings.Cut(pattern, "@")
		if !full {
			user, host = "someone", pattern
		}
		if strings.HasPrefix(host, ".") {
			host = "some" + host
		}
		texts = []string{user + "@" + strings.ReplaceAll(host, "*", "some.example")}
	}
	for _, text := range texts {
		a, err := mail.ParsePath(text)
		if err != nil || a.IsZero() || strings.Contains(a.Local, "@") || slices.Contains(all, a) {
			continue
		}
		if len(all) > 0 && shape(pattern) != "" { // one is as good as another
			break
		}
		if t.set.kind != refile && !strings.Contains(pattern, "*") || t.fits(pattern, a) {
			all = append(all, a)
		}
	}
	return all
}

// fits tells whether a line is among those that an address is held against.
func (t *signingTable) fits(pattern string, a mail.Address) bool {
	if t.set.kind == refile {
		return glob(pattern, strings.ToLower(a.String()))
	}
	return pattern == "*" || strings.HasSuffix(pattern, "@*") && strings.Count(pattern, "*") == 1
}
