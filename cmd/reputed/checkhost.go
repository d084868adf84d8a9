package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"reputed/cmd/reputed/internal/config"
	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dkim"
	"reputed/policy/dns"
	"reputed/policy/mail"
	"reputed/policy/statefile"
	"reputed/signer"
)

// checkQuestion is what to check, and how to tell it.
type checkQuestion struct {
	cfg        *config.Config
	configured bool     // there is a configuration file
	names      []string // domains

	egresses, selectors, servers, postfixes, only, skip []string
	helo, mailTo, send, from, received                  string
	timeout                                             time.Duration
	wanted                                              check.Wanted
	verbose, list, diff, json                           bool

	cache *dns.Cache
}

// host reads the arguments, and makes of them and the configuration what the checklist is asked of.
func (q *checkQuestion) host(ctx context.Context, e *env) (*check.Host, error) {
	if len(q.servers) > 0 {
		var err error
		if q.cfg.DNS.Servers, err = serverAddresses(q.servers); err != nil {
			return nil, status{exitUsage, err}
		}
	}
	h := &check.Host{Name: q.cfg.Hostname, Rewrites: q.cfg.Rewrites(), Now: e.now, Options: q.wanted}
	if err := q.readArguments(e, h); err != nil {
		return nil, status{exitUsage, err}
	}
	lists, err := q.cfg.Policy.DNSBL.Choose()
	if err != nil {
		return nil, status{exitFault, err}
	}
	h.Lists = lists.Watched
	if err := q.domains(h); err != nil {
		return nil, err
	}
	client := newResolver(&q.cfg.DNS)
	q.cache = dns.NewCache(client, dns.CacheOptions{})
	h.Resolver, h.Uncached = q.cache, client
	h.Authority = newLookerVia(e, q.cfg).Authority
	h.Dial = new(net.Dialer).DialContext
	h.Local = localFacts(e)
	for _, at := range q.cfg.Milter.Listen {
		h.Milters = append(h.Milters, at.String())
	}
	return h, nil
}

func (q *checkQuestion) close() {
	if q.cache != nil {
		q.cache.Close()
	}
}

// readArguments reads what stands in the place of the configuration.
func (q *checkQuestion) readArguments(e *env, h *check.Host) error {
	if q.helo != "" {
		name, err := mail.ParseDomain(q.helo)
		if err != nil {
			return fmt.Errorf("--helo %s: %w", q.helo, err)
		}
		h.Name = name
	}
	h.Routes = routes(e, q.cfg)
	if len(q.egresses) == 0 {
		return nil
	}
	given := &mail.Egress{Name: "given", Hostname: h.Name}
	for _, text := range q.egresses {
		a, err := netip.ParseAddr(text)
		switch {
		case err != nil:
			return fmt.Errorf("--egress %s: write an address, such as 203.0.113.25", text)
		case !mail.SeenByWorld(a):
			return fmt.Errorf("--egress %s: the world never sees mail from there; write the address that receivers see", text)
		}
		given.Addresses = append(given.Addresses, a.Unmap())
	}
	h.Routes = policy.Routes{{Egress: given}}
	return nil
}

// domains finds those that mail is sent from, and the keys that sign for them.
func (q *checkQuestion) domains(h *check.Host) error {
	set, err := readKeys(q.cfg)
	if err != nil { // one of the things to tell, not a reason to tell nothing
		h.NoKeys = err.Error()
		set = &keySet{cfg: q.cfg}
	}
	named := len(q.names) > 0
	for _, name := range q.names {
		d, err := mail.ParseDomain(name)
		if err != nil {
			return status{exitUsage, fmt.Errorf("%q is not a domain", name)}
		}
		h.Domains = append(h.Domains, d)
	}
	if !named {
		h.Domains = q.ownDomains(set)
	}
	if len(h.Domains) == 0 && !h.Name.IsZero() {
		h.Domains = []mail.Domain{h.Name}
		if up := h.Name.Parent(); !up.Parent().IsZero() { // mail.example.org sends for example.org, mostly
			h.Domains[0] = up
		}
	}
	for _, l := range set.lives {
		if named && !slices.Contains(h.Domains, l.ID.Domain) || l.State >= signer.Retiring {
			continue
		}
		k := check.Key{Want: dkim.Want{Domain: l.ID.Domain, Selector: l.ID.Selector}, State: l.State.String()}
		if key := set.key(l.ID); key != nil {
			k.Public, k.Path = key.Public(), filepath.Join(q.cfg.Signing.Keys, l.ID.Domain.String(), l.ID.Selector.String()+".pem")
		}
		h.Keys = append(h.Keys, k)
	}
	return q.selected(h)
}

// ownDomains gives the domains of keys, and of the configuration, in order.
func (q *checkQuestion) ownDomains(set *keySet) (all []mail.Domain) {
	all = slices.Clone(set.found.Domains)
	for _, rule := range q.cfg.Rules() {
		all = append(all, rule.Domain, rule.SignAs)
	}
	slices.SortFunc(all, func(a, b mail.Domain) int { return strings.Compare(a.String(), b.String()) })
	return slices.DeleteFunc(slices.Compact(all), mail.Domain.IsZero)
}

// selected adds the keys that the arguments name, of which nothing is known but where they should be.
func (q *checkQuestion) selected(h *check.Host) error {
	for _, text := range q.selectors {
		s, err := mail.ParseDomain(text)
		if err != nil {
			return status{exitUsage, fmt.Errorf("--selector %s: %w", text, err)}
		}
		for _, d := range h.Domains {
			has := func(k check.Key) bool { return k.Domain == d && k.Selector == s }
			if !slices.ContainsFunc(h.Keys, has) {
				h.Keys = append(h.Keys, check.Key{Want: dkim.Want{Domain: d, Selector: s}})
			}
		}
	}
	return nil
}

// remember reads what the last run left. Where that may not be read, nothing is remembered.
func (q *checkQuestion) remember(h *check.Host) (*checkMemory, error) {
	m, err := readCheckMemory(q.cfg.StateDir)
	if err != nil && q.diff {
		return nil, status{exitFault, fmt.Errorf("what the last run found cannot be read: %w (run as the user of the daemon)", err)}
	}
	h.Before = m.Seen
	return m, nil
}

// keep leaves what was found to the next run. Without --diff nobody relies on it.
func (q *checkQuestion) keep(h *check.Host, m *checkMemory) error {
	m.Seen = h.Seen()
	if err := statefile.Save(m.path, m); err != nil && q.diff {
		return status{exitFault, fmt.Errorf("what was found cannot be kept for the next run: %w (run as the user of the daemon)", err)}
	}
	return nil
}
