package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"reputed/policy/check"
	"reputed/policy/mail"
)

const checkHelp = `Walk the checklist of a reputable mail server: its addresses and their reverse DNS, its name, the MX, SPF, DKIM
and DMARC records of its domains, block lists, and the settings of Postfix or Exim. Say for each item what is so, how
it was found out, and where something is wrong the exact edit that mends it: a DNS record, a line of main.cf, a command.

The configuration says what to check, if there is one: its [[egress]] addresses, its hostname, the domains it has
keys for, or those named. Without one, --egress, --helo and --selector do, with what this host and its mail server
know of themselves. --only and --skip take ids and groups; a word that is both is the group.

Verdicts are pass, warn, fail and unknown; unknown is never a pass: a name server that does not answer proves
nothing. The worst one is the verdict of the whole. Items under "good to know" count only when they fail, or when
nothing else was asked.

Nothing is sent. Where a domain has an MTA-STS record, its policy is fetched over HTTPS, as senders do, unless
mtasts is skipped. No other port of others is knocked at, unless it is asked for: --port25 (connects to port 25 of a
few mail servers, and hangs up; to each at most once a day, if state_dir can be written), --role (asks the MX of each
domain whether it takes mail for postmaster and abuse), --banner (reads the greeting of this host's own port 25).

With --diff only what changed since the last run with it is printed, and kept in state_dir for the next one: "new" is
wrong and was not, "changed" is wrong in another way, "mended" is well again, "gone" is not there any more. What could
not be found out is no change, unless for 3 days: then it is "unknown", once. With --mail it is mailed, through
sendmail(1), if there is any.

--send mails a probe to an account of yours, through sendmail(1), as the mail of your users goes, and --received reads
what the receiver made of it, from the Authentication-Results that it wrote on top.

With --json: an object with at, verdict, counts (pass, warn, fail, unknown: of what counts), host (name, egress,
guessed, domains, keys), items (id, group, about, info, verdict, findings), and cut_short ("timeout", "interrupted") if
not all could be asked. A finding has rule, result, grade, and as far as there are any subject, reason, advice, fix and
evidence (name, value). With --diff: at, since, verdict, changes (change, item, subject, was, is, since), host,
cut_short.
Members may be added, and none is taken away.

Exit status, the first that holds: 2 fail; 1 warn; 3 unknown; 0 pass; so with --diff too, whatever changed. 64 wrong
arguments; 66 a file cannot be read; 70 what was found could not be kept or mailed; 78 the configuration has errors.`

func checkCommand(e *env) *cobra.Command {
	q := &checkQuestion{}
	cmd := &cobra.Command{
		Use:   "check [DOMAIN...]",
		Short: "walk the checklist of a reputable mail server, and say how to mend what is wrong",
		Long:  checkHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			if q.list {
				return q.printItems(e)
			}
			cfg, path, err := loadConfig(configFlag(cmd))
			if err != nil {
				return err
			}
			q.cfg, q.configured, q.names = cfg, path != "", args
			return q.run(cmd.Context(), e)
		},
	}
	q.addFlags(cmd)
	return cmd
}

func (q *checkQuestion) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&q.egresses, "egress", nil,
		"mail leaves from this `ADDRESS`, instead of those of the configuration; several: with commas")
	f.StringVar(&q.helo, "helo", "", "the `NAME` with which the host greets, instead of the configured one")
	f.StringSliceVar(&q.selectors, "selector", nil,
		"look for a key of this `SELECTOR` too, in each domain; several: with commas")
	f.StringSliceVar(&q.servers, "server", nil, "ask this name server, `HOST:PORT`, instead of the configured ones")
	f.StringSliceVar(&q.postfixes, "postfix-config", nil,
		"read the settings of Postfix from this `DIRECTORY`, instead of all instances; several: with commas")
	f.StringSliceVar(&q.only, "only", nil, "walk these `ITEMS` only, by id or group; several: with commas")
	f.StringSliceVar(&q.skip, "skip", nil, "leave these `ITEMS` out")
	f.DurationVar(&q.timeout, "timeout", 30*time.Second, "end after this `TIME` with what is known")
	f.BoolVar(&q.wanted.Port25, "port25", false, "see whether port 25 of others can be reached")
	f.StringSliceVar(&q.wanted.Targets, "port25-target", nil,
		"with --port25: try this `HOST`, instead of the configured ones; several: with commas")
	f.BoolVar(&q.wanted.Role, "role", false, "ask the MX of each domain whether it takes mail for postmaster and abuse")
	f.BoolVar(&q.wanted.Banner, "banner", false, "read the greeting of this host's own port 25")
	f.BoolVarP(&q.verbose, "verbose", "v", false, "show what was asked and answered for every item")
	f.BoolVar(&q.list, "list", false, "list the items and what they look at")
	f.BoolVar(&q.diff, "diff", false, "print only what changed since the last run with --diff")
	f.StringVar(&q.mailTo, "mail", "", "with --diff: mail what changed to this `ADDRESS`, if anything did")
	f.StringVar(&q.send, "send", "",
		"mail a probe to this `ADDRESS`, an account of yours at a provider, and say what to look for")
	f.StringVar(&q.from, "from", "", "with --send: the `SENDER` (default postmaster@ the first domain)")
	f.StringVar(&q.received, "received", "", "read such a probe back from `FILE`, and say what the receiver made of it")
	f.BoolVar(&q.json, "json", false, "print JSON")
}

