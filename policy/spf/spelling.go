package spf

import (
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
)

// aliases are names that operators give to mechanisms and modifiers, with the right ones among them.
var aliases = map[string]string{
	"all": "all", "include": "include", "a": "a", "mx": "mx", "ptr": "ptr", "ip4": "ip4", "ip6": "ip6",
	"exists": "exists", "redirect": "redirect", "exp": "exp",
	"ip": "ip4", "ipv4": "ip4", "v4": "ip4", "ipv6": "ip6", "v6": "ip6", "aaaa": "a", "host": "a",
	"inc": "include", "al": "all",
}

// kindOf gives the mechanism or modifier of a name, or of the one nearest to it: a letter wrong in names of three, two
// in longer ones.
func kindOf(name string) (string, bool) {
	if k, ok := aliases[name]; ok {
		return k, true
	}
	for _, k := range []string{"include", "redirect", "exists", "all", "ip4", "ip6", "ptr"} {
		if len(name) >= 3 && distance(name, k) <= min(2, len(k)/3) {
			return k, true
		}
	}
	return "", false
}

// distance is how many letters must be put, taken or changed to make a of b.
func distance(a, b string) int {
	if len(a) > 12 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// network gives the ip4 or ip6 term of an address, or of a network, however it is written; "" when it is none.
func network(s string) string {
	text, length, has := strings.Cut(s, "/")
	addr, n, ok := address(text)
	if !ok {
		return ""
	}
	if has {
		if mask, err := netip.ParseAddr(length); err == nil && mask.Is4() && addr.Is4() {
			raw := mask.As4()
			m := uint32(raw[0])<<24 | uint32(raw[1])<<16 | uint32(raw[2])<<8 | uint32(raw[3])
			if n = bits.LeadingZeros32(^m); m<<n != 0 || n == 0 {
				return "" // no mask, or the whole world
			}
		} else if l, err := strconv.Atoi(length); err == nil && isDigits(length) && l > 0 && l <= addr.BitLen() {
			n = l
		}
	}
	return addressTerm(addr, n)
}

// address reads an address, perhaps in brackets or with a port, or the first octets of one, and gives how many of its
// bits are meant.
func address(s string) (addr netip.Addr, n int, ok bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		s = ap.Addr().String()
	}
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return a, a.BitLen(), true
	}
	octets := strings.Split(strings.TrimSuffix(s, "."), ".")
	if len(octets) == 4 && (octets[3] == "*" || octets[3] == "x") {
		octets = octets[:3]
	}
	if len(octets) != 3 {
		return netip.Addr{}, 0, false
	}
	a, err := netip.ParseAddr(strings.Join(octets, ".") + ".0")
	return a, 24, err == nil
}

// addressTerm is the term that allows the first n bits of an address.
func addressTerm(addr netip.Addr, n int) string {
	kind := "ip6:"
	if addr.Is4() {
		kind = "ip4:"
	}
	if n == addr.BitLen() {
		return kind + addr.String()
	}
	return kind + addr.String() + "/" + strconv.Itoa(n)
}

// noise is quotes of all kinds, backslashes, and characters that nobody sees.
const noise = "\"'`\\\u00ab\u00bb\u2018\u2019\u201c\u201d\u201e\u200b\u200c\u200d\u2060\ufeff\u00ad"

// cleaned writes characters that look like those of a record as these, and drops quotes and what cannot be seen.
func cleaned(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\u00a0', r == '\u3000', r == '\t', r == '\r', r == '\n', '\u2000' <= r && r <= '\u200a':
			return ' '
		case '\u2010' <= r && r <= '\u2015', r == '\u2212', r == '\ufe58', r == '\ufe63', r == '\uff0d':
			return '-'
		case r == '\u02dc', r == '\u223c', r == '\uff5e', r == '\u2053':
			return '~'
		case r == '\uff1a':
			return ':'
		case r == '\uff0f':
			return '/'
		case r == '\uff1d':
			return '='
		case strings.ContainsRune(noise, r):
			return -1
		}
		return r
	}, s)
}
