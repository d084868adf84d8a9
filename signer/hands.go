package signer

import (
	"crypto"
	"crypto/rsa"
	"io"
	"sync"
)

// Through gives the key with its private half in other hands, such as those of a library that signs faster. A key that
// is not RSA, or is in other hands already, stays as it is.
func (k *Key) Through(hands func(*rsa.PrivateKey) crypto.Signer) *Key {
	var held crypto.Signer
	switch private := k.private().(type) {
	case *rsa.PrivateKey:
		held = hands(private)
	case *asleep:
		if private.hands != nil {
			return k
		}
		held = &asleep{public: private.public, wake: private.wake, hands: hands}
	default:
		return k
	}
	c := *k
	c.private = func() crypto.Signer { return held }
	return &c
}

// NewSleepingKey takes an RSA key of which only the public half is there as yet: the private one is made when it first
// signs, which most keys of a large host never do. To make a key ready takes most of the time to load it, and of its
// memory. Whoever calls this has made sure that waking does not fail; if it does, signing does.
func NewSleepingKey(id ID, public *rsa.PublicKey, wake func() (*rsa.PrivateKey, error)) (*Key, error) {
	return NewKey(id, &asleep{public: public, wake: wake})
}

// asleep is a private key that is made when it first signs.
type asleep struct {
	public *rsa.PublicKey
	hands  func(*rsa.PrivateKey) crypto.Signer // that it is put into then; nil: it stays as it is

	once  sync.Once
	wake  func() (*rsa.PrivateKey, error)
	awake crypto.Signer
	err   error
}

// Public gives the public key.
func (a *asleep) Public() crypto.PublicKey { return a.public }

// Sign signs as the key does that it is.
func (a *asleep) Sign(random io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	a.once.Do(func() {
		key, err := a.wake()
		a.wake = nil // and with it the text
		switch {
		case err != nil:
			a.err = err
		case a.hands != nil:
			a.awake = a.hands(key)
		default:
			a.awake = key
		}
	})
	if a.err != nil {
		return nil, a.err
	}
	return a.awake.Sign(random, digest, o)
}
