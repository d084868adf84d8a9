package config

import (
	"fmt"
	"strings"
	"time"

	"reputed/policy/mail"
	"reputed/signer"
)

// Template is how the selectors of new keys are made: a selector in which "{date}", "{random}" and "{host}" stand for
// what they say. What [Load] gives always makes selectors, for the host of the configuration.
type Template string

// defaultTemplate gives names that sort by time and cannot be guessed.
const defaultTemplate Template = "s{date}-{random}"

// String gives the template as it is written.
func (t Template) String() string { return string(t) }

// Selector makes a selector: of the month, in UTC as "202611"; of random, six small letters and digits; and of the
// first label of the host's name. Whether it was used before is for the caller to see.
func (t Template) Selector(now time.Time, random string, host mail.Domain) (mail.Domain, error) {
	return signer.ParseSelector(t.fill(now, random, host))
}

func (t Template) fill(now time.Time, random string, host mail.Domain) string {
	first, _, _ := strings.Cut(host.String(), ".")
	return strings.NewReplacer(
		"{date}", now.UTC().Format("200601"), "{random}", random, "{host}", first,
	).Replace(string(t))
}

// varies tells whether two keys that are made in the same month get different selectors.
func (t Template) varies() bool { return strings.Contains(string(t), "{random}") }

// template gives the parser of a template, which must do for the host; empty is the default.
func template(host mail.Domain) func(string) (Template, error) {
	return func(s string) (Template, error) {
		if s == "" {
			return defaultTemplate, nil
		}
		t := Template(s)
		if !t.varies() && !strings.Contains(s, "{date}") {
			// RFC 6376, section 3.1: a selector of an old key is not reused.
			return "", fmt.Errorf("%q gives every key the same name, and no name is used again (write {date}, {random} or "+
				"both into it, such as %q)", s, defaultTemplate)
		}
		example := t.fill(time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC), "k7f3q9", host)
		if strings.ContainsAny(example, "{}") {
			return "", fmt.Errorf("%q has something else in braces than {date}, {random} or {host}", s)
		}
		if _, err := signer.ParseSelector(example); err != nil {
			return "", fmt.Errorf("%q gives names such as %q, and that is %w", s, example, signer.ErrSelector)
		}
		if len(example) > longestSelector {
			return "", fmt.Errorf("%q gives names of %d octets (at most %d)", s, len(example), longestSelector)
		}
		return t, nil
	}
}

// longestSelector leaves room for any domain that people have.
const longestSelector = 63
