package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"reputed/cmd/reputed/internal/config"
	"reputed/cmd/reputed/internal/mta"
	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dkim"
	"reputed/policy/dns"
	"reputed/policy/mail"
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

	local    func(*env) check.Local                                  // of this host; nil: localFacts
	programs mta.Reader                                              // of its mail servers
	dial     func(context.Context, string, string) (net.Conn, error) // to others; nil: as the system does

	cache  *dns.Cache
	caught func(any) // is told of panics, as [check.Host] has it; nil: nobody is
}

// host reads the arguments, and makes of them, the configuration and the mail server's what the checklist is asked of.
func (q *checkQuestion) host(ctx context.Context, e *env) (*check.Host, error) {
	if len(q.servers) > 0 {
		var err error
		if q.cfg.DNS.Servers, err = serverAddresses(q.servers); err != nil {
			return nil, status{exitUsage, err}
		}
	}
	lists, err := q.cfg.Policy.DNSBL.Choose()
	if err != nil {
		return nil, status{exitFault, err}
	}
	h := &check.Host{
		Name: q.cfg.Hostname, Rewrites: q.cfg.Rewrites(), Lists: lists.Watched,
		Local: q.facts(e), Now: e.now, Dial: q.dial, Options: q.wanted, Caught: q.caught,
	}
	if h.Dial == nil {
		h.Dial = new(net.Dialer).DialContext
	}
	if len(h.Options.Targets) == 0 {
		h.Options.Targets = q.cfg.Check.Port25Targets
	}
	q.readServers(ctx, h)
	if err := q.readArguments(e, h); err != nil {
		return nil, status{exitUsage, err}
	}
	if err := q.domains(h); err != nil {
		return nil, status{exitUsage, err}
	}
	client := newResolver(&q.cfg.DNS, q.caught)
	q.cache = dns.NewCache(client, dns.CacheOptions{Silence: patience})
	h.Resolver, h.Uncached = q.cache, client
	h.Authority = newLookerVia(e, q.cfg, q.caught).Authority
	return h, nil
}

func (q *checkQuestion) facts(e *env) check.Local {
	if q.local != nil {
		return q.local(e)
	}
	return localFacts(e)
}

func (q *checkQuestion) close() {
	if q.cache != nil {
		q.cache.Close()
	}
}

// readServers reads what the mail servers of this host are set to. Where there is no configuration, the name that they
// greet with is the name of this host.
func (q *checkQuestion) readServers(ctx context.Context, h *check.Host) {
	if len(q.postfixes) == 0 {
		h.Postfix = q.programs.Postfix(ctx)
	}
	for _, dir := range q.postfixes {
		of := mta.Reader{PostfixDir: dir, Run: q.programs.Run}
		h.Postfix = append(h.Postfix, of.Postfix(ctx)...)
	}
	h.Exim = q.programs.Exim(ctx)
	if q.configured {
		for _, at := range q.cfg.Milter.Listen {
			h.Milters = append(h.Milters, at.String())
		}
		for _, at := range q.cfg.Exim.Listen {
			h.Asked = append(h.Asked, at.String())
		}
		return
	}
	name := ""
	if h.Exim != nil {
		name = h.Exim.Settings["primary_hostname"]
	}
	for _, p := range h.Postfix {
		name = cmp.Or(p.Settings["smtp_helo_name"], p.Settings["myhostname"], name)
	}
	if d, err := mail.ParseDomain(name); err == nil {
		h.Name = d
	}
}

// readArguments reads what stands in the place of the configuration.
func (q *checkQuestion) readArguments(e *env, h *check.Host) error {
	if err := readHelo(q.helo, h); err != nil {
		return err
	}
	h.Routes = routes(e, q.cfg)
	if q.helo != "" || !q.configured {
		h.Routes = renamed(h.Routes, h.Name)
	}
	if len(q.egresses) == 0 {
		return nil
	}
	given := &mail.Egress{Name: "given", Hostname: h.Name}
	for _, text := range q.egresses {
		a, err := netip.ParseAddr(strings.Trim(text, "[]"))
		switch {
		case err != nil:
			return fmt.Errorf("--egress %s: write an address, such as 203.0.113.25", text)
		case !mail.SeenByWorld(a):
			return fmt.Errorf("--egress %s: the world never sees mail from there; write the address that receivers see", text)
		case !slices.Contains(given.Addresses, a.Unmap()):
			given.Addresses = append(given.Addresses, a.Unmap())
		}
	}
	h.Routes = policy.Routes{{Egress: given}}
	return nil
}

