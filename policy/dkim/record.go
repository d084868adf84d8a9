package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Record is a key record: RFC 6376, section 3.6.1.
type Record struct {
	Version    string           // v=; "": it has none
	KeyType    string           // k=: "rsa" or "ed25519"
	Hashes     []string         // h=; nil: all
	Services   []string         // s=; nil: all
	Flags      []string         // t=
	Notes      string           // n=, as it stands there
	Public     crypto.PublicKey // *rsa.PublicKey or ed25519.PublicKey; nil: Revoked
	Bits       int              // of Public
	Revoked    bool             // p= is empty
	Deviations []Deviation      // from the standard, that receivers are known to let pass
}

// Errors of [Parse].
var (
	ErrSyntax  = errors.New("not a key record")
	ErrKeyType = errors.New("a key of a type that receivers do not know")
)

func syntax(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrSyntax, fmt.Errorf(format, args...))
}

// Deviation is something that a record should not have, and that does not keep receivers from reading it: most of them.
type Deviation string

const (
	NoVersion    Deviation = "no-version"    // v=DKIM1 is recommended
	VersionLater Deviation = "version-later" // v= stands behind other tags
	EmptyTag     Deviation = "empty-tag"     // two semicolons with nothing between
	OldTag       Deviation = "old-tag"       // g=, of RFC 4871: some receivers want it to fit the sender
	NoPadding    Deviation = "no-padding"    // the base64 of p= lacks its final "="
	BareRSA      Deviation = "bare-rsa"      // p= holds an RSAPublicKey (PKCS #1): erratum 3017
	OddOctets    Deviation = "odd-octets"    // octets beyond visible ASCII
	Large        Deviation = "large"         // more than 4096 bits: RFC 8301, section 3.2
)

var deviations = map[Deviation]string{
	NoVersion:    "it does not begin with v=DKIM1",
	VersionLater: "v=DKIM1 is not its first tag",
	EmptyTag:     "there is nothing between two of its semicolons",
	OldTag:       "it has the tag g=, which is obsolete",
	NoPadding:    "its p= lacks the final =",
	BareRSA:      "its p= is an RSAPublicKey, not a SubjectPublicKeyInfo",
	OddOctets:    "it has octets that are no visible ASCII characters",
	Large:        "its key has more than 4096 bits",
}

// Text says what it is, as a clause about the record.
func (d Deviation) Text() string { return deviations[d] }

// Parse reads the text of a TXT record, its strings joined. It is as tolerant as receivers are known to be; what is let
// pass is in Deviations. Tags that nobody knows are passed over: RFC 6376, section 3.2.
func Parse(text string) (*Record, error) {
	r, err := parse(text)
	if why := escapes(text); errors.Is(err, ErrSyntax) && why != nil {
		return nil, why
	}
	return r, err
}

func parse(text string) (*Record, error) {
	r := &Record{KeyType: "rsa"}
	tags, err := r.tags(text)
	if err != nil {
		return nil, err
	}
	if err := r.version(tags); err != nil {
		return nil, err
	}
	if k, ok := tags.get("k"); ok {
		r.KeyType = k
	}
	if h, ok := tags.get("h"); ok {
		r.Hashes = list(h)
	}
	if s, ok := tags.get("s"); ok {
		r.Services = list(s)
	}
	if t, ok := tags.get("t"); ok {
		r.Flags = list(t)
	}
	r.Notes, _ = tags.get("n")
	if _, ok := tags.get("g"); ok {
		r.deviates(OldTag)
	}
	p, ok := tags.get("p")
	if !ok {
		return nil, syntax("it has no p=")
	}
	if p == "" { // RFC 6376, section 3.6.1: whatever its type
		r.Revoked = true
		return r, nil
	}
	if err := r.key(p); err != nil {
		return nil, err
	}
	return r, nil
}

// Has tells whether a flag is set.
func (r *Record) Has(flag string) bool { return slices.Contains(r.Flags, flag) }

// SHA256 tells whether receivers take signatures with SHA-256.
func (r *Record) SHA256() bool { return r.Hashes == nil || slices.Contains(r.Hashes, "sha256") }

// Email tells whether receivers take the key for mail.
func (r *Record) Email() bool {
	return r.Services == nil || slices.Contains(r.Services, "*") || slices.Contains(r.Services, "email")
}

func (r *Record) deviates(d Deviation) {
	if !slices.Contains(r.Deviations, d) {
		r.Deviations = append(r.Deviations, d)
	}
}

// escapes finds what belongs to zone files, and gets into records where a form wants the bare text. It is not wrong by
// itself.
func escapes(text string) error {
	switch {
	case strings.Contains(text, `\;`):
		return syntax("backslashes before the semicolons were published with it")
	case strings.Contains(text, `"`):
		return syntax("quotation marks were published with it")
	}
	return nil
}

// tag is one of a list.
type tag struct{ name, value string }

type tags []tag

