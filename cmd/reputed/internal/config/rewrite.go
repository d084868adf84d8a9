package config

import (
	"fmt"
	"strings"

	"reputed/policy"
	"reputed/policy/mail"
)

// Rewrite is a change that the MTA makes to envelope senders behind us, by canonical(5), generic(5) or SRS: the world
// sees To.
type Rewrite struct {
	From Side `json:"from"` // in no entry before
	To   Side `json:"to"`   // in a domain that the world can know
}

// Side is one side of a [Rewrite]: one address, or all of a domain.
type Side struct {
	Local  string // "": every local part; in To, that of the sender stays
	Domain mail.Domain
}

// String gives "user@example.org" or "@example.org".
func (d Side) String() string {
	if d.Local == "" {
		return "@" + d.Domain.String()
	}
	return mail.Address(d).String()
}

// MarshalText writes [Side.String].
func (d Side) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// senders gives the side as the set of senders that a rule is about.
func (d Side) senders() policy.Senders { return policy.Senders{Local: d.Local, Domain: d.Domain} }

// Rewrites gives the [[rewrite]] entries in their order: the first that fits is applied.
func (c *Config) Rewrites() policy.Rewrites {
	var rewrites policy.Rewrites
	for _, r := range c.Rewrite {
		rewrites = append(rewrites, policy.Rewrite{From: r.From.senders(), To: mail.Address(r.To)})
	}
	return rewrites
}

// readRewrites reads the [[rewrite]] entries.
func (c *Config) readRewrites(entries []*section) {
	for _, s := range entries {
		var r Rewrite
		r.read(s)
		for j, before := range c.Rewrite {
			if r.From != (Side{}) && before.From != (Side{}) && before.From.senders().Contain(mail.Address(r.From)) {
				s.wrong("from", "%q is rewritten already, by %q at line %d (one entry for each; those of single senders before "+
					"that of their domain)", r.From, before.From, entries[j].at.kid("from").line)
				break
			}
		}
		c.Rewrite = append(c.Rewrite, r)
	}
}

func (r *Rewrite) read(s *section) {
	text(s, "from", side, &r.From)
	text(s, "to", worldly, &r.To)
	for _, key := range []string{"from", "to"} {
		if !s.has(key) {
			s.wrong(key, "every [[rewrite]] has from and to (such as from = \"@web1.internal\", to = \"@example.org\")")
		}
	}
	if r.From == r.To && r.From != (Side{}) {
		s.wrong("to", "%q is what it was before (write what the mta makes of it)", r.To)
	}
}

// side parses one side of a rewriting.
func side(s string) (Side, error) {
	if bare, whole := strings.CutPrefix(s, "@"); whole {
		d, err := domain(bare)
		return Side{Domain: d}, err
	}
	a, err := address(s)
	if err != nil {
		return Side{}, fmt.Errorf("%w (\"user@example.org\", or \"@example.org\" for every sender of the domain)", err)
	}
	return Side(a), nil
}

// worldly parses a side whose domain the world can know.
func worldly(s string) (Side, error) {
	d, err := side(s)
	if err != nil {
		return d, err
	}
	if d.Domain.Parent().IsZero() || d.Domain.Private() {
		return d, fmt.Errorf("%q is in a domain that the world does not know (write the sender that receivers see)", s)
	}
	return d, nil
}
