package milter

import (
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// admitting is a listener at which only hosts that are allowed get in. All others are let go before they say a word, and
// take nobody's place. This host's own may always come, over loopback and unix sockets.
type admitting struct {
	net.Listener
	allowed func(netip.Addr) bool // nil: no other host
	log     *slog.Logger
	now     func() time.Time

	logged time.Time // the last line about strangers
	silent int       // how many came since
}

// strangersLogged is how often it is logged that strangers came: they must not fill the log.
const strangersLogged = time.Minute

// Accept waits for a connection of a host that is allowed.
func (a *admitting) Accept() (net.Conn, error) {
	for {
		conn, err := a.Listener.Accept()
		if err != nil || a.admits(conn.RemoteAddr()) {
			return conn, err
		}
		conn.Close()
		a.refused(conn.RemoteAddr())
	}
}

func (a *admitting) admits(peer net.Addr) bool {
	tcp, ok := peer.(*net.TCPAddr)
	if !ok {
		return true // of a unix socket, whose mode and group decide
	}
	addr := tcp.AddrPort().Addr().Unmap()
	return addr.IsLoopback() || a.allowed != nil && a.allowed(addr)
}

func (a *admitting) refused(peer net.Addr) {
	if now := a.now(); a.logged.IsZero() || now.Sub(a.logged) >= strangersLogged {
		a.log.Warn("a host that is not allowed came to the milter socket", "from", peer.String(),
			"at", a.Addr().String(), "others", a.silent, "remedy", "milter.allow, if it is the mta's; otherwise a firewall")
		a.logged, a.silent = now, 0
		return
	}
	a.silent++
}
