package check

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"reputed/policy"
	"reputed/policy/iprev"
)

// Results of the item about names of addresses.
const (
	Confirmed   = "confirmed"   // there is one name, and it leads back
	Ambiguous   = "ambiguous"   // there are several, and one at least leads back
	Unconfirmed = "unconfirmed" // there are names, and none leads back
)

// itemPTR looks whether the address has a name that leads back to it: RFC 1912, section 2.1; RFC 8601, section 3.
// Gmail and others refuse IPv6 without it, and many do so with IPv4.
func itemPTR() Item {
	return Item{
		ID: "ptr", Group: GroupAddress, Host: true, About: "the address has a name, which leads back to it (FCrDNS)",
		Ask: func(ctx context.Context, h *Host) (all []policy.Finding) {
			reversed := h.reversals(ctx)
			for _, l := range h.leaves() {
				r := reversed[l.Addr]
				f := ofAddress(l, h.ofSmarthost(l, h.judgeNames(l, &r)))
				f.Evidence = append(reverseEvidence(&r), expect("one name, and "+l.String()+" among its addresses"))
				all = append(all, f)
			}
			if len(all) == 0 {
				return h.nowhere("ptr")
			}
			return all
		},
	}
}

// judgeNames says what the names of an address are worth.
func (h *Host) judgeNames(l outward, r *iprev.Result) policy.Finding {
	switch r.Status {
	case iprev.TempError:
		return reverseTrouble("ptr", r)
	case iprev.PermError:
		f := finding("ptr", None, policy.Fail, l.String()+" has no name: receivers refuse mail from it")
		f.Fix = h.reverseLine(l)
		f.Advice = "ask whoever owns the address, mostly the provider, for this record" + onlyIPv4(l.Addr)
		return f
	case iprev.Fail:
		names := namesIn(r)
		f := finding("ptr", Unconfirmed, policy.Fail,
			fmt.Sprintf("%s is called %s, which does not lead back to it", l, names))
		f.Fix = h.reverseLine(l)
		f.Advice = "have the address called as this host greets, by whoever owns it, mostly the provider; " +
			"or publish the address at its name" + onlyIPv4(l.Addr)
		if name := h.greets(l); len(r.Names) == 1 && r.Names[0].Name == name {
			f.Fix = addressLine(name, l.Addr)
			f.Advice = "publish the address at the name" + noneBeside(name, r.Names[0].Answer) + onlyIPv4(l.Addr)
		}
		return f
	}
	confirmed := r.Confirmed()
	if len(r.Names)+r.Unread > 1 {
		f := finding("ptr", Ambiguous, policy.Warn, fmt.Sprintf("%s has %d names: %s; of these, %s leads back",
			l, len(r.Names)+r.Unread, namesIn(r), strings.Join(confirmed, ", ")))
		f.Advice = "keep one: some receivers look at the first only, and which that is changes with every answer"
		f.Fix = h.reverseLine(l)
		return f
	}
	return finding("ptr", Confirmed, policy.Pass, fmt.Sprintf("%s is %s, which leads back to it", l, confirmed[0]))
}

// greets gives the name that the host greets with from an address; "" when it is not known.
func (h *Host) greets(l outward) string {
	if l.egress.Hostname.IsZero() {
		return h.Name.String()
	}
	return l.egress.Hostname.String()
}

// reverseLine is the record that calls the address as the host greets; "": there is none to publish, as the address is a
// smarthost's.
func (h *Host) reverseLine(l outward) string {
	name := h.greets(l)
	if h.relayed(l.egress) || iprev.FlawOf(name) != "" && iprev.FlawOf(name) != iprev.NoSuffix {
		return "" // nothing to call an address
	}
	return h.reverseOwner(l.Addr) + ". IN PTR " + name + "."
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9._/-]+$`)

// reverseOwner is the name at which the record of an address stands: where its aliases lead, if a provider has handed a
// part of its zone on (RFC 2317, section 4).
func (h *Host) reverseOwner(a netip.Addr) string {
	r := h.reversals(context.Background())[a] // asked already, by whoever judges the address
	if owner := strings.TrimSuffix(r.Answer.Name, "."); plainName.MatchString(owner) {
		return owner
	}
	return iprev.ReverseName(a)
}

// addressLine is the record that has an address at a name.
func addressLine(name string, a netip.Addr) string {
	return fmt.Sprintf("%s. IN %s %s", name, addressType(a), a)
}

// namesIn gives the names of an address, as many as fit a line.
func namesIn(r *iprev.Result) string {
	var names []string
	for i, n := range r.Names {
		if i == 3 {
			names = append(names, fmt.Sprintf("and %d more", len(r.Names)+r.Unread-i))
			break
		}
		names = append(names, n.Name)
	}
	return strings.Join(names, ", ")
}

// onlyIPv4 says what else helps where the address is of IPv6.
func onlyIPv4(a netip.Addr) string {
	if a.Is4() {
		return ""
	}
	return "; until then send over IPv4 only (postconf -e inet_protocols=ipv4)"
}
