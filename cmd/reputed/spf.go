package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"reputed/cmd/reputed/internal/config"
	"reputed/policy"
	"reputed/policy/mail"
	"reputed/policy/spf"
)

func spfCommand(e *env) *cobra.Command {
	var ask spfQuestion
	var servers, egresses []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "spf [SENDER|DOMAIN]",
		Short: "say whether SPF lets a sender's mail leave by this host's addresses",
		Long: `Evaluate the SPF record of a sender, as receivers will, for every address that mail leaves from: those of
the configuration, those guessed from this host, or those given. Print the record as a tree with what each
term costs of the ten look-ups that are allowed, the verdict for each address, and the record to publish
where one does not pass. Without a sender, the record of this host's name is evaluated, which stands for
bounces.

Exit status: 0 every address passes; 1 one does not; 64 wrong arguments, or no address is known; 66 or 78
the configuration cannot be read or has errors; 75 the DNS did not answer, so it is not known.`,
		Args: cobra.MaximumNArgs(1),
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
			if err := ask.read(e, cfg, args, egresses); err != nil {
				return status{exitUsage, err}
			}
			checker := &spf.Checker{Resolver: newResolver(&cfg.DNS), Receiver: cfg.Hostname.String(), Now: e.now}
			answer := ask.answer(cmd.Context(), checker)
			if asJSON {
				if err := writeJSON(e.stdout, answer); err != nil {
					return err
				}
			} else {
				answer.print(e.printer())
			}
			return answer.status()
		},
	}
	cmd.Flags().StringSliceVar(&egresses, "egress", nil, "evaluate for this `ADDRESS` instead of those of the configuration; several: with commas")
	cmd.Flags().StringVar(&ask.helo, "helo", "", "the `NAME` with which the host greets, instead of the configured one")
	cmd.Flags().StringSliceVar(&servers, "server", nil, "ask this name server, `HOST:PORT`, instead of the configured ones")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// spfQuestion is whose mail is to leave from where.
type spfQuestion struct {
	sender mail.Address // zero: a bounce
	domain mail.Domain  // instead of a sender
	helo   string
	routes []*mail.Egress
}

// read reads the arguments. What they leave out comes from the configuration.
func (q *spfQuestion) read(e *env, cfg *config.Config, args, egresses []string) error {
	if len(args) > 0 && strings.Trim(args[0], "<>") != "" {
		var err error
		if q.sender, err = mail.ParsePath(args[0]); err != nil {
			if q.domain, err = mail.ParseDomain(args[0]); err != nil {
				return fmt.Errorf("%q is neither a sender nor a domain", args[0])
			}
		}
		q.sender = cfg.Rewrites().Apply(q.sender)
	}
	given := &mail.Egress{Name: "given", Hostname: cfg.Hostname}
	for _, text := range egresses {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return fmt.Errorf("--egress %s: write an address, such as 203.0.113.25", text)
		}
		given.Addresses = append(given.Addresses, a.Unmap())
	}
	if q.routes = []*mail.Egress{given}; len(egresses) == 0 {
		q.routes = senderRoutes(routes(e, cfg), q.sender)
	}
	for _, way := range q.routes {
		if len(way.Addresses) > 0 || !way.Via.IsZero() {
			return nil
		}
	}
	return errors.New("no address that mail leaves from is known (name it: --egress ADDRESS, or write [[egress]])")
}

// senderRoutes gives the egresses that mail of the sender may take, whatever service takes it.
func senderRoutes(all policy.Routes, sender mail.Address) (ways []*mail.Egress) {
	for _, r := range all {
		r.Daemons = nil
		if len(policy.Routes{r}.For(sender, "")) > 0 {
			ways = append(ways, r.Egress)
		}
	}
	return ways
}

// request is the question for one egress.
func (q *spfQuestion) request(way *mail.Egress) spf.Request {
	r := spf.Request{Helo: q.helo, Sender: q.sender, Domain: q.domain.String()}
	if r.Helo == "" {
		r.Helo = way.Hostname.String()
	}
	return r
}

// answer evaluates for every address and smarthost.
func (q *spfQuestion) answer(ctx context.Context, c *spf.Checker) *spfAnswer {
	a := &spfAnswer{}
	var edit spf.Case
	for _, way := range q.routes {
		r := q.request(way)
		if !way.Via.IsZero() {
			o := c.Reaches(ctx, r, way.Via)
			a.add(way.Name, "via "+way.Via.String(), o)
			edit.Via, edit.Outcomes = way.Via, append(edit.Outcomes, o)
			if o.Result == spf.Pass { // by which addresses the smarthost sends is its own business
				continue
			}
		}
		for _, addr := range way.Addresses {
			r.IP, r.Trace = addr, true
			o := c.Check(ctx, r)
			a.add(way.Name, addr.String(), o)
			edit.Outcomes = append(edit.Outcomes, o)
		}
	}
	a.Cost = q.worst(ctx, c)
	edit.Survey = a.Cost
	if advice := spf.Advise(edit); advice.Reason != "" {
		a.Advice = &advice
	}
	return a
}

// worst surveys the record for every address, and gives the costliest of all.
func (q *spfQuestion) worst(ctx context.Context, c *spf.Checker) (worst *spf.Survey) {
	for _, way := range q.routes {
		r := q.request(way)
		addrs := way.Addresses
		if len(addrs) == 0 { // a smarthost
			addrs = []netip.Addr{{}}
		}
		for _, r.IP = range addrs {
			s := c.Survey(ctx, r)
			if worst == nil || s.Lookups > worst.Lookups || s.Lookups == worst.Lookups && s.Voids > worst.Voids {
				worst = &s
			}
		}
	}
	return worst
}
