package main

import (
	"net/netip"
	"strings"

	"reputed/policy"
	"reputed/policy/check"
)

// advice is something that the operator should know, and what to do about it.
type advice struct{ text, remedy string }

// egressAdvice says what cannot be known of the egress, or contradicts what Postfix is set to; p is nil where there is
// none, or it may not be read.
func egressAdvice(p *check.Postfix, routes policy.Routes, rewrites policy.Rewrites) (all []advice) {
	guessed := false
	var addresses []netip.Addr
	for _, r := range routes {
		guessed = guessed || r.Egress.Guessed
		addresses = append(addresses, r.Egress.Addresses...)
	}
	if guessed {
		all = append(all, guessAdvice(addresses))
	}
	if p == nil {
		return all
	}
	for _, f := range check.PostfixEgress(p, routes, rewrites) {
		all = append(all, advice{f.Reason, f.Advice})
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
