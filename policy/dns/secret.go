package dns

import (
	"encoding/base64"
	"errors"
	"strings"
)

// Secret is what two sides know to sign with: RFC 8945. It prints as "{secret}", whatever prints it.
type Secret struct{ text *string } // base64

const secretMark = "{secret}"

// ErrSecret tells that a text can be no secret. It does not show the text.
var ErrSecret = errors.New("a secret is base64, as tsig-keygen and keymgr print it")

// ParseSecret reads base64. White space around it is passed over.
func ParseSecret(s string) (Secret, error) {
	s = strings.TrimSpace(s)
	if octets, err := base64.StdEncoding.Strict().DecodeString(s); err != nil || len(octets) == 0 {
		return Secret{}, ErrSecret
	}
	return Secret{&s}, nil
}

// IsZero tells that there is no secret.
func (s Secret) IsZero() bool { return s.text == nil }

func (s Secret) String() string { return secretMark }

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return secretMark }

// MarshalText hides the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(secretMark), nil }
