package config

import (
	"fmt"
	"slices"
	"strings"

	"reputed/milter/wire"
)

// Exim says where the ACLs of Exim ask us.
type Exim struct {
	Listen []wire.Endpoint `json:"listen"` // none: nowhere; none that other hosts can reach, and none of the milter's
}

// read reads the section; the milter's sockets have been read. One socket may stand by itself.
func (e *Exim) read(s *section, milter []wire.Endpoint) {
	if one, is := s.values["listen"].(string); is {
		s.values["listen"] = []any{one}
	}
	list(s, "listen", eximSocket, &e.Listen)
	for i, at := range e.Listen {
		if slices.Contains(milter, at) {
			s.wrongAt(s.at.kid("listen").item(i), "listen", fmt.Sprintf("%q is in milter.listen already, and exim's acls do "+
				"not speak milter (such as \"unix:/run/reputed/exim.sock\")", at))
		}
	}
}

// eximSocket parses the socket that Exim asks. Whoever reaches it learns what this host would do with a message.
func eximSocket(s string) (wire.Endpoint, error) {
	e, err := wire.ParseEndpoint(s)
	switch {
	case err != nil:
		return e, fmt.Errorf("%q is not a socket (write unix:/path or inet:host:port)", s)
	case e.Network == "unix":
		return socketPath(e)
	case !e.Loopback():
		return e, fmt.Errorf("%q can be reached by other hosts, which would learn what becomes of mail here (a unix socket, "+
			"or 127.0.0.1, ::1 or localhost)", s)
	case strings.HasSuffix(e.Address, ":0"):
		return e, fmt.Errorf("%q names no port (from 1 to 65535)", s)
	}
	return e, nil
}
