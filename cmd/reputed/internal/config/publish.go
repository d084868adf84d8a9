package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"reputed/policy/mail"
)

// Publish says how records of keys come into one zone: by updates of its primary (RFC 2136), signed with TSIG.
type Publish struct {
	Zone           mail.Domain   `json:"zone"`             // its apex; in no other entry
	Server         string        `json:"server"`           // "host:port"; "": the primary that the zone's SOA names
	TSIGName       mail.Domain   `json:"tsig_name"`        // the key's name, as both sides call it
	TSIGAlgorithm  TSIGAlgorithm `json:"tsig_algorithm"`   //
	TSIGSecret     Secret        `json:"tsig_secret"`      // zero: it is in TSIGSecretFile
	TSIGSecretFile string        `json:"tsig_secret_file"` // an absolute path; "": there is TSIGSecret
	TTL            Duration      `json:"ttl"`              // of the records, in whole seconds
}

// TSIGAlgorithm is how TSIG signs: RFC 8945, section 6.
type TSIGAlgorithm uint8

const (
	HMACSHA256 TSIGAlgorithm = iota
	HMACSHA512
)

var tsigAlgorithms = [...]string{"hmac-sha256", "hmac-sha512"}

// String gives the name that TSIG has for it: "hmac-sha256".
func (a TSIGAlgorithm) String() string { return tsigAlgorithms[a] }

// MarshalText writes [TSIGAlgorithm.String].
func (a TSIGAlgorithm) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// Secret is the secret of a TSIG key. It prints as "{secret}", whatever prints it. The zero value is none, and prints
// as nothing.
type Secret struct{ text *string } // base64

// secretMark is what is written in the place of a secret, and never read.
const secretMark = "{secret}"

// Reveal gives the secret itself, in base64; "" is none. It is for the name server, and for nobody else.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero tells that there is no secret.
func (s Secret) IsZero() bool { return s.text == nil }

func (s Secret) String() string {
	if s.text == nil {
		return ""
	}
	return secretMark
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// MarshalText writes [Secret.String].
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Publisher gives the entry of the nearest zone that a record can be in; nil: there is none.
func (g *Signing) Publisher(record mail.Domain) *Publish {
	var nearest *Publish
	for i := range g.Publish {
		p := &g.Publish[i]
		if record.Within(p.Zone) && (nearest == nil || p.Zone.Within(nearest.Zone)) {
			nearest = p
		}
	}
	return nearest
}

// readPublish reads the [[signing.publish]] entries.
func (g *Signing) readPublish(entries []*section) {
	lines := make(map[mail.Domain]int)
	for _, s := range entries {
		p := Publish{TTL: Duration(time.Hour)}
		p.read(s)
		if first := lines[p.Zone]; first != 0 {
			s.wrong("zone", "%q has an entry already, at line %d", p.Zone, first)
		} else if !p.Zone.IsZero() {
			lines[p.Zone] = s.at.kid("zone").line
		}
		g.Publish = append(g.Publish, p)
	}
}

func (p *Publish) read(s *section) {
	text(s, "zone", domain, &p.Zone)
	if !s.has("zone") {
		s.wrong("zone", "every [[signing.publish]] has the zone that it changes (such as \"example.org\")")
	}
	text(s, "server", primary, &p.Server)
	text(s, "tsig_name", tsigName, &p.TSIGName)
	if !s.has("tsig_name") {
		s.wrong("tsig_name", "the server takes changes that are signed, and knows the key by its name (such as "+
			"\"reputed\")")
	}
	text(s, "tsig_algorithm", tsigAlgorithm, &p.TSIGAlgorithm)
	text(s, "tsig_secret", secret, &p.TSIGSecret)
	text(s, "tsig_secret_file", secretFile, &p.TSIGSecretFile)
	switch {
	case s.blank("tsig_secret") && s.blank("tsig_secret_file"):
		s.wrong("tsig_secret_file", "the server takes changes that are signed, and there is no secret to sign with (the "+
			"path of a file, or tsig_secret)")
	case !s.blank("tsig_secret") && !s.blank("tsig_secret_file"):
		s.wrong("tsig_secret_file", "the secret is in tsig_secret already, at line %d (one of both)",
			s.at.kid("tsig_secret").line)
	}
	text(s, "ttl", recordTTL, &p.TTL)
}

// primary parses the name or address of a server, with port 53 where none is written; empty is the zone's own.
func primary(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	host, port := s, "53"
	if _, err := netip.ParseAddr(s); err != nil && strings.Contains(s, ":") {
		if host, port, err = net.SplitHostPort(s); err != nil {
			host = ""
		}
	}
	if a, err := netip.ParseAddr(host); err == nil {
		host = a.Unmap().String()
	} else if d, err := domain(host); err == nil {
		host = d.String()
	} else {
		return "", fmt.Errorf("%q is not a name server (such as \"ns1.example.org\", \"192.0.2.53\" or "+
			"\"[2001:db8::53]:53\")", s)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", fmt.Errorf("%q names no port (from 1 to 65535)", s)
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), nil
}

// tsigName parses the name of a key. No error shows the text: it may be the secret, where the two were swapped.
func tsigName(s string) (mail.Domain, error) {
	d, err := domain(s)
	if err != nil {
		return d, errors.New("it is not the name of a key, which looks like a domain name (such as \"reputed\")")
	}
	return d, nil
}

// tsigAlgorithm parses the name of an algorithm. No error shows what is none at all: it may be the secret.
func tsigAlgorithm(s string) (TSIGAlgorithm, error) {
	a, err := choice(HMACSHA256, HMACSHA512)(s)
	if err != nil && !strings.HasPrefix(s, "hmac-") {
		err = fmt.Errorf("it is not the name of an algorithm (%v, %v)", HMACSHA256, HMACSHA512)
	}
	return a, err
}

// secret parses a secret; empty is none. White space around it is passed over. No error shows the text.
func secret(s string) (Secret, error) {
	if s == "" {
		return Secret{}, nil
	}
	s = strings.TrimSpace(s)
	if s == secretMark {
		return Secret{}, fmt.Errorf("%q is what config show prints in the place of a secret (write the secret itself)", s)
	}
	if strings.HasPrefix(s, "/") && len(s) < shortSecret {
		return Secret{}, errors.New("it looks like a path, which goes into tsig_secret_file")
	}
	if octets, err := base64.StdEncoding.Strict().DecodeString(s); err != nil || len(octets) == 0 {
		return Secret{}, errors.New("a secret is base64, as tsig-keygen and keymgr print it")
	}
	return Secret{&s}, nil
}

// shortSecret is how long the base64 of a secret of 24 octets is; tools make longer ones. What is shorter and begins
// with a slash can be base64, but is a path.
const shortSecret = 32

// secretFile parses the path of a secret; empty is none. No error shows the text: it may be the secret itself.
func secretFile(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	p, err := path(s)
	if err != nil {
		return "", errors.New("it is not an absolute path (it begins with /; a secret itself goes into tsig_secret)")
	}
	return p, nil
}

// recordTTL parses how long others may remember a record. A revoked key is trusted for so long.
func recordTTL(s string) (Duration, error) {
	d, err := between(Duration(time.Minute), Duration(7*day))(s)
	if err == nil && d%Duration(time.Second) != 0 {
		return 0, fmt.Errorf("%q is not in whole seconds, as the dns has it", s)
	}
	return d, err
}
