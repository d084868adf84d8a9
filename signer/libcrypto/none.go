//go:build !(linux && cgo && (amd64 || arm64))

package libcrypto

import (
	"crypto"
	"crypto/rsa"
	"fmt"
)

// Library cannot be had here.
type Library struct{}

// Open fails: see [ErrUnavailable].
func Open() (*Library, error) {
	return nil, fmt.Errorf("%w: this program is built without it", ErrUnavailable)
}

// Version is of no library.
func (l *Library) Version() string { return "" }

// Signer gives the key itself.
func (l *Library) Signer(key *rsa.PrivateKey, _ func(error)) crypto.Signer { return key }
