//go:build linux && cgo && (amd64 || arm64)

package libcrypto

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// library finds the library, which every Debian has: openssl and curl need it.
func library(t testing.TB) *Library {
	t.Helper()
	l, err := Open()
	if err != nil {
		t.Skip(err)
	}
	return l
}

func newKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// The signatures are those of crypto/rsa, octet by octet: PKCS #1, version 1.5 leaves nothing to chance.
func TestSame(t *testing.T) {
	l := library(t)
	if !strings.Contains(l.Version(), "OpenSSL 3") {
		t.Errorf("version %q", l.Version())
	}
	for _, bits := range []int{1024, 2048, 3072, 4096} {
		key := newKey(t, bits)
		s := l.Signer(key, func(err error) { t.Errorf("%d bits: %v", bits, err) })
		for i := range 3 {
			hash := sha256.Sum256([]byte{byte(i)})
			got, err := s.Sign(rand.Reader, hash[:], crypto.SHA256)
			if err != nil {
				t.Fatal(err)
			}
			want, err := key.Sign(rand.Reader, hash[:], crypto.SHA256)
			if err != nil || string(got) != string(want) {
				t.Errorf("%d bits: another signature than that of crypto/rsa (%v)", bits, err)
			}
		}
		if !key.PublicKey.Equal(s.Public()) {
			t.Error("another public key")
		}
	}
}

// What DKIM does not use is made by crypto/rsa.
func TestOthers(t *testing.T) {
	key := newKey(t, 2048)
	s := library(t).Signer(key, nil)
	hash := sha512.Sum512([]byte("x"))
	sig, err := s.Sign(rand.Reader, hash[:], crypto.SHA512)
	if err != nil || rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA512, hash[:], sig) != nil {
		t.Errorf("SHA-512: %v", err)
	}
	short := sha256.Sum256([]byte("x"))
	if _, err := s.Sign(rand.Reader, short[:31], crypto.SHA256); err == nil {
		t.Error("a hash that is too short is signed")
	}
	pss := &rsa.PSSOptions{Hash: crypto.SHA256}
	sig, err = s.Sign(rand.Reader, short[:], pss)
	if err != nil || rsa.VerifyPSS(&key.PublicKey, crypto.SHA256, short[:], sig, pss) != nil {
		t.Errorf("PSS: %v", err)
	}
}

// Many at once, more than there are engines, and the collector at work.
func TestMany(t *testing.T) {
	key := newKey(t, 2048)
	s := library(t).Signer(key, func(err error) { t.Error(err) })
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	}()
	var signing sync.WaitGroup
	for i := range 8 * runtime.GOMAXPROCS(0) {
		signing.Go(func() {
			for j := range 20 {
				hash := sha256.Sum256([]byte{byte(i), byte(j)})
				sig, err := s.Sign(rand.Reader, hash[:], crypto.SHA256)
				if err != nil || rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, hash[:], sig) != nil {
					t.Errorf("%d.%d: %v", i, j, err)
				}
			}
		})
	}
	signing.Wait()
	close(stop)
	if n := len(s.(*Signer).idle); n > 2*runtime.GOMAXPROCS(0) || n == 0 {
		t.Errorf("%d engines", n)
	}
}

// What may be wrong with a library.
var faults = map[string]func(*Library){
	"the key is not taken":      func(l *Library) { l.keyFromDER = l.clearErrors },
	"the context cannot be had": func(l *Library) { l.newContext = l.clearErrors },
	"the hash is refused":       func(l *Library) { l.sha256 = l.clearErrors; l.setHash = l.clearErrors },
	"the signature is wrong":    func(l *Library) { l.sign = l.signInit }, // says 1, and writes nothing
}

// A library that does not take the key, or computes wrongly, is told of once, and crypto/rsa signs.
func TestFallback(t *testing.T) {
	good := library(t)
	for what, broken := range faults {
		l := *good
		broken(&l)
		if err := l.test(); !errors.Is(err, ErrFaulty) {
			t.Errorf("%s, at the start: %v", what, err)
		}
		told := 0
		key := newKey(t, 1024)
		s := l.Signer(key, func(err error) { told++ })
		for range 2 {
			hash := sha256.Sum256([]byte(what))
			sig, err := s.Sign(rand.Reader, hash[:], crypto.SHA256)
			if err != nil || rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, hash[:], sig) != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		if told != 1 {
			t.Errorf("%s: told %d times", what, told)
		}
	}
}

