package check

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"reputed/policy"
	"reputed/policy/iprev"
	"reputed/policy/mail"
	"reputed/policy/parallel"
)

// outward is an address that receivers see mail come from, and the egress that it belongs to.
type outward struct {
	netip.Addr
	egress *mail.Egress
}

// egresses gives every egress of the routes, once.
func (h *Host) egresses() (all []*mail.Egress) {
	for _, r := range h.Routes {
		if r.Egress != nil && !slices.Contains(all, r.Egress) {
			all = append(all, r.Egress)
		}
	}
	return all
}

// relayed tells that receivers do not see this host behind an egress, but one that it hands its mail to: how that greets,
// and from where it sends, is the business of whoever runs it.
func (h *Host) relayed(e *mail.Egress) bool { return !e.Via.IsZero() || h.relaysAll() }

// relaysAll tells that every mail server of this host hands all of its mail to another host.
func (h *Host) relaysAll() bool {
	for i := range h.Postfix {
		if !h.Postfix[i].relaysAll() {
			return false
		}
	}
	if h.Exim != nil {
		return h.Exim.smarthost() != nil
	}
	return len(h.Postfix) > 0
}

// direct gives the addresses from which receivers see this host itself; none where some are guessed, for a guess
// contradicts nothing.
func (h *Host) direct() (all []netip.Addr) {
	for _, e := range h.egresses() {
		switch {
		case e.Guessed:
			return nil
		case e.Via.IsZero():
			all = append(all, e.Addresses...)
		}
	}
	return all
}

// leaves gives every address that receivers see, once.
func (h *Host) leaves() (all []outward) {
	for _, e := range h.egresses() {
		for _, a := range e.Addresses {
			a = a.Unmap()
			known := slices.ContainsFunc(all, func(l outward) bool { return l.Addr == a })
			if !known && mail.SeenByWorld(a) {
				all = append(all, outward{a, e})
			}
		}
	}
	return all
}

// nowhere is what an item about addresses finds when none is known: nothing to look at where all mail leaves by
// smarthosts, whose addresses are their own business.
func (h *Host) nowhere(rule string) []policy.Finding {
	all := h.egresses()
	if len(all) > 0 && !slices.ContainsFunc(all, func(e *mail.Egress) bool { return e.Via.IsZero() }) {
		return nil
	}
	f := finding(rule, "unknown", policy.Unknown, "no address that receivers see mail come from is known")
	f.Advice = adviceEgress
	return []policy.Finding{f}
}

const adviceEgress = "name the address that receivers see, in [[egress]] addresses or with --egress: " +
	"it is in the topmost Received field of a message that you sent to an account elsewhere"

// ofAddress finishes a finding about an address. What is wrong with a guessed one is no certain failure, and nothing to
// publish.
func ofAddress(l outward, f policy.Finding) policy.Finding {
	f.Subject = l.String()
	return ofGuess(l.egress.Guessed, f)
}

// ofSmarthost finishes a finding about an address that is a smarthost's, of which nothing can be mended here. A guessed
// one is of this host, and receivers do not see it: there is nobody to tell.
func (h *Host) ofSmarthost(l outward, f policy.Finding) policy.Finding {
	if !h.relayed(l.egress) || f.Grade != policy.Warn && f.Grade != policy.Fail {
		return f
	}
	if f.Fix, f.Advice = "", ""; !l.egress.Guessed {
		f.Advice = "tell whoever runs the smarthost: the address is theirs, with its name and what it is known for"
	}
	return f
}

// ofGuess finishes a finding that may rest on guessed addresses.
func ofGuess(guessed bool, f policy.Finding) policy.Finding {
	if !guessed || f.Grade == policy.Unknown {
		return f
	}
	f.Reason += " (guessed from the interfaces of this host)"
	if f.Grade != policy.Pass {
		f.Grade = policy.Warn
		if f.Fix != "" { // the advice is to publish it
			f.Advice, f.Fix = "", ""
		}
		f.Advice = strings.TrimPrefix(f.Advice+"; "+adviceGuessed, "; ")
	}
	return f
}

