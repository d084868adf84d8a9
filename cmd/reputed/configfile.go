package main

import (
	"errors"
	"io/fs"
	"os"

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
	return cfg, path, nil
}

// thisHost finds out what the defaults depend on.
func thisHost() config.Host {
	name, _ := os.Hostname()
	_, err := os.Stat(postfixSpool)
	return config.Host{FullName: name, PostfixSpool: err == nil}
}

// errNoFile says that a file named on the command line cannot be read.
func errNoFile(err error) error { return status{exitNoFile, err} }
