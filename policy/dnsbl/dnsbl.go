// Package dnsbl tells whether addresses and domains are on DNS lists: block lists, allow lists, and what is both.
//
// [Builtin] is the catalogue of the lists that are known, with what their codes mean, and of the zones that must not
// be asked any more. [Query] asks one list about one address or domain, once. [Monitor] asks all of them in the
// background, and keeps what they say where the path of a message can read it; [Look] asks them all just once.
//
// An answer is not yet a listing. Lists answer with error codes when they refuse a resolver, they lapse and then answer
// with the address of a web server, they are closed and list the world; resolvers rewrite answers. So a list is tested
// before it is believed: it must list what it says it lists, must not list what it says it does not, and must not list
// a name that nobody can have put there. And a listing counts when two answers, some time apart, say so, the list then
// passes its tests, and a third answer says the same; a list that failed them once must pass them twice before it is
// believed again.
//
// # What it never does
//
// It asks no list more often than that list's min_poll, and no operator of lists more than once a second: over a
// restart, and over a kill but for what was asked in the last second of a busy minute, or the last minute of any other.
// Only what was asked while the resolver answered nothing at all is asked again sooner, after ten minutes. It asks
// nothing on the path of a message. It asks no zone that is known to be dead, and nothing about addresses that the
// world cannot see. It decides nothing: what a listing leads to is said elsewhere.
//
// # Standards
//
// RFC 5782 (questions, answers, test entries), RFC 6471 (how lists are run, and end).
//
// # Security
//
// Answers come from strangers: codes count only where the catalogue knows them, and reasons (TXT) are cut to a bounded
// length but not escaped: escape them where they are shown. The key of a list is a secret that stands in the names
// that are asked for, and nowhere else: no text, error, JSON or state file of this package holds it. The state file is
// trusted no more than an answer: what it holds is checked, and it can only be as old as it says. An entry whose texts
// hold its own key is refused.
package dnsbl

import (
	"fmt"
	"net/netip"

	"reputed/policy/mail"
)

// State is what is known of an address or domain at a list.
type State uint8

const (
	Unknown State = iota // nothing is known: never a reason to refuse mail
	Clear                // it is not on the list
	Listed               // it is on the list; whether that is bad, the severity of the codes says
	Refused              // the list declines to answer our resolver
	Broken               // the list fails its own test, or answers what no list can answer
)

var states = []string{"unknown", "clear", "listed", "refused", "broken"}

func (s State) String() string { return word(states, s) }

// MarshalText writes the word of [State.String].
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the word of [State.String].
func (s *State) UnmarshalText(text []byte) (err error) {
	*s, err = parseWord[State](states, string(text))
	return err
}

// Subject is what a list is asked about: an address, or a domain. It is comparable. The zero value is neither.
type Subject struct {
	Addr   netip.Addr
	Domain mail.Domain // when Addr is not valid
}

// Address makes a subject of an address. An IPv4 address in IPv6 form is the IPv4 address.
func Address(a netip.Addr) Subject { return Subject{Addr: a.Unmap().WithZone("")} }

// Domain makes a subject of a domain.
func Domain(d mail.Domain) Subject { return Subject{Domain: d} }

// IsZero tells that there is no subject.
func (s Subject) IsZero() bool { return s == Subject{} }

func (s Subject) String() string {
	if s.Addr.IsValid() {
		return s.Addr.String()
	}
	return s.Domain.String()
}

// MarshalText writes the address or the domain.
func (s Subject) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads an address or a domain.
func (s *Subject) UnmarshalText(text []byte) error {
	*s = Subject{}
	if a, err := netip.ParseAddr(string(text)); err == nil {
		if a.Zone() != "" {
			return fmt.Errorf("%q has a zone", text)
		}
		s.Addr = a
		return nil
	}
	return s.Domain.UnmarshalText(text)
}
