package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	live "reputed/cmd/reputed/internal/status"
)

// exitUnavailable is for a daemon that does not answer (EX_UNAVAILABLE).
const exitUnavailable = 69

func statusCommand(e *env) *cobra.Command {
	var asJSON bool
	var socket string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "say how the running daemon does, and what to mend",
		Long: `Ask the running daemon how it does, and print what to mend, the worst first; how much mail it saw; how the
addresses that mail leaves from stand at the lists; how the resolver does; and the keys in use. What has one
cause is told once: of what the resolver or a list is to blame for, there are only numbers elsewhere (--json
has all of it). Nothing is asked of the DNS.

The same in numbers, for Prometheus: curl --unix-socket /run/reputed/status.sock http://localhost/metrics,
and over TCP where [status] listen says. Every metric is explained in contrib/doc/metrics.md.

Exit status: 0 all is well; 1 somebody should mend something; 2 an address that mail leaves from is on a
list that may act, with a code for which receivers refuse mail; 3 something that mail may depend on is not
known: the lists are being tested, the resolver is silent or refused; 69 no daemon answers, or it may not be
asked; 70 the answer could not be printed. Of 1, 2 and 3 it is 2, then 1, then 3.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := getStatus(cmd.Context(), statusSocket(cmd, socket))
			if err != nil {
				return err
			}
			problems, worst := r.Problems()
			if asJSON {
				if err := writeJSON(e.stdout, r); err != nil {
					return err
				}
			} else {
				printStatus(e.printer(), r, problems)
			}
			return statusOf(worst)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	socketFlag(cmd, &socket)
	return cmd
}

func socketFlag(cmd *cobra.Command, socket *string) {
	cmd.Flags().StringVar(socket, "socket", "", "ask the daemon that answers at this `PATH` (default: as configured)")
}

// statusSocket gives the socket of the arguments, or of the configuration, or where it is when nothing else is said.
func statusSocket(cmd *cobra.Command, given string) string {
	if given != "" {
		return given
	}
	if cfg, _, err := loadConfig(configFlag(cmd)); err == nil && cfg.Status.Socket != "" {
		return cfg.Status.Socket
	}
	return live.DefaultSocket
}

// getStatus asks the daemon.
func getStatus(ctx context.Context, socket string) (*live.Report, error) {
	r, err := live.Get(ctx, socket)
	if errors.Is(err, live.ErrNoDaemon) || errors.Is(err, live.ErrForbidden) {
		return nil, status{exitUnavailable, err}
	}
	if err != nil {
		return nil, status{exitFault, err}
	}
	return r, nil
}

func statusOf(worst live.Level) error {
	switch worst {
	case live.Blocklisted:
		return status{code: exitListed}
	case live.Warning:
		return status{code: exitWarn}
	case live.Unknown:
		return status{code: exitUnknown}
	}
	return nil
}

// printStatus writes the page for people.
func printStatus(p printer, r *live.Report, problems []live.Problem) {
	how := map[string]string{"enforce": "enforces", "observe": "only observes"}[r.Mode]
	p.printf("%s for %s %s, since %s (%s)\n", p.paint(bold, "reputed "+printable(r.Version)), r.Hostname, how,
		clock(r.Started), ago(r.At, r.Started))
	p.printf("%s\n", printable(configLine(r)))
	printProblems(p, problems)
	printCounts(p, r)
	for i := range r.Egresses {
		printEgress(p, r, &r.Egresses[i])
	}
	printDomains(p, r)
	printLists(p, r)
	printResolver(p, r)
	printKeys(p, r)
	printChecklist(p, r)
}

func configLine(r *live.Report) string {
	line := "configuration " + r.Config
	if r.Config == "" {
		line = "no configuration file, so defaults"
	}
	switch {
	case r.Reload.At.IsZero():
		return line + ", read at the start"
	case r.Reload.OK:
		return line + ", reloaded " + clock(r.Reload.At)
	}
	return line + ", reload refused " + clock(r.Reload.At)
}

func printProblems(p printer, problems []live.Problem) {
	if len(problems) == 0 {
		p.printf("%s\n\n", p.paint(green, "all is well"))
		return
	}
	p.printf("\n")
	var rows [][]cell
	for _, problem := range problems {
		c := amber
		if problem.Level == live.Blocklisted {
			c = red
		}
		rows = append(rows, []cell{{"!", c}, {printable(problem.Text), c}})
		if problem.Remedy != "" {
			rows = append(rows, []cell{{}, {printable(problem.Remedy), plain}})
		}
	}
	p.table("", rows)
	p.printf("\n")
}

// clock shows a time in UTC, as the log does.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04Z") }

// ago says how long ago something was, in one unit.
func ago(now, then time.Time) string {
	d := max(0, now.Sub(then))
	switch {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}
