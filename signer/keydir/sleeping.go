package keydir

import (
	"crypto/rsa"
	"encoding/asn1"
	"encoding/pem"
	"math/big"

	"reputed/signer"
)

// sleeping reads the text of an ordinary RSA key so far as to know that it is whole, and leaves the rest to its first
// signature: crypto/rsa takes a tenth of a millisecond and 4 KiB to make a key ready, and a host may hold ten thousand.
// It gives nil for all else, of which [Parse] knows better.
func sleeping(id signer.ID, text []byte) *signer.Key {
	block, rest := pem.Decode(text)
	if block == nil || len(block.Headers) > 0 {
		return nil
	}
	if more, _ := pem.Decode(rest); more != nil {
		return nil
	}
	der := block.Bytes
	defer clear(der)
	switch block.Type {
	case "RSA PRIVATE KEY":
	case "PRIVATE KEY":
		der = inner(der) // a copy
		defer clear(der)
	default:
		return nil
	}
	k := whole(der)
	if k == nil {
		return nil
	}
	key, err := signer.NewSleepingKey(id, &k.public, k.wake)
	if err != nil {
		return nil
	}
	return key
}

// primes is an RSA key as what all its numbers follow from.
type primes struct {
	public rsa.PublicKey
	p, q   []byte
}

// wake makes the whole key, as crypto/rsa has it.
func (k *primes) wake() (*rsa.PrivateKey, error) {
	p, q := new(big.Int).SetBytes(k.p), new(big.Int).SetBytes(k.q)
	one := big.NewInt(1)
	order := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	key := &rsa.PrivateKey{PublicKey: k.public, Primes: []*big.Int{p, q}}
	key.D = new(big.Int).ModInverse(big.NewInt(int64(k.public.E)), order)
	if key.D == nil {
		return nil, errBroken
	}
	key.Precompute()
	if err := key.Validate(); err != nil {
		return nil, errBroken
	}
	clear(k.p)
	clear(k.q)
	return key, nil
}

// inner gives the RSA key in one of PKCS#8, nil for what is none: RFC 5208, section 5.
func inner(der []byte) []byte {
	var key struct {
		Version   int
		Algorithm struct {
			Algorithm  asn1.ObjectIdentifier
			Parameters asn1.RawValue
		}
		PrivateKey []byte
	}
	rest, err := asn1.Unmarshal(der, &key)
	null := key.Algorithm.Parameters
	if err != nil || len(rest) > 0 || key.Version != 0 || !key.Algorithm.Algorithm.Equal(oidRSA) ||
		null.Class != asn1.ClassUniversal || null.Tag != asn1.TagNull || len(null.Bytes) > 0 {
		return nil
	}
	return key.PrivateKey
}

// whole reads an RSA key of two primes whose numbers belong together, and gives nil for what is none: RFC 8017, sections
// 3.2 and A.1.2. That the primes are such is taken for granted, as crypto/rsa does: damage does not keep to the equations.
func whole(der []byte) *primes {
	var k struct {
		Version            int
		N                  *big.Int
		E                  int
		D, P, Q, DP, DQ, U *big.Int // U is the inverse of Q
	}
	rest, err := asn1.Unmarshal(der, &k)
	if err != nil || len(rest) > 0 || k.Version != 0 || k.E < 3 || k.E&1 == 0 || int64(k.E) > 1<<31-1 {
		return nil
	}
	for _, n := range []*big.Int{k.N, k.D, k.P, k.Q, k.DP, k.DQ, k.U} {
		if n.Sign() <= 0 {
			return nil
		}
	}
	bits := k.N.BitLen()
	if k.P.Bit(0) == 0 || k.Q.Bit(0) == 0 || k.P.BitLen() != bits/2 || k.Q.BitLen() != bits/2 || k.D.Cmp(k.N) >= 0 ||
		k.P.Cmp(k.Q) == 0 || new(big.Int).Mul(k.P, k.Q).Cmp(k.N) != 0 {
		return nil
	}
	one, n := big.NewInt(1), new(big.Int)
	for _, half := range []struct{ prime, exponent *big.Int }{{k.P, k.DP}, {k.Q, k.DQ}} {
		order := new(big.Int).Sub(half.prime, one)
		if n.Mod(k.D, order).Cmp(half.exponent) != 0 {
			return nil
		}
		n.Mul(half.exponent, big.NewInt(int64(k.E)))
		if n.Mod(n, order).Cmp(one) != 0 {
			return nil
		}
	}
	if k.U.Cmp(k.P) >= 0 || n.Mod(n.Mul(k.U, k.Q), k.P).Cmp(one) != 0 {
		return nil
	}
	return &primes{public: rsa.PublicKey{N: new(big.Int).Set(k.N), E: k.E}, p: k.P.Bytes(), q: k.Q.Bytes()}
}
