package spf

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Qualifier is what a match of a mechanism means.
type Qualifier byte

// The qualifiers of RFC 7208, section 4.6.2.
const (
	QPass     Qualifier = '+'
	QFail     Qualifier = '-'
	QSoftFail Qualifier = '~'
	QNeutral  Qualifier = '?'
)

func (q Qualifier) result() Result {
	switch q {
	case QFail:
		return Fail
	case QSoftFail:
		return SoftFail
	case QNeutral:
		return Neutral
	}
	return Pass
}

// Kind is a mechanism: RFC 7208, section 5.
type Kind uint8

const (
	All Kind = iota
	Include
	A
	MX
	PTR
	IP4
	IP6
	Exists
)

var kinds = [...]string{"all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"}

func (k Kind) String() string { return kinds[k] }

// Mechanism is a term that can match.
type Mechanism struct {
	Qualifier Qualifier
	Kind      Kind
	Bits4     uint8 // of a and mx: how much of an address counts
	Bits6     uint8
	Domain    macroString  // without text: the domain of the record
	Prefix    netip.Prefix // of ip4 and ip6
	Text      string       // as it stands in the record
}

// String gives the mechanism in its shortest form. Two of the same form do the same.
func (m *Mechanism) String() string {
	var b strings.Builder
	if m.Qualifier != QPass {
		b.WriteByte(byte(m.Qualifier))
	}
	b.WriteString(m.Kind.String())
	switch m.Kind {
	case IP4, IP6:
		b.WriteByte(':')
		if m.Prefix.IsSingleIP() {
			b.WriteString(m.Prefix.Addr().String())
		} else {
			b.WriteString(m.Prefix.String())
		}
		return b.String()
	}
	if m.Domain.text != "" {
		b.WriteString(":" + m.Domain.text)
	}
	if m.Bits4 != 32 {
		fmt.Fprintf(&b, "/%d", m.Bits4)
	}
	if m.Bits6 != 128 {
		fmt.Fprintf(&b, "//%d", m.Bits6)
	}
	return b.String()
}

// Record is a record, parsed whole.
type Record struct {
	Mechanisms []Mechanism
	Redirect   macroString // without text: none
	Exp        macroString // without text: none
}

func (r *Record) redirectTerm() string { return "redirect=" + r.Redirect.text }

// ErrSyntax is what every error of [Parse] is.
var ErrSyntax = errors.New("syntax error in the SPF record")

func syntaxError(term, why string) error { return fmt.Errorf("%w: %q: %s", ErrSyntax, term, why) }

const version = "v=spf1"

// isNearRecord tells a text that was meant to be an SPF record, and is none to a receiver.
func isNearRecord(text string) bool {
	begin := strings.ToLower(strings.ReplaceAll(cleaned(text[:min(len(text), 64)]), " ", ""))
	for _, version := range []string{"v=spf", "v:spf1", "vspf1", "spf1"} {
		if strings.HasPrefix(begin, version) {
			return !strings.HasPrefix(begin, "v=spf2") // Sender ID, RFC 4406
		}
	}
	return false
}

// IsRecord tells an SPF record from other texts: RFC 7208, section 4.5.
func IsRecord(text string) bool {
	if len(text) < len(version) || !strings.EqualFold(text[:len(version)], version) {
		return false
	}
	return len(text) == len(version) || text[len(version)] == ' '
}

