package check

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"reputed/policy"
	"reputed/policy/dns"
	"reputed/policy/mail"
	"reputed/policy/parallel"
)

// Results of the item about port 25 of others.
const (
	Reached  = "reached"  // one greeted
	Away     = "away"     // they answer, and none of them greets
	Blocked  = "blocked"  // there is no connection to any
	Untested = "untested" // none could be tried
)

// itemPort25 looks whether this host gets out to port 25 of others, where that is wanted. It connects to one after
// another until one greets, reads that, and takes leave. No mail is sent.
func itemPort25() Item {
	return Item{
		ID: "port25", Group: GroupAddress, Host: true, About: "connections to port 25 of others get out",
		Ask: func(ctx context.Context, h *Host) []policy.Finding {
			families := h.families()
			if !h.Options.Port25 || len(families) == 0 {
				return nil
			}
			tries := make([]try, len(families))
			parallel.Each(len(families), func(i int) { tries[i] = h.try(ctx, families[i]) })
			return judgeTries(tries)
		},
	}
}

// families gives the types of addresses over which mail leaves. Where no address is known, those over which there is a
// way out; none where all mail leaves by smarthosts.
func (h *Host) families() (all []dns.Type) {
	leaves := h.leaves()
	if len(leaves) == 0 && h.nowhere("port25") == nil {
		return nil
	}
	for _, far := range []netip.Addr{far4, far6} {
		used := len(leaves) == 0 && far.Is4()
		for _, l := range leaves {
			used = used || l.Is4() == far.Is4()
		}
		if len(leaves) == 0 && far.Is6() && h.Local.Source != nil {
			used = mail.SeenByWorld(h.Local.Source(far))
		}
		switch {
		case used && far.Is4():
			all = append(all, dns.A)
		case used:
			all = append(all, dns.AAAA)
		}
	}
	return all
}

// try is what came of the targets over one family.
type try struct {
	over     string // the family
	result   string
	reason   string
	failed   int // connections
	evidence []policy.Evidence
}

// try tries the targets over one family.
func (h *Host) try(ctx context.Context, t dns.Type) try {
	r := try{over: "IPv4", result: Untested, reason: "no target has an address of this family"}
	if t == dns.AAAA {
		r.over = "IPv6"
	}
	switch {
	case h.Dial == nil:
		r.reason = "this host cannot connect to others"
		return r
	case len(h.Options.Targets) == 0:
		r.reason = "no target is named"
		return r
	}
	for _, target := range h.Options.Targets {
		if ctx.Err() != nil {
			r.note(Untested, "the time was up")
			return r
		}
		a, evidence := h.find(ctx, target, t)
		r.evidence = append(r.evidence, evidence...)
		if !a.IsValid() {
			continue
		}
		address := net.JoinHostPort(a.String(), "25")
		d, greeting, err := h.converse(ctx, address)
		if err != nil && ctx.Err() != nil {
			r.note(Untested, "the time was up")
			return r
		}
		if err != nil {
			r.failed++
			r.evidence = append(r.evidence, policy.Evidence{Name: target + " " + address, Value: err.Error()})
			r.note(Blocked, fmt.Sprintf("no connection to %s (%s)", target, a))
			continue
		}
		d.quit()
		said := cut(firstLine(greeting.String()))
		r.evidence = append(r.evidence, policy.Evidence{Name: target + " " + address, Value: said})
		if greeting.code == 220 {
			r.result, r.reason = Reached, fmt.Sprintf("%s (%s) greets", target, a)
			return r
		}
		r.note(Away, fmt.Sprintf("%s (%s) answers %s", target, a, said))
	}
	return r
}

// note takes down what came of a target. That somebody answered weighs more than that others did not.
func (t *try) note(result, reason string) {
	if t.result == Untested || result == Away {
		t.result, t.reason = result, reason
	}
}

// find gives one address of a target.
func (h *Host) find(ctx context.Context, target string, t dns.Type) (netip.Addr, []policy.Evidence) {
	if a, err := netip.ParseAddr(target); err == nil {
		if a.Unmap().Is4() != (t == dns.A) {
			return netip.Addr{}, nil
		}
		return a.Unmap(), nil
	}
	answer := h.resolver().Resolve(ctx, target, t)
	if answer.Status != dns.Found || len(answer.Records) == 0 {
		return netip.Addr{}, questioned(t, target, answer)
	}
	return answer.Records[0].Addr, nil
}

// judgeTries says what the tries come to, each family apart. Where one of them gets out, mail does too, in the end.
func judgeTries(tries []try) (all []policy.Finding) {
	works := false
	for _, t := range tries {
		works = works || t.result == Reached
	}
	for _, t := range tries {
		f := finding("port25", t.result, policy.Unknown, t.over+": "+t.reason)
		f.Subject, f.Evidence = t.over, append(t.evidence, expect("220 of one of them"))
		switch t.result {
		case Reached:
			f.Grade = policy.Pass
		case Away:
			f.Grade = policy.Warn
			f.Advice = "read what they say: they may refuse this address, or somebody between answers in their place"
		case Blocked:
			f.Grade = policy.Warn // one target alone may be down
			if !works && t.failed > 1 {
				f.Grade = policy.Fail
			}
			f.Advice = "ask the provider to open port 25 to the outside, or send through a relay on port 587 or 465 " +
				"(Postfix: relayhost)"
			if t.over == "IPv6" && works {
				f.Advice += "; until then send over IPv4 only (postconf -e inet_protocols=ipv4)"
			}
		default:
			f.Advice = "name other targets"
		}
		all = append(all, f)
	}
	return all
}
