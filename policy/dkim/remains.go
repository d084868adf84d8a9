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
// the record to put there.
func (s Seen) Remains() Seen {
	var still, rid []string
	var worst Verdict
	note := func(host string, v Verdict) {
		switch {
		case v.Result == Transient:
		case v.Result == Revoked, v.Result.Missing():
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
		}
	case len(rid) > 0:
		s.Sighting, s.Advice, s.Publish = None, "", ""
		s.Reason = fmt.Sprintf("no key stands at %s any more (%s)", s.Name, s.Result)
	}
	return s
}