// readHelo reads a name, or an address, in the brackets of RFC 5321, section 4.1.3, or without.
func readHelo(text string, h *check.Host) error {
	if text == "" {
		return nil
	}
	inner := strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
	if len(inner) > 5 && strings.EqualFold(inner[:5], "IPv6:") {
		inner = inner[5:]
	}
	if a, err := netip.ParseAddr(inner); err == nil {
		h.Name, h.Literal = mail.Domain{}, "["+a.String()+"]"
		if a.Is6() {
			h.Literal = "[IPv6:" + a.String() + "]"
		}
		return nil
	}
	name, err := mail.ParseDomain(text)
	if err != nil {
		return fmt.Errorf("--helo: %w", err)
	}
	h.Name = name
	return nil
}

// renamed gives routes whose hosts all greet with a name.
func renamed(rs policy.Routes, name mail.Domain) policy.Routes {
	rs = slices.Clone(rs)
	for i := range rs {
		way := *rs[i].Egress
		way.Hostname, rs[i].Egress = name, &way
	}
	return rs
}

// domains finds those that mail is sent from, and the keys that sign for them.
func (q *checkQuestion) domains(h *check.Host) error {
	set, err := readKeys(q.cfg)
	switch {
	case err != nil && !q.configured && errors.Is(err, fs.ErrNotExist):
		h.NoKeys = "there is no configuration, and no key in " + q.cfg.Signing.Keys
	case err != nil: // one of the things to tell, not a reason to tell nothing
		h.NoKeys = err.Error()
	case len(set.lives) == 0 && !q.configured:
		h.NoKeys = set.errNoKeys().Error()
	default:
		h.Signs = func(from mail.Domain) mail.Domain {
			if c := set.ring.Choose(from); c.Status == signer.Usable {
				return c.Domain
			}
			return mail.Domain{}
		}
	}
	for _, name := range q.names {
		d, err := domainArgument(name)
		if err != nil {
			return err
		}
		if !slices.Contains(h.Domains, d) {
			h.Domains = append(h.Domains, d)
		}
	}
	if len(q.names) == 0 {
		h.Domains = q.ownDomains(h, set)
	}
	if set != nil {
		q.keys(h, set)
	}
	return q.selected(h)
}

// domainArgument reads a domain, and says what else it may be.
func domainArgument(text string) (mail.Domain, error) {
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return mail.Domain{}, fmt.Errorf(
			"%s is an address, and no domain (an address that mail leaves from: --egress %s)", text, a)
	}
	if _, after, found := strings.Cut(text, "@"); found {
		return mail.Domain{}, fmt.Errorf("%q is a mailbox, and no domain (name its domain: %s)", text, after)
	}
	d, err := mail.ParseDomain(text)
	if err != nil {
		return mail.Domain{}, fmt.Errorf("%q is not a domain", text)
	}
	return d, nil
}

// ownDomains gives the domains of the configuration, and of keys, in order; where there is none, that of the host. A
// domain that only signs for another (sign_as) sends nothing, so it is left out.
func (q *checkQuestion) ownDomains(h *check.Host, set *keySet) (all []mail.Domain) {
	onlySigns := map[mail.Domain]bool{}
	for _, rule := range q.cfg.Rules() {
		all = append(all, rule.Domain)
		if !rule.Domain.IsZero() { // who signs for every domain is one of them
			onlySigns[rule.SignAs] = true
		}
	}
	if set != nil {
		for _, d := range set.found.Domains {
			if !onlySigns[d] {
				all = append(all, d)
			}
		}
	}
	slices.SortFunc(all, func(a, b mail.Domain) int { return strings.Compare(a.String(), b.String()) })
	all = slices.DeleteFunc(slices.Compact(all), mail.Domain.IsZero)
	up := h.Name.Parent()
	switch {
	case len(all) > 0 || up.IsZero() || h.Name.Private():
		return all
	case up.Parent().IsZero():
		return []mail.Domain{h.Name}
	}
	return []mail.Domain{up} // mail.example.org sends for example.org, mostly
}

// keys adds those that sign for the domains, will, or have.
func (q *checkQuestion) keys(h *check.Host, set *keySet) {
	for _, l := range set.lives {
		signs := func(d mail.Domain) bool { return l.ID.Domain == d || h.Signs != nil && h.Signs(d) == l.ID.Domain }
		if len(q.names) > 0 && !slices.ContainsFunc(h.Domains, signs) {
			continue
		}
		k := judgedKey(l)
		if key := set.key(l.ID); key != nil {
			k.Public = key.Public()
			k.Path = filepath.Join(q.cfg.Signing.Keys, l.ID.Domain.String(), l.ID.Selector.String()+".pem")
		}
		h.Keys = append(h.Keys, k)
	}
}

// selected adds the keys that the arguments name, of which nothing is known but where they should be.
func (q *checkQuestion) selected(h *check.Host) error {
	for _, text := range q.selectors {
		s, err := signer.ParseSelector(text)
		if err != nil {
			return fmt.Errorf("--selector %s: %w", text, err)
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
