package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"reputed/policy"
	"reputed/signer"
)

// Signing says how mail is signed.
type Signing struct {
	Keys             string                  `json:"keys"` // the directory of keys; an absolute path
	Canonicalization signer.Canonicalization `json:"canonicalization"`
	Headers          []string                `json:"headers"`         // fields to sign
	Oversign         []string                `json:"oversign"`        // fields that nobody may add to afterwards
	Expire           Duration                `json:"expire"`          // how long a signature is valid; 0: for ever
	OnForeignFrom    policy.Action           `json:"on_foreign_from"` // Log, Defer or Reject
	OnNoKey          policy.Action           `json:"on_no_key"`       // Log, Defer or Reject
	RSA              RSA                     `json:"rsa"`
}

// RSA says who computes RSA signatures.
type RSA uint8

const (
	Auto RSA = iota // the fastest there is
	Go              // the Go library
)

var engines = [...]string{"auto", "go"}

func (r RSA) String() string { return engines[r] }

// MarshalText writes the word of [RSA.String].
func (r RSA) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

func rsa(s string) (RSA, error) {
	if s == "libcrypto" {
		return 0, fmt.Errorf("%q is not in this build (auto, go)", s)
	}
	return choice(Auto, Go)(s)
}

// Options gives the section as the signer's options.
func (g *Signing) Options(now func() time.Time) signer.Options {
	return signer.Options{
		Canonicalization: g.Canonicalization,
		Sign:             g.Headers,
		Oversign:         g.Oversign,
		Expire:           time.Duration(g.Expire),
		Now:              now,
	}
}

func defaultSigning(stateDir string) Signing {
	return Signing{
		Keys:          filepath.Join(stateDir, "keys"),
		Headers:       signer.DefaultSign(),
		Oversign:      signer.DefaultOversign(),
		OnForeignFrom: policy.Log,
		OnNoKey:       policy.Defer,
	}
}

func (g *Signing) read(s *section) {
	text(s, "keys", path, &g.Keys)
	text(s, "canonicalization", signer.ParseCanonicalization, &g.Canonicalization)
	headers(s, "headers", signer.DefaultSign(), &g.Headers)
	if !slices.ContainsFunc(g.Headers, func(h string) bool { return strings.EqualFold(h, "From") }) {
		s.wrong("headers", "From must be signed (RFC 6376, section 5.4)")
	}
	headers(s, "oversign", signer.DefaultOversign(), &g.Oversign)
	text(s, "expire", lifetime, &g.Expire)
	answers := choice(policy.Log, policy.Defer, policy.Reject)
	text(s, "on_foreign_from", answers, &g.OnForeignFrom)
	text(s, "on_no_key", answers, &g.OnNoKey)
	text(s, "rsa", rsa, &g.RSA)
}

// headers reads a list of fields, or of changes to the default list.
func headers(s *section, key string, defaults []string, dst *[]string) {
	var names []string
	list(s, key, field, &names)
	if names == nil {
		return
	}
	parsed, err := signer.ParseHeaders(defaults, names)
	if err != nil {
		s.wrong(key, "%v", err)
		return
	}
	*dst = parsed
}

// field takes the name of a header field; signer.ParseHeaders judges it.
func field(s string) (string, error) { return s, nil }

// lifetime parses how long signatures are valid. Mail may wait in a queue for days.
func lifetime(s string) (Duration, error) {
	d, err := between(0, Duration(366*24*time.Hour))(s)
	if err == nil && d != 0 && d < Duration(time.Hour) {
		return 0, fmt.Errorf("%q is shorter than mail may wait in a queue (\"0s\" is off; else from 1h, better \"336h\")", s)
	}
	return d, err
}
