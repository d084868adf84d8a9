package check

import (
	"net"
	"slices"
	"strings"
)

// smarthost gives the router that hands all mail to another host; nil: there is none, or some mail goes elsewhere.
func (e *Exim) smarthost() (found *EximDriver) {
	remotes := e.remotes()
	for i := range e.Routers {
		r := &e.Routers[i]
		switch {
		case !slices.ContainsFunc(remotes, r.uses):
		case r.Options["driver"] == "dnslookup":
			return nil
		case found == nil && r.takesAll() && !r.leadsHere():
			found = r
		}
	}
	return found
}

// uses tells whether a router may give mail to a transport. Which, it may only know with a message.
func (r *EximDriver) uses(t *EximDriver) bool {
	v := r.Options["transport"]
	return v == t.Name || strings.Contains(v, "$") && strings.Contains(v, t.Name)
}

// takesAll tells a router that hands all mail that is not for this host to the same hosts.
func (r *EximDriver) takesAll() bool {
	for _, option := range []string{"condition", "local_parts", "require_files", "senders"} {
		if r.Options[option] != "" {
			return false
		}
	}
	switch strings.ReplaceAll(r.Options["domains"], " ", "") {
	case "", "!+local_domains":
		rules := r.rules()
		return len(rules) > 0 && rules[0][0] == "*"
	}
	return false
}

// rules gives the rules of a route_list: a pattern of domains, hosts, and how these are looked up.
func (r *EximDriver) rules() (all [][]string) {
	if r.Options["driver"] != "manualroute" {
		return nil
	}
	for rule := range strings.SplitSeq(r.Options["route_list"], ";") {
		if fields := strings.Fields(rule); len(fields) > 0 {
			all = append(all, fields)
		}
	}
	return all
}

// leadsHere tells a router that hands mail to a program on this host, such as a filter.
func (r *EximDriver) leadsHere() bool {
	rules := r.rules()
	for _, fields := range rules {
		if len(fields) < 2 || !hostsHere(fields[1]) {
			return false
		}
	}
	return len(rules) > 0
}

// local tells a transport to a filter on this host, or another program here. Its hosts are named by itself, or by the
// routers that use it.
func (e *Exim) local(t *EximDriver) bool {
	if v := t.Options["hosts"]; v != "" {
		return hostsHere(v)
	}
	used := false
	for i := range e.Routers {
		r := &e.Routers[i]
		if !r.uses(t) {
			continue
		}
		if !r.leadsHere() {
			return false
		}
		used = true
	}
	return used
}

// hostsHere tells whether all hosts of a list are this one.
func hostsHere(list string) bool {
	hosts := eximList(strings.Trim(list, `"'`))
	for _, h := range hosts {
		if name, _, err := net.SplitHostPort(h); err == nil {
			h = name
		}
		if !here(strings.Trim(h, "[]")) {
			return false
		}
	}
	return len(hosts) > 0
}
