package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"reputed/cmd/reputed/internal/config"
	"reputed/cmd/reputed/internal/maillog"
	"reputed/contrib"
)

func configCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "check, show or explain the configuration",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(configCheckCommand(e), configExampleCommand(e), configShowCommand(e), configImportCommand(e))
	return cmd
}

func configCheckCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "say what is wrong with the configuration",
		Long: `Read the configuration file as serve does, and print every error in it, each as FILE:LINE. Keys and
sockets are not touched. What is no error and may bring trouble later is said, too.

Exit status: 0 no errors; 66 the file cannot be read; 78 there are errors.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return configCheck(e, configFlag(cmd)) },
	}
}

func configCheck(e *env, file string) error {
	cfg, path, err := loadConfig(file)
	if found := (config.Errors)(nil); errors.As(err, &found) {
		fmt.Fprintln(e.stderr, found) // bare, so that each line begins with FILE:LINE
		return status{code: exitConfig}
	}
	if err != nil {
		return err
	}
	if s := cfg.Signing.Selector.String(); !strings.Contains(s, "{random}") {
		fmt.Fprintf(e.stderr, "reputed: signing.selector: %q gives all keys of a month one name, and none is used again: a "+
			"second one for a domain cannot be made, as after a breach (put {random} into it)\n", s)
	}
	if path == "" {
		fmt.Fprintf(e.stdout, "%s: not there, the defaults hold: ok\n", defaultConfig)
		return nil
	}
	fmt.Fprintf(e.stdout, "%s: ok\n", path)
	return nil
}

func configExampleCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "example",
		Short: "print a configuration file with every key, commented",
		Long: `Print the sample configuration: every key, commented out at its default, with what it does. As it is,
it changes nothing: reputed config example > ` + defaultConfig,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return written(e.stdout.Write(contrib.Sample)) },
	}
}

func configShowCommand(e *env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "print the configuration in effect",
		Long: `Print every key with the value in effect, from the file or by default, as a configuration file or as JSON.

Exit status: 0 done; 66 the file cannot be read; 78 the configuration has errors.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return configShow(e, configFlag(cmd), asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func configShow(e *env, file string, asJSON bool) error {
	cfg, path, err := loadConfig(file)
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(e.stdout, cfg)
	}
	if path == "" {
		path = "the defaults: there is no " + defaultConfig
	}
	if _, err := fmt.Fprintf(e.stdout, "# %s\n\n", path); err != nil {
		return status{exitFault, err}
	}
	if err := cfg.Write(e.stdout); err != nil {
		return status{exitFault, err}
	}
	return nil
}

// writeJSON prints a value for programs to read, and for terminals to show: it may hold words of strangers.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(maillog.JSON(w))
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return written(0, enc.Encode(v))
}

// written gives the exit status for what a write returned.
func written(_ int, err error) error {
	if err != nil {
		return status{exitFault, err}
	}
	return nil
}