// A signer that is not used any more gives its engines back.
func TestFreed(t *testing.T) {
	l := *library(t)
	s := l.Signer(newKey(t, 1024), nil).(*Signer)
	hash := sha256.Sum256(nil)
	s.Sign(rand.Reader, hash[:], crypto.SHA256)
	idle := s.idle
	if len(idle) != 1 {
		t.Fatalf("%d engines", len(idle))
	}
	s = nil
	for end := time.Now().Add(10 * time.Second); len(idle) > 0; runtime.GC() {
		if time.Now().After(end) {
			t.Fatal("its engine is still there")
		}
	}
}

// A key that signs no more is forgotten between one hour after its last signature and two, and can sign again.
func TestRest(t *testing.T) {
	l, key, hash := library(t), newKey(t, 1024), sha256.Sum256(nil)
	synctest.Test(t, func(t *testing.T) {
		s := l.Signer(key, func(err error) { t.Error(err) }).(*Signer)
		for range 2 {
			sig, err := s.Sign(rand.Reader, hash[:], crypto.SHA256)
			if err != nil || rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, hash[:], sig) != nil {
				t.Error(err)
			}
			time.Sleep(rest - time.Second)
			s.Sign(rand.Reader, hash[:], crypto.SHA256)
			time.Sleep(rest)
			synctest.Wait()
			if len(s.idle) != 1 {
				t.Errorf("an hour after a signature: %d engines", len(s.idle))
			}
			time.Sleep(rest)
			synctest.Wait()
			if len(s.idle) != 0 || len(s.made) != 0 || s.watched.Load() {
				t.Errorf("two hours after a signature: %d engines of %d", len(s.idle), len(s.made))
			}
		}
	})
}

// Engines are freed while others sign, and none is lost.
func TestRestAmongMany(t *testing.T) {
	key, hash := newKey(t, 1024), sha256.Sum256(nil)
	s := library(t).Signer(key, func(err error) { t.Error(err) }).(*Signer)
	var signing sync.WaitGroup
	for range 4 * runtime.GOMAXPROCS(0) {
		signing.Go(func() {
			for range 20 {
				sig, err := s.Sign(rand.Reader, hash[:], crypto.SHA256)
				if err != nil || rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, hash[:], sig) != nil {
					t.Error(err)
				}
				s.forget()
			}
		})
	}
	signing.Wait()
	s.forget()
	if len(s.idle) != 0 || len(s.made) != 0 {
		t.Errorf("%d engines of %d", len(s.idle), len(s.made))
	}
}

func TestUnavailable(t *testing.T) {
	if _, err := open("libcrypto.so.nobody"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

// wrong is a library that has all that is asked for, says that all is well, and signs nothing.
const wrong = `
void *d2i_AutoPrivateKey(void) { return "a key"; }
void EVP_PKEY_free(void) {}
void *EVP_PKEY_CTX_new(void) { return "a context"; }
void EVP_PKEY_CTX_free(void) {}
int EVP_PKEY_sign_init(void) { return 1; }
int EVP_PKEY_CTX_set_rsa_padding(void) { return 1; }
int EVP_PKEY_CTX_set_signature_md(void) { return 1; }
void *EVP_sha256(void) { return "SHA-256"; }
int EVP_PKEY_sign(void) { return 1; }
void ERR_clear_error(void) {}
char *OpenSSL_version(void) { return "OpenSSL 3.0.0 of nobody"; }
`

// A library that signs wrongly is not opened.
func TestFaulty(t *testing.T) {
	file := filepath.Join(t.TempDir(), "libcrypto.so")
	compile := exec.Command("cc", "-shared", "-fPIC", "-w", "-o", file, "-x", "c", "-")
	compile.Stdin = strings.NewReader(wrong)
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out) // there is a C compiler, or this would not be built
	}
	l, err := open(file)
	if l != nil || !errors.Is(err, ErrFaulty) || !strings.Contains(err.Error(), "OpenSSL 3.0.0 of nobody: ") {
		t.Errorf("%v, %v", l, err)
	}
}

// A signature takes memory for itself, and for the arguments of the call.
func TestAllocations(t *testing.T) {
	s := library(t).Signer(newKey(t, 2048), nil)
	hash := sha256.Sum256(nil)
	n := testing.AllocsPerRun(100, func() {
		if _, err := s.Sign(rand.Reader, hash[:], crypto.SHA256); err != nil {
			t.Fatal(err)
		}
	})
	if n > 2 {
		t.Errorf("%v allocations, at most 2", n)
	}
}

// What is opened at each start is opened fast.
func BenchmarkOpen(b *testing.B) {
	library(b)
	for b.Loop() {
		if _, err := Open(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	key := newKey(b, 2048)
	hash := sha256.Sum256(nil)
	for name, s := range map[string]crypto.Signer{"go": key, "libcrypto": library(b).Signer(key, nil)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Sign(rand.Reader, hash[:], crypto.SHA256); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
