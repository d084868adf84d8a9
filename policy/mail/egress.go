package mail

import "net/netip"

// Egress is a way by which mail leaves, as the world sees it: what SPF, block lists and reverse DNS are about. It is
// never the client that submits.
type Egress struct {
	Name      string
	Addresses []netip.Addr // the source addresses that receivers see; none: not known
	Hostname  Domain       // how the host greets there; it stands for the null sender
	Via       Domain       // a smarthost: the name by which SPF records include its addresses; zero: mail leaves directly
	Guessed   bool         // from this host's interfaces: NAT, relay hosts and unused IPv6 make that wrong
}

// carrierGrade is the space that providers use between themselves and their customers: RFC 6598.
var carrierGrade = netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10)

// SeenByWorld tells whether receivers can see mail come from the address: private, shared, link-local and loopback
// addresses are translated on the way, and never seen.
func SeenByWorld(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate() && !carrierGrade.Contains(a)
}
