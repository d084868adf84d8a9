// Package spf evaluates SPF records: whether a domain allows an address to send its mail.
//
// [Checker.Check] is check_host() of RFC 7208, section 4. A record is parsed whole before any of it is evaluated, as
// strict receivers do: an error behind the term that matches makes the record void. The [Outcome] says which term
// matched, how it was reached, and what it cost of the limits.
//
// # What it never does
//
// It decides nothing, and keeps nothing: what is asked is asked of the resolver each time, which has the cache.
//
// # Standards
//
// RFC 7208.
//
// # Security
//
// Records are strangers' words, and make us ask further questions. Section 4.6.4 bounds them: 10 terms that ask, 2 void
// answers, 10 hosts of an MX or names of a PTR. Parser and macros are fuzzed; explanations are not escaped.
package spf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"reputed/policy/dns"
	"reputed/policy/mail"
)

// Result is what the check comes to: RFC 7208, section 2.6.
type Result string

const (
	None      Result = "none"      // there is no record, or no domain
	Neutral   Result = "neutral"   // the domain says nothing about the address
	Pass      Result = "pass"      // the domain allows the address
	Fail      Result = "fail"      // the domain forbids it
	SoftFail  Result = "softfail"  // the domain would rather not have it
	TempError Result = "temperror" // the DNS did not answer: ask again later
	PermError Result = "permerror" // the record is wrong
)

// Limits of RFC 7208, section 4.6.4.
const (
	MaxLookups = 10 // terms that ask the DNS
	MaxVoids   = 2  // questions that bring nothing
	maxHosts   = 10 // hosts of an MX, names of a PTR
)

// Request is what is to be checked.
type Request struct {
	IP     netip.Addr
	Helo   string       // as the host greets
	Sender mail.Address // zero: the null sender, for which postmaster@Helo stands (section 2.4)
	Domain string       // whose record; "": that of the sender, or of Helo for the null sender
	Local  string       // the sender's local part, where Domain is given; "": postmaster
}

// Outcome is what was found.
type Outcome struct {
	Result      Result
	Domain      string        // whose record decided, at the end of includes and redirects
	Term        string        // the term that matched; "": none did
	Chain       []Step        // the records that led to it, from the first
	Lookups     int           // terms that asked the DNS
	Voids       int           // questions that brought nothing
	TTL         time.Duration // the shortest of all answers; 0: nothing was asked
	Explanation string        // of Fail, when the domain gives one
	Err         error         // of TempError and PermError: why
}

// Step is a record on the way to the decision.
type Step struct {
	Domain string
	Term   string // of this record, that led to the next one or matched
}

// Checker evaluates. The zero value of all but Resolver is right.
type Checker struct {
	Resolver dns.Resolver
	Receiver string           // the macro r of explanations; "": unknown
	Now      func() time.Time // the macro t of explanations; nil: time.Now
}

// Check evaluates the record of the request's domain: check_host() of RFC 7208, section 4.
func (c *Checker) Check(ctx context.Context, q Request) Outcome {
	e := &evaluation{checker: c, ctx: ctx, ip: q.IP.Unmap().WithZone(""), helo: q.Helo}
	domain := q.Domain
	e.local = q.Local
	if domain == "" {
		e.local, domain = q.Sender.Local, q.Sender.Domain.String()
		if q.Sender.IsZero() {
			domain = strings.TrimSuffix(q.Helo, ".")
		}
	}
	if e.local == "" { // section 4.3
		e.local = "postmaster"
	}
	e.senderDomain = domain
	result, err := e.host(domain)
	e.out.Result, e.out.Err = result, err
	if result == Fail && e.exp != nil {
		e.out.Explanation = e.explain()
	}
	return e.out
}

// evaluation is one run of check_host().
type evaluation struct {
	checker      *Checker
	ctx          context.Context
	ip           netip.Addr
	helo         string
	local        string
	senderDomain string

	out       Outcome
	depth     int
	domain    string       // whose record is evaluated now
	exp       *macroString // of the record that decided
	expDomain string
}

// Errors of the outcome.
var (
	ErrLookups  = fmt.Errorf("the record asks for more than %d look-ups", MaxLookups)
	ErrVoids    = fmt.Errorf("more than %d look-ups of the record bring nothing", MaxVoids)
	ErrHosts    = fmt.Errorf("an mx term leads to more than %d hosts", maxHosts)
	ErrSeveral  = errors.New("the domain has several SPF records; only one is allowed")
	ErrNoRecord = errors.New("the record leads to a domain that has none")
	ErrDNS      = errors.New("the DNS did not answer")
)

