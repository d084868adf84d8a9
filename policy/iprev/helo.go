package iprev

import (
	"context"
	"net/netip"
	"strings"

	"golang.org/x/net/publicsuffix"

	"reputed/policy/dns"
	"reputed/policy/mail"
	"reputed/policy/parallel"
)

// Flaw is what is wrong with a name to greet with, before the DNS is asked: RFC 5321, section 4.1.1.1.
type Flaw string

const (
	Literal  Flaw = "literal"   // an address; for hosts that have no name
	Local    Flaw = "localhost" // every host's name for itself
	Short    Flaw = "short"     // one label: not fully qualified (RFC 5321, section 2.3.5)
	Private  Flaw = "private"   // the DNS of those who get mail has not, nor will have, such names
	Invalid  Flaw = "invalid"   // host names have letters, digits and hyphens (RFC 1123, section 2.1)
	NoSuffix Flaw = "suffix"    // below no public suffix that is known here
)

// FlawOf gives the worst flaw of a name, in any case and without the final dot; "" when there is none.
func FlawOf(name string) Flaw {
	name = strings.ToLower(name)
	switch last := name[strings.LastIndexByte(name, '.')+1:]; {
	case isAddress(name):
		return Literal
	case last == "localhost" || last == "localdomain":
		return Local
	case last == name:
		return Short
	case mail.PrivateName(name):
		return Private
	case !hostName(name) || strings.Trim(last, "0123456789") == "":
		return Invalid
	}
	if suffix, listed := publicsuffix.PublicSuffix(name); !listed && !strings.Contains(suffix, ".") {
		return NoSuffix
	}
	return ""
}

// isAddress tells an address, also in brackets as RFC 5321, section 4.1.3, has it.
func isAddress(name string) bool {
	if inner, ok := strings.CutPrefix(name, "["); ok {
		name = strings.TrimPrefix(strings.TrimSuffix(inner, "]"), "ipv6:")
	}
	_, err := netip.ParseAddr(name)
	return err == nil
}

// hostName tells whether all labels are those of host names.
func hostName(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || strings.Trim(label, "-") != label {
			return false
		}
		for i := range len(label) {
			if c := label[i]; c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
				return false
			}
		}
	}
	return true
}

// Forward is what the DNS says of the addresses of a name.
type Forward struct {
	Name    string
	A, AAAA dns.Answer
}

// Ask asks for the addresses of a name. It ends when ctx does.
func Ask(ctx context.Context, resolver dns.Resolver, name string) Forward {
	f := Forward{Name: name}
	parallel.Do(
		func() { f.A = resolver.Resolve(ctx, name, dns.A) },
		func() { f.AAAA = resolver.Resolve(ctx, name, dns.AAAA) },
	)
	return f
}

// Holds tells whether an address is one of the name.
func (f *Forward) Holds(a netip.Addr) Held {
	if a = a.Unmap(); a.Is4() {
		return holds(f.A, a)
	}
	return holds(f.AAAA, a)
}

// Addrs gives all addresses, as far as they are known.
func (f *Forward) Addrs() (all []netip.Addr) {
	for _, answer := range []dns.Answer{f.A, f.AAAA} {
		for _, record := range answer.Records {
			all = append(all, record.Addr)
		}
	}
	return all
}

// Any tells whether the name has any address.
func (f *Forward) Any() Held {
	switch {
	case len(f.Addrs()) > 0:
		return Yes
	case holds(f.A, netip.Addr{}) == Unknown || holds(f.AAAA, netip.Addr{}) == Unknown:
		return Unknown
	}
	return No
}
