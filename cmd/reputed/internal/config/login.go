package config

import (
	"fmt"
	"strings"

	"reputed/policy"
	"reputed/policy/mail"
)

// Logins says under which addresses those who logged in may write, and what becomes of mail under others.
type Logins struct {
	Own     policy.Own    `json:"own"`     // theirs by the name alone: OwnAddress by default once there is a [May]
	Foreign policy.Action `json:"foreign"` // Log, Hold or Reject: what becomes of mail under another's address
	May     []May         `json:"may"`     // what they may besides
}

// May lets some write under more addresses.
type May struct {
	Logins  []string  `json:"logins"` // in any case; "@example.org" is every login in that domain
	Senders []Senders `json:"senders"`
}

// Rule gives the section as the rule that tells whose an address is.
func (l *Logins) Rule() *policy.Logins {
	r := &policy.Logins{Own: l.Own}
	for _, m := range l.May {
		may := policy.May{Logins: m.Logins}
		for _, s := range m.Senders {
			may.Senders = append(may.Senders, policy.Senders(s))
		}
		r.May = append(r.May, may)
	}
	return r
}

func defaultLogins() Logins { return Logins{Foreign: policy.Reject, May: []May{}} }

func (l *Logins) read(s *section) {
	entries := s.tables("may")
	if len(entries) > 0 {
		l.Own = policy.OwnAddress
	}
	text(s, "own", choice(policy.OwnAny, policy.OwnDomain, policy.OwnAddress), &l.Own)
	text(s, "foreign", choice(policy.Log, policy.Hold, policy.Reject), &l.Foreign)
	if len(entries) > 0 && l.Own == policy.OwnAny {
		s.wrong("own", "with \"any\" all may write under any address, so [[login.may]] says nothing (own = \"address\", or \"domain\")")
	}
	for _, e := range entries {
		m := May{Logins: []string{}, Senders: []Senders{}}
		list(e, "logins", login, &m.Logins)
		list(e, "senders", anySenders, &m.Senders)
		for _, key := range []string{"logins", "senders"} {
			if e.blank(key) {
				e.wrong(key, "every [[login.may]] has logins and senders (such as logins = [\"bob\"], "+
					"senders = [\"example.org\"])")
			}
		}
		l.May = append(l.May, m)
	}
}

// login parses the name by which somebody logs in, or "@" and the domain of several.
func login(s string) (string, error) {
	if bare, whole := strings.CutPrefix(s, "@"); whole {
		d, err := domain(bare)
		return "@" + d.String(), err
	}
	if strings.Contains(s, "*") {
		return "", fmt.Errorf("%q: a star stands for nobody here (\"@example.org\" is every login in that domain)", s)
	}
	if a, err := mail.ParsePath(s); err == nil && !a.IsZero() {
		return a.Local + "@" + a.Domain.String(), nil
	}
	return word(s)
}

// anySenders parses an entry of a list of senders that may be all there are.
func anySenders(s string) (Senders, error) {
	if s == "*" {
		return Senders{}, nil
	}
	return senders(s)
}
