package signer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// State is how far a key has come. It only ever goes forward: RFC 5863, section 3.5 has the same order.
type State uint8

const (
	None      State = iota // there is no key; the zero value
	Created                // made; it does not sign
	Published              // everybody can see its record; it does not sign yet
	Active                 // it signs
	Retiring               // another one signs; its record stays, for mail that is still on its way
	Revoked                // the private key is destroyed; the p= of its record is to be empty
	Removed                // its record may be gone; only its selector is remembered, never to be used again
)

var states = [...]string{"none", "created", "published", "active", "retiring", "revoked", "removed"}

// ErrState is the error of [State.UnmarshalText].
var ErrState = errors.New("not a state of a key (created, published, active, retiring, revoked, removed)")

func (s State) String() string {
	if int(s) >= len(states) {
		return fmt.Sprintf("state %d", uint8(s))
	}
	return states[s]
}

// MarshalText writes [State.String].
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a state that a key can be in.
func (s *State) UnmarshalText(text []byte) error {
	i := slices.Index(states[:], string(text))
	if i < int(Created) {
		return fmt.Errorf("%q is %w", text, ErrState)
	}
	*s = State(i)
	return nil
}

// Before tells whether a key in the state may go to another one. From all states in which there is a private key it may
// go to [Revoked], as after a breach.
func (s State) Before(to State) bool {
	switch to {
	case Created, Published, Active, Retiring, Removed:
		return s == to-1
	case Revoked:
		return s >= Created && s < Revoked
	}
	return false
}

// Fresh tells that a key in the state has never signed.
func (s State) Fresh() bool { return s == Created || s == Published }

// Life is what is known of a key besides the key itself.
type Life struct {
	ID        ID
	Algorithm string // as a= has it; "": not known
	Bits      int    // 0: not known
	State     State
	Times     [Removed + 1]time.Time // when it came to each state; zero: not known, or it never was there
	Came      time.Time              // when the file of one whose state nobody wrote down was put here; zero: not known
	Why       string                 // what brought it to State; may be empty
	Record    string                 // the text that its record had, of one that is revoked; "": not known
}

// Unused tells that the key surely has never signed: it does not sign yet, or was revoked before it did.
func (l Life) Unused() bool {
	return l.State.Fresh() || l.State >= Revoked && !l.Times[Created].IsZero() &&
		l.Times[Active].IsZero() && l.Times[Retiring].IsZero()
}

// Since gives the time when the key came to its state; zero: not known.
func (l Life) Since() time.Time { return l.Times[min(l.State, Removed)] }

// Made gives the time when the key was made, or else the first one that is known of it.
func (l Life) Made() time.Time {
	for _, t := range l.Times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

// Enter gives the life of the key after it came to a state. Whether it may go there is for [State.Before] to say.
func (l Life) Enter(to State, at time.Time, why string) Life {
	l.State, l.Why = to, why
	l.Times[to] = at
	return l
}

// SortLives sorts by domain, then by the time when keys were made, then by selector.
func SortLives(lives []Life) {
	slices.SortFunc(lives, func(a, b Life) int {
		return cmp.Or(strings.Compare(a.ID.Domain.String(), b.ID.Domain.String()), a.Made().Compare(b.Made()),
			strings.Compare(a.ID.Selector.String(), b.ID.Selector.String()))
	})
}
