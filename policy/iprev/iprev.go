// Package iprev tells whether the names of an address lead back to it, and what a name to greet with is worth.
//
// [Look] asks for the names of an address, and for the addresses of each name: forward-confirmed reverse DNS. [Ask]
// finds the addresses of a name. [FlawOf] and [Generated] look at a name by itself: whether a host can greet the world
// with it, and whether it seems to be made from the address, as providers do for customers that are not expected to
// send mail.
//
// # What it never does
//
// It decides nothing: whether a name that looks generated is bad, the caller says. It follows at most [MaxNames] names
// of an address, and asks nothing but the resolver.
//
// # Standards
//
// RFC 8601, sections 2.7.3 and 3 (policy iprev), RFC 1912, section 2.1 (every address has a name, and the two match),
// RFC 5321, sections 2.3.5 and 4.1.1.1 (the name in EHLO), RFC 1035, section 3.5, and RFC 3596, section 2.5 (names of
// addresses), RFC 7208, section 5.5 (no more than ten names).
//
// # Security
//
// Names come from whoever holds the reverse zone, and may hold any octet: escape them where they are shown. No answer
// makes for more than 1 + [MaxNames] questions.
package iprev

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"reputed/policy/dns"
	"reputed/policy/parallel"
)

// Status is what the test of an address comes to: RFC 8601, section 2.7.3.
type Status string

const (
	Pass      Status = "pass"      // a name of the address leads back to it
	Fail      Status = "fail"      // it has names, and none leads back
	TempError Status = "temperror" // it could not be found out
	PermError Status = "permerror" // it has no name
)

// MaxNames is how many names of an address are followed. RFC 7208, section 5.5: receivers follow no more.
const MaxNames = 10

// Result is what is known of the names of an address.
type Result struct {
	Addr   netip.Addr
	Status Status
	Answer dns.Answer // to PTR of [ReverseName]
	Names  []Name     // in alphabetical order
	Unread int        // names beyond MaxNames
}

// Name is one name of an address.
type Name struct {
	Name      string
	Answer    dns.Answer // to A or AAAA of the name, as the address is
	Confirmed bool       // the address is among the answers
}

// Confirmed gives the names that lead back to the address.
func (r *Result) Confirmed() (names []string) {
	for _, n := range r.Names {
		if n.Confirmed {
			names = append(names, n.Name)
		}
	}
	return names
}

// ReverseName gives the name at which the names of an address are: RFC 1035, section 3.5; RFC 3596, section 2.5.
func ReverseName(a netip.Addr) string {
	a = a.Unmap()
	var b strings.Builder
	octets := a.AsSlice()
	slices.Reverse(octets)
	if a.Is4() {
		b.WriteString(netip.AddrFrom4([4]byte(octets)).String())
		return b.String() + ".in-addr.arpa"
	}
	const hex = "0123456789abcdef"
	for _, o := range octets {
		b.Write([]byte{hex[o&15], '.', hex[o>>4], '.'})
	}
	return b.String() + "ip6.arpa"
}

// Look asks for the names of an address, and where they lead. It ends when ctx does: what is not known by then is
// TempError.
func Look(ctx context.Context, resolver dns.Resolver, a netip.Addr) Result {
	a = a.Unmap()
	r := Result{Addr: a, Answer: resolver.Resolve(ctx, ReverseName(a), dns.PTR)}
	if r.Answer.Status == dns.Found {
		names := namesOf(r.Answer.Records)
		r.Unread = max(0, len(names)-MaxNames)
		r.Names = make([]Name, len(names)-r.Unread)
		parallel.Each(len(r.Names), func(i int) {
			r.Names[i].Name = names[i]
			r.Names[i].follow(ctx, resolver, a)
		})
	}
	r.Status = r.judge()
	return r
}

// namesOf gives the names of records, each once. Servers turn their order with every answer.
func namesOf(records []dns.Record) (names []string) {
	for _, record := range records {
		names = append(names, record.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// follow asks where a name leads.
func (n *Name) follow(ctx context.Context, resolver dns.Resolver, a netip.Addr) {
	t := dns.A
	if a.Is6() {
		t = dns.AAAA
	}
	n.Answer = resolver.Resolve(ctx, n.Name, t)
	n.Confirmed = holds(n.Answer, a) == Yes
}

// judge says what the answers come to. What is not known of one name is not known of the address, unless another leads
// back.
func (r *Result) judge() Status {
	switch {
	case len(r.Confirmed()) > 0:
		return Pass
	case r.Answer.Status == dns.Failed || r.Answer.Stale || r.Unread > 0:
		return TempError
	case r.Answer.Status.Void():
		return PermError
	}
	for _, n := range r.Names {
		if holds(n.Answer, r.Addr) == Unknown {
			return TempError
		}
	}
	return Fail
}

// Held says whether something is among the answers.
type Held uint8

const (
	Unknown Held = iota // the servers failed, or only an old answer is at hand (RFC 8767)
	No
	Yes
)

// holds tells whether an address is in an answer. Of an answer kept beyond its time only the good counts: what is
// missing there may have been added since.
func holds(answer dns.Answer, a netip.Addr) Held {
	switch {
	case slices.ContainsFunc(answer.Records, func(r dns.Record) bool { return r.Addr == a }):
		return Yes
	case errors.Is(answer.Err, dns.ErrName): // who has a name that the DNS cannot hold has none
		return No
	case answer.Status == dns.Failed || answer.Stale:
		return Unknown
	}
	return No
}
