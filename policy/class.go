package policy

import (
	"net/netip"
	"slices"
	"strings"

	"reputed/policy/mail"
)

// Class says whose mail a message is.
type Class uint8

const (
	Foreign Class = iota // a stranger's, on its way in: none of our business
	Relayed              // came in from elsewhere and passes through again: never signed, never refused
	Ours                 // leaves this host in our name
)

var classes = [...]string{"foreign", "relayed", "ours"}

func (c Class) String() string { return word(classes[:], c) }

// MarshalText writes the word of [Class.String].
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Outbound tells which mail is ours. The zero value takes none over the network.
type Outbound struct {
	Networks      Networks      // clients whose mail is ours
	Authenticated bool          // mail of clients that logged in is ours
	Daemons       []string      // {daemon_name} of services whose mail is ours, in any case
	Mailers       []string      // {rcpt_mailer} of recipients that leave
	LocalDomains  []mail.Domain // recipients that stay, where the MTA does not name a mailer; none: not known
}

// Networks is a set of addresses: the longest prefix that holds an address decides.
type Networks struct {
	in, out []netip.Prefix
}

// NewNetworks makes the set of what is within some prefix of in and no longer prefix of out.
func NewNetworks(in, out []netip.Prefix) Networks { return Networks{in: in, out: out} }

// Contains tells whether the address is in the set, and which prefix says so. IPv4-mapped addresses are IPv4.
func (n Networks) Contains(a netip.Addr) (netip.Prefix, bool) {
	a = a.Unmap().WithZone("")
	yes, no := longest(n.in, a), longest(n.out, a)
	// An exclusion as long as the inclusion wins: it was written to exclude.
	if !yes.IsValid() || no.IsValid() && no.Bits() >= yes.Bits() {
		return netip.Prefix{}, false
	}
	return yes, true
}

func longest(ps []netip.Prefix, a netip.Addr) (best netip.Prefix) {
	for _, p := range ps {
		if p.Contains(a) && (!best.IsValid() || p.Bits() > best.Bits()) {
			best = p
		}
	}
	return best
}

// Classify tells the class as far as MAIL shows it, with the reason. Ours may still turn out Relayed once the header
// is known: see [Outbound.Finish].
func (o *Outbound) Classify(tx *mail.Transaction) (Class, string) {
	c := tx.Client
	if o.Authenticated && tx.Authenticated() {
		return Ours, "authenticated"
	}
	for _, d := range o.Daemons {
		if strings.EqualFold(d, c.Daemon) {
			return Ours, "daemon " + d
		}
	}
	if c.Local {
		return Ours, "local submission"
	}
	if p, ok := o.Networks.Contains(c.Addr); ok {
		return Ours, "network " + p.String()
	}
	return Foreign, "not trusted, not authenticated"
}

// Finish tells the class once the header is complete. Mail that this host hands to itself (a content filter, a sieve
// redirect, .forward, a list manager) comes from loopback without login, already bears Received, and keeps the sender
// it came with: signing it would vouch for a stranger. Our own keys decide who is a stranger.
func (o *Outbound) Finish(tx *mail.Transaction, class Class, why string, own func(mail.Address) bool) (Class, string) {
	if class != Ours || !CouldRelay(tx, own) || tx.Header.Count("Received") == 0 {
		return class, why
	}
	return Relayed, "re-injected: has Received, sender not ours"
}

// CouldRelay tells, when MAIL is known, whether mail of ours can turn out to be passing through. Own tells whether a
// sender is one of ours.
func CouldRelay(tx *mail.Transaction, own func(mail.Address) bool) bool {
	return !tx.Authenticated() && (tx.Client.Local || tx.Client.Addr.Unmap().IsLoopback()) &&
		(tx.NullSender() || !own(tx.ReversePath))
}

// Stay tells where a recipient's mail goes.
func (o *Outbound) Stay(r *mail.Recipient) mail.Stay {
	switch r.Mailer {
	case "":
		switch {
		case len(o.LocalDomains) == 0 || r.Addr.IsZero():
			return mail.StayUnknown
		case slices.Contains(o.LocalDomains, r.Addr.Domain):
			return mail.Stays
		}
		return mail.Leaves // whoever names the domains that stay says of all others that they leave
	case "error": // virtual aliases look so: the final address is not known yet
		return mail.StayUnknown
	}
	for _, m := range o.Mailers {
		if strings.EqualFold(m, r.Mailer) {
			return mail.Leaves
		}
	}
	return mail.Stays
}
