package dnsbl

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Severity says how much a code matters to who sends mail. The order is the meaning: the greatest counts. The zero
// value is that of no code at all.
type Severity uint8

const (
	Good  Severity = 1 + iota // speaks for the sender
	Info                      // good to know
	Warn                      // costs reputation
	Block                     // receivers refuse mail for it
)

var severities = []string{"none", "good", "info", "warn", "block"}

func (s Severity) String() string { return word(severities, s) }

// MarshalText writes the word of [Severity.String].
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the word of [Severity.String].
func (s *Severity) UnmarshalText(text []byte) (err error) {
	*s, err = parseWord[Severity](severities, string(text))
	return err
}

// Code is an answer that is a listing, and what it means.
type Code struct {
	Pattern  Pattern  `json:"code"`
	Meaning  string   `json:"meaning"`
	Severity Severity `json:"severity"`
}

// ErrorCode is an answer that is none: the list says why it does not give one.
type ErrorCode struct {
	Pattern Pattern `json:"code"`
	Meaning string  `json:"meaning"`
}

// Pattern is a set of answers: "127.0.0.2", a range in the last octet as in "127.0.4.70-79", a glob as in "127.0.*.1",
// a network as in "127.0.0.0/24", or "bit:4", a bit of the last octet of 127.0.0.0/24. The zero value is no answer.
type Pattern struct {
	text   string
	form   form
	lo, hi [4]byte // the bounds of each octet
	mask   byte    // the bit
}

// form is how a pattern is written. The order is that of matching: what says more goes first.
type form uint8

const (
	exact form = iota
	inRange
	glob
	network
	bit
)

// ErrPattern is what every error of [ParsePattern] is.
var ErrPattern = errors.New("not a code")

// ParsePattern reads a pattern. All of it lies within 127.0.0.0/8: RFC 5782, section 2.1.
func ParsePattern(s string) (Pattern, error) {
	p, err := parsePattern(s)
	if err != nil {
		return Pattern{}, fmt.Errorf("%q is %w: %w", s, ErrPattern, err)
	}
	p.text = s
	return p, nil
}

func parsePattern(s string) (p Pattern, err error) {
	if n, ok := strings.CutPrefix(s, "bit:"); ok {
		return parseBit(n)
	}
	if strings.Contains(s, "/") {
		return parseNetwork(s)
	}
	octets := strings.Split(s, ".")
	if len(octets) != 4 {
		return p, errors.New("want four octets, or \"bit:\" and a power of two")
	}
	for i, o := range octets {
		low, high, isRange := strings.Cut(o, "-")
		switch {
		case o == "*":
			p.lo[i], p.hi[i], p.form = 0, 255, glob
			continue
		case isRange && i < 3:
			return p, errors.New("only the last octet can be a range")
		case isRange:
			p.form = max(p.form, inRange)
		default:
			high = low
		}
		if p.lo[i], err = octet(low); err != nil {
			return p, err
		}
		if p.hi[i], err = octet(high); err != nil {
			return p, err
		}
		if p.lo[i] > p.hi[i] {
			return p, errors.New("the range goes downwards")
		}
	}
	return p, p.loopback()
}

// loopback refuses what no answer of a list can be: RFC 5782, section 2.1.
func (p Pattern) loopback() error {
	if p.lo[0] != 127 || p.hi[0] != 127 {
		return errors.New("answers of lists are in 127.0.0.0/8")
	}
	return nil
}

func octet(s string) (byte, error) {
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil || strconv.FormatUint(n, 10) != s {
		return 0, fmt.Errorf("%q is not an octet", s)
	}
	return byte(n), nil
}

func parseBit(s string) (Pattern, error) {
	n, err := octet(s)
	if err != nil || n == 0 || n&(n-1) != 0 {
		return Pattern{}, fmt.Errorf("%q is not a bit (1, 2, 4, 8, 16, 32, 64 or 128)", s)
	}
	return Pattern{form: bit, lo: [4]byte{127}, hi: [4]byte{127, 0, 0, 255}, mask: n}, nil
}

func parseNetwork(s string) (p Pattern, err error) {
	n, err := netip.ParsePrefix(s)
	if err != nil || !n.Addr().Is4() {
		return p, errors.New("want an IPv4 network")
	}
	if n.Masked() != n {
		return p, fmt.Errorf("bits are set beyond its /%d", n.Bits())
	}
	p.form, p.lo = network, n.Addr().As4()
	for i := range p.hi {
		host := min(8, max(0, 8*(i+1)-n.Bits())) // bits of this octet that are free
		p.hi[i] = p.lo[i] | byte(1<<host-1)
	}
	return p, p.loopback()
}

// String gives the pattern as it was written.
func (p Pattern) String() string { return p.text }

// MarshalText writes [Pattern.String].
func (p Pattern) MarshalText() ([]byte, error) { return []byte(p.text), nil }

// UnmarshalText is [ParsePattern].
func (p *Pattern) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePattern(string(text))
	return err
}

// Matches tells whether an answer is in the set. A glob and a network do not hold 127.0.0.1, which is an error at some
// lists and praise at others: it counts only where it is written.
func (p Pattern) Matches(a netip.Addr) bool {
	if p.text == "" || !a.Is4() {
		return false
	}
	b := a.As4()
	for i := range b {
		if b[i] < p.lo[i] || b[i] > p.hi[i] {
			return false
		}
	}
	switch p.form {
	case bit:
		return b[3]&p.mask != 0
	case glob, network:
		return b != [4]byte{127, 0, 0, 1}
	}
	return true
}

// size counts the answers in the set.
func (p Pattern) size() int {
	n := 1
	for i := range p.lo {
		n *= 1 + int(p.hi[i]) - int(p.lo[i])
	}
	return n
}

// byPrecision puts patterns in the order in which they are tried.
func byPrecision(a, b Pattern) int {
	return cmp.Or(cmp.Compare(a.form, b.form), cmp.Compare(a.size(), b.size()),
		slices.Compare(a.lo[:], b.lo[:]), cmp.Compare(a.mask, b.mask), cmp.Compare(a.text, b.text))
}

// Match is an answer of a list, and the code that it is.
type Match struct {
	Answer netip.Addr `json:"answer"`
	Code
}

// matches gives the codes that an answer is: the first pattern that holds it, or all bits.
func matches(codes []Code, a netip.Addr) []Match {
	var found []Match
	for _, c := range codes {
		if !c.Pattern.Matches(a) {
			continue
		}
		if c.Pattern.form != bit {
			return []Match{{a, c}}
		}
		found = append(found, Match{a, c})
	}
	return found
}

// What no list may mean as a listing: the block that Spamhaus took for its errors, and others after it.
var queryErrors = [...]struct {
	low     byte
	meaning string
}{
	{252, "the question was malformed, or the zone is misspelt"},
	{254, "the question came through a public resolver, or one without reverse DNS"},
	{255, "too many questions, or the resolver is not known to the list"},
}

// isQueryError tells whether an answer is in 127.255.255.0/24, and what it means.
func isQueryError(a netip.Addr) (meaning string, is bool) {
	b := a.As4()
	if b[0] != 127 || b[1] != 255 || b[2] != 255 {
		return "", false
	}
	for _, e := range queryErrors {
		if b[3] == e.low {
			return e.meaning, true
		}
	}
	return "an error of the question or the resolver", true
}
