// Package dns asks name servers, and keeps what they say apart: that there is something, that there is nothing of that
// kind, that there is no such name, and that they could not be asked. Only the last is no knowledge.
//
// # Standards
//
// RFC 1035, RFC 2308 (negative answers), RFC 6604 (aliases and what they lead to).
//
// # Security
//
// Answers come from strangers. Texts and names of answers are not escaped: escape them where they are shown.
package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Type is what is asked for.
type Type uint16

const (
	A    Type = 1
	PTR  Type = 12
	MX   Type = 15
	TXT  Type = 16
	AAAA Type = 28
)

func (t Type) String() string {
	switch t {
	case A:
		return "A"
	case PTR:
		return "PTR"
	case MX:
		return "MX"
	case TXT:
		return "TXT"
	case AAAA:
		return "AAAA"
	}
	return fmt.Sprintf("TYPE%d", uint16(t))
}

// Status is what became of a question.
type Status uint8

const (
	Failed   Status = iota // nothing is known: no answer, or one that says that the server cannot tell
	Found                  // there are records
	NoData                 // the name exists, and has no records of that type
	NXDomain               // the name does not exist
)

var statuses = [...]string{"failed", "found", "nodata", "nxdomain"}

func (s Status) String() string { return statuses[s] }

// Void tells an answer that knows of nothing: RFC 7208, section 4.6.4.
func (s Status) Void() bool { return s == NoData || s == NXDomain }

// Record is one record of an answer. Which fields are set depends on the type asked for.
type Record struct {
	Addr netip.Addr // A and AAAA
	Name string     // MX: the host; PTR: the name; without the final dot
	Pref uint16     // MX
	Text string     // TXT: the strings joined, octets as they are
}

// Answer is what a question brought.
type Answer struct {
	Status  Status
	Records []Record      // when Found, in the order of the answer
	TTL     time.Duration // how long the answer holds; of a negative one, as RFC 2308 has it
	Stale   bool          // kept beyond its time, because the servers do not answer (RFC 8767)
	Err     error         // when Failed: why; one of the errors below is in it
}

// What Answer.Err comes to, by errors.Is.
var (
	ErrTimeout   = errors.New("no answer in time")
	ErrServFail  = errors.New("the server failed") // SERVFAIL, or another code that says nothing about the name
	ErrRefused   = errors.New("the server refused")
	ErrMalformed = errors.New("not a proper answer")
	ErrNetwork   = errors.New("the server cannot be reached")
)

// Resolver answers questions. The name has no final dot, and its labels may hold any octet but the dot.
type Resolver interface {
	Resolve(ctx context.Context, name string, t Type) Answer
}

// ResolverFunc is a function that is a [Resolver].
type ResolverFunc func(ctx context.Context, name string, t Type) Answer

// Resolve calls f.
func (f ResolverFunc) Resolve(ctx context.Context, name string, t Type) Answer {
	return f(ctx, name, t)
}
