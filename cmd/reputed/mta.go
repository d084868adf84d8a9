package main

import (
	"context"
	"os/exec"
	"strings"
	"time"

	"reputed/policy"
)

// advice is something that the operator should know, and what to do about it.
type advice struct{ text, remedy string }

// postfixSettings are the parameters of main.cf that change what the world sees after a milter saw the mail.
var postfixSettings = []string{
	"relayhost", "sender_dependent_relayhost_maps", "sender_dependent_default_transport_maps", "smtp_bind_address", "smtp_bind_address6",
	"canonical_maps", "sender_canonical_maps", "smtp_generic_maps",
}

// readPostfix gives what Postfix of this host is set to; nil where there is none, or it may not be read.
func readPostfix(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "postconf", postfixSettings...).Output()
	if err != nil {
		return nil
	}
	settings := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if name, value, ok := strings.Cut(line, "="); ok {
			settings[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return settings
}

// egressAdvice says what cannot be known of the egress, or contradicts what Postfix is set to.
func egressAdvice(settings map[string]string, routes policy.Routes, rewrites policy.Rewrites) (all []advice) {
	guessed, via := false, false
	var addresses []string
	for _, r := range routes {
		guessed = guessed || r.Egress.Guessed
		via = via || !r.Egress.Via.IsZero()
		for _, a := range r.Egress.Addresses {
			addresses = append(addresses, a.String())
		}
	}
	switch {
	case guessed && len(addresses) == 0:
		all = append(all, advice{"this host has no address that the world sees, so SPF is not checked",
			"write [[egress]] with the addresses that mail leaves from"})
	case guessed:
		all = append(all, advice{"the addresses that mail leaves from are guessed (" + strings.Join(addresses, ", ") +
			"), so what SPF says is only logged", "write [[egress]] with these addresses, if they are right"})
	}
	for _, name := range postfixSettings[:3] {
		if v := settings[name]; v != "" && !via {
			all = append(all, advice{"Postfix sends through another host (" + name + " = " + v + "), whose addresses the world sees",
				"write them into [[egress]], or the name of its SPF record as via"})
		}
	}
	for _, name := range postfixSettings[3:5] {
		if v := settings[name]; v != "" && !guessed && !strings.Contains(" "+strings.Join(addresses, " ")+" ", " "+v+" ") {
			all = append(all, advice{"Postfix sends from " + v + " (" + name + "), which no [[egress]] has",
				"correct [[egress]] addresses"})
		}
	}
	for _, name := range postfixSettings[5:] {
		if v := settings[name]; v != "" && len(rewrites) == 0 {
			all = append(all, advice{"Postfix rewrites senders after reputed saw them (" + name + " = " + v + ")",
				"write what becomes of them into [[rewrite]], if these are among them"})
		}
	}
	return all
}
