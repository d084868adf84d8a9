// Package dns asks name servers, and keeps what they say apart: that there is something, that there is nothing of that
// kind, that there is no such name, and that they could not be asked. Only the last is no knowledge.
//
// [Client] asks: a stub resolver, which needs recursive servers. It tries them in order, goes on to the next when one
// fails or is slow, and asks again over TCP when an answer does not fit.
//
// [Cache] remembers what a client says, and how long it holds. It keeps answers beyond their time for when the servers
// fail, so that a black-out of the DNS neither stops mail nor slows it.
//
// [Authority] finds the servers of the zone that holds a name, and asks each of them: what a cache says is not yet what
// the world will see. [Update] changes what the primary of a zone publishes.
//
// # What it never does
//
// It does not search: names are asked for as they are given. It does not validate signatures: have a validating
// resolver on this host, whose word for it is passed on. Records that do not belong to the question are not looked at,
// nor kept. It changes nothing but TXT records, and those only when they are as the caller expects.
//
// # Standards
//
// RFC 1035, RFC 2136 (updates), RFC 2181 (TTL), RFC 2308 (negative answers), RFC 4034 (DS), RFC 5452 (what makes
// answers hard to forge), RFC 6604 (aliases and what they lead to), RFC 6672 (DNAME, by the aliases made of it), RFC
// 6698 (TLSA), RFC 6840 (the AD bit), RFC 6891 (EDNS), RFC 7766 (TCP), RFC 8767 (stale answers), RFC 8945 (TSIG), RFC
// 9520 (failures are kept).
//
// # Security
//
// Answers come from strangers. Texts and names of answers are not escaped: escape them where they are shown. Each query
// has a port and an id of its own; replies that do not fit it are counted and passed over, so that who guesses
// can neither answer nor make the question fail; after ten of them the question goes on over TCP, where there is nothing
// to guess. A message of more than 512 records is not read, for it may take megabytes. Reading one is fuzzed. A [Secret]
// prints as "{secret}", whatever prints it.
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
	NS   Type = 2
	SOA  Type = 6
	PTR  Type = 12
	MX   Type = 15
	TXT  Type = 16
	AAAA Type = 28
	DS   Type = 43
	TLSA Type = 52
)

func (t Type) String() string {
	switch t {
	case A:
		return "A"
	case NS:
		return "NS"
	case SOA:
		return "SOA"
	case PTR:
		return "PTR"
	case MX:
		return "MX"
	case TXT:
		return "TXT"
	case AAAA:
		return "AAAA"
	case DS:
		return "DS"
	case TLSA:
		return "TLSA"
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
//
// A name is lower case, without the final dot; "" is the root, which is the host of a null MX (RFC 7505). A dot inside
// a label reads `\.`; all other octets are as they are.
type Record struct {
	Addr netip.Addr // A and AAAA; an AAAA record of an IPv4-mapped address stays one
	Name string     // MX: the host; NS, PTR: the name
	Pref uint16     // MX
	Text string     // TXT: the strings joined, octets as they are
	SOA  *Start     // SOA
	DS   *Delegate  // DS
	TLSA *Pin       // TLSA
}

// Start is a start of authority, which every zone has at its apex.
type Start struct {
	Zone    string        // whose
	Primary string        // the server that updates go to
	Serial  uint32        // grows with each change of the zone
	TTL     time.Duration // of this record
	Minimum time.Duration
}

// Delegate is a delegation signer: a key by which the zone above vouches for the one that begins at the name (RFC 4034,
// section 5).
type Delegate struct {
	KeyTag     uint16
	Algorithm  uint8
	DigestType uint8
	Digest     []byte
}

// Pin says by which certificates or keys a server of TLS may be known: RFC 6698, section 2.
type Pin struct {
	Usage    uint8
	Selector uint8
	Matching uint8
	Data     []byte
}

// Negative is how long others may remember that the zone has nothing at a name: RFC 2308, section 5.
func (s *Start) Negative() time.Duration { return min(s.TTL, s.Minimum) }

// Answer is what a question brought.
//
// Secure is the AD bit (RFC 4035, section 3.2.3) of every message that the answer is made of. It is no more than a
// word of the resolver's, which anybody on the way can write: it is worth something only where the resolver is on this
// host, or the way to it is as safe. Without it nothing is said: the zone may be unsigned, or the resolver may not
// validate. A failure, an answer that is Stale, and one of a zone's own server are never Secure.
type Answer struct {
	Status  Status
	Records []Record      // when Found, in the order of the answer; shared, so not to be changed
	Name    string        // who has the records, or lacks them: the name asked for, or where its aliases end; "": Failed
	TTL     time.Duration // how long the answer holds; of a negative one, as RFC 2308 has it
	Stale   bool          // kept beyond its time, because the servers do not answer (RFC 8767)
	Secure  bool          // the resolver says that it has validated all of it: see below
	Err     error         // when Failed: why; at least one of the errors below is in it
}

// What Answer.Err comes to, by errors.Is.
var (
	ErrTimeout   = errors.New("no answer in time")
	ErrServFail  = errors.New("the server failed") // SERVFAIL, or another code that says nothing about the name
	ErrRefused   = errors.New("the server refused")
	ErrMalformed = errors.New("not a proper answer")
	ErrNetwork   = errors.New("the server cannot be reached")
	ErrName      = errors.New("not a name that the DNS can hold")
	ErrLame      = errors.New("it is named as a server of the zone, and is none") // of an [Authority]
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
