package main

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reputed/cmd/reputed/internal/config"
)

// defaultConfig is read when no file is named, if it is there.
const defaultConfig = "/etc/reputed/reputed.toml"

func configFlag(cmd *cobra.Command) string {
	file, _ := cmd.Flags().GetString("config")
	return file
}

// loadConfig reads the configuration. Without a file named, and none at the usual place, it gives the defaults, with
// an empty path.
func loadConfig(file string) (cfg *config.Config, path string, err error) {
	path = file
	if file == "" {
		path = defaultConfig
	}
	text, err := os.ReadFile(path)
	switch {
	case file == "" && errors.Is(err, fs.ErrNotExist):
		return config.Default(thisHost()), "", nil
	case err != nil:
		return nil, path, errNoFile(err)
	}
	cfg, err = config.Load(path, text, thisHost())
	if err != nil {
		return nil, path, status{exitConfig, err}
	}
	cfg.File = path
	return cfg, path, nil
}

// thisHost finds out what the defaults depend on.
func thisHost() config.Host {
	name, _ := os.Hostname()
	return config.Host{FullName: fullName(name, net.DefaultResolver.LookupCNAME), PostfixSpool: hasSpool()}
}

// hasSpool tells whether this host has a Postfix.
func hasSpool() bool {
	_, err := os.Stat(postfixSpool)
	return err == nil
}

// nameTimeout is how long a start waits for the full name of this host.
const nameTimeout = 2 * time.Second

// fullName gives the name of this host as `hostname -f` does: most hosts know themselves by their first label, and
// /etc/hosts or the DNS has the rest. What cannot be found out leaves the name as it is.
func fullName(name string, canonical func(context.Context, string) (string, error)) string {
	if name == "" || strings.Contains(name, ".") {
		return name
	}
	ctx, cancel := context.WithTimeout(context.Background(), nameTimeout)
	defer cancel()
	full, err := canonical(ctx, name)
	if full = strings.TrimSuffix(full, "."); err != nil || !strings.Contains(full, ".") {
		return name
	}
	return full
}

// errNoFile says that a file named on the command line cannot be read.
func errNoFile(err error) error { return status{exitNoFile, err} }
