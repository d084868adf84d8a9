package mta

import (
	"context"
	"errors"
	"os/exec"
	"regexp"
	"strings"

	"reputed/policy/check"
)

// Exim gives what Exim of this host is set to; nil: there is none. Its ACLs are shown to administrators only.
func (r *Reader) Exim(ctx context.Context) *check.Exim {
	name := "exim4" // as Debian calls it
	out, err := r.run(ctx, name, "-bP")
	if errors.Is(err, exec.ErrNotFound) {
		name = "exim"
		out, err = r.run(ctx, name, "-bP")
	}
	if errors.Is(err, exec.ErrNotFound) {
		return nil
	}
	e := &check.Exim{}
	routers, transports := "", ""
	if err == nil {
		routers, err = r.run(ctx, name, "-bP", "routers")
	}
	if err == nil {
		transports, err = r.run(ctx, name, "-bP", "transports")
	}
	if err != nil {
		e.Err = err
		return e
	}
	e.Settings = parseOptions(out)
	e.Routers, e.Transports = parseDrivers(routers, "router"), parseDrivers(transports, "transport")
	if text, err := r.run(ctx, name, "-bP", "config"); err == nil && strings.Contains(text, "begin ") {
		e.ACLs = parseACLs(text)
	}
	return e
}

// option reads a line that exim -bP prints: name = value, or the name of a boolean, with no_ before it where it is not
// set.
func option(line string) (name, value string) {
	line = strings.TrimSpace(line)
	if name, value, ok := strings.Cut(line, "="); ok {
		return strings.TrimSpace(name), strings.TrimSpace(value)
	}
	if name, ok := strings.CutPrefix(line, "no_"); ok {
		return name, "false"
	}
	return line, "true"
}

// parseOptions reads the options that exim -bP prints.
func parseOptions(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value := option(line); name != "" {
			all[name] = value
		}
	}
	return all
}

// parseDrivers reads the drivers of a kind that exim -bP prints: each begins with a line "NAME KIND:".
func parseDrivers(text, kind string) (all []check.EximDriver) {
	for line := range strings.Lines(text) {
		if name, ok := strings.CutSuffix(strings.TrimSpace(line), " "+kind+":"); ok && !strings.ContainsAny(name, " =") {
			all = append(all, check.EximDriver{Name: name, Options: map[string]string{}})
			continue
		}
		if name, value := option(line); name != "" && len(all) > 0 {
			all[len(all)-1].Options[name] = value
		}
	}
	return all
}

var aclName = regexp.MustCompile(`^\s*([A-Za-z0-9_]+):\s*$`)

// parseACLs reads the texts of the ACLs from what exim -bP config prints, which is the configuration with its includes
// and macros put in. They are never nil.
func parseACLs(text string) map[string]string {
	all := map[string]string{}
	within, name := false, ""
	var body strings.Builder
	for line := range strings.Lines(text + "begin end\n") {
		section, begins := strings.CutPrefix(line, "begin ")
		m := aclName.FindStringSubmatch(line)
		if name != "" && (begins || m != nil) {
			all[name] = body.String()
			body.Reset()
		}
		switch {
		case begins:
			within, name = strings.TrimSpace(section) == "acl", ""
		case within && m != nil:
			name = m[1]
		case name != "":
			body.WriteString(line)
		}
	}
	return all
}
