// Package libcrypto makes RSA signatures with OpenSSL's libcrypto, where the host has it: two to four times as fast as
// crypto/rsa, which is three quarters of what signing a message costs.
//
// [Open] finds the library when the program runs, and has it sign for a test; there is no need for it when the program
// is built. [Library.Signer] makes a [crypto.Signer] of a private key. Whatever goes wrong in it, crypto/rsa makes the
// signature instead, and goes on doing so for that key.
//
// # What it never does
//
// It makes no keys, and reads no files of keys. It signs nothing but SHA-256 hashes with PKCS #1, version 1.5: anything
// else is left to crypto/rsa.
//
// # Standards
//
// RFC 8017, section 8.2.1 (RSASSA-PKCS1-v1_5), as RFC 6376 and RFC 8301 want it.
//
// # Security
//
// Before the library is used, and again before a key's first signature counts, one is made and verified by crypto/rsa: a
// library that computes wrongly is not used, for a wrong RSA signature can give the key away. A fault in C ends the
// process, which no recover prevents. Copies of a key in C are wiped by the library when the [Signer] has rested or is
// collected; the text by which it is handed over is wiped at once.
package libcrypto

import "errors"

// ErrUnavailable is that this host has no libcrypto that can be used, or the program was built without the means to call
// it: with CGO_ENABLED=0, or for other systems than Linux on amd64 and arm64.
var ErrUnavailable = errors.New("libcrypto cannot be used")

// ErrFaulty is that this host has a libcrypto which does not sign, or computes wrongly.
var ErrFaulty = errors.New("libcrypto does not sign as it should")
