package check

import (
	"net"
	"path"
	"slices"
	"strings"

	"reputed/policy"
)

// Postfix is an instance of Postfix, as its postconf(1) tells of it.
type Postfix struct {
	Name     string            // as postmulti(1) has it; "": it has none
	Dir      string            // of its configuration, where commands have to name it; "": it is the default one
	Settings map[string]string // every parameter, with $name expanded
	Services []Service         // of master.cf
	Err      error             // nothing is known of it, and why
}

// Service is a service of master.cf.
type Service struct {
	Name    string // "submission"
	Type    string // "inet"
	Chroot  bool
	Command string            // "smtpd"
	Options map[string]string // those of -o, with $name expanded
}

// Exim is what Exim of this host is set to, as exim -bP tells of it.
type Exim struct {
	Settings   map[string]string // main options; a boolean is "true" or "false"
	Routers    []EximDriver      // in their order
	Transports []EximDriver
	ACLs       map[string]string // their texts, by name; nil: they may not be read
	Err        error             // nothing is known of it, and why
}

// EximDriver is a router or a transport.
type EximDriver struct {
	Name    string
	Options map[string]string // a boolean is "true" or "false"
}

// mtaReport collects what is to be said of a mail server.
type mtaReport struct {
	rule, subject string
	all           []policy.Finding
}

// add notes something, with the setting that it is about, and gives the finding to be completed.
func (r *mtaReport) add(result string, grade policy.Grade, reason string) *policy.Finding {
	f := finding(r.rule, result, grade, reason)
	f.Subject = r.subject
	r.all = append(r.all, f)
	return &r.all[len(r.all)-1]
}

// socket is where a milter listens, as a mail server names it: "unix" and a path, or "inet" and host:port.
type socket struct{ kind, at string }

// parseSocket reads a name of a socket: unix:PATH, local:PATH, inet:HOST:PORT, and inet:PORT@HOST.
func parseSocket(text string) (socket, bool) {
	kind, at, ok := strings.Cut(text, ":")
	if !ok || at == "" {
		return socket{}, false
	}
	switch kind = strings.ToLower(kind); kind {
	case "unix", "local":
		return socket{"unix", at}, true
	case "inet", "inet6", "tcp":
		if port, host, ok := strings.Cut(at, "@"); ok {
			at = net.JoinHostPort(host, port)
		}
		return socket{"inet", at}, true
	}
	return socket{}, false
}

// same tells whether two sockets on this host are one. Paths must be whole.
func (s socket) same(t socket) bool {
	if s.kind != t.kind {
		return false
	}
	if s.kind == "unix" {
		return path.Clean(s.at) == path.Clean(t.at)
	}
	host, port, err := net.SplitHostPort(s.at)
	other, otherPort, err2 := net.SplitHostPort(t.at)
	return err == nil && err2 == nil && port == otherPort && (strings.EqualFold(host, other) || here(host) && here(other))
}

// here tells a name for this host.
func here(host string) bool {
	return slices.Contains([]string{"", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::"}, strings.ToLower(host))
}

// quoteSetting puts a setting into quotes of the shell.
func quoteSetting(name, value string) string {
	return shell(strings.TrimSpace(name + " = " + value))
}
