package status

import (
	"strings"

	"reputed/policy/dnsbl"
)

// Blame says where it is told why nothing is known of something at a list. What one thing explains for many is told
// once, there.
type Blame uint8

const (
	BlameNothing  Blame = iota // it is known; or the reason is its own
	BlameList                  // the list is not believed: see [Report.Lists]
	BlameResolver              // nobody is heard, or not as they should be: see [Report.Resolver]
)

// Blame tells what is to blame for a listing. One answer that waits for a second is its own business.
func (r *Report) Blame(l *Listing) Blame {
	if l.State == dnsbl.Clear || l.State == dnsbl.Listed || l.Pending {
		return BlameNothing
	}
	for i := range r.Lists {
		of := &r.Lists[i]
		switch {
		case of.ID != l.List || of.Health == dnsbl.Healthy:
		case r.BlameFor(of) == BlameResolver:
			return BlameResolver
		default:
			return BlameList
		}
	}
	if r.Resolver.explains(l.State, l.Reason) {
		return BlameResolver
	}
	return BlameNothing
}

// BlameFor tells what is to blame for a list that is not healthy: the resolver or, as it seems, only itself.
func (r *Report) BlameFor(l *List) Blame {
	state := dnsbl.Unknown
	switch l.Health {
	case dnsbl.Healthy:
		return BlameNothing
	case dnsbl.Unproven: // it was heard
		return BlameList
	case dnsbl.Refusing:
		state = dnsbl.Refused
	case dnsbl.Faulty:
		state = dnsbl.Broken
	}
	if r.Resolver.explains(state, l.Reason) {
		return BlameResolver
	}
	return BlameList
}

// explains tells whether what is known of the resolver is the reason for a state.
func (v *Resolver) explains(s dnsbl.State, reason string) bool {
	heard := strings.HasPrefix(reason, "answers ") // with an error code, or one that nobody knows
	switch v.Health {
	case dnsbl.Untested:
		return s == dnsbl.Unknown && !heard
	case dnsbl.Silent:
		return (s == dnsbl.Unknown || s == dnsbl.Refused) && !heard
	case dnsbl.Refusing:
		return s == dnsbl.Refused && v.quotes(reason)
	case dnsbl.Faulty:
		return s == dnsbl.Broken && v.quotes(reason)
	}
	return false
}

// quotes tells that the reason of the resolver is that reason, found at a list.
func (v *Resolver) quotes(reason string) bool {
	return reason != "" && strings.HasSuffix(v.Reason, reason)
}
