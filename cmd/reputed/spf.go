package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"reputed/cmd/reputed/internal/config"
	"reputed/policy/mail"
	"reputed/policy/spf"
)

const spfHelp = `Evaluate the SPF record of a sender, as receivers will, for every address that mail leaves from:
those of the configuration, those guessed from this host, or those given. Print the record as a tree with what each
term costs of the ten look-ups that are allowed, the verdict for each address, and the record to publish
where one does not pass. For guessed addresses no record is printed: they may not be what the world sees.
Without a sender, the record of this host's name is evaluated, which stands for bounces; of several names,
where every [[egress]] has its own, the record of each.

With --json: an object with subject, egress (the verdicts), cost, ttl (seconds that the answers hold), and
advice where there is any; for several names, an object whose subjects is an array of such objects.

Exit status: 0 every address passes; 1 one does not; 64 wrong arguments, or no address is known; 66 or 78
the configuration cannot be read or has errors; 75 the DNS did not answer, or the record lists addresses and
those of the smarthost are not known, so it is not known.`

func spfCommand(e *env) *cobra.Command {
	var ask spfQuestion
	var servers, egresses []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "spf [SENDER|DOMAIN]",
		Short: "say whether SPF lets a sender's mail leave by this host's addresses",
		Long:  spfHelp,
		Args:  cobra.MaximumNArgs(1),
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
			checker := &spf.Checker{Resolver: newResolver(&cfg.DNS, nil), Receiver: cfg.Hostname.String(), Now: e.now}
			answers := ask.answers(cmd.Context(), checker)
			if asJSON {
				if err := writeJSON(e.stdout, answers.forJSON()); err != nil {
					return err
				}
			} else {
				answers.print(e.printer())
			}
			return answers.status()
		},
	}
	cmd.Flags().StringSliceVar(&egresses, "egress", nil,
		"evaluate for this `ADDRESS` instead of those of the configuration; several: with commas")
	cmd.Flags().StringVar(&ask.helo, "helo", "", "the `NAME` with which the host greets, instead of the configured one")
	cmd.Flags().StringSliceVar(&servers, "server", nil,
		"ask this name server, `HOST:PORT`, instead of the configured ones")
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
		switch {
		case err != nil:
			return fmt.Errorf("--egress %s: write an address, such as 203.0.113.25", text)
		case !mail.SeenByWorld(a):
			return fmt.Errorf("--egress %s: the world never sees mail from there; write the address that receivers see", text)
		}
		given.Addresses = append(given.Addresses, a.Unmap())
	}
	if q.routes = []*mail.Egress{given}; len(egresses) == 0 {
		q.routes = routes(e, cfg).Of(q.anybody())
	}
	for _, way := range q.routes {
		if len(way.Addresses) > 0 || !way.Via.IsZero() {
			return nil
		}
	}
	return errors.New("no address that mail leaves from is known (name it: --egress ADDRESS, or write [[egress]])")
}

// anybody gives the sender, or one of the domain.
func (q *spfQuestion) anybody() mail.Address {
	if q.domain.IsZero() {
		return q.sender
	}
	return mail.Address{Local: "postmaster", Domain: q.domain}
}

// subject names the domain whose record is asked about an egress.
func (q *spfQuestion) subject(way *mail.Egress) string {
	switch {
	case !q.domain.IsZero():
		return q.domain.String()
	case !q.sender.IsZero():
		return q.sender.Domain.String()
	}
	return strings.ToLower(cmp.Or(q.helo, way.Hostname.String()))
}

// answers evaluates for each subject: one, unless egresses greet by several names and these stand for a bounce.
func (q *spfQuestion) answers(ctx context.Context, c *spf.Checker) (all spfAnswers) {
	var subjects []string
	of := map[string][]*mail.Egress{}
	for _, way := range q.routes {
		s := q.subject(way)
		if of[s] == nil {
			subjects = append(subjects, s)
		}
		of[s] = append(of[s], way)
	}
	for _, s := range subjects {
		all = append(all, q.answer(ctx, c, of[s]))
	}
	return all
}

// answer evaluates for every address and smarthost of the egresses, whose subject is the same.
func (q *spfQuestion) answer(ctx context.Context, c *spf.Checker, ways []*mail.Egress) *spfAnswer {
	r := spf.Request{Helo: q.helo, Sender: q.sender, Domain: q.domain.String(), Trace: true}
	audit := c.Audit(ctx, r, ways)
	a := &spfAnswer{Subject: audit.Cost.Domain, Cost: &audit.Cost}
	for i := range audit.Ways {
		if !audit.Ways[i].Beside {
			a.add(&audit.Ways[i])
		}
	}
	a.hold(a.Cost.TTL)
	if advice := audit.Advice; advice.Reason != "" {
		a.Advice = &advice
		if ways[0].Guessed && advice.New != "" {
			a.Advice = &spf.Advice{Domain: advice.Domain, Old: advice.Old, Reason: guessedReason}
		}
	}
	return a
}

const guessedReason = "these addresses are guessed from the interfaces of this host, and may not be those that the " +
	"world sees, so no record is advised: write [[egress]] first, or name them with --egress"
