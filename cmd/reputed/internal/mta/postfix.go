package mta

import (
	"context"
	"errors"
	"os/exec"
	"strings"

	"reputed/policy/check"
)

// Postfix gives the instances of this host that are switched on; none: there is no Postfix. One that cannot be read has
// an error.
func (r *Reader) Postfix(ctx context.Context) []check.Postfix {
	if r.PostfixDir != "" {
		return []check.Postfix{r.instance(ctx, check.Postfix{Dir: r.PostfixDir})}
	}
	first := r.instance(ctx, check.Postfix{})
	if errors.Is(first.Err, exec.ErrNotFound) {
		return nil
	}
	all := []check.Postfix{first}
	out, err := r.run(ctx, "postmulti", "-l")
	if err != nil {
		return all // the default instance is there, whatever else is
	}
	for _, i := range parseInstances(out) {
		if i.Name != "" {
			all = append(all, r.instance(ctx, i))
		}
	}
	return all
}

// Default gives the default instance alone, without its services; nil: there is none, or it cannot be read.
func (r *Reader) Default(ctx context.Context) *check.Postfix {
	out, err := r.run(ctx, "postconf", "-x")
	if err != nil {
		return nil
	}
	return &check.Postfix{Settings: parseSettings(out)}
}

// instance reads an instance.
func (r *Reader) instance(ctx context.Context, p check.Postfix) check.Postfix {
	var where []string
	if p.Dir != "" {
		where = []string{"-c", p.Dir}
	}
	settings, err := r.run(ctx, "postconf", append(where, "-x")...)
	services := ""
	if err == nil {
		services, err = r.run(ctx, "postconf", append(where, "-M", "-x")...)
	}
	if err != nil {
		p.Err = err
		return p
	}
	p.Settings, p.Services = parseSettings(settings), parseServices(services)
	return p
}

// parseInstances reads what postmulti -l prints: name, group, whether it is switched on, directory. The default
// instance may have no name.
func parseInstances(text string) (all []check.Postfix) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[2] != "y" {
			continue
		}
		p := check.Postfix{Name: fields[0], Dir: fields[3]}
		if p.Name == "-" {
			p.Name = ""
		}
		all = append(all, p)
	}
	return all
}

// parseServices reads what postconf -M prints: one line for each service.
func parseServices(text string) (all []check.Service) {
	for line := range strings.Lines(text) {
		words := split(line)
		if len(words) < 8 {
			continue
		}
		// The fifth column is whether it is in a chroot; "-" is that it is not, since Postfix 3.0.
		s := check.Service{Name: words[0], Type: words[1], Chroot: words[4] == "y", Command: words[7]}
		s.Options = options(words[8:])
		all = append(all, s)
	}
	return all
}

// options reads the arguments of a service that are settings: -o name=value, or -o {name = value}.
func options(args []string) map[string]string {
	all := map[string]string{}
	for i := 0; i < len(args); i++ {
		setting, ok := strings.CutPrefix(args[i], "-o")
		if !ok {
			continue
		}
		if setting == "" && i+1 < len(args) {
			i++
			setting = args[i]
		}
		if inner, ok := strings.CutPrefix(setting, "{"); ok {
			setting = strings.TrimSuffix(inner, "}")
		}
		if name, value, ok := strings.Cut(setting, "="); ok {
			all[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return all
}

// split divides a line at blanks. What is in braces is one word, with its braces.
func split(line string) (words []string) {
	depth, start := 0, -1
	for i := range len(line) {
		c := line[i]
		blank := c == ' ' || c == '\t' || c == '\n' || c == '\r'
		switch {
		case blank && depth == 0 && start >= 0:
			words, start = append(words, line[start:i]), -1
			continue
		case blank && depth == 0:
			continue
		case c == '{':
			depth++
		case c == '}' && depth > 0:
			depth--
		}
		if start < 0 {
			start = i
		}
	}
	if start >= 0 {
		words = append(words, strings.TrimSpace(line[start:]))
	}
	return words
}
