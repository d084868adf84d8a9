// Package spf evaluates SPF records: whether a domain allows an address to send its mail, and what must be edited where
// it does not.
//
// [Checker.Check] is check_host() of RFC 7208, section 4. A record is parsed whole before any of it is evaluated, as
// strict receivers do: an error behind the term that matches makes the record void. The [Outcome] says which term
// matched, how it was reached, and what it cost of the limits; on request with a [Trace] of all that was asked.
// [Checker.Reaches] asks the same for a smarthost, which is known by the name to include and not by its addresses.
// [Checker.Survey] tells what a record costs those whom none of its terms matches, and [Checker.Wildcard] what a domain
// would lose by getting one. [Advise] makes the edit from what these found, and asks nothing itself.
//
// # What it never does
//
// It decides nothing, and keeps nothing: what is asked is asked of the resolver each time, which has the cache. Advice
// never proposes +all or ptr.
//
// # Standards
//
// RFC 7208; RFC 8616, section 4, for local parts and domains beyond ASCII. It differs in two things, both because it
// foretells what others will find: where a server failed and RFC 7208, section 5.5 would pass over that (ptr and the
// macro p), what is not a pass is a temperror; and names that only private networks know are not asked for at all.
//
// # Security
//
// Records are strangers' words, and make us ask further questions. Section 4.6.4 bounds them: 10 terms that ask, 2 void
// answers, 10 hosts of an MX or names of a PTR; that is less than 130 questions, and for a smarthost, whose own record
// is looked at for both kinds of address, less than 390. Parser, macros and mends are fuzzed.
// Explanations are printable ASCII; all other texts of records and names are as they came: escape them where shown.
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
	Local  string       // the sender's local part, unquoted, where Domain is given; "": postmaster
	Trace  bool         // keep the whole evaluation: Outcome.Trace
}

// Outcome is what was found.
type Outcome struct {
	Subject     string     // the domain that was asked about, in A-labels
	IP          netip.Addr // the address, never IPv4 in IPv6; zero: of Reaches
	Result      Result
	Domain      string        // whose record decided, at the end of redirects; of errors, whose record is at fault
	Term        string        // the term of Domain's record that matched; "": none did
	Chain       []Step        // the records that led to it, from the first, through redirects and includes
	Lookups     int           // terms that asked the DNS
	Voids       int           // questions that brought nothing
	TTL         time.Duration // the shortest of all answers; 0: nothing was asked, or the answer holds for no time
	Stale       bool          // some answer was older than it should be, for want of a newer one
	Unsure      bool          // of Reaches: terms that may list the smarthost are passed over; no pass is no knowledge
	Owner       string        // where the aliases of Subject end, whose records count; "": Subject is none
	Texts       []string      // of Subject: its SPF records; where there is none, the texts that were meant to be one
	Explanation string        // of Fail, when the domain gives one
	Trace       *Trace        // when the request asks for it
	Err         error         // of TempError and PermError: why

	own *own // of Reaches: what the smarthost's record costs; nil: not known
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
	Random   func() string    // a label that nobody has, for Audit; nil: of crypto/rand
}

// Errors of the outcome.
var (
	ErrLookups  = fmt.Errorf("the record asks for more than %d look-ups", MaxLookups)
	ErrVoids    = fmt.Errorf("more than %d look-ups of the record bring nothing", MaxVoids)
	ErrHosts    = fmt.Errorf("an mx term leads to more than %d hosts", maxHosts)
	ErrSeveral  = errors.New("the domain has several SPF records; only one is allowed")
	ErrNoRecord = errors.New("the record leads to a domain that has none")
	ErrDNS      = errors.New("the DNS did not answer")
	ErrAddress  = errors.New("the address is not known")
)

// Check evaluates the record of the request's domain: check_host() of RFC 7208, section 4. Without a valid address
// nothing is asked, and nothing known: temperror.
func (c *Checker) Check(ctx context.Context, q Request) Outcome {
	e := c.begin(ctx, q)
	if !e.ip.IsValid() {
		e.out.Result, e.out.Err = TempError, ErrAddress
		return e.out
	}
	return e.run()
}

// begin makes ready to evaluate.
func (c *Checker) begin(ctx context.Context, q Request) *evaluation {
	e := &evaluation{checker: c, ctx: ctx, ip: q.IP.Unmap().WithZone(""), helo: q.Helo, local: q.Local, traced: q.Trace}
	domain := q.Domain
	if domain == "" {
		e.local, domain = q.Sender.Local, q.Sender.Domain.String()
		if q.Sender.IsZero() {
			domain = q.Helo
		}
	}
	if e.local == "" { // section 4.3
		e.local = "postmaster"
	}
	domain = strings.TrimSuffix(domain, ".")
	if !isASCII(domain) { // section 4.3: A-labels are asked for
		if d, err := mail.ParseDomain(domain); err == nil {
			domain = d.String()
		}
	}
	e.sender = domain
	e.out.Subject, e.out.IP = domain, e.ip
	return e
}

// run evaluates the record of the subject.
func (e *evaluation) run() Outcome {
	result, err := e.host(e.out.Subject)
	// RFC 7208, section 5.5 passes over failures of ptr; but others may get the answer that we did not, and a name
	// made of it need not be a void one.
	if e.unsure != nil && result != Pass && result != TempError {
		result, err = TempError, e.unsure
	}
	e.out.Result, e.out.Err = result, err
	if result == Fail && e.exp.text != "" {
		e.out.Explanation = e.explain()
	}
	return e.out
}
