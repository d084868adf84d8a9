package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"reputed/cmd/reputed/internal/config"
	"reputed/cmd/reputed/internal/held"
	live "reputed/cmd/reputed/internal/status"
)

// exitNoPermission is for what only root may do (EX_NOPERM).
const exitNoPermission = 77

func holdCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hold",
		Short: "list and release the messages that reputed had Postfix hold",
		Long: `A message that a rule holds stays in Postfix's hold queue until somebody releases it: the verbs below say
which messages those are and why, and release them once the rule does not hold them any more. What others
put into the hold queue is counted, and never touched.

A message that you put on hold again by hand, after reputed had held it once, counts as held by reputed. So does
one that others (another milter, a restriction) put on hold as well: Postfix does not tell, and it is released.`,
	}
	cmd.AddCommand(holdListCommand(e), holdReleaseCommand(e))
	return cmd
}

// holdFlags are what both verbs take.
type holdFlags struct {
	postfix string
	socket  string
	max     time.Duration
}

func (f *holdFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.postfix, "postfix-config", "",
		"`DIR` with main.cf of the Postfix instance, if it is not the default one")
	cmd.Flags().DurationVar(&f.max, "max", 0,
		"a message waits too long after this `TIME`, instead of the configured hold_max")
	socketFlag(cmd, &f.socket)
}

func holdListCommand(e *env) *cobra.Command {
	var flags holdFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list the messages that reputed had Postfix hold",
		Long: `List the messages in Postfix's hold queue that reputed put there: since when, by which rule, and whether that
rule still holds them now. For a listed address the running daemon is asked; SPF is evaluated again. What others
put on hold is counted, and shown when it waits too long, since it may be a message that reputed forgot.

Exit status: 0 no message waits too long; 1 one does, whoever holds it; 64 wrong arguments; 66 the
configuration or the list of held messages cannot be read; 69 the queue cannot be read; 77 the list of held
messages may not be read; 78 the configuration has errors.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, _, err := flags.look(cmd.Context(), e, configFlag(cmd))
			if err != nil {
				return err
			}
			if asJSON {
				if err := writeJSON(e.stdout, a); err != nil {
					return err
				}
			} else {
				a.print(e.printer())
			}
			return a.status()
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// look finds out which messages are held, and whether they still must be.
func (f *holdFlags) look(ctx context.Context, e *env, file string) (*holdAnswer, held.Postfix, error) {
	postfix := held.Postfix{Config: f.postfix}
	cfg, _, err := loadConfig(file)
	if err != nil {
		return nil, postfix, err
	}
	store := filepath.Join(cfg.StateDir, held.FileName)
	entries, damaged, err := held.Read(store)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, postfix, status{exitNoPermission, fmt.Errorf("%w (run as root, or as the user of the daemon)", err)}
	case err != nil:
		return nil, postfix, errNoFile(err)
	}
	queue, err := postfix.OnHold(ctx)
	if err != nil {
		return nil, postfix, status{exitUnavailable, err}
	}
	a := &holdAnswer{
		At: e.now(), Held: []heldMessage{}, Strange: []strange{}, File: store, Damaged: damaged, Max: seconds(f.limit(cfg)),
	}
	j := newJudge(ctx, e, cfg, cmp.Or(f.socket, cfg.Status.Socket, live.DefaultSocket))
	defer j.close()
	for _, q := range queue {
		entry, ours := held.Find(entries, q.ID, q.Arrived)
		if !ours {
			a.addOther(&q)
			continue
		}
		a.add(&entry, j.message(&entry))
	}
	a.Daemon = j.trouble()
	return a, postfix, nil
}

func (f *holdFlags) limit(cfg *config.Config) time.Duration {
	if f.max > 0 {
		return f.max
	}
	return time.Duration(cfg.Policy.DNSBL.HoldMax)
}

// holdRelease is what to release.
type holdRelease struct {
	ids    []string
	all    bool
	dryRun bool
}

func holdReleaseCommand(e *env) *cobra.Command {
	var flags holdFlags
	var what holdRelease
	cmd := &cobra.Command{
		Use:   "release [ID...]",
		Short: "release the messages that their rule does not hold any more",
		Long: `Release, of the messages that reputed had Postfix hold, those that their rule does not hold any more; or those
whose queue ids are named, or all of them, whatever the rule says. What reputed did not put on hold is never
released. As the timer reputed-hold.timer it runs every five minutes.

Exit status: 0 done, and no message of reputed's that stays waits too long; 1 one does, or an ID is not held
by reputed and nothing was released; 64 wrong arguments; 66 the configuration or the list of held messages
cannot be read; 69 the queue cannot be read or changed; 77 only root may do that; 78 the configuration has
errors.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if what.ids = args; what.all && len(args) > 0 {
				return status{exitUsage, errors.New("name queue ids, or --all, not both")}
			}
			a, postfix, err := flags.look(cmd.Context(), e, configFlag(cmd))
			if err != nil {
				return err
			}
			return what.run(cmd.Context(), e, a, postfix)
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&what.all, "all", false, "release also what the rule still holds")
	cmd.Flags().BoolVar(&what.dryRun, "dry-run", false, "say what would be released, and release nothing")
	return cmd
}

// run releases, and tells of each message.
func (r *holdRelease) run(ctx context.Context, e *env, a *holdAnswer, postfix held.Postfix) error {
	chosen, err := r.choose(a)
	if err != nil {
		return status{exitFailed, err}
	}
	done := chosen
	if !r.dryRun {
		done, err = postfix.Release(ctx, chosen)
	}
	p, left := e.printer(), *a
	left.Held = nil
	for i := range a.Held {
		m := &a.Held[i]
		switch {
		case slices.Contains(done, m.Queue) && r.dryRun:
			p.printf("would release %s from <%s>: %s\n", m.Queue, printable(m.Sender), printable(m.Because))
		case slices.Contains(done, m.Queue):
			p.printf("released %s from <%s>: %s\n", m.Queue, printable(m.Sender), printable(m.Because))
		case slices.Contains(chosen, m.Queue) && err == nil:
			p.printf("%s is not on hold any more\n", m.Queue)
		default:
			left.Held = append(left.Held, *m)
		}
	}
	switch {
	case errors.Is(err, held.ErrNotRoot):
		return status{exitNoPermission, fmt.Errorf("%w: sudo reputed hold release", err)}
	case err != nil:
		return status{exitUnavailable, err}
	}
	return left.rest(p)
}

// choose gives the ids of what to release.
func (r *holdRelease) choose(a *holdAnswer) (ids []string, err error) {
	for _, m := range a.Held {
		if r.all || slices.Contains(r.ids, m.Queue) || len(r.ids) == 0 && m.Now == nowFree {
			ids = append(ids, m.Queue)
		}
	}
	var errs []error
	for _, id := range r.ids {
		if !slices.Contains(ids, id) {
			errs = append(errs, fmt.Errorf("%q is not a message that reputed holds (see: reputed hold list)", id))
		}
	}
	return ids, errors.Join(errs...)
}
