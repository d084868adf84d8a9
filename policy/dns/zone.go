package dns

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"reputed/policy/parallel"
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
	more := hosts[min(len(hosts), maxHosts):]
	hosts = hosts[:len(hosts)-len(more)]
	z.Servers = make([]NameServer, len(hosts))
	parallel.Each(len(hosts), func(i int) {
		addrs, err := a.addresses(ctx, hosts[i])
		z.Servers[i] = NameServer{Host: hosts[i], Addrs: addrs, Err: err}
	})
	z.share()
	if n := len(more); n > 0 {
		others := fmt.Errorf("%w: %d of them are left out", ErrOmitted, n)
		z.Servers = append(z.Servers, NameServer{Host: more[0], Omitted: others})
	}
	return z, nil
}

// share leaves out addresses that would be too many: each server is asked at as many as any other, if it has them.
func (z *Zone) share() {
	asked, left := make([]int, len(z.Servers)), maxAddrs
	for more := true; more && left > 0; {
		more = false
		for i := range z.Servers {
			if left > 0 && asked[i] < len(z.Servers[i].Addrs) {
				asked[i]++
				left--
				more = true
			}
		}
	}
	for i := range z.Servers {
		s := &z.Servers[i]
		if n := len(s.Addrs) - asked[i]; n > 0 {
			s.Addrs, s.Omitted = s.Addrs[:asked[i]], fmt.Errorf("%w: %d of its addresses are left out", ErrOmitted, n)
		}
	}
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

// addresses gives the addresses of a host, the families by turns. Without any the error says why.
func (a *Authority) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	var four, six Answer
	parallel.Do(
		func() { four = a.resolver.Resolve(ctx, host, A) },
		func() { six = a.resolver.Resolve(ctx, host, AAAA) },
	)
	var all []netip.Addr
	for i := range max(len(four.Records), len(six.Records)) {
		for _, answer := range []Answer{four, six} {
			if i < len(answer.Records) {
				all = append(all, answer.Records[i].Addr.Unmap())
			}
		}
	}
	if len(all) > 0 {
		return all, nil
	}
	for _, answer := range []Answer{four, six} {
		if answer.Err != nil {
			return nil, fmt.Errorf("address of %q: %w", host, answer.Err)
		}
	}
	return nil, fmt.Errorf("address of %q: there is none (%v)", host, four.Status)
}

// Primary finds where updates of a zone go to: the server that its start of authority names, and the places where it
// listens: at most two, one of each family if it has both.
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
	for _, addr := range addrs[:min(len(addrs), 2)] {
		at = append(at, a.at(addr))
	}
	return host, at, err
}
