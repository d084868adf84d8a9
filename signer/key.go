package signer

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
)

// Bounds of RSA keys: RFC 8301, section 3.2.
const (
	MinBits  = 1024 // receivers ignore less
	GoodBits = 2048 // less is weak
)

// Algorithms, as a= has them.
const (
	RSA     = "rsa-sha256"     // RFC 8301, section 3.1
	Ed25519 = "ed25519-sha256" // RFC 8463, section 3
)

// Errors of [NewKey].
var (
	ErrKeyType  = errors.New("not an RSA or Ed25519 key")
	ErrKeyShort = fmt.Errorf("RSA key of less than %d bits, which receivers ignore", MinBits)
)

// Key is a private key, its name, and how far it has come. It never changes.
type Key struct {
	id        ID
	life      Life
	private   func() crypto.Signer // a function, of which nothing is printed by what prints a key, such as a panic
	algorithm string
	bits      int
	hash      crypto.Hash // what the signer is told was hashed
}

// NewKey takes a private key, of RSA or Ed25519. It is [Active]: what nobody says otherwise of is in use.
func NewKey(id ID, private crypto.Signer) (*Key, error) {
	k := &Key{id: id, private: func() crypto.Signer { return private }}
	switch pub := private.Public().(type) {
	case *rsa.PublicKey:
		if pub.N.BitLen() < MinBits {
			return nil, ErrKeyShort
		}
		k.algorithm, k.bits, k.hash = RSA, pub.N.BitLen(), crypto.SHA256
	case ed25519.PublicKey:
		// RFC 8463, section 3: what is signed is the hash, as a message of its own.
		k.algorithm, k.bits, k.hash = Ed25519, 256, crypto.Hash(0)
	default:
		return nil, ErrKeyType
	}
	return k.In(Life{State: Active}), nil
}

// In gives the key as it is at another time of its life. Its name, algorithm and size stay, whatever the life says.
func (k *Key) In(l Life) *Key {
	c := *k
	l.ID, l.Algorithm, l.Bits = k.id, k.algorithm, k.bits
	c.life = l
	return &c
}

// Life gives what is known of the key besides the key itself.
func (k *Key) Life() Life { return k.life }

// State tells how far the key has come.
func (k *Key) State() State { return k.life.State }

// ID gives the key's name.
func (k *Key) ID() ID { return k.id }

// Algorithm gives the a= tag: [RSA] or [Ed25519].
func (k *Key) Algorithm() string { return k.algorithm }

// Bits gives the key's size.
func (k *Key) Bits() int { return k.bits }

// Weak tells that the key works today and should be replaced.
func (k *Key) Weak() bool { return k.hash == crypto.SHA256 && k.bits < GoodBits }

// Public gives the public key.
func (k *Key) Public() crypto.PublicKey { return k.private().Public() }

// Record gives the text of the TXT record to publish (RFC 6376, section 3.6.1).
func (k *Key) Record() string {
	if pub, ok := k.private().Public().(ed25519.PublicKey); ok { // RFC 8463, section 4: the record holds the bare key
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(pub)
	}
	der, _ := x509.MarshalPKIXPublicKey(k.private().Public()) // of a number nothing can fail
	return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)
}

// sign signs a SHA-256 hash. The private key may live in other hands: what a panic in it has to say may be of the key,
// and goes no further.
func (k *Key) sign(hash []byte) ([]byte, error) {
	defer func() {
		if recover() != nil {
			panic(fmt.Sprintf("signer: key %s: panic while signing, of which no more is told", k.id))
		}
	}()
	sig, err := k.private().Sign(rand.Reader, hash, k.hash)
	if err != nil {
		return nil, fmt.Errorf("signer: key %s: %w", k.id, err)
	}
	return sig, nil
}

// verify checks a signature of this key.
func (k *Key) verify(hash, sig []byte) bool {
	switch pub := k.private().Public().(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(pub, crypto.SHA256, hash, sig) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(pub, hash, sig)
	}
	return false
}
