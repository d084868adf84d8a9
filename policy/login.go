package policy

import (
	"slices"
	"strings"

	"reputed/policy/mail"
)

// Own says which addresses are somebody's by the name alone by which he logged in.
type Own uint8

const (
	OwnAny     Own = iota // all there are
	OwnDomain             // those in the domain of the name
	OwnAddress            // the name itself, also with a detail: bob+lists@example.org is bob@example.org's
)

var owns = [...]string{"any", "domain", "address"}

func (o Own) String() string { return word(owns[:], o) }

// MarshalText writes the word of [Own.String].
func (o Own) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// Logins says under which addresses those who logged in may write. The zero value lets all write under any. Names and
// local parts are compared in any case of US-ASCII letters, as Postfix does (smtpd_sender_login_maps).
type Logins struct {
	Own Own
	May []May // besides
}

// May lets some write under addresses that are not theirs by their names. The zero [Senders] are all addresses, and what
// is no address.
type May struct {
	Logins  []string // names, their domain in canonical form; "@example.org" is every name in that domain
	Senders []Senders
}

// Allow tells whether somebody who logged in by that name may write under an address. The zero address is what cannot be
// read.
func (l *Logins) Allow(name string, a mail.Address) bool {
	if l.Own == OwnAny {
		return true
	}
	domain := ""
	if own, err := mail.ParsePath(name); err == nil && !own.IsZero() { // the name is an address itself
		if a.Domain == own.Domain && (l.Own == OwnDomain && isPlain(a) || ofAccount(a, own.Local)) {
			return true
		}
		domain = "@" + own.Domain.String()
		name = own.Local + domain
	}
	return slices.ContainsFunc(l.May, func(m May) bool { return m.allows(name, domain, a) })
}

// ofAccount tells whether a local part is an account's: its own, or that with a detail behind it (RFC 5233).
func ofAccount(a mail.Address, account string) bool {
	if mail.SameLocal(a.Local, account) {
		return true
	}
	n := len(account)
	return len(a.Local) > n && a.Local[n] == '+' && mail.SameLocal(a.Local[:n], account) && isPlain(a)
}

// isPlain tells that a local part needs no quotes. In them another's address may stand, for a reader who does not know
// them.
func isPlain(a mail.Address) bool { return !strings.HasPrefix(a.String(), `"`) }

// allows tells whether it is about a name, or about all in its domain, and an address.
func (m *May) allows(name, domain string, a mail.Address) bool {
	about := func(l string) bool { return mail.SameLocal(l, name) || l == domain }
	return slices.ContainsFunc(m.Logins, about) &&
		slices.ContainsFunc(m.Senders, func(s Senders) bool { return s.Contain(a) })
}
