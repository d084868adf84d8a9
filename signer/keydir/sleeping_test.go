package keydir

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"reputed/signer"
)

func newRSA(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func asPEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// A key that is read only so far as to know that it is whole is, awake, the key that crypto/x509 reads.
func TestSleeping(t *testing.T) {
	for _, bits := range []int{1024, 2048, 3072} {
		key := newRSA(t, bits)
		eight, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		for kind, der := range map[string][]byte{
			"RSA PRIVATE KEY": x509.MarshalPKCS1PrivateKey(key), "PRIVATE KEY": eight,
		} {
			k := sleeping(signer.ID{}, asPEM(kind, der))
			if k == nil {
				t.Fatalf("%d bits, %s: not taken", bits, kind)
			}
			full, _, err := Parse(signer.ID{}, "", asPEM(kind, der))
			if err != nil || k.Record() != full.Record() || k.Bits() != bits || k.Algorithm() != signer.RSA {
				t.Errorf("%d bits, %s: it is another key (%v)", bits, kind, err)
			}
		}
	}
}

// Whatever number of a key is not what it should be, the key is left to crypto/x509, which says what is wrong.
func TestSleepingDamaged(t *testing.T) {
	key := newRSA(t, 1024)
	key.Precompute()
	good := x509.MarshalPKCS1PrivateKey(key)
	for at := range good {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		checkTaken(t, bad)
	}
	three, err := rsa.GenerateMultiPrimeKey(rand.Reader, 3, 1024)
	if err == nil && whole(x509.MarshalPKCS1PrivateKey(three)) != nil {
		t.Error("a key of three primes is taken for one of two")
	}
	if whole(good) == nil {
		t.Error("the good one is not taken")
	}
}

// checkTaken makes sure that a key that is taken asleep can be woken.
func checkTaken(t *testing.T, der []byte) {
	t.Helper()
	k := whole(der)
	if k == nil {
		return
	}
	want, err := x509.ParsePKCS1PrivateKey(der)
	if err != nil {
		t.Fatalf("taken asleep, and crypto/x509 refuses it: %v", err)
	}
	key, err := k.wake()
	if err != nil {
		t.Fatalf("taken asleep, and cannot be woken: %v", err)
	}
	if !key.PublicKey.Equal(&want.PublicKey) || key.Primes[0].Cmp(want.Primes[0]) != 0 {
		t.Fatal("awake it is another key")
	}
}

func FuzzSleeping(f *testing.F) {
	key := newRSA(f, 1024)
	good := x509.MarshalPKCS1PrivateKey(key)
	f.Add(good, uint16(0), byte(0))
	f.Add(good, uint16(10), byte(1))
	f.Fuzz(func(t *testing.T, der []byte, at uint16, flip byte) {
		der = bytes.Clone(der)
		if len(der) > 0 {
			der[int(at)%len(der)] ^= flip
		}
		checkTaken(t, der)
	})
}

// What a directory of ordinary keys costs to read.
func BenchmarkSleeping(b *testing.B) {
	text := asPEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(newRSA(b, 2048)))
	b.Run("asleep", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if sleeping(signer.ID{}, text) == nil {
				b.Fatal("not taken")
			}
		}
	})
	b.Run("awake", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := Parse(signer.ID{}, "", text); err != nil {
				b.Fatal(err)
			}
		}
	})
}
