package wire

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Endpoint names a milter socket. Both spellings in use are understood: Postfix's inet:HOST:PORT and Sendmail's
// inet:PORT@HOST.
type Endpoint struct {
	Network string // "unix" or "tcp", as package net has it
	Address string // path, or host:port
}

// ErrEndpoint is what every error of [ParseEndpoint] is.
var ErrEndpoint = errors.New("not a milter socket")

// ParseEndpoint reads "unix:/path", "local:/path", "/path", "inet:host:port", "inet:port@host", "inet6:port@host" and
// "inet:[::1]:port". A missing host, as in "inet:8891", is localhost.
func ParseEndpoint(s string) (Endpoint, error) {
	kind, rest, ok := strings.Cut(s, ":")
	if strings.HasPrefix(s, "/") {
		kind, rest, ok = "unix", s, true
	}
	if !ok || rest == "" {
		return Endpoint{}, fmt.Errorf("%w: %q (write unix:/path, inet:host:port or inet:port@host)", ErrEndpoint, s)
	}
	switch kind {
	case "unix", "local":
		if len(rest) > maxSocketPath {
			return Endpoint{}, fmt.Errorf("%w: %q: a socket's path has at most %d octets", ErrEndpoint, s, maxSocketPath)
		}
		return Endpoint{"unix", rest}, nil
	case "inet", "inet6", "tcp":
		return parseInet(s, rest)
	}
	return Endpoint{}, fmt.Errorf("%w: %q (write unix:/path, inet:host:port or inet:port@host)", ErrEndpoint, s)
}

// maxSocketPath is what fits into sockaddr_un on Linux, less the NUL.
const maxSocketPath = 107

func parseInet(whole, rest string) (Endpoint, error) {
	host, port := "localhost", rest
	if p, h, ok := strings.Cut(rest, "@"); ok {
		host, port = h, p
	} else if h, p, err := net.SplitHostPort(rest); err == nil {
		host, port = h, p
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || !isHost(host) {
		return Endpoint{}, fmt.Errorf("%w: %q (write inet:host:port or inet:port@host, the port as a number)",
			ErrEndpoint, whole)
	}
	return Endpoint{"tcp", net.JoinHostPort(host, strconv.FormatUint(n, 10))}, nil
}

// isHost tells addresses and host names from anything else.
func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	other := func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_')
	}
	return s != "" && !strings.ContainsFunc(s, other)
}

// String gives the socket in Postfix's notation, which is the one to paste into main.cf.
func (e Endpoint) String() string {
	if e.Network == "tcp" {
		return "inet:" + e.Address
	}
	return "unix:" + e.Address
}

// Loopback tells whether only this host can reach the socket. A host name other than localhost counts as reachable
// from elsewhere: what it resolves to may change.
func (e Endpoint) Loopback() bool {
	if e.Network == "unix" {
		return true
	}
	host, _, err := net.SplitHostPort(e.Address)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// MarshalText writes [Endpoint.String].
func (e Endpoint) MarshalText() ([]byte, error) { return []byte(e.String()), nil }
