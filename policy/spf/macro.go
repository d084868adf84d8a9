package spf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// macroString is text with macros in it: RFC 7208, section 7. The zero value is no text.
type macroString struct {
	text  string // as it stands in the record
	parts []part // nil: all of it is literal
}

// uses tells whether any of the macros is one of the letters.
func (m *macroString) uses(letters string) bool {
	for i := range m.parts {
		if l := m.parts[i].letter; l != 0 && strings.IndexByte(letters, l) >= 0 {
			return true
		}
	}
	return false
}

// part is literal text, or a macro.
type part struct {
	literal string
	escaped bool // the literal text stands for %%, %_ or %-
	letter  byte // lower case; 0 for literal text
	escape  bool // the letter was upper case
	keep    int  // how many of the right-hand pieces; 0: all
	reverse bool
	split   string // what pieces are divided by
}

// parseMacros reads text with macros. Only explanations may hold spaces and the macros c, r and t.
func parseMacros(s string, explanation bool) (macroString, error) {
	m := macroString{text: s}
	if strings.IndexByte(s, '%') < 0 {
		return m, nil
	}
	for rest := s; rest != ""; {
		percent := strings.IndexByte(rest, '%')
		if percent < 0 {
			m.literal(rest)
			break
		}
		m.literal(rest[:percent])
		rest = rest[percent+1:]
		if rest == "" {
			return m, errors.New("a percent sign at the end")
		}
		switch rest[0] {
		case '%':
			m.parts = append(m.parts, part{literal: "%", escaped: true})
		case '_':
			m.parts = append(m.parts, part{literal: " ", escaped: true})
		case '-':
			m.parts = append(m.parts, part{literal: "%20", escaped: true})
		case '{':
			end := strings.IndexByte(rest, '}')
			if end < 0 {
				return m, errors.New("a macro without end")
			}
			p, err := parseMacro(rest[1:end], explanation)
			if err != nil {
				return m, err
			}
			m.parts = append(m.parts, p)
			rest = rest[end:]
		default:
			return m, fmt.Errorf("%q is no macro", "%"+rest[:1])
		}
		rest = rest[1:]
	}
	return m, nil
}

func (m *macroString) literal(s string) {
	if s != "" {
		m.parts = append(m.parts, part{literal: s})
	}
}

const delimiters = ".-+,/_="

// parseMacro reads what stands between the braces.
func parseMacro(s string, explanation bool) (part, error) {
	if s == "" {
		return part{}, badMacro(s)
	}
	p := part{letter: s[0] | 0x20, escape: s[0] < 'a', split: "."}
	letters := "slodiphv"
	if explanation {
		letters += "crt"
	}
	if !isAlpha(s[0]) || strings.IndexByte(letters, p.letter) < 0 {
		return part{}, badMacro(s)
	}
	rest := s[1:]
	n := 0
	for n < len(rest) && isDigit(rest[n]) {
		n++
	}
	if n > 0 {
		keep, err := strconv.Atoi(rest[:min(n, 9)])
		if err != nil || keep == 0 {
			return part{}, badMacro(s)
		}
		p.keep, rest = keep, rest[n:]
	}
	if rest != "" && rest[0]|0x20 == 'r' {
		p.reverse, rest = true, rest[1:]
	}
	if rest != "" {
		if strings.Trim(rest, delimiters) != "" {
			return part{}, badMacro(s)
		}
		p.split = rest
	}
	return p, nil
}

func badMacro(s string) error { return fmt.Errorf("%q is no macro", "%{"+s+"}") }

// domainSpec tells why the text cannot be a domain: RFC 7208, section 7.1 wants it to end in a macro or in a top-level
// label.
func (m *macroString) domainSpec() error {
	if m.text == "" {
		return errors.New("needs a domain")
	}
	text := m.text
	if n := len(m.parts); n > 0 {
		last := &m.parts[n-1]
		if last.letter != 0 || last.escaped {
			return nil
		}
		text = last.literal
	}
	text = strings.TrimSuffix(text, ".")
	dot := strings.LastIndexByte(text, '.')
	if dot < 0 {
		return fmt.Errorf("%q is no domain", m.text)
	}
	if label := text[dot+1:]; !isTopLabel(label) {
		return fmt.Errorf("%q is no domain", m.text)
	}
	return nil
}

// isTopLabel obeys the rule "toplabel" of RFC 7208, section 7.1: letters, digits and hyphens, not all digits.
func isTopLabel(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' || isDigits(s) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlpha(c) && !isDigit(c) && c != '-' {
			return false
		}
	}
	return true
}

// values are what macros stand for.
type values interface {
	value(letter byte) string
}

// expand puts values in the place of macros.
func (m *macroString) expand(v values) string {
	if m.parts == nil {
		return m.text
	}
	var b strings.Builder
	for i := range m.parts {
		p := &m.parts[i]
		if p.letter == 0 {
			b.WriteString(p.literal)
			continue
		}
		s := p.transform(v.value(p.letter))
		if p.escape {
			s = urlEscape(s)
		}
		b.WriteString(s)
	}
	return b.String()
}

// transform divides a value, turns the pieces round, keeps those at the right, and joins them with dots.
func (p *part) transform(s string) string {
	if p.keep == 0 && !p.reverse && p.split == "." {
		return s
	}
	pieces := splitAny(s, p.split)
	if p.reverse {
		slices.Reverse(pieces)
	}
	if p.keep > 0 && p.keep < len(pieces) {
		pieces = pieces[len(pieces)-p.keep:]
	}
	return strings.Join(pieces, ".")
}

// splitAny divides at each octet of set; empty pieces stay.
func splitAny(s, set string) []string {
	var pieces []string
	for {
		i := strings.IndexAny(s, set)
		if i < 0 {
			return append(pieces, s)
		}
		pieces = append(pieces, s[:i])
		s = s[i+1:]
	}
}

// urlEscape writes all but RFC 3986's unreserved characters as %XX: RFC 7208, section 7.3.
func urlEscape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if isAlpha(c) || isDigit(c) || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

const hex = "0123456789ABCDEF"

// dotted gives the address as the macro i: RFC 7208, section 7.3 wants nibbles for IPv6.
func dotted(a netip.Addr) string {
	if a.Is4() {
		return a.String()
	}
	raw := a.As16()
	out := make([]byte, 0, 63)
	for _, b := range raw {
		out = append(out, hex[b>>4], '.', hex[b&15], '.')
	}
	return string(out[:63])
}

// truncate shortens a name that is too long for the DNS from the left, by whole labels: RFC 7208, section 7.3.
func truncate(name string) string {
	name = strings.TrimSuffix(name, ".")
	for len(name) > maxName {
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			return name
		}
		name = rest
	}
	return name
}
