package main

import (
	"net/netip"
	"slices"
	"testing"

	"reputed/cmd/reputed/internal/config"
	"reputed/policy"
	"reputed/policy/mail"
)

// Of the addresses of this host, those that the world can see are guessed to be the ones that mail leaves from.
func TestGuessEgress(t *testing.T) {
	name, err := mail.ParseDomain("mail.example.org")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		why  string
		has  []string
		want []string
	}{
		{"in both kinds", []string{"127.0.0.1", "203.0.113.25", "::1", "2001:db8::25"},
			[]string{"203.0.113.25", "2001:db8::25"}},
		{"IPv4 in IPv6 is IPv4", []string{"::ffff:203.0.113.25"}, []string{"203.0.113.25"}},
		{"on several interfaces", []string{"203.0.113.25", "203.0.113.25"}, []string{"203.0.113.25"}},
		{"behind NAT there is none", []string{"10.0.0.5", "192.168.1.5", "172.16.0.5"}, nil},
		{"nor behind that of a provider", []string{"100.64.0.5"}, nil},
		{"local to the link, or to the site", []string{"169.254.1.1", "fe80::1", "fd00::1"}, nil},
		{"nothing known", nil, nil},
	} {
		e, _, _ := testEnv("")
		e.addresses = func() []netip.Addr { return parseAddrs(tt.has) }
		g := guessEgress(e, name)
		if !slices.Equal(g.Addresses, parseAddrs(tt.want)) || !g.Guessed || g.Hostname != name || !g.Via.IsZero() {
			t.Errorf("%s: %+v", tt.why, g)
		}
	}
}

func parseAddrs(texts []string) (addrs []netip.Addr) {
	for _, s := range texts {
		addrs = append(addrs, netip.MustParseAddr(s))
	}
	return addrs
}

// What is written is not guessed.
func TestRoutes(t *testing.T) {
	e, _, _ := testEnv("")
	e.addresses = func() []netip.Addr { return parseAddrs([]string{"203.0.113.25"}) }
	cfg := config.Default(config.Host{FullName: "mail.example.org"})
	if rs := routes(e, cfg); len(rs) != 1 || !rs[0].Egress.Guessed || egressNames(rs) != "guessed: 203.0.113.25" {
		t.Errorf("%s", egressNames(rs))
	}
	cfg.Egress = []config.Egress{{Name: "written", Addresses: parseAddrs([]string{"198.51.100.7"})}}
	if rs := routes(e, cfg); len(rs) != 1 || rs[0].Egress.Guessed || egressNames(rs) != "written: 198.51.100.7" {
		t.Errorf("%s", egressNames(rs))
	}
	if names := egressNames(policy.Routes{{Egress: &mail.Egress{Name: "x"}}}); names != "x: unknown" {
		t.Error(names)
	}
}
