package dkim

import (
	"fmt"
	"slices"
	"strings"
)

// everywhere is that each server shows the key. The gravest of their verdicts stands for all.
func (s *Seen) everywhere(shown []string) {
	s.Sighting, s.Via = All, Authority
	worst := s.first(func(r Result) bool { return r.Verifies() })
	if odd := s.first(func(r Result) bool { return r != Match }); odd.Host != "" {
		worst = odd
	}
	v := worst.Verdict
	s.Result, s.Advice = v.Result, v.Advice
	s.Reason = fmt.Sprintf("every server of %s shows the key (%s)", s.Zone, join(shown))
	if v.Result != Match {
		s.Reason += "; " + v.Reason
	}
	s.private()
}

// somewhere is that some show the key, and not all.
func (s *Seen) somewhere(shown []string) {
	s.Sighting, s.Via = Partly, Authority
	s.Reason = fmt.Sprintf("%s shows the key", join(shown))
	good := s.first(func(r Result) bool { return r.Verifies() })
	s.Result = good.Verdict.Result
	if len(s.Lagging) > 0 {
		bad := s.first(func(r Result) bool { return r != Transient && !r.Verifies() })
		s.Result = bad.Verdict.Result
		s.Reason += fmt.Sprintf("; %s does not: %s%s", join(s.Lagging), bad.Verdict.Reason, serials(good, bad))
		s.Advice = fmt.Sprintf("wait until %s has the zone as %s has it; if it does not come, have it transfer "+
			"the zone (rndc retransfer %s, knotc zone-retransfer %s)", join(s.Lagging), good.Host, bad.Zone, bad.Zone)
	}
	s.silent()
	s.private()
}

// serials tells which copies of the zone two servers have.
func serials(good, bad *Server) string {
	theirs, ours := bad.Serial, good.Serial
	switch {
	case theirs == 0 || ours == 0 || good.Zone != bad.Zone:
		return ""
	case theirs == ours:
		return fmt.Sprintf(" (both have serial %d: it was not raised, or the servers differ on purpose)", theirs)
	case int32(theirs-ours) < 0: // RFC 1982, section 3.2
		return fmt.Sprintf(" (it has serial %d, %s has %d)", theirs, good.Host, ours)
	}
	return fmt.Sprintf(" (it has the newer serial %d, %s has %d: the key is being removed)", theirs, good.Host, ours)
}

// nowhere is that no server shows the key that could be asked. The resolver, which asks the same servers from somewhere
// else or has asked them before, may know better.
func (s *Seen) nowhere() {
	s.Via = Authority
	bad := s.first(func(r Result) bool { return r != Transient })
	s.Reason = fmt.Sprintf("no server of %s shows the key: %s", bad.Zone, bad.Verdict.Reason)
	s.Result, s.Advice = bad.Verdict.Result, bad.Verdict.Advice
	switch {
	case s.Resolver != nil && s.Resolver.Result.Verifies():
		s.Sighting = Partly
		s.Reason += "; the resolver still shows it, from memory, or as it sees other servers than this host"
		s.Advice = "look again when the resolver's memory has expired; " + s.Advice
	case len(s.Silent) == 0 || s.Resolver != nil && s.Resolver.Result != Transient:
		s.Sighting = None
	default:
		s.Sighting, s.Result = Unknown, Transient
	}
	s.silent()
	s.private()
}

// silent tells whom nobody could ask.
func (s *Seen) silent() {
	for _, host := range s.Silent {
		i := slices.IndexFunc(s.Servers, func(server Server) bool { return server.Host == host })
		v := s.Servers[i].Verdict
		s.Reason += fmt.Sprintf("; of %s %s", host, v.Reason)
		if s.Advice == "" {
			s.Advice = v.Advice
		}
	}
}

// private tells that the servers may not be those that the world sees.
func (s *Seen) private() {
	if i := slices.IndexFunc(s.Servers, func(server Server) bool { return server.Private }); i >= 0 {
		s.Reason += fmt.Sprintf("; %s was asked at %v, which the world cannot reach: the world may see something else",
			s.Servers[i].Host, s.Servers[i].Addr)
	}
}

// resolver is that no server could be asked: the resolver has to do.
func (s *Seen) resolver(err error) {
	why := "they were not asked"
	if err != nil {
		why = err.Error()
	} else if len(s.Servers) > 0 {
		why = strings.TrimPrefix(s.Servers[0].Verdict.Reason, unknown)
	}
	if s.Resolver == nil || s.Resolver.Result == Transient {
		s.Sighting, s.Reason = Unknown, "no server of the zone could be asked: "+why
		if s.Resolver != nil {
			s.Reason += "; the resolver: " + s.Resolver.Reason
		}
		s.Advice = adviceAsk
		return
	}
	v := s.Resolver
	s.Via, s.Result, s.Advice, s.At = Resolver, v.Result, v.Advice, v.At
	switch {
	case !v.Result.Verifies():
		s.Sighting, s.Negative, s.Reason = None, v.TTL, "the resolver does not show the key: "+v.Reason
	case v.Result == Match:
		s.Sighting, s.TTL, s.Reason = All, v.TTL, "the resolver shows the key"
	default:
		s.Sighting, s.TTL, s.Reason = All, v.TTL, "the resolver shows the key; "+v.Reason
	}
	s.Reason += "; no server of the zone could be asked: " + why
}