// run walks, prints or keeps what is asked for, and gives the exit status.
func (q *checkQuestion) run(ctx context.Context, e *env) error {
	items, err := q.items()
	if err == nil {
		err = q.contradiction()
	}
	if err != nil {
		return status{exitUsage, err}
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	bounded, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	host, err := q.host(bounded, e)
	if err != nil {
		return err
	}
	defer q.close()
	switch {
	case q.send != "":
		return q.sendProbe(ctx, e, host)
	case q.received != "":
		return q.readReceived(e, host)
	}
	memory, err := q.remember(host)
	if err != nil {
		return err
	}
	memory.spare(host, items)
	answer := q.walk(bounded, e, host, items)
	if ctx.Err() != nil {
		answer.Cut = cutInterrupted
	}
	memory.noteTries(host, answer)
	switch {
	case q.diff:
		err = q.printDiff(ctx, e, memory, answer)
	case q.json:
		err = writeJSON(e.stdout, answer)
	default:
		answer.print(e.printer(), q.verbose)
	}
	if err == nil {
		err = q.keep(host, memory)
	}
	if err != nil {
		return err
	}
	return answer.status()
}

// contradiction finds arguments that make no sense together.
func (q *checkQuestion) contradiction() error {
	switch {
	case q.mailTo != "" && !q.diff:
		return errors.New("--mail: mails what changed, so it needs --diff")
	case q.from != "" && q.send == "":
		return errors.New("--from: is the sender of a probe, so it needs --send")
	case len(q.wanted.Targets) > 0 && !q.wanted.Port25:
		return errors.New("--port25-target: needs --port25")
	case q.send != "" && q.received != "":
		return errors.New("--send and --received: first the one, and the other when the message has come")
	case q.diff && (q.send != "" || q.received != ""):
		return errors.New("--diff: is about the checklist, and not about a probe")
	case q.timeout <= 0:
		return fmt.Errorf("--timeout %s: no time at all", q.timeout)
	case q.mailTo != "" && !isMailbox(q.mailTo):
		return fmt.Errorf("--mail %s: write an address, or the name of a user of this host", q.mailTo)
	}
	return nil
}

// isMailbox tells an address, or a name of a user here.
func isMailbox(s string) bool {
	if !strings.Contains(s, "@") {
		s += "@localhost"
	}
	a, err := mail.ParsePath(s)
	return err == nil && a.Local != "" && !strings.ContainsAny(s, " \r\n,<>")
}

// walk asks the items, until all have answered, or ctx ends.
func (q *checkQuestion) walk(ctx context.Context, e *env, h *check.Host, items []check.Item) *checkAnswer {
	line := e.progress()
	line.show("walking through " + count(len(items), "item"))
	waiting := ids(items)
	outcomes := h.Walk(ctx, items, func(o check.Outcome) {
		waiting = slices.DeleteFunc(waiting, func(id string) bool { return id == o.Item.ID })
		told := fmt.Sprintf("%d of %d", len(items)-len(waiting), len(items))
		if len(waiting) > 0 {
			told += "; waiting for " + strings.Join(waiting, " ")
		}
		line.show(told)
	})
	line.clear()
	a := newCheckAnswer(h, outcomes, e.now())
	if len(q.only) == 0 {
		a.addProviders(h.Providers(outcomes))
	}
	if ctx.Err() != nil {
		a.Cut = cutTimeout
	}
	return a
}

// items gives those that are to be walked through.
func (q *checkQuestion) items() ([]check.Item, error) {
	all := check.Items()
	groups := map[string]bool{}
	for _, i := range all {
		groups[i.Group] = true
	}
	named := func(i check.Item, word string) bool { return i.Group == word || i.ID == word && !groups[word] }
	for _, word := range slices.Concat(q.only, q.skip) {
		if !slices.ContainsFunc(all, func(i check.Item) bool { return named(i, word) }) {
			return nil, fmt.Errorf("%q is no item of the checklist (see: reputed check --list)", word)
		}
	}
	all = slices.DeleteFunc(all, func(i check.Item) bool {
		byWord := func(word string) bool { return named(i, word) }
		return len(q.only) > 0 && !slices.ContainsFunc(q.only, byWord) || slices.ContainsFunc(q.skip, byWord)
	})
	if len(all) == 0 {
		return nil, errors.New("--skip: leaves nothing to ask")
	}
	return all, nil
}

func ids(items []check.Item) (all []string) {
	for i := range items {
		all = append(all, items[i].ID)
	}
	return all
}

// printItems lists what can be asked for.
func (q *checkQuestion) printItems(e *env) error {
	type listed struct {
		ID    string `json:"id"`
		Group string `json:"group"`
		About string `json:"about"`
	}
	var all []listed
	for _, i := range check.Items() {
		all = append(all, listed{i.ID, i.Group, i.About})
	}
	if q.json {
		return writeJSON(e.stdout, all)
	}
	p := e.printer()
	var rows [][]cell
	for n, i := range all {
		if n == 0 || all[n-1].Group != i.Group {
			rows = append(rows, []cell{{i.Group, bold}})
		}
		rows = append(rows, []cell{{"  " + i.ID, plain}, {i.About, plain}})
	}
	p.table("", rows)
	return nil
}