// host evaluates the record of a domain.
func (e *evaluation) host(domain string) (Result, error) {
	domain = strings.TrimSuffix(domain, ".")
	if !isHostName(domain) { // section 4.3
		return None, nil
	}
	record, result, err := e.record(domain)
	if record == nil {
		return result, err
	}
	outer := e.domain
	e.domain = domain
	defer func() { e.domain = outer }()
	at := len(e.out.Chain)
	e.out.Chain = append(e.out.Chain, Step{Domain: domain})
	for i := range record.Mechanisms {
		m := &record.Mechanisms[i]
		e.out.Chain = append(e.out.Chain[:at], Step{domain, m.Text})
		matched, result, err := e.match(m)
		if err != nil {
			return result, err
		}
		if matched {
			if e.depth == 0 {
				e.exp, e.expDomain = record.Exp, domain
				e.out.Domain, e.out.Term = domain, m.Text
			}
			return m.Qualifier.result(), nil
		}
	}
	if record.Redirect == nil {
		e.out.Chain = e.out.Chain[:at+1]
		e.out.Chain[at].Term = ""
		if e.depth == 0 {
			e.out.Domain = domain
		}
		return Neutral, nil // section 4.7
	}
	e.out.Chain = append(e.out.Chain[:at], Step{domain, "redirect=" + record.Redirect.text})
	return e.redirect(record.Redirect)
}

// redirect evaluates the record of another domain in the place of this one: RFC 7208, section 6.1.
func (e *evaluation) redirect(to *macroString) (Result, error) {
	if err := e.spend(); err != nil {
		return PermError, err
	}
	target := e.expand(to)
	result, err := e.host(target)
	if result == None {
		return PermError, fmt.Errorf("%w: redirect=%s", ErrNoRecord, target)
	}
	return result, err
}

// record asks for the record of a domain. Without one, it gives what that comes to.
func (e *evaluation) record(domain string) (*Record, Result, error) {
	a := e.ask(domain, dns.TXT)
	switch a.Status {
	case dns.Failed:
		return nil, TempError, fmt.Errorf("%w: TXT of %s: %w", ErrDNS, domain, a.Err)
	case dns.NoData, dns.NXDomain:
		return nil, None, nil
	}
	var text string
	n := 0
	for _, r := range a.Records {
		if IsRecord(r.Text) {
			text = r.Text
			n++
		}
	}
	switch n {
	case 0:
		return nil, None, nil
	case 1:
		r, err := Parse(text)
		if err != nil {
			return nil, PermError, fmt.Errorf("%s: %w", domain, err)
		}
		return r, "", nil
	}
	return nil, PermError, fmt.Errorf("%s: %w", domain, ErrSeveral) // section 4.5
}

// match evaluates a mechanism. An error comes with the result that it makes of the whole.
func (e *evaluation) match(m *Mechanism) (bool, Result, error) {
	switch m.Kind {
	case All:
		return true, "", nil
	case IP4, IP6:
		return m.Prefix.Contains(e.ip), "", nil
	}
	if err := e.spend(); err != nil {
		return false, PermError, err
	}
	target := e.domain
	if m.Domain != nil {
		target = e.expand(m.Domain)
	}
	switch m.Kind {
	case Include:
		return e.include(target)
	case A:
		return e.addresses(target, m)
	case MX:
		return e.mx(target, m)
	case PTR:
		return e.ptr(target), "", nil
	}
	return e.exists(target)
}

// include asks another record: RFC 7208, section 5.2.
func (e *evaluation) include(target string) (bool, Result, error) {
	e.depth++
	result, err := e.host(target)
	e.depth--
	switch result {
	case Pass:
		return true, "", nil
	case None:
		return false, PermError, fmt.Errorf("%w: include:%s", ErrNoRecord, target)
	case TempError, PermError:
		return false, result, err
	}
	return false, "", nil
}

// addresses compares with the addresses of a host: RFC 7208, section 5.3.
func (e *evaluation) addresses(host string, m *Mechanism) (bool, Result, error) {
	t, n := dns.A, m.Bits4
	if e.ip.Is6() {
		t, n = dns.AAAA, m.Bits6
	}
	a := e.ask(host, t)
	if a.Status == dns.Failed {
		return false, TempError, fmt.Errorf("%w: %v of %s: %w", ErrDNS, t, host, a.Err)
	}
	if err := e.void(a); err != nil {
		return false, PermError, err
	}
	for _, r := range a.Records {
		if p, err := r.Addr.Prefix(n); err == nil && p.Contains(e.ip) {
			return true, "", nil
		}
	}
	return false, "", nil
}

