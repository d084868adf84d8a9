package config

import (
	"fmt"
	"slices"
	"time"
)

// Load reads a configuration. The file is only named in errors: its text is handed in. An error is of type [Errors],
// and holds everything that is wrong.
func Load(file string, text []byte, host Host) (*Config, error) {
	top, doc := parse(file, text)
	if top == nil {
		return nil, doc.errs
	}
	c := Default(host)
	c.top(top)
	c.Milter.read(top.table("milter"))
	c.Exim.read(top.table("exim"), c.Milter.Listen)
	c.Outbound.read(top.table("outbound"))
	c.readEgress(top)
	c.readRewrites(top.tables("rewrite"))
	c.DNS.read(top.table("dns"))
	c.Signing.read(top.table("signing"), c.Hostname)
	c.readDomains(top.tables("domain"))
	c.Login.read(top.table("login"))
	c.Policy.read(top.table("policy"), len(c.Egress))
	c.Check.read(top.table("check"))
	c.Log.read(top.table("log"))
	c.Status.read(top.table("status"))
	if err := doc.finish(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Config) top(s *section) {
	text(s, "hostname", domain, &c.Hostname)
	text(s, "state_dir", path, &c.StateDir)
	c.Signing = defaultSigning(c.StateDir)
}

func (o *Outbound) read(s *section) {
	networks(s, "networks", &o.Networks)
	s.flag("authenticated", &o.Authenticated)
	list(s, "daemons", word, &o.Daemons)
	list(s, "mailers", word, &o.Mailers)
	list(s, "local_domains", domain, &o.LocalDomains)
}

// networks reads a list of networks, where "!" excludes.
func networks(s *section, key string, dst *[]Network) {
	list(s, key, network, dst)
	for i, n := range *dst {
		if n.Exclude && slices.Contains(*dst, Network{Prefix: n.Prefix}) {
			at := s.at.kid(key).item(i)
			s.wrongAt(at, key, fmt.Sprintf("%q contradicts %q in the same list", n, Network{Prefix: n.Prefix}))
		}
	}
}

func (d *DNS) read(s *section) {
	list(s, "servers", nameserver, &d.Servers)
	text(s, "timeout", between(Duration(10*time.Millisecond), Duration(time.Minute)), &d.Timeout)
}

func (l *Log) read(s *section) {
	text(s, "format", choice(Logfmt, JSON), &l.Format)
}

func (t *Status) read(s *section) {
	text(s, "socket", statusSocket, &t.Socket)
	text(s, "listen", statusListen, &t.Listen)
}
