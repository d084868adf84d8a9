package main

import (
	"context"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"time"

	"reputed/policy"
	"reputed/policy/mail"
)

// advice is something that the operator should know, and what to do about it.
type advice struct{ text, remedy string }

// Parameters of main.cf that change what the world sees after a milter saw the mail.
var (
	// throughAnother names the host to which mail goes instead of its destination.
	throughAnother = []string{
		"relayhost", "sender_dependent_relayhost_maps", "sender_dependent_default_transport_maps",
	}
	bound = []string{"smtp_bind_address", "smtp_bind_address6"}
	// rewriting changes envelope senders, those with a list of classes only if it holds the class of these.
	rewriting = []struct{ name, classes string }{
		{"canonical_maps", "canonical_classes"},
		{"sender_canonical_maps", "sender_canonical_classes"},
		{"masquerade_domains", "masquerade_classes"},
		{"smtp_generic_maps", ""},
	}
)

// postfixSettings are all of these, and what else is looked at.
func postfixSettings() []string {
	names := slices.Concat(throughAnother, bound, []string{"default_transport", "transport_maps"})
	for _, r := range rewriting {
		names = append(names, r.name)
		if r.classes != "" {
			names = append(names, r.classes)
		}
	}
	return names
}

// readPostfix gives what Postfix of this host is set to, by parameter; nil where there is none, or it may not be read.
func readPostfix(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "postconf", append([]string{"-x"}, postfixSettings()...)...).Output()
	if err != nil {
		return nil
	}
	return parseSettings(string(out))
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

// egressAdvice says what cannot be known of the egress, or contradicts what Postfix is set to.
func egressAdvice(settings map[string]string, routes policy.Routes, rewrites policy.Rewrites) (all []advice) {
	guessed, via := false, false
	var addresses []netip.Addr
	for _, r := range routes {
		guessed = guessed || r.Egress.Guessed
		via = via || !r.Egress.Via.IsZero()
		addresses = append(addresses, r.Egress.Addresses...)
	}
	if guessed {
		all = append(all, guessAdvice(addresses))
	}
	if !via {
		all = append(all, relayAdvice(settings)...)
	}
	if !guessed {
		all = append(all, bindAdvice(settings, addresses)...)
	}
	if v := settings["transport_maps"]; v != "" && !via && len(routes) == 1 {
		all = append(all, advice{"Postfix may send some mail by other ways (transport_maps = " + v + ")",
			"if some of it leaves through another host, or by other addresses, write an [[egress]] for it"})
	}
	if len(rewrites) == 0 {
		all = append(all, rewriteAdvice(settings)...)
	}
	return all
}

// guessAdvice says that the addresses are guessed.
func guessAdvice(addresses []netip.Addr) advice {
	if len(addresses) == 0 {
		return advice{"this host has no address that the world sees, so SPF is not checked",
			"write [[egress]] with the addresses that mail leaves from"}
	}
	var texts []string
	for _, a := range addresses {
		texts = append(texts, a.String())
	}
	return advice{"the addresses that mail leaves from are guessed (" + strings.Join(texts, ", ") +
		"), so what SPF says is only logged", "write [[egress]] with these addresses, if they are right"}
}

// relayAdvice says that Postfix sends through other hosts.
func relayAdvice(settings map[string]string) (all []advice) {
	through := func(name, value string) {
		all = append(all, advice{
			"Postfix sends through another host (" + name + " = " + value + "), whose addresses the world sees",
			"write them into [[egress]], or the name of its SPF record as via",
		})
	}
	for _, name := range throughAnother {
		if v := settings[name]; v != "" {
			through(name, v)
		}
	}
	const name = "default_transport"
	v := settings[name]
	switch transport, nexthop, _ := strings.Cut(v, ":"); {
	case v == "", transport == "error", transport == "retry", transport == "discard": // nothing leaves
	case nexthop != "":
		through(name, v)
	case transport != "smtp":
		all = append(all, advice{"Postfix sends by a transport of its own (" + name + " = " + v + ")",
			"write it into [outbound] mailers, and the addresses that it sends from into [[egress]]"})
	}
	return all
}

// bindAdvice says that Postfix sends from addresses that are not among those of the egresses. A private one is
// translated on the way, and what the world sees is another.
func bindAdvice(settings map[string]string, addresses []netip.Addr) (all []advice) {
	for _, name := range bound {
		v := settings[name]
		a, err := netip.ParseAddr(strings.Trim(v, "[]"))
		if err == nil && mail.SeenByWorld(a) && !slices.Contains(addresses, a.Unmap()) {
			all = append(all, advice{"Postfix sends from " + v + " (" + name + "), which no [[egress]] has",
				"correct [[egress]] addresses"})
		}
	}
	return all
}

// rewriteAdvice says that Postfix changes envelope senders.
func rewriteAdvice(settings map[string]string) (all []advice) {
	for _, r := range rewriting {
		v := settings[r.name]
		classes, has := settings[r.classes]
		if v == "" || has && !strings.Contains(classes, "envelope_sender") {
			continue
		}
		all = append(all, advice{"Postfix rewrites senders after reputed saw them (" + r.name + " = " + v + ")",
			"write what becomes of them into [[rewrite]], if these are among them"})
	}
	return all
}
