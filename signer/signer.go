// Package signer makes DKIM signatures while a message passes by.
//
// A [Ring] holds the keys and says which of them sign for a From domain. [Signer.Begin] takes a transaction whose
// header is complete; the body is written to the [Signature] as it arrives, and hashed once for all keys;
// [Signature.Fields] gives the header fields.
//
// Keys have a [State]. Only active ones sign; [Ring.Without] is for when the DNS is known not to show some of them.
// [Plan] says what is to happen to keys, when, and what it waits for; [Publication] writes their records. Neither does
// anything: acting on plans, and looking into the DNS, is for others.
//
// # What it never does
//
// No l= tag: it would leave the rest of the body to whoever adds to it. No key of less than 1024 bits, and none that is
// not active yet. No second signature of a key whose valid signature the message bears already. No waiting: there is no
// network and no disk here.
//
// # Standards
//
// RFC 6376 (DKIM), RFC 8301 (algorithms and key sizes), RFC 8463 (Ed25519), RFC 8058 (one-click unsubscription), RFC
// 5863, section 3.5 (rotation).
//
// # Security
//
// Messages are strangers' words: parsers are bounded and fuzzed, and nothing of a message enters a signature but hashes
// and the names of fields that the configuration lists. Private keys stay behind [crypto.Signer]; no text that comes
// out of this package holds key bytes.
package signer

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"reputed/policy/mail"
)

// Errors of [Signer.Begin].
var (
	ErrNoAuthor = errors.New("signer: no From address")
	ErrForeign  = errors.New("signer: no key for the From domain")
	ErrNoKey    = errors.New("signer: the From domain should be signed for, but has no usable key")
)

// Options say how messages are signed. The zero value is what most hosts want.
type Options struct {
	Canonicalization Canonicalization
	Sign             []string         // fields to sign, every instance; nil is [DefaultSign]
	Oversign         []string         // fields of which no further instance may be added; nil is [DefaultOversign]
	Expire           time.Duration    // how long signatures are valid; 0 is for ever
	Now              func() time.Time // nil is time.Now
}

// Signer signs messages with the keys of one ring. All methods may be used at the same time.
type Signer struct {
	ring   *Ring
	opt    Options
	fields fieldChoice
	bodies sync.Pool // of *bodyHash
	desks  sync.Pool // of *desk
}

// New makes a signer. A field to be oversigned is signed too.
func New(ring *Ring, o Options) *Signer {
	if o.Sign == nil {
		o.Sign = DefaultSign()
	}
	if o.Oversign == nil {
		o.Oversign = DefaultOversign()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Signer{
		ring:   ring,
		opt:    o,
		fields: newFieldChoice(o.Sign, o.Oversign),
		bodies: sync.Pool{New: func() any { return newBodyHash() }},
		desks:  sync.Pool{New: func() any { return newDesk() }},
	}
}

// Canon is a way to bring a header or a body into the form that is hashed.
type Canon uint8

const (
	Relaxed Canon = iota // white space may change on the way: RFC 6376, sections 3.4.2 and 3.4.4
	Simple               // it may not: sections 3.4.1 and 3.4.3
)

var canons = [...]string{"relaxed", "simple"}

func (c Canon) String() string { return canons[c] }

// Canonicalization is the c= tag. The zero value is relaxed/relaxed.
type Canonicalization struct{ Header, Body Canon }

func (c Canonicalization) String() string { return c.Header.String() + "/" + c.Body.String() }

// MarshalText writes [Canonicalization.String].
func (c Canonicalization) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// ParseCanonicalization reads a c= tag with both parts named.
func ParseCanonicalization(s string) (Canonicalization, error) {
	header, body, _ := strings.Cut(s, "/")
	h, errH := parseCanon(header)
	b, errB := parseCanon(body)
	if errH != nil || errB != nil {
		return Canonicalization{}, fmt.Errorf("%q is not a canonicalization "+
			"(relaxed/relaxed, relaxed/simple, simple/relaxed, simple/simple)", s)
	}
	return Canonicalization{h, b}, nil
}

func parseCanon(s string) (Canon, error) {
	for i, name := range canons {
		if strings.EqualFold(s, name) {
			return Canon(i), nil
		}
	}
	return 0, errors.New("unknown canonicalization")
}

// ID names a key: the record is published at selector._domainkey.domain.
type ID struct{ Domain, Selector mail.Domain }

// ErrSelector is the error of [ParseSelector].
var ErrSelector = errors.New("not a selector (letters, digits, hyphens inside, and dots between labels)")

// ParseSelector reads a selector, in any case: RFC 6376, section 3.1, labels as in RFC 5321, section 4.1.2. Domain
// names may hold more, such as underscores, and then receivers differ.
func ParseSelector(s string) (mail.Domain, error) {
	d, err := mail.ParseDomain(s)
	if err != nil || d.String() != strings.ToLower(s) {
		return mail.Domain{}, fmt.Errorf("%q is %w", s, ErrSelector)
	}
	for label := range strings.SplitSeq(d.String(), ".") {
		if strings.Contains(label, "_") || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return mail.Domain{}, fmt.Errorf("%q is %w", s, ErrSelector)
		}
	}
	return d, nil
}

// String gives the name of the key's record.
func (id ID) String() string { return id.Selector.String() + "._domainkey." + id.Domain.String() }
