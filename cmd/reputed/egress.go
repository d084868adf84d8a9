package main

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"reputed/cmd/reputed/internal/config"
	"reputed/policy"
	"reputed/policy/mail"
)

// routes gives the configured ways by which mail leaves, or a guess from the addresses of this host.
func routes(e *env, cfg *config.Config) policy.Routes {
	if rs := cfg.Routes(); len(rs) > 0 {
		return rs
	}
	return policy.Routes{{Egress: guessEgress(e, cfg.Hostname)}}
}

// guessEgress takes the addresses of this host's interfaces that the world can see for those that mail leaves from.
// Behind NAT there are none.
func guessEgress(e *env, hostname mail.Domain) *mail.Egress {
	guess := &mail.Egress{Name: "guessed", Hostname: hostname, Guessed: true}
	for _, a := range e.addresses() {
		if a = a.Unmap(); mail.SeenByWorld(a) && !slices.Contains(guess.Addresses, a) {
			guess.Addresses = append(guess.Addresses, a)
		}
	}
	return guess
}

// hostAddresses gives the addresses of this host's interfaces; none when they cannot be read.
func hostAddresses() (addrs []netip.Addr) {
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				addrs = append(addrs, addr)
			}
		}
	}
	return addrs
}

// egressNames says what the world is taken to see, for a line of the log.
func egressNames(rs policy.Routes) string {
	var names []string
	for _, r := range rs {
		var parts []string
		for _, a := range r.Egress.Addresses {
			parts = append(parts, a.String())
		}
		if !r.Egress.Via.IsZero() {
			parts = append(parts, "via "+r.Egress.Via.String())
		}
		if len(parts) == 0 {
			parts = []string{"unknown"}
		}
		names = append(names, r.Egress.Name+": "+strings.Join(parts, " "))
	}
	return strings.Join(names, "; ")
}
