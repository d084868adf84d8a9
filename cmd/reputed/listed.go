package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"reputed/cmd/reputed/internal/config"
	"reputed/policy/dns"
	"reputed/policy/dnsbl"
	"reputed/policy/mail"
	"reputed/signer/keydir"
)

func listedCommand(e *env) *cobra.Command {
	var ask listedQuestion
	var servers []string
	cmd := &cobra.Command{
		Use:   "listed [ADDRESS|DOMAIN...]",
		Short: "ask the DNS lists once whether addresses and domains are on them",
		Long: `Ask every watched list, once and now, about the addresses and domains given; without any, about the addresses
that mail leaves from, those of the configuration or those guessed from this host, and the domains it is
signed for. Say where each is listed, what that means, and where to have it removed; and which lists did not
answer, why, and what to do about that: from them nothing is known.

A list is tested before it is believed, and no operator of lists is asked more than once a second: with many
addresses it takes a while. Interrupted, it says what it knows until then. Since when something is listed, one
look cannot tell: a daemon that runs here and watches it can, and is asked.

Exit status, the first that holds: 2 listed: on a critical list, by which large providers refuse mail, with a code
of severity block; 1 warn: on another list, or with a lesser code; 3 unknown: a critical list did not answer, or
the look was interrupted; 0 clear. Listings for information, and praise by allow lists, do not count; reputed check
judges alike. 64 wrong arguments, or no address is known; 66 or 78 the configuration cannot be read or has errors.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, _, err := loadConfig(configFlag(cmd))
			if err != nil {
				return err
			}
			if len(servers) > 0 {
				if cfg.DNS.Servers, err = serverAddresses(servers); err != nil {
					return status{exitUsage, err}
				}
			}
			return ask.run(cmd.Context(), e, cfg, args)
		},
	}
	cmd.Flags().BoolVar(&ask.all, "all", false, "ask every list that can be asked")
	cmd.Flags().StringSliceVar(&ask.words, "list", nil, "ask the lists of these `IDS` or tiers, not the watched ones; several: with commas")
	cmd.Flags().DurationVar(&ask.timeout, "timeout", time.Minute, "end after this `TIME` with what is known")
	cmd.Flags().StringSliceVar(&servers, "server", nil, "ask this name server, `HOST:PORT`, instead of the configured ones")
	cmd.Flags().BoolVar(&ask.json, "json", false, "print JSON")
	cmd.MarkFlagsMutuallyExclusive("all", "list")
	return cmd
}

// listedQuestion is whom to ask about what.
type listedQuestion struct {
	all     bool
	words   []string
	timeout time.Duration
	json    bool

	lists    []*dnsbl.List
	keyless  []string // ids of lists that cannot be asked, although all were wanted
	subjects []asked
}

// asked is an address or a domain to ask about.
type asked struct {
	dnsbl.Subject
	origin string // why, when nobody named it
}

// run reads the arguments, asks, prints, and gives the exit status.
func (q *listedQuestion) run(ctx context.Context, e *env, cfg *config.Config, args []string) error {
	if err := q.read(e, cfg, args); err != nil {
		return err
	}
	answer := q.answer(ctx, e, newResolver(&cfg.DNS, nil))
	answer.addSince(ctx, cfg.Status.Socket)
	if q.json {
		if err := writeJSON(e.stdout, answer); err != nil {
			return err
		}
	} else {
		answer.print(e.printer())
	}
	return answer.status()
}

// read reads the arguments. What they leave out comes from the configuration.
func (q *listedQuestion) read(e *env, cfg *config.Config, args []string) error {
	if q.timeout <= 0 {
		return status{exitUsage, fmt.Errorf("--timeout %s: no time at all", q.timeout)}
	}
	if err := q.chooseLists(cfg); err != nil {
		return err
	}
	for _, arg := range args {
		s, err := readSubject(arg)
		if err != nil {
			return status{exitUsage, err}
		}
		if !q.takes(s) {
			return status{exitUsage, fmt.Errorf("none of the lists to ask knows about %s (see: reputed lists)", arg)}
		}
		q.add(s, "")
	}
	if len(args) > 0 {
		return nil
	}
	q.ownAddresses(e, cfg)
	q.ownDomains(e, cfg)
	if len(q.subjects) == 0 {
		return status{exitUsage, errors.New(
			"no address that mail leaves from is known (name it: reputed listed ADDRESS, or write [[egress]])")}
	}
	return nil
}

// chooseLists finds the lists to ask.
func (q *listedQuestion) chooseLists(cfg *config.Config) error {
	chosen, err := cfg.Policy.DNSBL.Choose()
	if err != nil {
		return status{exitFault, err}
	}
	if q.lists = chosen.Watched; q.all {
		q.words = []string{"all"}
	}
	if len(q.words) == 0 {
		return nil
	}
	if q.lists, err = chosen.Catalogue.Select(q.words); err != nil {
		return status{exitUsage, fmt.Errorf("--list: %w", err)}
	}
	for _, l := range chosen.Catalogue.Lists() {
		replaced := slices.ContainsFunc(q.lists, func(o *dnsbl.List) bool { return o.ID == l.Replaces })
		if q.all && l.NeedsKey() && !replaced {
			q.keyless = append(q.keyless, l.ID)
		}
	}
	return nil
}

func readSubject(text string) (dnsbl.Subject, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		if !mail.SeenByWorld(a) {
			return dnsbl.Subject{}, fmt.Errorf(
				"the world never sees mail from %s, so no list knows it (name the address that receivers see)", text)
		}
		return dnsbl.Address(a), nil
	}
	d, err := mail.ParseDomain(text)
	if err != nil {
		return dnsbl.Subject{}, fmt.Errorf("%q is neither an address nor a domain", text)
	}
	return dnsbl.Domain(d), nil
}

// ownAddresses asks about those that mail leaves from. By which a smarthost sends is its own business.
func (q *listedQuestion) ownAddresses(e *env, cfg *config.Config) {
	for _, r := range routes(e, cfg) {
		origin := "egress " + r.Egress.Name
		if r.Egress.Guessed {
			origin = "guessed"
		}
		for _, a := range r.Egress.Addresses {
			q.add(dnsbl.Address(a), origin)
		}
	}
}

// ownDomains asks about those that mail is signed for.
func (q *listedQuestion) ownDomains(e *env, cfg *config.Config) {
	found := keydir.Load(cfg.Signing.Keys, keydir.Options{})
	if found.Unreadable != nil {
		fmt.Fprintf(e.stderr, "reputed: not asked about the domains of the keys: %v\n", found.Unreadable)
	}
	domains := found.Domains
	for _, rule := range cfg.Rules() {
		domains = append(domains, rule.Domain, rule.SignAs)
	}
	slices.SortFunc(domains, func(a, b mail.Domain) int { return strings.Compare(a.String(), b.String()) })
	for _, d := range domains {
		if !d.IsZero() {
			q.add(dnsbl.Domain(d), "signed for")
		}
	}
}

// add asks about a subject, once, if there is a list to ask.
func (q *listedQuestion) add(s dnsbl.Subject, origin string) {
	if q.takes(s) && !slices.ContainsFunc(q.subjects, func(a asked) bool { return a.Subject == s }) {
		q.subjects = append(q.subjects, asked{s, origin})
	}
}

func (q *listedQuestion) takes(s dnsbl.Subject) bool {
	return slices.ContainsFunc(q.lists, func(l *dnsbl.List) bool { return l.Takes(s) })
}

// answer asks, until all have answered, the time is up, or somebody interrupts it.
func (q *listedQuestion) answer(ctx context.Context, e *env, resolver dns.Resolver) *listedAnswer {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	bounded, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	o := dnsbl.LookOptions{Resolver: resolver, Lists: q.lists}
	for _, s := range q.subjects {
		o.Subjects = append(o.Subjects, s.Subject)
	}
	line := e.progress()
	line.show(fmt.Sprintf("asking %s about %s", count(len(o.Lists), "list"), count(len(o.Subjects), "address or domain")))
	o.Progress = func(done, total int, r dnsbl.Result) {
		line.show(fmt.Sprintf("%d of %d: %s: %s about %s", done, total, r.State, r.List.ID, r.Subject))
	}
	a := &listedAnswer{At: e.now().UTC().Truncate(time.Second), NeedKey: q.keyless}
	results := dnsbl.Look(bounded, o)
	line.clear()
	switch {
	case ctx.Err() != nil:
		a.Cut = "interrupted"
	case bounded.Err() != nil:
		a.Cut = "timeout"
	}
	a.read(q.subjects, results)
	return a
}

// count says how many there are of something.
func count(n int, what string) string {
	switch {
	case n == 0:
		return "no " + what
	case n == 1:
		return "1 " + what
	case what == "address or domain":
		return fmt.Sprintf("%d addresses and domains", n)
	}
	return fmt.Sprintf("%d %ss", n, what)
}
