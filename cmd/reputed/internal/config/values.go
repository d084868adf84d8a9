package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"

	"reputed/milter/wire"
	"reputed/policy"
	"reputed/policy/mail"
)

// Duration is a time span, written as in "1s", "168h" or "7d".
type Duration time.Duration

// String gives the span without the zeros at its end: "168h", not "168h0m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText writes [Duration.String].
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Days is a time span as people plan with, written as in "180d".
type Days time.Duration

// String gives whole days as in "180d", and what is no number of days as [Duration] does.
func (d Days) String() string {
	if n := time.Duration(d) / day; n != 0 && n*day == time.Duration(d) {
		return strconv.FormatInt(int64(n), 10) + "d"
	}
	return Duration(d).String()
}

// MarshalText writes [Days.String].
func (d Days) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// between gives the parser of a span within bounds.
func between[D interface {
	~int64
	fmt.Stringer
}](least, most D) func(string) (D, error) {
	return func(s string) (D, error) {
		d, err := parseSpan(s)
		if err != nil {
			return 0, fmt.Errorf("%q is not a time span (a number with its unit, such as \"500ms\", \"2s\", \"5m\" or "+
				"\"7d\")", s)
		}
		if D(d) < least || D(d) > most {
			return 0, fmt.Errorf("%q is out of bounds (from %v to %v)", s, least, most)
		}
		return D(d), nil
	}
}

// parseSpan is [time.ParseDuration], but for whole days, of 24 hours, that may stand first: "180d", "1d12h".
func parseSpan(s string) (time.Duration, error) {
	if days, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 32)
		if err != nil {
			return 0, err
		}
		s = fmt.Sprintf("%dh%s", n*24, rest)
	}
	return time.ParseDuration(s)
}

// Permissions are the bits of a file's mode, written in octal as in "0660".
type Permissions uint32

func (m Permissions) String() string { return fmt.Sprintf("%04o", uint32(m)) }

// MarshalText writes [Permissions.String].
func (m Permissions) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// choice gives the parser of a value that is one of few.
func choice[T fmt.Stringer](allowed ...T) func(string) (T, error) {
	words := make([]string, len(allowed))
	for i, v := range allowed {
		words[i] = v.String()
	}
	return func(s string) (none T, err error) {
		for i, w := range words {
			if w == s {
				return allowed[i], nil
			}
		}
		hint := strings.Join(words, ", ")
		if w := nearest(s, words); w != "" {
			hint += fmt.Sprintf("; did you mean %q?", w)
		}
		return none, fmt.Errorf("%q is not allowed (%s)", s, hint)
	}
}

// word parses a text of one word or more: not empty, on one line.
func word(s string) (string, error) {
	if s == "" || strings.TrimSpace(s) != s || strings.ContainsFunc(s, unicode.IsControl) {
		return "", fmt.Errorf("%q is not a name (not empty, no blanks around it, no control characters)", s)
	}
	return s, nil
}

