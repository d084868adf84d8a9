package config

import (
	"fmt"
	"strings"

	"reputed/policy"
	"reputed/policy/mail"
)

// Senders says whose mail an [Egress] takes, by the envelope sender.
type Senders policy.Senders

// String gives "example.org", "*.example.org" or "user@example.org", and "*" for all there are.
func (s Senders) String() string {
	switch {
	case s == Senders{}:
		return "*"
	case s.Local != "":
		return mail.Address{Local: s.Local, Domain: s.Domain}.String()
	case s.Below:
		return "*." + s.Domain.String()
	}
	return s.Domain.String()
}

// MarshalText writes [Senders.String].
func (s Senders) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// senders parses an entry of a list of senders.
func senders(s string) (Senders, error) {
	const forms = "(\"example.org\", \"*.example.org\" for what lies below it, or \"user@example.org\")"
	if strings.Contains(s, "@") {
		a, err := address(s)
		if err != nil {
			return Senders{}, fmt.Errorf("%w %s", err, forms)
		}
		return Senders{Local: a.Local, Domain: a.Domain}, nil
	}
	bare, below := strings.CutPrefix(s, "*.")
	if strings.Contains(bare, "*") {
		return Senders{}, fmt.Errorf("%q: a star stands for all labels before a domain %s", s, forms)
	}
	d, err := domain(bare)
	return Senders{Domain: d, Below: below}, err
}

// address parses a mail address as it is written when nothing is left to chance: no angle brackets, no source route,
// quotes only where they are needed, and no star, which other programs take for every user.
func address(s string) (mail.Address, error) {
	a, err := mail.ParsePath(s)
	at := strings.LastIndexByte(s, '@') + 1
	if err != nil || a.Local == "" || a.Local == "*" || !strings.HasPrefix(a.String(), s[:at]) {
		return mail.Address{}, fmt.Errorf("%q is not a mail address", s)
	}
	a.Domain, err = domain(s[at:])
	return a, err
}
