package spf

import (
	"net/netip"
	"strings"

	"reputed/policy/mail"
)

// isHostName tells whether a name can be a domain of mail: RFC 7208, section 4.3 wants at least two labels, none empty,
// none too long. An address is no name, with brackets or without, and no more is one that the world does not know.
func isHostName(name string) bool {
	return strings.IndexByte(name, '.') >= 0 && name[0] != '[' && fitsDNS(name) && !isPrivateName(name)
}

// isPrivateName tells names that those who get the mail do not find, whatever our own resolver says of them. A last
// label of digits is an address.
func isPrivateName(name string) bool {
	return mail.PrivateName(name) || isDigits(name[strings.LastIndexByte(name, '.')+1:])
}

// fitsDNS tells whether a name can be asked for: RFC 1035, section 2.3.4.
func fitsDNS(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	start := 0
	for i := 0; i <= len(name); i++ {
		if i == len(name) || name[i] == '.' {
			if i == start || i-start > maxLabel {
				return false
			}
			start = i + 1
		}
	}
	return true
}

const (
	maxName  = 253
	maxLabel = 63
)

// within tells whether a name is parent or lies below it.
func within(name, parent string) bool {
	name, parent = strings.TrimSuffix(name, "."), strings.TrimSuffix(parent, ".")
	n := len(name) - len(parent)
	return n >= 0 && strings.EqualFold(name[n:], parent) && (n == 0 || name[n-1] == '.')
}

// reverseName gives the name under which the names of an address stand: RFC 1035, section 3.5; RFC 3596, section 2.5.
func reverseName(a netip.Addr) string {
	name, suffix := dotted(a), ".in-addr.arpa"
	if a.Is6() {
		suffix = ".ip6.arpa"
	}
	return reverseLabels(name) + suffix
}

// reverseLabels turns the labels of a name round.
func reverseLabels(name string) string {
	out := make([]byte, 0, len(name))
	for end := len(name); end >= 0; {
		start := strings.LastIndexByte(name[:end], '.') + 1
		out = append(out, name[start:end]...)
		if start > 0 {
			out = append(out, '.')
		}
		end = start - 1
	}
	return string(out)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// isPrintable tells text of visible ASCII characters and spaces.
func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
