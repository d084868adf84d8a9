package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"reputed/policy"
	"reputed/policy/mail"
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
	Rotate           Days                    `json:"rotate"`         // how long a key signs; 0: until somebody asks
	QueueLifetime    Days                    `json:"queue_lifetime"` // how long the MTA keeps trying
	OnUnpublished    Unpublished             `json:"on_unpublished"`
	Selector         Template                `json:"selector"` // of new keys; never empty
	Watch            bool                    `json:"watch"`    // the records in the DNS are looked after
	WatchVia         WatchVia                `json:"watch_via"`
	Publish          []Publish               `json:"publish"` // in the order of the file; none: people publish records
}

// RSA says who computes RSA signatures.
type RSA uint8

const (
	Auto      RSA = iota // the fastest there is
	Go                   // the Go library
	Libcrypto            // OpenSSL's libcrypto, and nothing else
)

var engines = [...]string{"auto", "go", "libcrypto"}

func (r RSA) String() string { return engines[r] }

// MarshalText writes the word of [RSA.String].
func (r RSA) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Unpublished says what signs while the DNS shows, beyond doubt, no record of the active key.
type Unpublished uint8

const (
	LastGood Unpublished = iota // the newest key whose record is there
	SignOn                      // the active key all the same
)

var unpublished = [...]string{"last-good", "sign"}

func (u Unpublished) String() string { return unpublished[u] }

// MarshalText writes the word of [Unpublished.String].
func (u Unpublished) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// WatchVia says who is asked about the records of keys.
type WatchVia uint8

const (
	ViaAuto      WatchVia = iota // the servers of the zone; the resolver, where they cannot be asked
	ViaAuthority                 // every server of the zone
	ViaResolver                  // the resolver
)

var ways = [...]string{"auto", "authority", "resolver"}

func (v WatchVia) String() string { return ways[v] }

// MarshalText writes the word of [WatchVia.String].
func (v WatchVia) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// Plan gives the section as the options of a plan. Whom the configuration bars is for the key ring to say.
func (g *Signing) Plan() signer.PlanOptions {
	return signer.PlanOptions{
		Rotate: time.Duration(g.Rotate),
		Retire: signer.RetireTime(time.Duration(g.QueueLifetime)),
	}
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
		QueueLifetime: Days(signer.QueueLifetime),
		Selector:      defaultTemplate,
		Watch:         true,
		Publish:       []Publish{},
	}
}

// read reads the section; host is what new keys are named after.
func (g *Signing) read(s *section, host mail.Domain) {
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
	text(s, "rsa", choice(Auto, Go, Libcrypto), &g.RSA)
	g.readLives(s, host)
	g.readPublish(s.tables("publish"))
}

// readLives reads how keys live.
func (g *Signing) readLives(s *section, host mail.Domain) {
	text(s, "rotate", rotation, &g.Rotate)
	text(s, "queue_lifetime", between(0, Days(100*day)), &g.QueueLifetime)
	text(s, "on_unpublished", choice(LastGood, SignOn), &g.OnUnpublished)
	text(s, "selector", template(host), &g.Selector)
	s.flag("watch", &g.Watch)
	text(s, "watch_via", choice(ViaAuto, ViaAuthority, ViaResolver), &g.WatchVia)
	switch {
	case g.Rotate == 0:
	case !g.Watch:
		s.wrong("rotate", "a new key signs when the dns shows its record, and nobody looks (watch = true, or rotate = "+
			"\"0s\")")
	case g.Rotate < Days(longestMonth) && !g.Selector.varies():
		s.wrong("selector", "%q is the same name for a whole month, and every %v there is a new key (write {random} "+
			"into it)", g.Selector, g.Rotate)
	}
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

const (
	day          = 24 * time.Hour
	longestMonth = 31 * day
)

// rotation parses how long keys sign. The record of each stays a week at least after that.
func rotation(s string) (Days, error) {
	d, err := between(0, Days(3660*day))(s)
	if err == nil && d != 0 && d < Days(7*day) {
		return 0, fmt.Errorf("%q is too short for the dns to keep up (\"0s\" is off; else from 7d, better \"180d\")", s)
	}
	return d, err
}

// lifetime parses how long signatures are valid. Mail may wait in a queue for days.
func lifetime(s string) (Duration, error) {
	d, err := between(0, Duration(366*day))(s)
	if err == nil && d != 0 && d < Duration(time.Hour) {
		return 0, fmt.Errorf("%q is shorter than mail may wait in a queue (\"0s\" is off; else from 1h, better \"336h\")", s)
	}
	return d, err
}
