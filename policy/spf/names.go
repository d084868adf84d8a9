package spf

import (
	"net/netip"
	"slices"
	"strings"
)

// isHostName tells whether a name can be a domain of mail: RFC 7208, section 4.3 wants at least two labels, none empty,
// none too long.
func isHostName(name string) bool {
	return strings.Contains(name, ".") && fitsDNS(name) && !strings.HasPrefix(name, "[")
}

// fitsDNS tells whether a name can be asked for: RFC 1035, section 2.3.4.
func fitsDNS(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
	}
	return true
}

// within tells whether a name is parent or lies below it.
func within(name, parent string) bool {
	name, parent = strings.ToLower(strings.TrimSuffix(name, ".")), strings.ToLower(strings.TrimSuffix(parent, "."))
	return name == parent || strings.HasSuffix(name, "."+parent)
}

// reverseName gives the name under which the names of an address stand: RFC 1035, section 3.5; RFC 3596, section 2.5.
func reverseName(a netip.Addr) string {
	pieces := strings.Split(dotted(a), ".")
	slices.Reverse(pieces)
	suffix := ".in-addr.arpa"
	if a.Is6() {
		suffix = ".ip6.arpa"
	}
	return strings.Join(pieces, ".") + suffix
}
