//go:build linux && cgo && (amd64 || arm64)

package libcrypto

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"
	"weak"
)

// Signer signs with a key in the hands of the library. It is safe for use by many goroutines at once.
//
// The library holds the key once for each signature that is made at the same time, so that these do not wait for each
// other's locks: up to twice the number of processors, for one that is made waits for its goroutine's turn, and keeps no
// processor from making the next. It learns of the key at the first signature: hosts hold thousands of keys that never
// sign. After an hour or two without a signature it forgets the key until the next one.
type Signer struct {
	library *Library
	key     *rsa.PrivateKey
	failed  func(error) // told of what goes wrong; may be nil
	broken  atomic.Bool // the library is of no use for this key

	idle chan *engine  // that wait for a signature to be made
	made chan struct{} // one for each there is

	used    atomic.Bool // since the last look
	watched atomic.Bool // there will be a look
}

// Signer makes a signer of a key. When the library fails, which is told to failed unless that is nil, crypto/rsa signs
// from then on.
func (l *Library) Signer(key *rsa.PrivateKey, failed func(error)) crypto.Signer {
	n := 2 * runtime.GOMAXPROCS(0)
	s := &Signer{library: l, key: key, failed: failed, idle: make(chan *engine, n), made: make(chan struct{}, n)}
	runtime.AddCleanup(s, func(idle chan *engine) {
		for len(idle) > 0 {
			(<-idle).free()
		}
	}, s.idle)
	return s
}

// Public gives the public key.
func (s *Signer) Public() crypto.PublicKey { return s.key.Public() }

// Sign signs a hash. Only SHA-256 with PKCS #1, version 1.5 is left to the library.
func (s *Signer) Sign(random io.Reader, hash []byte, o crypto.SignerOpts) ([]byte, error) {
	_, pss := o.(*rsa.PSSOptions)
	if s.broken.Load() || pss || o.HashFunc() != crypto.SHA256 || len(hash) != sha256.Size {
		return s.key.Sign(random, hash, o)
	}
	sig, err := s.sign(hash)
	if err != nil {
		if !s.broken.Swap(true) && s.failed != nil {
			s.failed(err)
		}
		return s.key.Sign(random, hash, o)
	}
	return sig, nil
}

func (s *Signer) sign(hash []byte) ([]byte, error) {
	e, err := s.take()
	if err != nil {
		return nil, err
	}
	defer s.give(e)
	if !s.used.Load() { // processors share what none of them writes
		s.used.Store(true)
	}
	return e.sign(hash)
}

// give makes an engine idle again.
func (s *Signer) give(e *engine) {
	s.idle <- e
	runtime.KeepAlive(s) // or its idle engines could be freed before this one is among them
}

// take gives an engine that is idle, a new one if there may be more, or waits for one.
func (s *Signer) take() (*engine, error) {
	select {
	case e := <-s.idle:
		return e, nil
	default:
	}
	select {
	case e := <-s.idle:
		return e, nil
	case s.made <- struct{}{}:
		return s.another()
	}
}

// another makes an engine, for which there is room.
func (s *Signer) another() (e *engine, err error) {
	defer func() {
		if e == nil {
			<-s.made
		}
	}()
	s.watch()
	return s.library.newEngine(s.key)
}

// rest is how long a key keeps its engines without a signature, at least; at most it is twice as long.
const rest = time.Hour

// watch has the signer looked at later, if it is not to be already. That does not keep it from the collector.
func (s *Signer) watch() {
	if s.watched.Load() || s.watched.Swap(true) {
		return
	}
	to := weak.Make(s)
	time.AfterFunc(rest, func() {
		if s := to.Value(); s != nil {
			s.look()
		}
	})
}

// look frees the engines of a key that has not signed since the last look.
func (s *Signer) look() {
	s.watched.Store(false)
	if !s.used.Swap(false) {
		s.forget()
	}
	if len(s.made) > 0 {
		s.watch()
	}
}

// forget frees all idle engines.
func (s *Signer) forget() {
	for {
		select {
		case e := <-s.idle:
			e.free()
			<-s.made
		default:
			return
		}
	}
}

// engine is a key in the library, ready to sign. It is used by one goroutine at a time.
type engine struct {
	library *Library
	key     uintptr // EVP_PKEY
	context uintptr // EVP_PKEY_CTX
	public  *rsa.PublicKey

	// What the library reads and writes, in one piece with the engine, which does not move.
	hash [sha256.Size]byte
	size uintptr
}

var errLibrary = errors.New("libcrypto does not take the key")

// newEngine hands the key over, and has a signature verified before it counts.
func (l *Library) newEngine(key *rsa.PrivateKey) (*engine, error) {
	e := &engine{library: l, public: &key.PublicKey}
	text := x509.MarshalPKCS1PrivateKey(key)
	defer clear(text)
	der := make([]byte, len(text)+1) // the library leaves at behind the key: that is to be memory of ours, too
	defer clear(der)
	copy(der, text)
	at := unsafe.Pointer(&der[0])
	e.key = l.call(l.keyFromDER, 0, uintptr(unsafe.Pointer(&at)), uintptr(len(text)))
	runtime.KeepAlive(der)
	if e.key == 0 {
		l.call(l.clearErrors)
		return nil, errLibrary
	}
	if err := e.begin(); err != nil {
		e.free()
		return nil, err
	}
	if err := e.test(); err != nil {
		e.free()
		return nil, err
	}
	return e, nil
}

// pkcs1 is RSA_PKCS1_PADDING.
const pkcs1 = 1

func (e *engine) begin() error {
	l := e.library
	if e.context = l.call(l.newContext, e.key, 0); e.context == 0 {
		l.call(l.clearErrors)
		return errLibrary
	}
	if !l.succeeds(l.signInit, e.context) || !l.succeeds(l.setPadding, e.context, pkcs1) ||
		!l.succeeds(l.setHash, e.context, l.call(l.sha256)) {
		return errLibrary
	}
	return nil
}

// test makes a signature that crypto/rsa verifies.
func (e *engine) test() error {
	var hash [sha256.Size]byte
	rand.Read(hash[:])
	sig, err := e.sign(hash[:])
	if err != nil {
		return err
	}
	if err := rsa.VerifyPKCS1v15(e.public, crypto.SHA256, hash[:], sig); err != nil {
		return fmt.Errorf("libcrypto computes wrongly: %w", err)
	}
	return nil
}

// sign signs a SHA-256 hash.
func (e *engine) sign(hash []byte) ([]byte, error) {
	l := e.library
	copy(e.hash[:], hash)
	sig := make([]byte, e.public.Size())
	e.size = uintptr(len(sig))
	if !l.succeeds(l.sign, e.context, uintptr(unsafe.Pointer(&sig[0])), uintptr(unsafe.Pointer(&e.size)),
		uintptr(unsafe.Pointer(&e.hash[0])), sha256.Size) {
		return nil, errors.New("libcrypto does not sign")
	}
	if e.size != uintptr(len(sig)) {
		return nil, fmt.Errorf("libcrypto makes a signature of %d octets, not %d", e.size, len(sig))
	}
	return sig, nil
}

// free gives the memory back. The library wipes what is secret in it.
func (e *engine) free() {
	l := e.library
	if e.context != 0 {
		l.call(l.freeContext, e.context)
	}
	if e.key != 0 {
		l.call(l.freeKey, e.key)
	}
	e.context, e.key = 0, 0
}
