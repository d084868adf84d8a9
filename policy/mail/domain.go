package mail

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Domain is a domain name in its canonical form: A-labels, lower case, no trailing dot. Being canonical it can be
// compared with == and used as a map key. The zero value is no domain at all.
type Domain struct{ name string }

// ErrDomain is what every error of [ParseDomain] is.
var ErrDomain = errors.New("not a domain name")

// lookup maps as a browser or resolver does before it asks (UTS 46, non-transitional). Hyphens are not checked:
// names such as "r3---sn-x.example" exist in the DNS, and their owners send mail.
var lookup = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.CheckHyphens(false), idna.StrictDomainName(false), idna.BidiRule())

// ParseDomain reads a domain name in either form (U-labels or A-labels, any case, with or without the trailing
// dot). Underscores are allowed, for names such as "_domainkey". Address literals are not domains.
func ParseDomain(s string) (Domain, error) {
	if s == "" {
		return Domain{}, fmt.Errorf("%w: empty", ErrDomain)
	}
	name := strings.TrimSuffix(s, ".")
	if canonical(name) {
		return Domain{name}, nil
	}
	if len(name) > 4*maxDomain {
		return Domain{}, fmt.Errorf("%w: %d octets, at most %d", ErrDomain, len(name), maxDomain)
	}
	if !utf8.ValidString(name) || strings.HasSuffix(name, ".") {
		return Domain{}, fmt.Errorf("%w: %q", ErrDomain, s)
	}
	ascii, err := lookup.ToASCII(name)
	if err != nil {
		return Domain{}, fmt.Errorf("%w: %q", ErrDomain, s)
	}
	ascii = strings.TrimSuffix(strings.ToLower(ascii), ".")
	if !canonical(ascii) {
		return Domain{}, fmt.Errorf("%w: %q", ErrDomain, s)
	}
	return Domain{ascii}, nil
}

// RFC 1035, section 2.3.4: names of at most 255 octets on the wire, which is 253 in text; labels of at most 63.
const (
	maxDomain = 253
	maxLabel  = 63
)

// canonical tells whether the name needs no mapping: the path nearly every name on the wire takes.
func canonical(name string) bool {
	if name == "" || len(name) > maxDomain {
		return false
	}
	label := 0
	for i := range len(name) {
		switch c := name[i]; {
		case c == '.':
			if label == 0 {
				return false
			}
			label = 0
			continue
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
		if label++; label > maxLabel {
			return false
		}
	}
	return label > 0
}

// String gives the name in A-labels, as it is written in the DNS and in DKIM tags.
func (d Domain) String() string { return d.name }

// Unicode gives the name as people read it. For display only: different names may look alike.
func (d Domain) Unicode() string {
	u, err := idna.Display.ToUnicode(d.name)
	if err != nil {
		return d.name
	}
	return u
}

// IsZero tells that there is no domain.
func (d Domain) IsZero() bool { return d.name == "" }

// Within tells whether d is parent or lies below it. Nothing is within the zero domain.
func (d Domain) Within(parent Domain) bool {
	if parent.name == "" || !strings.HasSuffix(d.name, parent.name) {
		return false
	}
	n := len(d.name) - len(parent.name)
	return n == 0 || d.name[n-1] == '.'
}

// Parent gives the name without its first label: the zero domain for a single label.
func (d Domain) Parent() Domain {
	_, rest, _ := strings.Cut(d.name, ".")
	return Domain{rest}
}

// MarshalText writes A-labels. With [Domain.UnmarshalText] it serves JSON and configuration files.
func (d Domain) MarshalText() ([]byte, error) { return []byte(d.name), nil }

// UnmarshalText is [ParseDomain]; the empty text is the zero domain.
func (d *Domain) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*d = Domain{}
		return nil
	}
	*d, err = ParseDomain(string(text))
	return err
}
