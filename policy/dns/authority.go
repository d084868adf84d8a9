package dns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"reputed/policy/parallel"
)

// What one question may cost.
const (
	maxHosts = 64 // servers of a zone: the root has 13
	maxAddrs = 64 // of all of them together
	maxSteps = 8  // zones and aliases that it leads through
)

// AuthorityOptions says how to find servers, and how to ask them.
type AuthorityOptions struct {
	Resolver Resolver      // finds zones, their servers, and the addresses of these
	Timeout  time.Duration // for one server to answer one question, which is sent twice if need be; 0: 3 s

	// At says where the server of an address listens; nil: at port 53.
	At func(netip.Addr) netip.AddrPort

	// Dial opens a socket, of "udp" or "tcp", for one query; nil: as net.Dialer does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Authority asks the servers of a zone themselves, each of them, and keeps what they say apart. It remembers nothing.
//
// Of a zone, all servers are asked at all their addresses: each may be another machine, with another copy of the zone.
// Where these are more than 64, some are not asked, of those servers that have the most; [ErrOmitted] says so of each
// such server. An answer counts when it is authoritative.
type Authority struct {
	resolver Resolver
	client   *Client
	at       func(netip.Addr) netip.AddrPort
}

// NewAuthority makes an Authority. It opens nothing.
func NewAuthority(o AuthorityOptions) *Authority {
	if o.Timeout <= 0 {
		o.Timeout = 3 * time.Second
	}
	a := &Authority{resolver: o.Resolver, at: o.At}
	a.client = NewClient(Options{Timeout: o.Timeout, Dial: o.Dial})
	if a.at == nil {
		a.at = func(addr netip.Addr) netip.AddrPort { return netip.AddrPortFrom(addr, 53) }
	}
	return a
}

// Poll is what the servers that are responsible for a name say.
type Poll struct {
	Zones []Zone // that the question led through, by delegations and aliases
	Views []View // one for each address that does not send elsewhere, and for each server of which not all are asked
	Err   error  // nobody could be asked: why
}

// Zone is a zone and its servers.
type Zone struct {
	Name     string
	Servers  []NameServer  // by name; at most 64, and one that stands for all the others
	Negative time.Duration // how long others remember that a name is not there (RFC 2308); 0: no server told
}

// NameServer is a server that the NS records of a zone name.
type NameServer struct {
	Host    string
	Addrs   []netip.Addr // that are asked
	Err     error        // without addresses: why there are none
	Omitted error        // there are more than are asked: an [ErrOmitted]; nil: there are not
}

// View is what one server says.
type View struct {
	Name string     // that it was asked for: the one of the question, or where aliases led
	Zone string     // for which it was asked
	Host string     // "": no server could be found
	Addr netip.Addr // zero: its host has none, or none that is asked
	Answer
	Start *Start // of its copy of the zone; nil: it was not told
}

// Lame tells that the server answers, and is no server of the zone.
func (v *View) Lame() bool { return errors.Is(v.Err, ErrLame) }

// Errors of [Poll], besides those of answers.
var (
	ErrNoZone    = errors.New("no zone is known that holds the name")
	ErrNoServers = errors.New("the zone has no servers")
	ErrOmitted   = errors.New("not asked everywhere, as the zone has too many servers") // in [View.Err]
)

// step is a question to the servers of one zone.
type step struct {
	name string // canonical
	zone string // canonical; "": to be found
}

// Ask asks all servers of the zone that holds the name. Where they send elsewhere, by a delegation or an alias, the
// servers of that zone are asked as well. It asks at once whom it can ask at once, and ends when ctx does.
func (a *Authority) Ask(ctx context.Context, name string, t Type) Poll {
	first, err := canonical(name)
	if err != nil {
		return Poll{Err: err}
	}
	var p Poll
	steps := []step{{name: first}}
	for i := 0; i < len(steps) && i < maxSteps; i++ {
		s := steps[i]
		zone, err := a.zone(ctx, s)
		if err != nil {
			p.Views = append(p.Views, View{Name: plain(s.name), Zone: plain(s.zone), Answer: Answer{Err: err}})
			continue
		}
		for _, v := range a.askAll(ctx, &zone, question{name: s.name, t: t, direct: true}) {
			if v.next == (step{}) {
				p.Views = append(p.Views, v.View)
			} else if !slices.Contains(steps, v.next) {
				steps = append(steps, v.next)
			}
		}
		p.Zones = append(p.Zones, zone)
	}
	switch {
	case len(p.Zones) == 0:
		return Poll{Err: p.Views[0].Err}
	case len(steps) > maxSteps, len(p.Views) == 0:
		p.Views = append(p.Views, View{Name: plain(first), Answer: Answer{Err: errAliases}})
	}
	return p
}

// askAll asks all servers of a zone at once, and notes what they tell of it.
func (a *Authority) askAll(ctx context.Context, zone *Zone, q question) []leading {
	var views []leading
	for _, s := range zone.Servers {
		v := View{Name: plain(q.name), Zone: zone.Name, Host: s.Host}
		if v.Err = cmp.Or(s.Err, s.Omitted); v.Err != nil {
			views = append(views, leading{View: v})
			v.Err = nil
		}
		for _, v.Addr = range s.Addrs {
			views = append(views, leading{View: v})
		}
	}
	parallel.Each(len(views), func(i int) {
		if v := &views[i]; v.Addr.IsValid() {
			a.askOne(ctx, v, q)
		}
	})
	for _, v := range views {
		if v.Start != nil {
			zone.Negative = max(zone.Negative, v.Start.Negative())
		}
	}
	return views
}

// leading is a view that may lead on.
type leading struct {
	View
	next step // ask this; zero: the view is an answer
}

// askOne asks one server, and which zone it has the answer from: the name may have become one of its own.
func (a *Authority) askOne(ctx context.Context, v *leading, q question) {
	server, apex := a.at(v.Addr), escaped(v.Zone)
	d := a.say(ctx, server, q, apex)
	v.Answer = d.Answer
	if v.Err == nil && d.start == nil && d.refers == "" {
		of := question{name: q.name, t: SOA, direct: true}
		if d.alias != "" {
			of.name = apex
		}
		d.start = a.say(ctx, server, of, apex).start
	}
	v.Start = d.start
	switch {
	case d.refers != "":
		v.next = step{q.name, d.refers}
	case d.alias != "":
		v.next = step{name: d.alias}
	case d.start != nil && below(escaped(d.start.Zone), apex):
		v.next, v.Start = step{q.name, escaped(d.start.Zone)}, nil
	}
}

// say puts one question to one server, a second time if the first gets lost.
func (a *Authority) say(ctx context.Context, server netip.AddrPort, q question, apex string) direct {
	for last := false; ; last = true {
		half, cancel := context.WithTimeoutCause(ctx, a.client.timeout/2, ErrTimeout)
		m, err := a.client.query(half, server, q)
		cancel()
		switch {
		case err == nil:
			return readDirect(m, q, apex)
		case last, ctx.Err() != nil, !errors.Is(err, ErrTimeout):
			return direct{reading: failure(fmt.Errorf("%v: %w", server, err))}
		}
	}
}