func (t tags) get(name string) (string, bool) {
	for _, tag := range t {
		if tag.name == name {
			return tag.value, true
		}
	}
	return "", false
}

const space = " \t\r\n" // FWS of RFC 6376, section 2.8, when no lines are folded

// tags reads a list of tags: RFC 6376, section 3.2.
func (r *Record) tags(text string) (tags, error) {
	specs := strings.Split(text, ";")
	if len(specs) > maxTags {
		return nil, syntax("it has more than %d tags", maxTags)
	}
	var all tags
	for i, spec := range specs {
		spec = strings.Trim(spec, space)
		if spec == "" {
			if i < len(specs)-1 {
				r.deviates(EmptyTag)
			}
			continue
		}
		name, value, ok := strings.Cut(spec, "=")
		if name = strings.Trim(name, space); !ok || !isName(name) {
			return nil, syntax("%s is no tag", quote(spec))
		}
		if _, twice := all.get(name); twice { // the whole list is invalid
			return nil, syntax("the tag %s= stands twice", name)
		}
		if value = strings.Trim(value, space); strings.ContainsFunc(value, isOdd) {
			r.deviates(OddOctets)
		}
		all = append(all, tag{name, value})
	}
	return all, nil
}

// maxTags is how many tags a record may have. Seven are known.
const maxTags = 64

func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}

func isOdd(r rune) bool { return (r < '!' || r > '~') && !strings.ContainsRune(space, r) }

// version checks v=. RFC 6376, section 3.6.1: records with any other version are discarded.
func (r *Record) version(all tags) error {
	v, ok := all.get("v")
	switch {
	case !ok:
		r.deviates(NoVersion)
	case v != "DKIM1":
		return syntax("its version is %s, not DKIM1", quote(v))
	case all[0].name != "v":
		r.deviates(VersionLater)
	}
	r.Version = v
	return nil
}

// list reads values with colons between.
func list(s string) []string {
	all := strings.Split(s, ":")
	for i := range all {
		all[i] = strings.Trim(all[i], space)
	}
	return all
}

// key reads p=.
func (r *Record) key(p string) error {
	if r.KeyType != "rsa" && r.KeyType != "ed25519" {
		return fmt.Errorf("%w: %s", ErrKeyType, quote(r.KeyType))
	}
	p = strings.Map(func(c rune) rune {
		if strings.ContainsRune(space, c) {
			return -1
		}
		return c
	}, p)
	octets, err := base64.StdEncoding.DecodeString(p)
	if err != nil {
		bare, bareErr := base64.RawStdEncoding.DecodeString(p)
		if bareErr != nil {
			return syntax("its p= is no base64: %w", err)
		}
		octets = bare
		r.deviates(NoPadding)
	}
	if r.KeyType == "ed25519" {
		return r.ed25519(octets)
	}
	return r.rsa(octets)
}

// ed25519 reads a bare key: RFC 8463, section 4.
func (r *Record) ed25519(octets []byte) error {
	if len(octets) == ed25519.PublicKeySize {
		r.Public, r.Bits = ed25519.PublicKey(octets), 8*ed25519.PublicKeySize
		return nil
	}
	if key, err := x509.ParsePKIXPublicKey(octets); err == nil && keyType(key) == "ed25519" {
		return syntax("its p= is a SubjectPublicKeyInfo, where only the 32 octets of the Ed25519 key belong")
	}
	return syntax("an Ed25519 key has 32 octets, and its p= has %d", len(octets))
}

// rsa reads a SubjectPublicKeyInfo, or what erratum 3017 has as well.
func (r *Record) rsa(octets []byte) error {
	key, err := x509.ParsePKIXPublicKey(octets)
	if err != nil {
		bare, bareErr := x509.ParsePKCS1PublicKey(octets)
		if bareErr != nil {
			if cut := missing(octets); cut > 0 {
				return syntax("its p= is cut off: %d of %d octets are there", len(octets), len(octets)+cut)
			}
			return syntax("its p= is no RSA key: %w", err)
		}
		key = bare
		r.deviates(BareRSA)
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return syntax("its p= is no RSA key, though k= says so")
	}
	if r.Public, r.Bits = public, public.N.BitLen(); r.Bits > MaxBits {
		r.deviates(Large)
	}
	return nil
}

// missing tells how many octets are missing at the end of a DER sequence: forms cut long texts. X.690, section 8.1.3.
func missing(der []byte) int {
	if len(der) < 4 || der[0] != 0x30 {
		return 0
	}
	length, head := int(der[1]), 2
	switch der[1] {
	case 0x81:
		length, head = int(der[2]), 3
	case 0x82:
		length, head = int(der[2])<<8|int(der[3]), 4
	}
	return max(0, head+length-len(der))
}

// quote shows a piece of a record, not too long.
func quote(s string) string {
	const most = 60
	if len(s) > most {
		return fmt.Sprintf("%q...", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
