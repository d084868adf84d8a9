package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"reputed/policy"
	"reputed/policy/mail"
)

// Egress is a way by which mail leaves: the addresses that the world sees, or the smarthost that takes it on. The
// lists tell which mail leaves by it; one that is empty does not matter, of the others each must hold.
type Egress struct {
	Name      string       `json:"name"`      // unique; for the log
	Addresses []netip.Addr `json:"addresses"` // as the world sees them, each in one egress only; none: only with Via
	Hostname  mail.Domain  `json:"hostname"`  // how the host greets the world on this way
	Via       mail.Domain  `json:"via"`       // the smarthost, by the name that an SPF record includes; zero: none
	Daemons   []string     `json:"daemons"`   // {daemon_name} of the service that took the mail, in any case
	Mailers   []string     `json:"mailers"`   // {rcpt_mailer} of the recipient, in any case
	Senders   []Senders    `json:"senders"`   // the envelope sender
}

// Routes gives the [[egress]] entries in their order: the first that fits is taken. Where there are none, the egress is
// yet to be guessed.
func (c *Config) Routes() policy.Routes {
	var routes policy.Routes
	for _, e := range c.Egress {
		r := policy.Route{
			Egress:  &mail.Egress{Name: e.Name, Addresses: e.Addresses, Hostname: e.Hostname, Via: e.Via},
			Daemons: e.Daemons,
			Mailers: e.Mailers,
		}
		for _, s := range e.Senders {
			r.Senders = append(r.Senders, policy.Senders(s))
		}
		routes = append(routes, r)
	}
	return routes
}

// readEgress reads the [[egress]] entries.
func (c *Config) readEgress(top *section) {
	entries := top.tables("egress")
	names, addresses := make(map[string]int), make(map[netip.Addr]int)
	for _, s := range entries {
		e := Egress{
			Addresses: []netip.Addr{}, Hostname: c.Hostname,
			Daemons: []string{}, Mailers: []string{}, Senders: []Senders{},
		}
		e.read(s)
		switch {
		case !s.has("name") && len(entries) == 1:
			e.Name = "default"
		case !s.has("name"):
			s.wrong("name", "where there are several [[egress]], each has a name (such as \"bulk\")")
		case names[e.Name] != 0:
			s.wrong("name", "%q has an entry already, at line %d", e.Name, names[e.Name])
		case e.Name != "":
			names[e.Name] = s.at.kid("name").line
		}
		for i, a := range e.Addresses {
			at := s.at.kid("addresses").item(i)
			if first := addresses[a]; first != 0 {
				s.wrongAt(at, "addresses", fmt.Sprintf("%q is in another [[egress]] already, at line %d", a, first))
			}
			addresses[a] = at.line
		}
		c.checkMailers(s, e.Mailers)
		c.Egress = append(c.Egress, e)
	}
	unreachable(top, entries)
}

func (e *Egress) read(s *section) {
	text(s, "name", egressName, &e.Name)
	list(s, "addresses", egressAddr, &e.Addresses)
	text(s, "hostname", domain, &e.Hostname)
	text(s, "via", via, &e.Via)
	list(s, "daemons", word, &e.Daemons)
	list(s, "mailers", word, &e.Mailers)
	list(s, "senders", senders, &e.Senders)
	if s.blank("addresses") && s.blank("via") {
		s.wrong("addresses", "mail leaves under an address, or through a smarthost (addresses = [\"203.0.113.25\"], "+
			"or via = \"spf.provider.example\")")
	}
}

// checkMailers notes mailers of an egress whose mail does not count as leaving.
func (c *Config) checkMailers(s *section, mailers []string) {
	for i, m := range mailers {
		if !slices.ContainsFunc(c.Outbound.Mailers, func(o string) bool { return strings.EqualFold(o, m) }) {
			s.wrongAt(s.at.kid("mailers").item(i), "mailers", fmt.Sprintf("%q is not among outbound.mailers, so its "+
				"recipients count as staying here (add it there)", m))
		}
	}
}

// unreachable notes the entries behind the first that takes all mail.
func unreachable(top *section, entries []*section) {
	var all *section
	for _, s := range entries {
		open := s.blank("daemons") && s.blank("mailers") && s.blank("senders")
		switch {
		case all == nil && open:
			all = s
		case all != nil && open:
			top.wrongAt(s.at, "egress", fmt.Sprintf("is never chosen: the one at line %d takes all mail, as this one would "+
				"(say with daemons, mailers or senders which mail leaves by it)", all.at.line))
		case all != nil:
			top.wrongAt(s.at, "egress", fmt.Sprintf("is never chosen: the one at line %d takes all mail, and the first that "+
				"fits is taken (put that one last)", all.at.line))
		}
	}
}

// egressName parses the name of an egress: a word that needs no quotes in a log.
func egressName(s string) (string, error) {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	if s == "" || strings.Trim(s, allowed) != "" {
		return "", fmt.Errorf("%q is not a word (letters, digits, -, _ and ., such as \"bulk\")", s)
	}
	return s, nil
}

// via parses the name of a smarthost; empty is none.
func via(s string) (mail.Domain, error) {
	if s == "" {
		return mail.Domain{}, nil
	}
	return domain(s)
}

// egressAddr parses an address that the world sees.
func egressAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		return a, fmt.Errorf("%q is not an address (such as \"203.0.113.25\" or \"2001:db8::25\")", s)
	case !mail.SeenByWorld(a):
		return a, fmt.Errorf("%q is not what the world sees (write the address that your provider translates it to)", s)
	case a.Is4In6():
		return a, fmt.Errorf("%q is IPv4 written as IPv6 (write %q)", s, a.Unmap())
	case a.Zone() != "":
		return a, fmt.Errorf("%q names an interface of this host, which the world does not see (write %q)", s, a.WithZone(""))
	}
	return a, nil
}
