package check

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"reputed/policy"
	"reputed/policy/dnsbl"
	"reputed/policy/iprev"
)

// Results of the item about what kind of address it is.
const (
	Static  = "static"  // nothing says that it is an end user's
	EndUser = "enduser" // it is on a list of addresses that should not send mail at all
	Dynamic = "dynamic" // a list holds its name for that of a line of a customer
	Generic = "generic" // its name looks so
)

// throughProvider is what remains where an address is not one to send mail from.
const throughProvider = "send through a server of the provider (Postfix: relayhost; Exim: a smarthost), " +
	"and name its SPF record in [[egress]] via"

// A policy list says of an address what it is, and not what it did.
type policyCode struct {
	lists  string // how their ids begin
	answer netip.Addr
	result string
	remedy string // before where to ask for removal, if that is possible
	fixed  bool   // it is not
}

// policyCodes are the codes of lists that tell the kind of an address. They do not change.
func policyCodes() []policyCode {
	code := func(last byte) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, last}) }
	const rename = "have the address called by a name of your own; then, where it stays listed: "
	return []policyCode{
		{lists: "spamhaus-", answer: code(10), result: EndUser, fixed: true,
			remedy: "the owner of the network put it there, and nobody else can take it out: " +
				"ask the provider for an address for a mail server, or " + throughProvider},
		{lists: "spamhaus-", answer: code(11), result: EndUser,
			remedy: "where the address is not static, ask the provider for one that is, or " + throughProvider +
				"; where it is: "},
		{lists: "spamrats-", answer: code(36), result: Dynamic, remedy: rename},
		{lists: "abusix-", answer: code(11), result: Dynamic, remedy: rename},
	}
}

// advice says what to do about an address of this kind on a list.
func (c *policyCode) advice(l *dnsbl.List) string {
	if c.fixed {
		return c.remedy
	}
	return c.remedy + removal(l)
}

// itemStatic looks whether the address looks like one of a mail server, and not like one that a provider lends to an
// end user.
func itemStatic() Item {
	return Item{
		ID: "static", Group: GroupAddress, Host: true, About: "the address is a mail server's, and not an end user's",
		Ask: func(ctx context.Context, h *Host) (all []policy.Finding) {
			reversed := h.reversals(ctx)
			results := h.look(ctx)
			for _, l := range h.leaves() {
				r := reversed[l.Addr]
				for _, f := range judgeKind(&r, about(dnsbl.Address(l.Addr), results), h.reverseLine(l)) {
					all = append(all, ofAddress(l, h.ofSmarthost(l, f)))
				}
			}
			if len(all) == 0 {
				return h.nowhere("static")
			}
			return all
		},
	}
}

// judgeKind says what speaks for an end user's address, of lists and of its name.
func judgeKind(r *iprev.Result, results []*dnsbl.Result, line string) (all []policy.Finding) {
	var evidence []policy.Evidence
	var unheard *dnsbl.Result
	asked := false
	for _, on := range results {
		c, said := kindOf(on)
		asked = asked || tellsEndUsers(on.List)
		switch {
		case said:
			all = append(all, onPolicyList(on, c, line))
		case on.State == dnsbl.Clear && tellsEndUsers(on.List):
			evidence = append(evidence, listEvidence(on))
		case on.State != dnsbl.Clear && on.State != dnsbl.Listed && tellsEndUsers(on.List):
			unheard = on
		}
	}
	for _, n := range r.Names {
		if why := iprev.Generated(n.Name, r.Addr); why != "" {
			f := finding("static", Generic, policy.Warn,
				fmt.Sprintf("the name of %s, %s, looks generated: %s", r.Addr, n.Name, why))
			f.Advice = "have the address called as this host greets, by whoever owns it; " +
				"if the provider does not do that, " + throughProvider
			f.Fix, f.Evidence = line, reverseEvidence(r)
			all = append(all, f)
			break
		}
	}
	if len(all) > 0 {
		return all
	}
	evidence = append(reverseEvidence(r), evidence...)
	f := finding("static", Static, policy.Pass,
		fmt.Sprintf("%s is on no list of end users, and its name does not look generated", r.Addr))
	if len(r.Names) == 0 {
		f.Reason = r.Addr.String() + " is on no list of end users, and has no name that could look generated"
	}
	switch {
	case unheard != nil:
		f = finding("static", "unknown", policy.Unknown, fmt.Sprintf(
			"whether %s is an end user's is not known: %s: %s", r.Addr, unheard.List.ID, unheard.Reason))
		f.Advice, evidence = unheard.Remedy, append(evidence, listEvidence(unheard))
	case silent(r.Answer):
		f = unknown("static", r.Addr.String(), "the name of "+r.Addr.String(), r.Answer)
	case !asked:
		f = finding("static", "unknown", policy.Unknown, "the name of "+r.Addr.String()+
			" does not look generated, but no list of end users' addresses was asked")
		f.Advice = "watch spamhaus-zen ([policy.dnsbl] watch)"
	}
	f.Evidence = evidence
	return []policy.Finding{f}
}

// kindOf gives what a list says of the kind of an address.
func kindOf(r *dnsbl.Result) (policyCode, bool) {
	for _, c := range policyCodes() {
		if r.State != dnsbl.Listed || !strings.HasPrefix(r.List.ID, c.lists) {
			continue
		}
		for _, m := range r.Codes {
			if m.Answer == c.answer {
				return c, true
			}
		}
	}
	return policyCode{}, false
}

// tellsEndUsers tells a list without which it is not known whether an address is an end user's. The others judge by the
// name, which is looked at here too.
func tellsEndUsers(l *dnsbl.List) bool {
	for _, c := range l.Codes {
		if strings.HasPrefix(l.ID, "spamhaus-") && c.Pattern.Matches(netip.AddrFrom4([4]byte{127, 0, 0, 10})) {
			return true
		}
	}
	return false
}

// onPolicyList is the finding about a listing of this kind.
func onPolicyList(r *dnsbl.Result, c policyCode, line string) policy.Finding {
	f := finding("static", c.result, policy.Warn, fmt.Sprintf("%s is on %s: %s", r.Subject, r.List.ID, meaningOf(r)))
	f.Advice = c.advice(r.List)
	if c.result == EndUser {
		f.Grade = policy.Fail
	} else {
		f.Fix = line
	}
	f.Evidence = []policy.Evidence{listEvidence(r), expect("no listing")}
	return f
}
