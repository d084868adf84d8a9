// Package dkim tells what the DNS shows of a DKIM key: whether receivers can verify what is signed with it, everywhere,
// in part, or nowhere, and what is to be done about it.
//
// [Parse] reads a key record as receivers do. [Judge] holds an answer of the DNS against the key that mail is signed
// with, and says in one word what it comes to. [Looker.Look] asks every server of the zone, or the resolver where these
// cannot be asked, and brings together what they show: [Seen].
//
// What is not known is kept apart from what is known to be missing: a server that is silent shows nothing, and proves
// nothing.
//
// # What it never does
//
// It decides nothing: whether a key may be used, or must not be used any more, is for the reader of [Seen] to say. It
// holds no private keys, changes no records, and keeps nothing.
//
// # Standards
//
// RFC 6376, sections 3.2, 3.6.1 and 3.6.2 (key records, with erratum 3017), RFC 8301 (sizes of keys, no SHA-1), RFC
// 8463 (Ed25519).
//
// # Security
//
// Records are strangers' words. They are bounded by what a DNS message holds; reading them takes time in proportion to
// their length, and is fuzzed. Nothing is computed with keys that they hold. What of a record gets into a reason is
// quoted and cut; Texts of a [Verdict] are as they came: escape them where they are shown.
package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"

	"reputed/policy/mail"
)

// Bounds of RSA keys, in bits: RFC 8301, section 3.2.
const (
	MinBits  = 1024 // receivers ignore less
	GoodBits = 2048 // less is weak
	MaxBits  = 4096 // receivers need not verify more
)

// Want is the key that mail is signed with, and that the DNS should show.
type Want struct {
	Domain     mail.Domain
	Selector   mail.Domain
	Public     crypto.PublicKey // *rsa.PublicKey or ed25519.PublicKey; no record fits any other
	Subdomains bool             // it signs for names below the domain, too
}

// Name gives the name where the record belongs: RFC 6376, section 3.6.2.1.
func (w Want) Name() string { return w.Selector.String() + "._domainkey." + w.Domain.String() }

// Text gives the text of the record; "" of a key of another type.
func (w Want) Text() string {
	switch key := w.Public.(type) {
	case *rsa.PublicKey:
		if der, err := x509.MarshalPKIXPublicKey(key); err == nil {
			return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)
		}
	case ed25519.PublicKey:
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(key)
	}
	return ""
}

// is tells whether a key of a record is this one.
func (w Want) is(key crypto.PublicKey) bool {
	switch want := w.Public.(type) {
	case *rsa.PublicKey:
		return want.Equal(key)
	case ed25519.PublicKey:
		return want.Equal(key)
	}
	return false
}

// keyType gives the k= of the key; "" of a key of another type.
func (w Want) keyType() string { return keyType(w.Public) }

func keyType(key crypto.PublicKey) string {
	switch key.(type) {
	case *rsa.PublicKey:
		return "rsa"
	case ed25519.PublicKey:
		return "ed25519"
	}
	return ""
}

// Result is what an answer comes to. The words do not change.
type Result string

// With these, receivers verify what the key signs.
const (
	Match   Result = "match"   // the key, and nothing to be said against it
	Odd     Result = "odd"     // the key, in a record that some receivers may not read
	Weak    Result = "weak"    // the key, of less than 2048 bits
	Strict  Result = "strict"  // the key, not for agents (i=) below the domain, for which it signs as well (t=s)
	Testing Result = "testing" // the key, and receivers are told not to rely on it (t=y)
)

// With these, they do not.
const (
	TooShort  Result = "too-short"  // the key, of less than 1024 bits
	WrongHash Result = "wrong-hash" // the key, not for SHA-256 (h=)
	NoEmail   Result = "no-email"   // the key, not for mail (s=)
	Mismatch  Result = "mismatch"   // another key
	WrongType Result = "wrong-type" // a key of another type (k=)
	Revoked   Result = "revoked"    // an empty p=
	Broken    Result = "broken"     // a record that cannot be read
	Several   Result = "several"    // several records, of which receivers may take any or none
	Wildcard  Result = "wildcard"   // no record of its own: a wildcard answers for the name, with something else
	NoData    Result = "nodata"     // no TXT record at the name, which has other records, or names below it
	NXDomain  Result = "nxdomain"   // no such name
)

// Transient is that nothing is known.
const Transient Result = "transient"

// Verifies tells whether receivers verify what the key signs.
func (r Result) Verifies() bool {
	switch r {
	case Match, Odd, Weak, Strict, Testing:
		return true
	}
	return false
}

// Missing tells that nothing is published at the name.
func (r Result) Missing() bool { return r == NoData || r == NXDomain || r == Wildcard }
