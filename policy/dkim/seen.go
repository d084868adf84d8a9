package dkim

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"reputed/policy/dns"
	"reputed/policy/mail"
)

// Sighting is how much of the world can see a key. The words do not change.
type Sighting string

const (
	Unknown Sighting = "unknown" // nothing is known, or too little
	None    Sighting = "none"    // nobody: each server that was asked has nothing, or something else
	Partly  Sighting = "partly"  // some: servers show it, others do not, or could not be asked
	All     Sighting = "all"     // everybody: each server shows it, and one of them, or the resolver, as the world sees it
)

// Via is who was believed. The words do not change.
type Via string

const (
	Nobody    Via = ""          // nobody answered
	Authority Via = "authority" // the servers of the zone
	Resolver  Via = "resolver"  // the resolver, as none of the servers could be asked
)

// Seen is what the DNS shows of a key.
//
// Partly without Lagging means that who could be asked shows the key, and some could not be asked, or that only servers
// show it that the world cannot reach (Private). None means that nobody shows it: if some servers could not be asked,
// the resolver did not find it either.
//
// A network may have servers of its own for a zone that the world sees otherwise. So what servers at private addresses
// show is not All by itself: a server at an address of the world shows the key, too, or the resolver does. Where every
// server is private, the resolver alone has to bear them out, and may know no more than they do: Reason says so. That
// is enough for a network of its own, as one for tests.
type Seen struct {
	Name     string   `json:"name"` // where the record belongs
	Sighting Sighting `json:"sighting"`
	Via      Via      `json:"via"`
	Result   Result   `json:"result"` // the gravest of what the servers show, of those that are to be believed
	Reason   string   `json:"reason"`
	Advice   string   `json:"advice,omitempty"`  // what to do; "": nothing
	Publish  string   `json:"publish,omitempty"` // the text of the record
	At       string   `json:"at"`                // where it stands: Name, or where its aliases lead
	Zone     string   `json:"zone,omitempty"`    // that holds At, if it is known

	Servers  []Server `json:"servers,omitempty"`
	Resolver *Verdict `json:"resolver,omitempty"` // nil: it was not asked, as servers of the world show the key
	Lagging  []string `json:"lagging,omitempty"`  // servers that show something else
	Silent   []string `json:"silent,omitempty"`   // servers that could not be asked everywhere, or do not serve the zone

	TTL      time.Duration `json:"-"` // how long others remember the record, when it is there
	Negative time.Duration `json:"-"` // how long others remember that it was not there (RFC 2308); 0: not known
}

// Server is what one server of the zone shows, at one address.
type Server struct {
	Zone    string     `json:"zone"`
	Host    string     `json:"host"`
	Addr    netip.Addr `json:"address,omitzero"`  // zero: it has none
	Serial  uint32     `json:"serial,omitempty"`  // of its copy of the zone; 0: not known
	Lame    bool       `json:"lame,omitempty"`    // it does not serve the zone
	Private bool       `json:"private,omitempty"` // the world cannot reach the address, and may see something else
	Verdict Verdict    `json:"verdict"`

	omitted bool // it has addresses at which it was not asked, and this stands for them
}

// facts is what was found out, to be brought together.
type facts struct {
	want     Want
	poll     dns.Poll
	verdicts []Verdict // of poll.Views
	resolver *Verdict  // nil: not asked
}

// seen brings the facts together. It asks nothing.
func (f *facts) seen() Seen {
	s := Seen{Name: f.want.Name(), At: f.want.Name(), Publish: f.want.Text(), Resolver: f.resolver, Result: Transient}
	for i, v := range f.poll.Views {
		s.add(v, f.verdicts[i])
	}
	for _, z := range f.poll.Zones {
		s.Zone, s.Negative = z.Name, max(s.Negative, z.Negative)
	}
	shown := s.hosts(func(r Result) bool { return r.Verifies() })
	known := s.hosts(func(r Result) bool { return r != Transient })
	s.Lagging = s.hosts(func(r Result) bool { return r != Transient && !r.Verifies() })
	s.Silent = slices.DeleteFunc(s.hosts(func(Result) bool { return true }), func(h string) bool {
		return slices.Contains(known, h) && !s.omits(h)
	})
	switch {
	case len(known) == 0:
		s.resolver(f.poll.Err)
	case len(shown) == 0:
		s.nowhere()
	case len(s.Lagging)+len(s.Silent) == 0:
		s.everywhere(shown)
	default:
		s.somewhere(shown)
	}
	if s.Sighting == All {
		s.Publish = ""
	}
	return s
}

// omits tells that a server has addresses at which it was not asked.
func (s *Seen) omits(host string) bool {
	return slices.ContainsFunc(s.Servers, func(server Server) bool { return server.Host == host && server.omitted })
}

// add notes what a server shows.
func (s *Seen) add(v dns.View, verdict Verdict) {
	server := Server{Zone: v.Zone, Host: v.Host, Addr: v.Addr, Lame: v.Lame(), Verdict: verdict}
	if v.Host == "" {
		server.Host = "the servers of " + v.Name
	}
	if v.Start != nil {
		server.Serial = v.Start.Serial
	}
	server.Private = private(v)
	if server.Lame {
		server.Verdict.Advice = fmt.Sprintf("have %s serve the zone %s, or remove it from the NS records", v.Host, v.Zone)
	}
	if errors.Is(v.Err, dns.ErrOmitted) {
		server.omitted, server.Verdict.Advice = true, "have fewer servers in the NS records of "+v.Zone
	}
	if verdict.Result != Transient {
		s.At = v.Name
	}
	if verdict.Result.Verifies() {
		s.TTL = max(s.TTL, verdict.TTL)
	}
	s.Servers = append(s.Servers, server)
}

// private tells that the world cannot reach who was asked, and so may ask somebody else.
func private(v dns.View) bool { return v.Addr.IsValid() && !mail.SeenByWorld(v.Addr) }

// hosts gives the servers one of whose addresses shows what is wanted, each once.
func (s *Seen) hosts(want func(Result) bool) []string {
	var all []string
	for _, server := range s.Servers {
		if want(server.Verdict.Result) && !slices.Contains(all, server.Host) {
			all = append(all, server.Host)
		}
	}
	return all
}

// first gives the first of the verdicts that fits.
func (s *Seen) first(want func(Result) bool) *Server {
	i := slices.IndexFunc(s.Servers, func(server Server) bool { return want(server.Verdict.Result) })
	if i < 0 {
		return &Server{}
	}
	return &s.Servers[i]
}

// join names some servers: as many as the root has, and how many others there are.
func join(hosts []string) string {
	const most = 13
	if n := len(hosts) - most; n > 0 {
		return fmt.Sprintf("%s and %d others", strings.Join(hosts[:most], ", "), n)
	}
	return strings.Join(hosts, ", ")
}
