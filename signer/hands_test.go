package signer

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

// A key asleep is woken by its first signature, once, whoever comes first, and put into the hands it was meant for.
func TestSleepingKey(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	var woken, given atomic.Int32
	k, err := NewSleepingKey(ID{}, &key.PublicKey, func() (*rsa.PrivateKey, error) { woken.Add(1); return key, nil })
	if err != nil {
		t.Fatal(err)
	}
	full, err := NewKey(ID{}, key)
	if err != nil || k.Record() != full.Record() || k.Bits() != full.Bits() || k.Algorithm() != full.Algorithm() {
		t.Errorf("asleep it is another key (%v)", err)
	}
	k = k.Through(func(got *rsa.PrivateKey) crypto.Signer { given.Add(1); return got })
	k = k.Through(func(*rsa.PrivateKey) crypto.Signer { t.Error("it changed hands"); return nil })
	if woken.Load() > 0 {
		t.Error("it was woken before it signs")
	}
	hash := sha256.Sum256([]byte("x"))
	var signing sync.WaitGroup
	for range 4 {
		signing.Go(func() {
			sig, err := k.sign(hash[:])
			if err != nil || !k.verify(hash[:], sig) {
				t.Errorf("it does not sign: %v", err)
			}
		})
	}
	signing.Wait()
	if woken.Load() != 1 || given.Load() != 1 {
		t.Errorf("woken %d times, given %d times", woken.Load(), given.Load())
	}
}

// What does not wake does not sign, and says why each time.
func TestSleepingKeyFails(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	k, err := NewSleepingKey(ID{}, &key.PublicKey, func() (*rsa.PrivateKey, error) { return nil, broken })
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := k.sign(make([]byte, sha256.Size)); !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
	}
}
