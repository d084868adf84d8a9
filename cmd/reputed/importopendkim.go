package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"reputed/cmd/reputed/internal/opendkim"
	"reputed/policy/mail"
)

// importing is what `config import-opendkim` was asked for.
type importing struct {
	out   string
	keys  string
	check bool
}

func configImportCommand(e *env) *cobra.Command {
	var want importing
	cmd := &cobra.Command{
		Use:   "import-opendkim FILE [SENDER...]",
		Short: "make a configuration of one of OpenDKIM's",
		Long: `Read OpenDKIM's (or dkimpy-milter's) configuration FILE, such as /etc/opendkim.conf, with the files and
tables that it names, and print a configuration that signs the same mail with the same keys. What became
of each option and of each line of the tables is told on standard error, as FILE:LINE: carried over;
different, and how; no counterpart, and why; or wrong as it is. Where the choice of keys cannot be the
same, as with keys for single addresses, the mail is named that fares otherwise.

The keys keep their domains and selectors, so nothing changes in the DNS. The commands that copy them to
their places are printed at the end; with --keys they are copied, and keys that stand in a table or are
no PEM are written. A key that is there already is never replaced. Private keys are not printed.

With --check, what both programs do with mail from each SENDER is printed instead: OpenDKIM by its order
of looking things up, this one by the new configuration. "-" stands for the senders on standard input,
one on each line. Without any, it is about senders of every kind that the tables speak of.

What is behind a database or a script is not known, and is refused. Two differences are in no report: a
message is not signed twice with one key, and mail that a content filter or a list manager hands back is
not signed, if its sender is in none of your domains.

Exit status: 0 done; 1 with --check: there is a difference, or with --keys: a key could not be copied;
64 wrong arguments; 66 FILE cannot be read; 70 nothing could be written; 78 it cannot be imported.`,
		Example: `  reputed config import-opendkim /etc/opendkim.conf --check
  reputed config import-opendkim /etc/opendkim.conf -o /etc/reputed/reputed.toml --keys /var/lib/reputed/keys`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return configImport(e, want, args[0], args[1:]) },
	}
	cmd.Flags().StringVarP(&want.out, "output", "o", "", "write the configuration to this new `FILE`")
	cmd.Flags().StringVar(&want.keys, "keys", "", "copy the keys to this `DIRECTORY`, where the daemon is to find them")
	cmd.Flags().BoolVar(&want.check, "check", false, "compare what both programs do with mail from each SENDER")
	return cmd
}

func configImport(e *env, want importing, file string, args []string) error {
	senders, err := readSenders(e, want.check, args)
	if err != nil {
		return err
	}
	o, err := importFile(want, file)
	if err != nil {
		return err
	}
	for _, n := range o.Report {
		fmt.Fprintln(e.stderr, n)
	}
	if err := writeImport(e, want, o); err != nil {
		return err
	}
	failed := placeKeys(e, want, o)
	if want.check {
		if len(args) == 0 {
			senders = o.Samples
		}
		failed = errors.Join(failed, printComparisons(e, o.Compare(senders)))
	}
	if failed != nil {
		return status{exitFailed, failed}
	}
	return nil
}

// importFile reads the set-up, from the root directory on.
func importFile(want importing, file string) (*opendkim.Outcome, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, errNoFile(err)
	}
	opt := opendkim.Options{File: path, Root: os.DirFS("/"), Host: thisHost()}
	if want.keys != "" {
		if opt.Keys, err = filepath.Abs(want.keys); err != nil {
			return nil, status{exitUsage, err}
		}
	}
	o, err := opendkim.Import(opt)
	switch refused := (opendkim.Refusals)(nil); {
	case errors.As(err, &refused):
		return nil, status{exitConfig, fmt.Errorf("it cannot be imported:\n%w", refused)}
	case errors.Is(err, opendkim.ErrFile):
		return nil, errNoFile(err)
	case err != nil:
		return nil, status{exitFault, err}
	}
	return o, nil
}

// writeImport writes the configuration to its file, which must not be there yet, or to standard output.
func writeImport(e *env, want importing, o *opendkim.Outcome) error {
	if want.out == "" {
		if want.check {
			return nil
		}
		return written(e.stdout.Write(o.TOML))
	}
	f, err := os.OpenFile(want.out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		if errors.Is(err, os.ErrExist) {
			err = fmt.Errorf("%s: it is there already, and stays as it is (move it away, or choose another name)", want.out)
		}
		return status{exitFault, err}
	}
	_, err = f.Write(o.TOML)
	if err = errors.Join(err, f.Close()); err != nil {
		return status{exitFault, err}
	}
	fmt.Fprintf(e.stderr, "reputed: wrote %s\n", want.out)
	return nil
}

// placeKeys copies the keys, or says how.
func placeKeys(e *env, want importing, o *opendkim.Outcome) error {
	if want.keys == "" {
		if commands := o.Commands(); len(commands) > 0 && (want.out != "" || !want.check) {
			fmt.Fprintf(e.stderr, "\nreputed: the keys, copied as root:\n%s\n", strings.Join(commands, "\n"))
		}
		return nil
	}
	done, errs := o.Store()
	for _, s := range done {
		if s.New {
			fmt.Fprintf(e.stderr, "reputed: wrote %s\n", s.Path)
		} else {
			fmt.Fprintf(e.stderr, "reputed: %s: is there already\n", s.Path)
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("keys that are not at their place:\n%w", errors.Join(errs...))
	}
	return nil
}

// readSenders parses the senders named on the command line and on standard input.
func readSenders(e *env, check bool, args []string) (senders []mail.Address, err error) {
	if len(args) > 0 && !check {
		return nil, status{exitUsage, errors.New("senders are for --check; there is one FILE to import")}
	}
	for _, arg := range args {
		words := []string{arg}
		if arg == "-" {
			text, err := readInput(e, nil)
			if err != nil {
				return nil, err
			}
			words = nil
			for in := bufio.NewScanner(bytes.NewReader(text)); in.Scan(); {
				if line := strings.TrimSpace(in.Text()); line != "" {
					words = append(words, line)
				}
			}
		}
		for _, w := range words {
			a, err := mail.ParsePath(w)
			if err != nil || a.IsZero() {
				return nil, status{exitUsage, fmt.Errorf("%s: %w", printable(w), mail.ErrAddress)}
			}
			senders = append(senders, a)
		}
	}
	return senders, nil
}

// printComparisons prints what both programs do with mail from each sender.
func printComparisons(e *env, all []opendkim.Comparison) error {
	p := e.printer()
	rows := [][]cell{{{"sender", bold}, {"opendkim", bold}, {"reputed", bold}, {"", plain}}}
	differences := 0
	for _, c := range all {
		mark := cell{"same", green}
		if !c.Same() {
			differences++
			mark = cell{"different", red}
		}
		rows = append(rows, []cell{{printable(c.Sender.String()), plain}, {printable(c.Theirs.String()), plain},
			{printable(c.Ours.String()), plain}, mark})
	}
	p.table("", rows)
	if differences > 0 {
		return fmt.Errorf("%d of %d senders fare otherwise than with opendkim", differences, len(all))
	}
	return nil
}
