// Package mta reads what the mail server of this host is set to, by asking its own programs: postconf(1) and
// postmulti(1) of Postfix, exim(8).
//
// # What it never does
//
// It judges nothing, and changes nothing: package check says what settings are worth. It reads no configuration files
// itself, whose meaning only the server knows.
//
// # Security
//
// Programs are found as the shell finds them, and in /usr/sbin and /usr/local/sbin. They are run without a shell, each
// for 5 seconds at most. What they print is the administrator's, and may hold what users wrote: escape it where it is
// shown. The parsers take time in proportion to their input, and are fuzzed.
package mta

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// runTime is how long one program may take.
const runTime = 5 * time.Second

// Reader asks the programs. The zero value is ready for use.
type Reader struct {
	// PostfixDir is the directory of the only instance of Postfix to look at; "": all of this host's.
	PostfixDir string

	// Run runs a program and gives what it prints; nil: those of this host. A program that is not there is
	// exec.ErrNotFound.
	Run func(ctx context.Context, name string, args ...string) ([]byte, error)
}

// run runs a program, for no longer than it may take.
func (r *Reader) run(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, runTime)
	defer cancel()
	run := r.Run
	if run == nil {
		run = execute
	}
	out, err := run(ctx, name, args...)
	if ctx.Err() != nil && err != nil {
		err = fmt.Errorf("%s: no answer in time", name)
	}
	return string(out), err
}

// execute runs a program of this host. The error has the last line that it complained with.
func execute(ctx context.Context, name string, args ...string) ([]byte, error) {
	path, err := find(name)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = time.Second // for what it has started itself
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		if lines := strings.Split(strings.TrimSpace(complaints.String()), "\n"); lines[0] != "" {
			err = errors.New(lines[len(lines)-1])
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return out, nil
}

// find finds a program. The path of an ordinary user often lacks the directories of those for administrators.
func find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", err
}

// parseSettings reads lines of a name, an equals sign and a value.
func parseSettings(text string) map[string]string {
	settings := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, "="); ok {
			settings[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return settings
}
