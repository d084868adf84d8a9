package keydir

import (
	"crypto"
	"errors"
	"time"

	"reputed/signer"
)

// Errors of changes to a directory of keys.
var (
	ErrUsed  = errors.New("there is, or was, a key of that name; selectors are never used again (RFC 6376, section 3.1)")
	ErrMoved = errors.New("the key is not in the state that it was thought to be in")
	ErrBusy  = errors.New("somebody else is changing the keys of the domain")
)

// Change is one step of the life of a key.
type Change struct {
	ID       signer.ID
	From, To signer.State
	At       time.Time
	Why      string
}

// New is a key to be put into a directory.
type New struct {
	ID      signer.ID
	Private crypto.Signer
	At      time.Time // when it was made
	Why     string
}
