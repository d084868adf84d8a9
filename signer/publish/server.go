package publish

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"reputed/policy/dns"
	"reputed/policy/mail"
)

// server is the primary of a zone, at one address.
type server struct {
	zone    *Zone
	address string         // with its port
	view    *dns.Authority // asks it, and nobody else
	update  dns.Update
}

// servers finds the primary of a zone, at each of its addresses.
func (p *Publisher) servers(ctx context.Context, z *Zone) ([]*server, error) {
	at, err := p.addresses(ctx, z)
	if err != nil {
		return nil, fmt.Errorf("primary of %s: %w: name its address as the server of the zone", z.Name, err)
	}
	servers := make([]*server, len(at))
	for i, a := range at {
		servers[i] = p.server(z, a)
	}
	return servers, nil
}

// addresses gives where the primary of a zone listens.
func (p *Publisher) addresses(ctx context.Context, z *Zone) ([]netip.AddrPort, error) {
	if z.Server == "" {
		_, at, err := p.authority.Primary(ctx, z.Name.String())
		return at, err
	}
	host, port := z.Server, uint16(0)
	if h, text, err := net.SplitHostPort(z.Server); err == nil {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("%w: %q is no port", ErrOptions, text)
		}
		host, port = h, uint16(n)
	}
	var addrs []netip.Addr
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		addrs = []netip.Addr{a}
	} else if addrs, err = p.resolve(ctx, host); err != nil {
		return nil, err
	}
	at := make([]netip.AddrPort, len(addrs))
	for i, a := range addrs {
		switch {
		case port != 0:
			at[i] = netip.AddrPortFrom(a, port)
		case p.o.At != nil:
			at[i] = p.o.At(a)
		default:
			at[i] = netip.AddrPortFrom(a, 53)
		}
	}
	return at, nil
}

// resolve finds the addresses of a host.
func (p *Publisher) resolve(ctx context.Context, host string) (addrs []netip.Addr, err error) {
	for _, t := range []dns.Type{dns.A, dns.AAAA} {
		a := p.o.Resolver.Resolve(ctx, host, t)
		for _, r := range a.Records {
			addrs = append(addrs, r.Addr.Unmap())
		}
		err = errors.Join(err, a.Err)
	}
	switch {
	case len(addrs) > 0:
		return addrs, nil
	case err != nil:
		return nil, fmt.Errorf("address of %q: %w", host, err)
	}
	return nil, fmt.Errorf("address of %q: there is none", host)
}

// server makes one that is asked itself. For its view there are no zones but this one, and no servers but this one:
// where it sends elsewhere, nobody can be found there.
func (p *Publisher) server(z *Zone, at netip.AddrPort) *server {
	const host = "primary"
	world := func(_ context.Context, name string, t dns.Type) dns.Answer {
		found := func(r dns.Record) dns.Answer {
			return dns.Answer{Status: dns.Found, Records: []dns.Record{r}, Name: name}
		}
		d, err := mail.ParseDomain(name)
		switch {
		case t == dns.A && name == host:
			return found(dns.Record{Addr: at.Addr()})
		case err != nil || !z.Name.Within(d):
		case t == dns.SOA: // of what is above as well: an apex with an underscore is not asked for
			return found(dns.Record{SOA: &dns.Start{Zone: name}})
		case t == dns.NS:
			return found(dns.Record{Name: host})
		}
		return dns.Answer{Status: dns.NXDomain, Name: name}
	}
	return &server{
		zone: z, address: at.String(),
		view: dns.NewAuthority(dns.AuthorityOptions{
			Resolver: dns.ResolverFunc(world), Timeout: p.o.Timeout, Dial: p.o.Dial,
			At: func(netip.Addr) netip.AddrPort { return at },
		}),
		update: dns.Update{
			Zone: z.Name.String(), Server: at.String(), TSIG: z.TSIG, Timeout: p.o.Timeout, Now: p.o.Now, Dial: p.o.Dial,
		},
	}
}

// look asks the server what it shows.
func (s *server) look(ctx context.Context, name mail.Domain) (present, error) {
	poll := s.view.Ask(ctx, name.String(), dns.TXT)
	if poll.Err != nil || len(poll.Views) == 0 {
		return present{}, fmt.Errorf("%s at %s: %w", name, s.address, poll.Err)
	}
	v := poll.Views[len(poll.Views)-1]
	switch to, err := mail.ParseDomain(v.Name); {
	case err != nil:
		return present{}, fmt.Errorf("%s at %s: an alias of %q: %w", name, s.address, v.Name, err)
	case to != name:
		return present{alias: to}, nil
	case errors.Is(v.Err, dns.ErrNoServers) || errors.Is(v.Err, dns.ErrNoZone):
		return present{}, fmt.Errorf("%s at %s: %w (%s)", name, s.address, ErrDelegated, v.Zone)
	case v.Lame():
		return present{}, fmt.Errorf("%s: %w: name the primary of the zone %s as its server", s.address, v.Err, s.zone.Name)
	case v.Status == dns.Failed:
		return present{}, fmt.Errorf("%s at %s: %w", name, s.address, v.Err)
	}
	var p present
	for _, r := range v.Records {
		p.texts = append(p.texts, r.Text)
	}
	return p, nil
}
