package spf

import (
	"fmt"
	"strings"

	"reputed/policy/dns"
)

// failure tells that a question had no answer.
func failure(t dns.Type, name string, a dns.Answer) error {
	if a.Err == nil {
		return fmt.Errorf("%w: %v of %s", ErrDNS, t, name)
	}
	return fmt.Errorf("%w: %v of %s: %w", ErrDNS, t, name, a.Err)
}

// ask asks, and keeps the shortest time that an answer holds.
func (e *evaluation) ask(name string, t dns.Type) dns.Answer {
	name = strings.TrimSuffix(name, ".")
	if !fitsDNS(name) || isPrivateName(name) {
		a := dns.Answer{Status: dns.NXDomain} // such a name cannot exist, or not for those who get the mail
		e.note(name, t, a)
		return a
	}
	// A resolver may answer from memory and never look at the context; but a fail that comes of not asking is none.
	if err := e.ctx.Err(); err != nil {
		return dns.Answer{Err: err}
	}
	if e.whole && e.asked >= surveyQuestions {
		return dns.Answer{Err: errSurvey}
	}
	e.asked++
	a := e.checker.Resolver.Resolve(e.ctx, name, t)
	if a.Status != dns.Failed && (e.asked == 1 || a.TTL < e.out.TTL) {
		e.out.TTL = a.TTL
	}
	e.out.Stale = e.out.Stale || a.Stale
	e.note(name, t, a)
	return a
}

// family is the type of the records that hold addresses like the one that is checked.
func (e *evaluation) family() dns.Type {
	if e.ip.Is6() || e.six {
		return dns.AAAA
	}
	return dns.A
}

// spend counts a term that asks: RFC 7208, section 4.6.4.
func (e *evaluation) spend() error {
	if e.out.Lookups++; e.out.Lookups > MaxLookups && !e.whole {
		return ErrLookups
	}
	return nil
}

// void counts an answer that brings nothing: RFC 7208, section 4.6.4. Those for the hosts of an mx count like others,
// as receivers do it: an mx of three hosts without IPv6 is an error to an IPv6 address.
func (e *evaluation) void(a dns.Answer) error {
	if a.Status.Void() {
		if e.out.Voids++; e.out.Voids > MaxVoids && !e.whole {
			return ErrVoids
		}
	}
	return nil
}

// validatedNames gives the names of the address that lead back to it, and what was answered to the question for its
// names. They are asked for once, however many terms and macros want them.
func (e *evaluation) validatedNames() ([]string, dns.Answer) {
	if e.names != nil {
		return *e.names, dns.Answer{Status: dns.Found}
	}
	good := []string{}
	a := e.ask(reverseName(e.ip), dns.PTR)
	e.doubt(a)
	for i, r := range a.Records {
		if i == maxHosts { // section 4.6.4: further names are ignored
			break
		}
		back := e.ask(r.Name, e.family())
		e.doubt(back)
		for _, host := range back.Records {
			if host.Addr.Unmap() == e.ip {
				good = append(good, r.Name)
				break
			}
		}
	}
	e.names = &good
	return good, a
}

// doubt keeps why the names of the address may not be all.
func (e *evaluation) doubt(a dns.Answer) {
	if a.Status == dns.Failed && e.unsure == nil {
		e.unsure = fmt.Errorf("%w: the names of %v", ErrDNS, e.ip)
		if a.Err != nil {
			e.unsure = fmt.Errorf("%w: %w", e.unsure, a.Err)
		}
	}
}