// reversals looks at the names of every address that mail leaves from, once for all items.
func (h *Host) reversals(ctx context.Context) map[netip.Addr]iprev.Result {
	return h.reversed.get(func() map[netip.Addr]iprev.Result {
		leaves := h.leaves()
		results := make([]iprev.Result, len(leaves))
		parallel.Each(len(leaves), func(i int) { results[i] = iprev.Look(ctx, h.resolver(), leaves[i].Addr) })
		all := map[netip.Addr]iprev.Result{}
		for i := range results {
			all[results[i].Addr] = results[i]
		}
		return all
	})
}

// namesEvidence is what came back to the question for the names of an address.
func namesEvidence(r *iprev.Result) (all []policy.Evidence) {
	question := "PTR " + iprev.ReverseName(r.Addr)
	if len(r.Names) == 0 {
		return answered(question, r.Answer)
	}
	for _, n := range r.Names {
		all = append(all, policy.Evidence{Name: question, Value: cut(n.Name)})
	}
	if r.Unread > 0 {
		all = append(all, policy.Evidence{Name: question, Value: fmt.Sprintf("and %d more", r.Unread)})
	}
	return all
}

// reverseEvidence is what was asked about the names of an address and where they lead, and what came back.
func reverseEvidence(r *iprev.Result) []policy.Evidence {
	all := namesEvidence(r)
	for _, n := range r.Names {
		all = append(all, answered(addressType(r.Addr)+" "+n.Name, n.Answer)...)
	}
	return all
}

// reverseTrouble tells what is not known of the names of an address.
func reverseTrouble(rule string, r *iprev.Result) policy.Finding {
	if silent(r.Answer) {
		return unknown(rule, r.Addr.String(), "the name of "+r.Addr.String(), r.Answer)
	}
	for _, n := range r.Names {
		if silent(n.Answer) {
			return unknown(rule, r.Addr.String(), "where the name "+n.Name+" leads", n.Answer)
		}
	}
	f := finding(rule, "unknown", policy.Unknown, fmt.Sprintf(
		"%s has %d names, and none of the first %d leads back", r.Addr, len(r.Names)+r.Unread, len(r.Names)))
	f.Subject, f.Advice = r.Addr.String(), "have one name for the address: receivers follow a few of them at most"
	return f
}

// greeting is a name that the host greets with, and the addresses that it does so from.
type greeting struct {
	name    mail.Domain
	from    []netip.Addr // as far as they are known
	guessed bool         // some are
}

// greetings gives every name that the host greets receivers with. How a smarthost greets is its own business.
func (h *Host) greetings() (all []greeting) {
	add := func(name mail.Domain, guessed bool, addresses ...netip.Addr) {
		at := slices.IndexFunc(all, func(g greeting) bool { return g.name == name })
		if at < 0 {
			at = len(all)
			all = append(all, greeting{name: name})
		}
		for _, a := range addresses {
			if a = a.Unmap(); mail.SeenByWorld(a) && !slices.Contains(all[at].from, a) {
				all[at].from = append(all[at].from, a)
				all[at].guessed = all[at].guessed || guessed
			}
		}
	}
	for _, e := range h.egresses() {
		if h.relayed(e) {
			continue
		}
		name := e.Hostname
		if name.IsZero() {
			name = h.Name
		}
		add(name, e.Guessed, e.Addresses...)
	}
	if len(h.Routes) == 0 && !h.relaysAll() {
		add(h.Name, false)
	}
	return all
}

// addressType gives the type of record that holds an address.
func addressType(a netip.Addr) string {
	if a.Is4() {
		return "A"
	}
	return "AAAA"
}

func (h *Host) now() time.Time {
	if h.Now != nil {
		return h.Now()
	}
	return time.Now()
}

// joined writes values with commas between.
func joined[T fmt.Stringer](values []T) string {
	var texts []string
	for _, v := range values {
		texts = append(texts, v.String())
	}
	return strings.Join(texts, ", ")
}
