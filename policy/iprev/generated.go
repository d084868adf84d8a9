package iprev

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// words are parts of names that providers give to lines of customers, and no one to a mail server.
var words = map[string]bool{
	"dyn": true, "dynamic": true, "dynip": true, "dhcp": true, "pool": true, "pools": true, "dip": true,
	"dsl": true, "adsl": true, "vdsl": true, "sdsl": true, "xdsl": true, "ppp": true, "pppoe": true,
	"dial": true, "dialup": true, "dialin": true, "modem": true, "cable": true, "cablemodem": true, "catv": true,
	"cust": true, "customer": true, "customers": true, "broadband": true, "ftth": true, "fttb": true, "fttx": true,
}

// Generated tells why a name of an address looks as if it were made by rule: it has the address in it, or a word that
// stands for a line of a customer. "" when it looks like a name that somebody has given. The domain that the provider
// registered does not count: mail.cable.example may be a name like any other.
func Generated(name string, a netip.Addr) string {
	name = strings.ToLower(name)
	a = a.Unmap()
	if spelt := spelling(name, a); spelt != "" {
		return fmt.Sprintf("it has the address in it (%s)", spelt)
	}
	for label := range strings.SplitSeq(belowRegistered(name), ".") {
		if strings.HasPrefix(label, "xn--") { // its letters are no words
			continue
		}
		for _, word := range strings.FieldsFunc(label, func(c rune) bool { return c < 'a' || c > 'z' }) {
			if words[word] {
				return fmt.Sprintf("it has the word %q in it", word)
			}
		}
	}
	return ""
}

// belowRegistered gives the labels below the domain that somebody has registered. Suffixes under which companies name
// the machines of their customers are no different from other names here.
func belowRegistered(name string) string {
	above := name
	suffix, listed := publicsuffix.PublicSuffix(above)
	for !listed && strings.Contains(suffix, ".") {
		_, above, _ = strings.Cut(suffix, ".")
		suffix, listed = publicsuffix.PublicSuffix(above)
	}
	below := strings.TrimSuffix(strings.TrimSuffix(name, suffix), ".")
	return below[:max(0, strings.LastIndexByte(below, '.'))]
}

// spelling gives the part of a name that spells an address, or nothing.
func spelling(name string, a netip.Addr) string {
	octets := a.AsSlice()
	reversed := slices.Clone(octets)
	slices.Reverse(reversed)
	digits := strings.Map(func(c rune) rune {
		if c == '-' || c == '.' || c == '_' {
			return -1
		}
		return c
	}, name)
	if a.Is4() {
		for _, numbers := range [][]byte{octets, reversed, octets[1:], reversed[:3]} {
			if s := decimal(name, numbers); s != "" {
				return s
			}
		}
		for _, s := range []string{hex.EncodeToString(octets), hex.EncodeToString(reversed)} {
			if strings.Contains(digits, s) {
				return s
			}
		}
		return whole(name, a)
	}
	last := hex.EncodeToString(octets[8:]) // the host within its network
	backwards := []byte(last)
	slices.Reverse(backwards)
	for _, s := range []string{last, string(backwards)} {
		if strings.Contains(digits, s) {
			return s
		}
	}
	return groups(name, a)
}

// decimal finds numbers with one character between them; or all four of an address with zeros before them and nothing
// between.
func decimal(name string, numbers []byte) string {
	var padded strings.Builder
	for _, n := range numbers {
		fmt.Fprintf(&padded, "%03d", n)
	}
	if len(numbers) == 4 && strings.Contains(name, padded.String()) {
		return padded.String()
	}
	for at := range name {
		if at > 0 && isDigit(name[at-1]) { // in the middle of a number
			continue
		}
		if n := spells(name[at:], numbers); n > 0 {
			return name[at : at+n]
		}
	}
	return ""
}

// spells tells how long the numbers at the beginning of a text are, if they are these.
func spells(text string, numbers []byte) int {
	at := 0
	for i, want := range numbers {
		if i > 0 {
			if at >= len(text) || isDigit(text[at]) {
				return 0
			}
			at++
		}
		end := at
		for end < len(text) && isDigit(text[end]) {
			end++
		}
		if n, err := strconv.ParseUint(text[at:end], 10, 8); err != nil || byte(n) != want {
			return 0
		}
		at = end
	}
	return at
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// whole finds an IPv4 address as one number, or its octets with nothing between them, where these are long enough not
// to be there by chance.
func whole(name string, a netip.Addr) string {
	b := a.As4()
	number := strconv.FormatUint(uint64(b[0])<<24|uint64(b[1])<<16|uint64(b[2])<<8|uint64(b[3]), 10)
	joined := strings.ReplaceAll(a.String(), ".", "")
	for _, run := range strings.FieldsFunc(name, func(c rune) bool { return c < '0' || c > '9' }) {
		if len(run) >= 8 && (run == number || run == joined) {
			return run
		}
	}
	return ""
}

// groups finds an IPv6 address with something else than colons between its groups, short or in full.
func groups(name string, a netip.Addr) string {
	for _, text := range []string{a.String(), a.StringExpanded()} {
		for _, between := range []string{"-", "."} {
			if s := strings.ReplaceAll(text, ":", between); len(s) >= 8 && strings.Contains(name, s) {
				return s
			}
		}
	}
	full := strings.Split(a.StringExpanded(), ":")
	for i := range full {
		if full[i] = strings.TrimLeft(full[i], "0"); full[i] == "" {
			full[i] = "0"
		}
	}
	if s := strings.Join(full, "-"); strings.Contains(name, s) {
		return s
	}
	return ""
}
