package signer

import (
	"crypto"
	"crypto/rsa"
)

// Through gives the key with its private half in other hands, such as those of a library that signs faster. A key that is
// not RSA, or is in other hands already, stays as it is.
func (k *Key) Through(hands func(*rsa.PrivateKey) crypto.Signer) *Key {
	private, ok := k.private.(*rsa.PrivateKey)
	if !ok {
		return k
	}
	c := *k
	c.private = hands(private)
	return &c
}
