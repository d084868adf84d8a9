package spf

import (
	"strconv"
	"strings"
	"time"

	"reputed/policy/dns"
)

// expand gives a domain with its macros replaced.
func (e *evaluation) expand(m *macroString) string {
	if m.parts == nil {
		return m.text
	}
	return truncate(m.expand(e))
}

// unspeakable tells that the macros of a domain want the local part, which no name of the DNS can hold: RFC 8616,
// section 4: such a term matches nothing.
func (e *evaluation) unspeakable(m *macroString) bool {
	return m.parts != nil && m.uses("sl") && !isASCII(e.local)
}

// vague tells that the macros of a domain want the address, which [Checker.Reaches] does not know.
func (e *evaluation) vague(m *macroString) bool {
	return m.parts != nil && !e.ip.IsValid() && m.uses("ipvc")
}

// value gives what a macro stands for: RFC 7208, section 7.2. The local part is the mailbox's own, without the quotes
// that it may need in an address.
func (e *evaluation) value(letter byte) string {
	switch letter {
	case 's':
		return e.local + "@" + e.sender
	case 'l':
		return e.local
	case 'o':
		return e.sender
	case 'd':
		return e.domain
	case 'i':
		return dotted(e.ip)
	case 'p':
		return e.validated()
	case 'h':
		return e.helo
	case 'v':
		if e.ip.Is6() {
			return "ip6"
		}
		return "in-addr"
	case 'c':
		return e.ip.String()
	case 'r':
		if e.checker.Receiver != "" {
			return e.checker.Receiver
		}
		return "unknown"
	case 't':
		now := time.Now
		if e.checker.Now != nil {
			now = e.checker.Now
		}
		return strconv.FormatInt(now().Unix(), 10)
	}
	return ""
}

// validated gives the macro p: the name of the address that leads back to it, the nearer to the domain the better.
func (e *evaluation) validated() string {
	names, _ := e.validatedNames()
	best := "unknown"
	for _, n := range names {
		switch {
		case strings.EqualFold(n, e.domain):
			return n
		case within(n, e.domain) && !within(best, e.domain), best == "unknown":
			best = n
		}
	}
	return best
}

// maxExplanation is how much is kept of an explanation, in octets: it ends up in lines that people read.
const maxExplanation = 500

// explain asks for the explanation of a fail: RFC 7208, section 6.2. Without one that is right there is none.
func (e *evaluation) explain() string {
	e.domain, e.node, e.term = e.expDomain, nil, nil
	if e.unspeakable(&e.exp) {
		return ""
	}
	a := e.ask(e.expand(&e.exp), dns.TXT)
	if len(a.Records) != 1 || !isPrintable(a.Records[0].Text) {
		return ""
	}
	m, err := parseMacros(a.Records[0].Text, true)
	if err != nil {
		return ""
	}
	text := m.expand(e)
	if !isPrintable(text) { // the local part and the greeting are the sender's
		return ""
	}
	return text[:min(len(text), maxExplanation)]
}
