package check

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"reputed/policy"
	"reputed/policy/mail"
)

// Results of the item that compares where connections leave from with what is configured.
const (
	Direct     = "direct"     // from an address of the egress
	NotSeen    = "private"    // an address of the egress is one that receivers never see
	Translated = "translated" // a router has the address that receivers see
	Other      = "other"      // from an address that is not of the egress
	Bound      = "bound"      // the mail server is set to the right address, or not to use the family
	NoWay      = "no-way"     // there is no way out for a family of the egress
)

// Servers of the root zone, one of each family: far away by any route. Nothing is sent to them.
var (
	far4 = netip.AddrFrom4([4]byte{198, 41, 0, 4})
	far6 = netip.MustParseAddr("2001:503:ba3e::2:30")
)

// itemNAT looks whether connections leave from the addresses that receivers are taken to see.
func itemNAT() Item {
	return Item{
		ID: "nat", Group: GroupAddress, Host: true,
		About: "connections leave from the addresses that receivers are taken to see",
		Ask: func(_ context.Context, h *Host) (all []policy.Finding) {
			if h.relaysAll() { // what leaves from here is not what receivers see
				return nil
			}
			for _, e := range h.egresses() {
				for _, a := range e.Addresses {
					if e.Via.IsZero() && !mail.SeenByWorld(a) {
						all = append(all, unseen(e, a))
					}
				}
			}
			leaves := slices.DeleteFunc(h.leaves(), func(l outward) bool { return h.relayed(l.egress) })
			if len(leaves) == 0 {
				if len(all) == 0 {
					all = h.natless()
				}
				return all
			}
			for _, far := range []netip.Addr{far4, far6} {
				all = append(all, h.source(far, leaves)...)
			}
			return all
		},
	}
}

// unseen is the finding about an address of an egress that receivers never see.
func unseen(e *mail.Egress, a netip.Addr) policy.Finding {
	f := finding("nat", NotSeen, policy.Fail, fmt.Sprintf(
		"egress %s has the address %s, which is translated on the way: receivers never see it", e.Name, a))
	f.Subject, f.Advice = a.String(), adviceEgress
	return ofGuess(e.Guessed, f)
}

// natless is what is found where no address is known, with the address that this host has behind its router.
func (h *Host) natless() []policy.Finding {
	all := h.nowhere("nat")
	if len(all) > 0 && h.Local.Source != nil {
		if s := h.Local.Source(far4); s.IsValid() {
			all[0].Reason = fmt.Sprintf("connections leave from %s, and no egress is known", s)
			if !mail.SeenByWorld(s) {
				all[0].Result = Translated
				all[0].Reason = fmt.Sprintf("connections leave from %s, and what receivers see instead is not known", s)
			}
			all[0].Evidence = []policy.Evidence{{Name: "source of a connection over IPv4", Value: s.String()}}
		}
	}
	return all
}

// source compares the source of a connection over one family with the addresses of that family.
func (h *Host) source(far netip.Addr, leaves []outward) []policy.Finding {
	var of []outward
	for _, l := range leaves {
		if l.Is4() == far.Is4() {
			of = append(of, l)
		}
	}
	over := family(far)
	if h.Local.Source == nil {
		if len(of) == 0 {
			return nil
		}
		f := finding("nat", "unknown", policy.Unknown, "from where this host sends over "+over+" is not known")
		f.Subject = addressesOf(of)
		return []policy.Finding{f}
	}
	from := h.Local.Source(far).Unmap().WithZone("")
	f, found := h.judgeSource(from, of, over)
	if !found {
		return nil
	}
	value := "none"
	if from.IsValid() {
		value = from.String()
	}
	f.Evidence = append(f.Evidence, policy.Evidence{Name: "source of a connection over " + over, Value: value})
	if len(of) > 0 {
		f.Evidence = append(f.Evidence, expect(addressesOf(of)))
	}
	if f.Subject == "" {
		f.Subject = value
	}
	return []policy.Finding{f}
}

// judgeSource says what a source means beside the addresses of its family.
func (h *Host) judgeSource(from netip.Addr, of []outward, over string) (f policy.Finding, found bool) {
	at := slices.IndexFunc(of, func(l outward) bool { return l.Addr == from })
	guessed := len(of) > 0 && of[0].egress.Guessed
	if evidence, so := settled(h.bindings(of, over == "IPv4")); so && from.IsValid() && at < 0 && mail.SeenByWorld(from) {
		f = finding("nat", Bound, policy.Pass, "the mail server is set not to use "+over)
		if len(of) > 0 {
			f.Reason = fmt.Sprintf("the mail server is set to send over %s from %s", over, addressesOf(of))
		}
		f.Evidence = evidence
		return ofGuess(guessed, f), true
	}
	switch {
	case at >= 0:
		f = finding("nat", Direct, policy.Pass, fmt.Sprintf("connections over %s leave from %s", over, from))
		return ofGuess(of[at].egress.Guessed, f), true
	case !from.IsValid() && len(of) > 0:
		f = finding("nat", NoWay, policy.Warn,
			fmt.Sprintf("this host has no way out over %s, so no mail leaves from %s", over, addressesOf(of)))
		f.Advice = "mend the route, or take the address out of [[egress]] addresses"
		f.Subject = of[0].String()
	case !from.IsValid():
		return f, false
	case !mail.SeenByWorld(from):
		if len(of) == 0 {
			return f, false // a family that is not used, and does not leave this network as it is
		}
		f = finding("nat", Translated, policy.Unknown, fmt.Sprintf(
			"connections over %s leave from %s, which is translated on the way: whether to %s, only the other side sees",
			over, from, addressesOf(of)))
		f.Advice = "compare with the topmost Received field of a message that you sent to an account elsewhere"
	default:
		f = h.otherSource(from, of, over)
	}
	return ofGuess(guessed, f), true
}

// otherSource is the finding about connections that leave from an address that is not one of the egress.
func (h *Host) otherSource(from netip.Addr, of []outward, over string) policy.Finding {
	if len(of) == 0 {
		f := finding("nat", Other, policy.Warn, fmt.Sprintf(
			"connections over %s leave from %s, and no egress has an address of that family", over, from))
		f.Advice = "add the address to [[egress]] addresses; or, if the mail server is not to use " + over +
			", see that it does not (Postfix: inet_protocols)"
		return f
	}
	f := finding("nat", Other, policy.Warn, fmt.Sprintf(
		"connections over %s leave from %s, and not from %s", over, from, addressesOf(of)))
	f.Advice = "add the address to [[egress]] addresses if mail leaves from it; " +
		"or have the mail server send from the right one (Postfix: smtp_bind_address, smtp_bind_address6; Exim: interface)"
	if len(of) == 1 && slices.Contains(h.interfaces(), of[0].Addr) {
		name := "smtp_bind_address"
		if of[0].Is6() {
			name += "6"
		}
		f.Fix = "postconf -e " + name + "=" + of[0].String()
		if bindings := h.bindings(of, of[0].Is4()); len(bindings) > 0 {
			f.Fix = fixes(bindings)
		}
	}
	return f
}

// interfaces gives the addresses of this host, as they are.
func (h *Host) interfaces() (all []netip.Addr) {
	if h.Local.Addresses == nil {
		return nil
	}
	for _, a := range h.Local.Addresses() {
		all = append(all, a.Unmap().WithZone(""))
	}
	return all
}

func addressesOf(of []outward) string {
	var all []string
	for _, l := range of {
		all = append(all, l.String())
	}
	return strings.Join(all, ", ")
}

// family names the family of an address.
func family(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}