// Parse reads a record. The whole of it must be right, also what stands behind a term that would match: RFC 7208,
// section 4.6.
func Parse(text string) (*Record, error) {
	if !IsRecord(text) {
		return nil, syntaxError(text, "does not begin with v=spf1")
	}
	r := &Record{}
	rest := text[len(version):]
	r.Mechanisms = make([]Mechanism, 0, min(strings.Count(rest, " "), 16))
	for rest != "" {
		var term string
		if term, rest, _ = strings.Cut(rest, " "); term == "" {
			continue
		}
		for i := range len(term) {
			if term[i] < '!' || term[i] > '~' {
				return nil, syntaxError(term, "an octet that is no visible ASCII character")
			}
		}
		if err := r.term(term); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// term reads a directive or a modifier.
func (r *Record) term(term string) error {
	if name, value, ok := modifier(term); ok {
		return r.modifier(term, name, value)
	}
	m := Mechanism{Qualifier: QPass, Bits4: 32, Bits6: 128, Text: term}
	rest := term
	if strings.IndexByte("+-~?", rest[0]) >= 0 {
		m.Qualifier = Qualifier(rest[0])
		rest = rest[1:]
	}
	end := strings.IndexAny(rest, ":/")
	if end < 0 {
		end = len(rest)
	}
	name, args := strings.ToLower(rest[:end]), rest[end:]
	for k, n := range kinds {
		if n == name {
			m.Kind = Kind(k)
			if err := m.arguments(args); err != nil {
				return syntaxError(term, err.Error())
			}
			r.Mechanisms = append(r.Mechanisms, m)
			return nil
		}
	}
	return syntaxError(term, "no such mechanism")
}

// modifier tells whether a term is one: a name, an equals sign, and what follows. RFC 7208, section 6.
func modifier(term string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(term, "=")
	if !ok || name == "" || !isAlpha(name[0]) {
		return "", "", false
	}
	for i := range len(name) {
		if c := name[i]; !isAlpha(c) && !isDigit(c) && c != '-' && c != '_' && c != '.' {
			return "", "", false
		}
	}
	return strings.ToLower(name), value, true
}

func (r *Record) modifier(term, name, value string) error {
	m, err := parseMacros(value, false)
	if err != nil {
		return syntaxError(term, err.Error())
	}
	switch name {
	case "redirect", "exp":
		if err := m.domainSpec(); err != nil {
			return syntaxError(term, err.Error())
		}
		at := &r.Redirect
		if name == "exp" {
			at = &r.Exp
		}
		if at.text != "" {
			return syntaxError(term, "stands twice")
		}
		*at = m
	}
	return nil // what nobody knows is ignored, but must be well-formed: section 6
}

// arguments reads what follows the name of a mechanism, with its colon or slash.
func (m *Mechanism) arguments(args string) error {
	switch m.Kind {
	case All:
		if args != "" {
			return errors.New("takes no argument")
		}
		return nil
	case IP4, IP6:
		return m.network(args)
	case A, MX:
		var err error
		if args, err = m.cidr(args); err != nil {
			return err
		}
	}
	if args == "" {
		if m.Kind == Include || m.Kind == Exists {
			return errors.New("needs a domain")
		}
		return nil
	}
	if args[0] != ':' {
		return errors.New("takes no prefix length")
	}
	spec, err := parseMacros(args[1:], false)
	if err != nil {
		return err
	}
	m.Domain = spec
	return m.Domain.domainSpec()
}

// cidr takes the prefix lengths off the end of the arguments of a or mx: RFC 7208, section 5.3.
func (m *Mechanism) cidr(args string) (rest string, err error) {
	if i := strings.LastIndex(args, "//"); i >= 0 && isDigits(args[i+2:]) {
		if m.Bits6, err = prefixLength(args[i+2:], 128); err != nil {
			return "", err
		}
		args = args[:i]
	}
	// A slash that no number follows is a part of the name.
	if i := strings.LastIndexByte(args, '/'); i >= 0 && isDigits(args[i+1:]) {
		if m.Bits4, err = prefixLength(args[i+1:], 32); err != nil {
			return "", err
		}
		args = args[:i]
	}
	return args, nil
}

// prefixLength reads a prefix length, without leading zeros.
func prefixLength(s string, most int) (uint8, error) {
	n, err := strconv.Atoi(s)
	if err != nil || !isDigits(s) || n > most || len(s) > 1 && s[0] == '0' {
		return 0, fmt.Errorf("prefix length %q", s)
	}
	return uint8(n), nil
}

// network reads the arguments of ip4 or ip6.
func (m *Mechanism) network(args string) error {
	if args == "" || args[0] != ':' {
		return errors.New("needs an address")
	}
	text, length, hasLength := strings.Cut(args[1:], "/")
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" || addr.Is4() != (m.Kind == IP4) {
		return fmt.Errorf("%q is no such address", text)
	}
	n := uint8(addr.BitLen())
	if hasLength {
		if n, err = prefixLength(length, addr.BitLen()); err != nil {
			return err
		}
	}
	m.Prefix = netip.PrefixFrom(addr, int(n)).Masked()
	return nil
}

func isAlpha(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isDigits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}