// mx compares with the addresses of the hosts that take mail for a domain: RFC 7208, section 5.4.
func (e *evaluation) mx(domain string, m *Mechanism) (bool, Result, error) {
	a := e.ask(domain, dns.MX)
	if a.Status == dns.Failed {
		return false, TempError, fmt.Errorf("%w: MX of %s: %w", ErrDNS, domain, a.Err)
	}
	if err := e.void(a); err != nil {
		return false, PermError, err
	}
	if len(a.Records) > maxHosts {
		return false, PermError, fmt.Errorf("%s: %w", domain, ErrHosts)
	}
	for _, r := range a.Records {
		if matched, result, err := e.addresses(r.Name, m); matched || err != nil {
			return matched, result, err
		}
	}
	return false, "", nil
}

// ptr compares with the names of the address that lead back to it: RFC 7208, section 5.5. What goes wrong is no match.
func (e *evaluation) ptr(target string) bool {
	for _, name := range e.names() {
		if within(name, target) {
			return true
		}
	}
	return false
}

// names gives the names of the address that lead back to it.
func (e *evaluation) names() []string {
	a := e.ask(reverseName(e.ip), dns.PTR)
	t := dns.A
	if e.ip.Is6() {
		t = dns.AAAA
	}
	var good []string
	for i, r := range a.Records {
		if i == maxHosts { // section 4.6.4: further names are ignored
			break
		}
		for _, host := range e.ask(r.Name, t).Records {
			if host.Addr == e.ip {
				good = append(good, r.Name)
				break
			}
		}
	}
	return good
}

// exists asks whether a name has an address, whatever it is: RFC 7208, section 5.7.
func (e *evaluation) exists(name string) (bool, Result, error) {
	a := e.ask(name, dns.A)
	if a.Status == dns.Failed {
		return false, TempError, fmt.Errorf("%w: A of %s: %w", ErrDNS, name, a.Err)
	}
	if err := e.void(a); err != nil {
		return false, PermError, err
	}
	return a.Status == dns.Found, "", nil
}

// ask asks, and keeps the shortest time that an answer holds.
func (e *evaluation) ask(name string, t dns.Type) dns.Answer {
	name = strings.TrimSuffix(name, ".")
	if !fitsDNS(name) {
		return dns.Answer{Status: dns.NXDomain} // such a name cannot exist
	}
	a := e.checker.Resolver.Resolve(e.ctx, name, t)
	if a.Status != dns.Failed && (e.out.TTL == 0 || a.TTL < e.out.TTL) {
		e.out.TTL = a.TTL
	}
	return a
}

// spend counts a term that asks: RFC 7208, section 4.6.4.
func (e *evaluation) spend() error {
	if e.out.Lookups++; e.out.Lookups > MaxLookups {
		return ErrLookups
	}
	return nil
}

// void counts an answer that brings nothing.
func (e *evaluation) void(a dns.Answer) error {
	if a.Status.Void() {
		if e.out.Voids++; e.out.Voids > MaxVoids {
			return ErrVoids
		}
	}
	return nil
}

// expand gives a domain with its macros replaced.
func (e *evaluation) expand(m *macroString) string { return truncate(m.expand(e.value)) }

// value gives what a macro stands for: RFC 7208, section 7.2.
func (e *evaluation) value(letter byte) string {
	switch letter {
	case 's':
		return e.local + "@" + e.senderDomain
	case 'l':
		return e.local
	case 'o':
		return e.senderDomain
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
		return fmt.Sprint(now().Unix())
	}
	return ""
}

// validated gives the macro p: the name of the address that leads back to it, the nearer to the domain the better.
func (e *evaluation) validated() string {
	names := e.names()
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

// explain asks for the explanation of a fail: RFC 7208, section 6.2. Without one that is right there is none.
func (e *evaluation) explain() string {
	e.domain = e.expDomain
	a := e.ask(e.expand(e.exp), dns.TXT)
	if len(a.Records) != 1 {
		return ""
	}
	text := a.Records[0].Text
	for i := range len(text) {
		if text[i] >= 0x80 {
			return ""
		}
	}
	m, err := parseMacros(text, true)
	if err != nil {
		return ""
	}
	return m.expand(e.value)
}
