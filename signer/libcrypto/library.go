//go:build linux && cgo && (amd64 || arm64)

package libcrypto

import (
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"
)

// fileName is OpenSSL 3, whose functions keep their meaning until 4.
const fileName = "libcrypto.so.3"

// Library is a libcrypto that was found. It stays open as long as the process.
type Library struct {
	version string

	keyFromDER  uintptr // d2i_AutoPrivateKey
	freeKey     uintptr // EVP_PKEY_free
	newContext  uintptr // EVP_PKEY_CTX_new
	freeContext uintptr // EVP_PKEY_CTX_free
	signInit    uintptr // EVP_PKEY_sign_init
	setPadding  uintptr // EVP_PKEY_CTX_set_rsa_padding
	setHash     uintptr // EVP_PKEY_CTX_set_signature_md
	sha256      uintptr // EVP_sha256
	sign        uintptr // EVP_PKEY_sign
	clearErrors uintptr // ERR_clear_error
	versionText uintptr // OpenSSL_version
}

// Open finds the library, and what is needed of it, and has it make a signature that crypto/rsa verifies. The error is
// ErrUnavailable or ErrFaulty.
func Open() (*Library, error) { return open(fileName) }

func open(name string) (*Library, error) {
	// Its names stay its own (RTLD_LOCAL), and all of them are bound now: one that is missing is an error here, not later.
	handle, err := purego.Dlopen(name, purego.RTLD_NOW|purego.RTLD_LOCAL)
	l := new(Library)
	if err == nil {
		err = l.bind(handle)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	l.version = cString(l.call(l.versionText, 0))
	if err := l.test(); err != nil {
		return nil, err
	}
	return l, nil
}

// bind finds the functions.
func (l *Library) bind(handle uintptr) error {
	for name, at := range map[string]*uintptr{
		"d2i_AutoPrivateKey":            &l.keyFromDER,
		"EVP_PKEY_free":                 &l.freeKey,
		"EVP_PKEY_CTX_new":              &l.newContext,
		"EVP_PKEY_CTX_free":             &l.freeContext,
		"EVP_PKEY_sign_init":            &l.signInit,
		"EVP_PKEY_CTX_set_rsa_padding":  &l.setPadding,
		"EVP_PKEY_CTX_set_signature_md": &l.setHash,
		"EVP_sha256":                    &l.sha256,
		"EVP_PKEY_sign":                 &l.sign,
		"ERR_clear_error":               &l.clearErrors,
		"OpenSSL_version":               &l.versionText,
	} {
		var err error
		if *at, err = purego.Dlsym(handle, name); err != nil {
			return err
		}
	}
	return nil
}

// Version is the library's own word for itself: "OpenSSL 3.0.17 1 Jul 2025".
func (l *Library) Version() string { return l.version }

// call calls a function of the library.
//
//go:uintptrescapes
func (l *Library) call(function uintptr, args ...uintptr) uintptr {
	r, _, _ := purego.SyscallN(function, args...)
	return r
}

// succeeds calls a function that gives 1 when all is well. It gives an int, of which the upper half of r says nothing.
//
//go:uintptrescapes
func (l *Library) succeeds(function uintptr, args ...uintptr) bool {
	r, _, _ := purego.SyscallN(function, args...)
	if int32(r) == 1 {
		return true
	}
	purego.SyscallN(l.clearErrors) // of this thread, unless the scheduler has moved us: a queue of 16 that nobody reads
	return false
}

// cString copies a text of C.
func cString(at uintptr) string {
	if at == 0 {
		return ""
	}
	p := *(*unsafe.Pointer)(unsafe.Pointer(&at)) // memory of C, which no collector moves
	n := 0
	for *(*byte)(unsafe.Add(p, n)) != 0 && n < 200 {
		n++
	}
	return string(unsafe.Slice((*byte)(p), n))
}
