package dns

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// maxWalk is how many names are tried on the way up to the apex of a zone.
const maxWalk = 16

// zone finds the zone of a step, and its servers.
func (a *Authority) zone(ctx context.Context, s step) (Zone, error) {
	z := Zone{Name: plain(s.zone)}
	if s.zone == "" {
		start, err := a.Start(ctx, plain(s.name))
		if err != nil {
			return Zone{}, err
		}
		z.Name = start.Zone
	}
	hosts, err := a.hosts(ctx, z.Name)
	if err != nil {
		return Zone{}, err
	}
	z.Omitted = max(0, len(hosts)-maxHosts)
	hosts = hosts[:len(hosts)-z.Omitted]
	z.Servers = make([]NameServer, len(hosts))
	var running sync.WaitGroup
	for i, host := range hosts {
		running.Go(func() {
			addrs, err := a.addresses(ctx, host)
			z.Servers[i] = NameServer{Host: host, Addrs: addrs, Err: err}
		})
	}
	running.Wait()
	return z, nil
}

// Start finds the start of authority of the zone that holds a name, as the resolver has it. Of a zone that begins at
// the name itself, or at a label with an underscore, it may give that above: the servers there know the way on.
//
// Resolvers are not asked about the name, nor about any label with an underscore. They would remember that it does not
// exist, which does harm to one that is about to be published (RFC 2308; RFC 8020: with all names below it).
func (a *Authority) Start(ctx context.Context, name string) (*Start, error) {
	at := lower(name)
	if i := strings.LastIndex("."+at, "._"); i >= 0 {
		_, at, _ = strings.Cut(at[i:], ".")
	} else if strings.Count(at, ".") >= 2 {
		_, at, _ = strings.Cut(at, ".")
	}
	for range maxWalk {
		if at == "" {
			break
		}
		answer := a.resolver.Resolve(ctx, at, SOA)
		if answer.Status == Failed {
			return nil, fmt.Errorf("SOA of %q: %w", at, answer.Err)
		}
		// One of another name is where an alias led: RFC 1034, section 3.6.2: no apex is an alias.
		if r := answer.Records; len(r) > 0 && r[0].SOA != nil && r[0].SOA.Zone == at {
			return r[0].SOA, nil
		}
		_, at, _ = strings.Cut(at, ".")
	}
	return nil, fmt.Errorf("%w: %q", ErrNoZone, name)
}

// hosts gives the names of a zone's servers, sorted, each once.
func (a *Authority) hosts(ctx context.Context, zone string) ([]string, error) {
	answer := a.resolver.Resolve(ctx, zone, NS)
	if answer.Status == Failed {
		return nil, fmt.Errorf("NS of %q: %w", zone, answer.Err)
	}
	var hosts []string
	for _, r := range answer.Records {
		hosts = append(hosts, r.Name)
	}
	if len(hosts) == 0 {
		return nil, fmt.Errorf("%w: %q", ErrNoServers, zone)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts), nil
}

// addresses gives at most two addresses of a host: one of each family, if it has both. Without any the error says why.
func (a *Authority) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	var four, six Answer
	var running sync.WaitGroup
	running.Go(func() { four = a.resolver.Resolve(ctx, host, A) })
	six = a.resolver.Resolve(ctx, host, AAAA)
	running.Wait()
	var both, rest []netip.Addr
	for _, answer := range []Answer{four, six} {
		for i, r := range answer.Records {
			if i == 0 {
				both = append(both, r.Addr.Unmap())
			} else {
				rest = append(rest, r.Addr.Unmap())
			}
		}
	}
	if all := append(both, rest...); len(all) > 0 {
		return all[:min(len(all), maxAddrs)], nil
	}
	for _, answer := range []Answer{four, six} {
		if answer.Err != nil {
			return nil, fmt.Errorf("address of %q: %w", host, answer.Err)
		}
	}
	return nil, fmt.Errorf("address of %q: there is none (%v)", host, four.Status)
}

// Primary finds where updates of a zone go to: the server that its start of authority names, and the places where it
// listens.
func (a *Authority) Primary(ctx context.Context, zone string) (host string, at []netip.AddrPort, err error) {
	answer := a.resolver.Resolve(ctx, zone, SOA)
	switch {
	case answer.Status == Failed:
		return "", nil, fmt.Errorf("SOA of %q: %w", zone, answer.Err)
	case len(answer.Records) == 0 || answer.Records[0].SOA == nil || answer.Records[0].SOA.Zone != lower(zone):
		return "", nil, fmt.Errorf("%w: %q", ErrNoZone, zone)
	}
	host = answer.Records[0].SOA.Primary
	addrs, err := a.addresses(ctx, host)
	for _, addr := range addrs {
		at = append(at, a.at(addr))
	}
	return host, at, err
}