// group parses the name of a group; empty is the daemon's own.
func group(s string) (string, error) {
	if strings.ContainsFunc(s, func(r rune) bool { return r == ':' || unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		return "", fmt.Errorf("%q is not the name of a group (\"\" is the daemon's own group)", s)
	}
	return s, nil
}

// path parses the name of a file or directory. The daemon's working directory is nobody's concern, so it is absolute.
func path(s string) (string, error) {
	if !filepath.IsAbs(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return "", fmt.Errorf("%q is not an absolute path (it begins with /)", s)
	}
	return filepath.Clean(s), nil
}

// domain parses a domain name. An address is none, although its IPv4 form has the shape of one.
func domain(s string) (mail.Domain, error) {
	d, err := mail.ParseDomain(s)
	if err != nil {
		return d, err
	}
	if _, err := netip.ParseAddr(d.String()); err == nil {
		return mail.Domain{}, fmt.Errorf("%q is an address, not a domain name", s)
	}
	return d, nil
}

// socketPath cleans the path of a unix socket. That it fits into sockaddr_un was seen already.
func socketPath(e wire.Endpoint) (_ wire.Endpoint, err error) {
	asked := e.Address
	if e.Address, err = path(asked); err != nil {
		return e, err
	}
	if last := asked[strings.LastIndexByte(asked, '/')+1:]; last == "" || last == "." || last == ".." {
		return e, fmt.Errorf("%q is a directory, not a socket (such as %q)", asked, filepath.Join(e.Address, "milter.sock"))
	}
	return e, nil
}

// statusSocket parses the path of the status socket; empty is none.
func statusSocket(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	e, err := wire.ParseEndpoint("unix:" + s)
	if err != nil {
		return "", err
	}
	e, err = socketPath(e)
	return e.Address, err
}

// statusListen parses the address where metrics are told over TCP; empty is none. Nothing asks there who somebody is, so
// only this host may reach it.
func statusListen(s string) (netip.AddrPort, error) {
	if s == "" {
		return netip.AddrPort{}, nil
	}
	ap, err := netip.ParseAddrPort(s)
	switch {
	case err != nil || ap.Addr().Zone() != "":
		return ap, fmt.Errorf("%q is not an address with a port (such as \"127.0.0.1:9181\" or \"[::1]:9181\")", s)
	case !ap.Addr().IsLoopback():
		return ap, fmt.Errorf("%q can be reached by other hosts, and whoever reaches it reads how this host's mail does "+
			"(\"127.0.0.1:%d\"; for a prometheus elsewhere, put a web server with TLS and a password before it)", s,
			cmp.Or(ap.Port(), 9181))
	case ap.Port() == 0:
		return ap, fmt.Errorf("%q names no port (such as \"127.0.0.1:9181\")", s)
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}

// nameserver parses the address of a DNS server, with port 53 where none is written.
func nameserver(s string) (netip.AddrPort, error) {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		addr, err := netip.ParseAddr(s)
		if err != nil {
			return ap, fmt.Errorf("%q is not the address of a name server (such as \"127.0.0.1\", \"127.0.0.1:53\" or "+
				"\"[::1]:53\")", s)
		}
		ap = netip.AddrPortFrom(addr, 53)
	}
	if ap.Port() == 0 {
		return ap, fmt.Errorf("%q names no port (from 1 to 65535)", s)
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}

// Network is a network that is in, or written with "!" not in, a set of addresses.
type Network struct {
	Prefix  netip.Prefix // no bits set beyond its length; never IPv4 in IPv6
	Exclude bool
}

// String gives "192.0.2.0/24", "192.0.2.1" for a single address, "!192.0.2.1" for one excluded.
func (n Network) String() string {
	s := n.Prefix.String()
	if n.Prefix.IsSingleIP() {
		s = n.Prefix.Addr().String()
	}
	if n.Exclude {
		return "!" + s
	}
	return s
}

// MarshalText writes [Network.String].
func (n Network) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// network parses an address or a prefix, with or without "!".
func network(s string) (Network, error) {
	bare, exclude := strings.CutPrefix(s, "!")
	p, err := netip.ParsePrefix(bare)
	if err != nil {
		addr, err := netip.ParseAddr(bare)
		if err != nil || addr.Zone() != "" {
			return Network{}, fmt.Errorf("%q is not a network (such as \"192.0.2.0/24\", \"2001:db8::/32\", \"192.0.2.1\", "+
				"or \"!192.0.2.1\" to exclude it)", s)
		}
		p = netip.PrefixFrom(addr, addr.BitLen())
	}
	n := Network{p.Masked(), exclude}
	switch {
	case p.Addr().Is4In6():
		return n, fmt.Errorf("%q is IPv4 written as IPv6 (write %q)", s, p.Addr().Unmap())
	case p != n.Prefix:
		return n, fmt.Errorf("%q has bits set beyond its /%d (write %q, or %q for the one address)",
			s, p.Bits(), n, Network{netip.PrefixFrom(p.Addr(), p.Addr().BitLen()), exclude})
	case p.Bits() == 0 && !exclude:
		return n, fmt.Errorf("%q is the whole world: mail of any stranger would be signed (name your own networks)", s)
	case !exclude && tooWide(p):
		return n, fmt.Errorf("%q is larger than any one network, so mail of strangers would be signed (at least /8, of IPv6 "+
			"/16; name your own networks)", s)
	}
	return n, nil
}

// set gives the addresses that networks hold.
func set(networks []Network) policy.Networks {
	var in, out []netip.Prefix
	for _, n := range networks {
		if n.Exclude {
			out = append(out, n.Prefix)
		} else {
			in = append(in, n.Prefix)
		}
	}
	return policy.NewNetworks(in, out)
}

// What is local to a site or a link holds no strangers, however short its prefix is: RFC 4193, RFC 4291, section 2.5.6.
var (
	uniqueLocal = netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfc}), 7)
	linkLocal   = netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfe, 0x80}), 10)
)

// tooWide tells a prefix that nobody has for himself: the largest holdings are a /8 of IPv4 and less than a /16 of IPv6.
// Two halves of the world are the world, too.
func tooWide(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return p.Bits() < 8
	}
	for _, local := range []netip.Prefix{uniqueLocal, linkLocal} {
		if p.Bits() >= local.Bits() && local.Contains(p.Addr()) {
			return false
		}
	}
	return p.Bits() < 16
}
