package dkim

import (
	"fmt"
	"slices"
	"strings"
)

// revocation is the text of a record that says that its key is not to be used any more: RFC 6376, section 3.6.1.
const revocation = "v=DKIM1; p="

// Remains makes of what was seen of a key of which the public half is not known any more, how much of the world still
// sees a key under its name. All is everybody, and None nobody, as it should be once the key was revoked; Publish is then
// the record to put there. Where the servers that still have one only lag behind others, there is nothing to put.
func (s Seen) Remains() Seen {
	var still, rid []string
	var worst Verdict
	note := func(host string, v Verdict) {
		switch {
		case v.Result == Transient:
		case gone(v.Result):
			rid = append(rid, host)
		case !slices.Contains(still, host):
			still, worst = append(still, host), v
		}
	}
	for i := range s.Servers {
		server := &s.Servers[i]
		if server.Verdict.Result == WrongType { // there is no type to compare it with
			server.Verdict.Result = Mismatch
		}
		note(server.Host, server.Verdict)
	}
	if s.Via == Resolver && s.Resolver != nil {
		note("the resolver", *s.Resolver)
	}
	s.Lagging = nil
	switch {
	case len(still) > 0:
		s.Sighting, s.Result, s.Publish, s.Lagging = All, worst.Result, revocation, still
		s.Reason = fmt.Sprintf("%s still has the record of a key (%s)", s.Name, strings.Join(still, ", "))
		s.Advice = "publish the record of a revoked key at " + s.At + " in place of what is there"
		if len(rid) > 0 {
			s.Sighting = Partly
			s.behind()
		}
	case len(rid) > 0:
		s.Sighting, s.Advice, s.Publish = None, "", ""
		s.Reason = fmt.Sprintf("no key stands at %s any more (%s)", s.Name, s.Result)
	}
	return s
}

// behind tells of servers that only have an older copy of the zone than those that are rid of the key.
func (s *Seen) behind() {
	rid := s.newest(gone)
	bad := s.newest(func(r Result) bool { return r != Transient && !gone(r) })
	if !rid.newer(bad) {
		return
	}
	s.Reason += serials(rid, bad)
	s.Advice, s.Publish = transfer(join(s.Lagging), rid.Host, bad.Zone), ""
}

// gone tells that no key stands there any more.
func gone(r Result) bool { return r == Revoked || r.Missing() }
