package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"reputed/milter/wire"
	"reputed/policy"
)

// Milter says where the MTA finds us, who may come there, and what becomes of its mail when we fail.
type Milter struct {
	Listen      []wire.Endpoint `json:"listen"`       // at least one
	Allow       []Network       `json:"allow"`        // other hosts that may come over TCP; none: no other host may
	OnError     policy.Action   `json:"on_error"`     // Log or Defer, for mail of ours when this program itself fails
	SocketMode  Permissions     `json:"socket_mode"`  // of unix sockets
	SocketGroup string          `json:"socket_group"` // of unix sockets, by name or number; "" is the daemon's own
}

// Allowed tells whether a host may come over TCP. This host always may, and is not asked about.
func (m *Milter) Allowed(a netip.Addr) bool {
	_, ok := set(m.Allow).Contains(a)
	return ok
}

func (m *Milter) read(s *section) {
	list(s, "listen", endpoint, &m.Listen)
	if len(m.Listen) == 0 {
		s.wrong("listen", "there is no socket for the mta to connect to (such as [\"unix:/run/reputed/milter.sock\"])")
	}
	networks(s, "allow", &m.Allow)
	if s.blank("allow") {
		m.guarded(s)
	}
	text(s, "on_error", choice(policy.Log, policy.Defer), &m.OnError)
	text(s, "socket_mode", socketMode, &m.SocketMode)
	text(s, "socket_group", group, &m.SocketGroup)
}

// guarded notes the sockets that other hosts can reach: whoever reaches one can have any mail signed with our keys.
func (m *Milter) guarded(s *section) {
	for i, at := range m.Listen {
		if !at.Loopback() {
			s.wrongAt(s.at.kid("listen").item(i), "listen", fmt.Sprintf("%q can be reached by other hosts, and whoever reaches it "+
				"can have any mail signed (a unix socket, or 127.0.0.1, ::1 or localhost; or name the hosts of the mta in "+
				"milter.allow)", at))
		}
	}
}

// endpoint parses a milter socket.
func endpoint(s string) (wire.Endpoint, error) {
	e, err := wire.ParseEndpoint(s)
	switch {
	case err != nil:
		return e, err
	case e.Network == "unix":
		return socketPath(e)
	case strings.HasSuffix(e.Address, ":0"):
		return e, fmt.Errorf("%q names no port (from 1 to 65535)", s)
	}
	return e, nil
}

// socketMode parses the mode of a socket. Who connects needs the right to write, and can have any mail signed then.
func socketMode(s string) (Permissions, error) {
	m, err := strconv.ParseUint(s, 8, 32)
	if err != nil || m > 0o777 {
		return 0, fmt.Errorf("%q is not a file mode (octal digits in quotes, such as \"0660\")", s)
	}
	if m&0o222 == 0 {
		return 0, fmt.Errorf("%q lets nobody connect: that takes the right to write (such as \"0660\")", s)
	}
	if m&0o002 != 0 {
		return 0, fmt.Errorf("%q lets every local user connect, and have any mail signed (\"0660\", and socket_group for "+
			"the mta)", s)
	}
	return Permissions(m), nil
}
