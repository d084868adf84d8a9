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
	if !s.outside() {
		s.Sighting, s.Advice = Partly, adviceInside
	}
	s.private()
}

const adviceInside = "ask from outside whether the world sees it, or have this host's resolver see what the world sees"

// outside tells whether somebody shows the key who may see what the world sees: a server that it can reach, or the
// resolver. A resolver of the network may know no more than we do; where all agree, there is nobody left to ask.
func (s *Seen) outside() bool {
	open := func(server Server) bool { return !server.Private && server.Verdict.Result.Verifies() }
	return s.Resolver != nil && s.Resolver.Result.Verifies() || slices.ContainsFunc(s.Servers, open)
}

// somewhere is that some show the key, and not all.
func (s *Seen) somewhere(shown []string) {
	s.Sighting, s.Via = Partly, Authority
	s.Reason = fmt.Sprintf("%s shows the key", join(shown))
	good := s.newest(func(r Result) bool { return r.Verifies() })
	s.Result = good.Verdict.Result
	if len(s.Lagging) > 0 {
		bad := s.newest(func(r Result) bool { return r != Transient && !r.Verifies() })
		s.Result = bad.Verdict.Result
		s.Reason += fmt.Sprintf("; %s does not: %s%s", join(s.Lagging), bad.Verdict.Reason, serials(good, bad))
		s.Advice = transfer(join(s.Lagging), good.Host, bad.Zone)
		if bad.newer(good) {
			s.Advice = fmt.Sprintf("undo the change of %s that %s has, or the other servers take it over: put the record of "+
				"the key back at %s", bad.Zone, bad.Host, s.At)
		}
	}
	s.silent()
	s.private()
}

// transfer advises how servers that lag come to have the zone as another one has it.
func transfer(lagging, good, zone string) string {
	return fmt.Sprintf("wait until %s has the zone as %s has it; if it does not come, have it transfer the zone "+
		"(rndc retransfer %s, knotc zone-retransfer %s)", lagging, good, zone, zone)
}

// newest gives, of the verdicts that fit, the one of the newest copy of the zone: of that of the first of them.
func (s *Seen) newest(want func(Result) bool) *Server {
	best := s.first(want)
	for i := range s.Servers {
		if server := &s.Servers[i]; want(server.Verdict.Result) && server.newer(best) {
			best = server
		}
	}
	return best
}

// newer tells whether a server has a newer copy of the zone than another: RFC 1982, section 3.2.
func (s *Server) newer(than *Server) bool {
	return s.Zone == than.Zone && s.Serial != 0 && than.Serial != 0 && int32(s.Serial-than.Serial) > 0
}

// serials tells which copies of the zone two servers have.
func serials(good, bad *Server) string {
	theirs, ours := bad.Serial, good.Serial
	switch {
	case theirs == 0 || ours == 0 || good.Zone != bad.Zone:
		return ""
	case theirs == ours:
		return fmt.Sprintf(" (both have serial %d: it was not raised, or the servers differ on purpose)", theirs)
	case bad.newer(good):
		return fmt.Sprintf(" (it has the newer serial %d, %s has %d: the key is being removed)", theirs, good.Host, ours)
	}
	return fmt.Sprintf(" (it has serial %d, %s has %d)", theirs, good.Host, ours)
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
		i := slices.IndexFunc(s.Servers, func(server Server) bool {
			return server.Host == host && server.Verdict.Result == Transient
		})
		v := s.Servers[i].Verdict
		s.Reason += fmt.Sprintf("; of %s %s", host, v.Reason)
		if s.Advice == "" {
			s.Advice = v.Advice
		}
	}
}

// private tells that the servers may not be those that the world sees, and whether the resolver bears them out.
func (s *Seen) private() {
	i := slices.IndexFunc(s.Servers, func(server Server) bool { return server.Private })
	if i < 0 {
		return
	}
	s.Reason += fmt.Sprintf("; %s was asked at %v, which the world cannot reach: the world may see something else",
		s.Servers[i].Host, s.Servers[i].Addr)
	hidden := !slices.ContainsFunc(s.Servers, func(server Server) bool { return !server.Private && server.Addr.IsValid() })
	switch {
	case !hidden || !slices.ContainsFunc(s.Servers, func(server Server) bool { return server.Verdict.Result.Verifies() }):
	case s.Resolver == nil:
		s.Reason += "; no other server has an address of the world, and the resolver is not asked"
	case s.Resolver.Result.Verifies():
		s.Reason += "; no other server has an address of the world, and the resolver shows the key as well"
	default:
		s.Reason += "; no other server has an address of the world, and of the resolver: " + s.Resolver.Reason
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
