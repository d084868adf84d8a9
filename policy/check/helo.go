package check

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"reputed/policy"
	"reputed/policy/dns"
	"reputed/policy/iprev"
)

// Results of the item about the name in EHLO, besides the flaws of [iprev.FlawOf].
const (
	Resolves  = "resolves"   // to every address that mail leaves from
	Partly    = "partly"     // to some of them
	Elsewhere = "elsewhere"  // to others only
	NoAddress = "no-address" // it has none
)

// itemHelo looks at the names that the host greets with: RFC 5321, section 4.1.1.1.
func itemHelo() Item {
	return Item{
		ID: "helo", Group: GroupAddress, Host: true, About: "the name in EHLO is fully qualified, and leads to every address",
		Ask: func(ctx context.Context, h *Host) (all []policy.Finding) {
			for _, g := range h.greetings() {
				f := h.judgeGreeting(ctx, &g)
				f.Subject = h.called(&g)
				all = append(all, ofGuess(g.guessed && f.Result != string(iprev.FlawOf(f.Subject)), f))
			}
			return all
		},
	}
}

// flaws says what is wrong with a name by itself.
var flaws = map[iprev.Flaw]string{
	iprev.Literal: "it is an address, and many receivers refuse those",
	iprev.Local:   "every host calls itself so, and receivers refuse it",
	iprev.Short:   "it is not fully qualified, and receivers refuse it",
	iprev.Private: "nobody outside of this network can look it up",
	iprev.Invalid: "host names have letters, digits and hyphens only",
}

// called gives what stands in EHLO; "": it is not known.
func (h *Host) called(g *greeting) string {
	if g.name.IsZero() {
		return h.Literal
	}
	return g.name.String()
}

// judgeGreeting says what a name is worth.
func (h *Host) judgeGreeting(ctx context.Context, g *greeting) policy.Finding {
	name := h.called(g)
	if name == "" {
		f := finding("helo", "unknown", policy.Unknown, "the name that this host greets with is not known")
		f.Advice = "set hostname in the configuration, or give --helo"
		return f
	}
	flaw := iprev.FlawOf(name)
	if why := flaws[flaw]; why != "" {
		f := finding("helo", string(flaw), policy.Fail, fmt.Sprintf("this host greets as %s: %s", name, why))
		if flaw == iprev.Invalid {
			f.Grade = policy.Warn // only few receivers mind
		}
		f.Advice = "give this host a name with a domain, in the DNS and to the mail server " +
			"(Postfix: myhostname; Exim: primary_hostname)"
		if better := h.calledInstead(ctx, g); better != "" {
			f.Advice = "greet by the name that the address has already (Exim: primary_hostname)"
			f.Fix = "postconf -e myhostname=" + better
		}
		return f
	}
	forward := iprev.Ask(ctx, h.resolver(), name)
	f := h.judgeForward(ctx, g, &forward)
	f.Evidence = append(answered("A "+name, forward.A), answered("AAAA "+name, forward.AAAA)...)
	if len(g.from) > 0 {
		f.Evidence = append(f.Evidence, expect(joined(g.from)))
	}
	if flaw == iprev.NoSuffix && f.Grade == policy.Pass {
		f.Grade, f.Result = policy.Warn, string(flaw)
		f.Reason = fmt.Sprintf("no registry is known in which %s could stand, although it resolves here", name)
		f.Advice = "see that others can look it up"
	}
	return f
}

// calledInstead gives the one name that leads back to all addresses that the host greets from, if there is one.
func (h *Host) calledInstead(ctx context.Context, g *greeting) (better string) {
	reversed := h.reversals(ctx)
	for _, a := range g.from {
		r := reversed[a]
		names := r.Confirmed()
		if len(names) != 1 || better != "" && names[0] != better || iprev.FlawOf(names[0]) != "" {
			return ""
		}
		better = names[0]
	}
	return better
}

// judgeForward says what the addresses of the name are worth.
func (h *Host) judgeForward(ctx context.Context, g *greeting, forward *iprev.Forward) policy.Finding {
	name := g.name.String()
	switch forward.Any() {
	case iprev.Unknown:
		answer := forward.A
		if !silent(answer) {
			answer = forward.AAAA
		}
		return unknown("helo", name, "the address of "+name, answer)
	case iprev.No:
		f := finding("helo", NoAddress, policy.Fail, fmt.Sprintf("this host greets as %s, which has no address", name))
		f.Advice = "publish the addresses that mail leaves from"
		if f.Fix = addressLines(name, g.from); f.Fix != "" {
			f.Advice += noneBeside(name, forward.A)
		}
		return f
	}
	var missing []netip.Addr
	for _, a := range g.from {
		switch forward.Holds(a) {
		case iprev.Unknown:
			answer := forward.A
			if a.Is6() {
				answer = forward.AAAA
			}
			return unknown("helo", name, "whether "+name+" is "+a.String(), answer)
		case iprev.No:
			missing = append(missing, a)
		}
	}
	if len(g.from) == 0 {
		f := finding("helo", "unknown", policy.Unknown, fmt.Sprintf(
			"%s is %s, and whether mail leaves from there is not known", name, joined(forward.Addrs())))
		f.Advice = adviceEgress
		return f
	}
	if len(missing) == 0 {
		return finding("helo", Resolves, policy.Pass,
			fmt.Sprintf("this host greets as %s, which is %s", name, joined(g.from)))
	}
	return h.judgeMissing(ctx, g, forward, missing)
}

// judgeMissing says what it means that a name does not lead to these addresses, which may be all of the egress.
func (h *Host) judgeMissing(ctx context.Context, g *greeting, forward *iprev.Forward, missing []netip.Addr) policy.Finding {
	name := forward.Name
	if a := h.invents(ctx); a.Status == dns.Found && invented(forward.Addrs(), a) {
		f := finding("helo", "unknown", policy.Unknown,
			"the resolver invents answers, so whether "+name+" exists is not known")
		f.Advice = adviceInvents
		return f
	}
	f := finding("helo", Partly, policy.Warn,
		fmt.Sprintf("this host greets as %s, which does not lead to %s", name, joined(missing)))
	if len(missing) == len(g.from) {
		f.Result = Elsewhere
		f.Reason = fmt.Sprintf("this host greets as %s, which is %s, and not %s",
			name, joined(forward.Addrs()), joined(missing))
	}
	f.Advice, f.Fix = "publish the addresses that mail leaves from", addressLines(name, missing)
	if at := cmp.Or(aliasOf(name, forward.A), aliasOf(name, forward.AAAA)); at != "" {
		// What the alias leads to is there for others, and a record in its place would take it from them.
		f.Advice, f.Fix = fmt.Sprintf("have them published at %s, of which %s is an alias; or greet by another name, "+
			"which leads to them (Postfix: smtp_helo_name; Exim: helo_data)", at, name), ""
	}
	return f
}

// addressLines are the records that have addresses at a name.
func addressLines(name string, addrs []netip.Addr) string {
	var lines []string
	for _, a := range addrs {
		lines = append(lines, addressLine(name, a))
	}
	return strings.Join(lines, "\n")
}

// invented tells whether all addresses are such as the resolver gives to names that do not exist.
func invented(addrs []netip.Addr, invention dns.Answer) bool {
	return !slices.ContainsFunc(addrs, func(a netip.Addr) bool {
		return !slices.ContainsFunc(invention.Records, func(r dns.Record) bool { return r.Addr == a })
	})
}
