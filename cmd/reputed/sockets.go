package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/user"
	"slices"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"

	"reputed/cmd/reputed/internal/config"
	"reputed/milter"
	"reputed/milter/wire"
)

// sockets is where the MTA finds us.
type sockets struct {
	milter []net.Listener
	exim   []net.Listener // where the ACLs of Exim ask

	handed struct{ milter, exim bool } // over by systemd
}

// eximSocketName is the FileDescriptorName of sockets for Exim in a systemd unit; all others are the milter's.
const eximSocketName = "exim"

// openSockets opens the sockets: of each door those that systemd hands over, or else those of the configuration.
func openSockets(cfg *config.Config) (s sockets, err error) {
	if s, err = takeOver(activation.Files(true), len(cfg.Milter.Allow) > 0); err != nil {
		return sockets{}, err
	}
	if len(s.milter) == 0 {
		s.milter, err = listen(cfg)
	}
	if len(s.exim) == 0 && err == nil {
		s.exim, err = listenAt(cfg, cfg.Exim.Listen)
	}
	if err != nil {
		closeAll(append(s.milter, s.exim...))
		return sockets{}, err
	}
	return s, nil
}

// takeOver tells by their names what the sockets of a systemd unit are for. Guarded tells that the configuration names
// the hosts that may come to those of the milter.
func takeOver(files []*os.File, guarded bool) (sockets, error) {
	all, err := handedOver(files, guarded)
	var s sockets
	for i, ln := range all {
		if files[i].Name() == eximSocketName {
			s.exim = append(s.exim, ln)
		} else {
			s.milter = append(s.milter, ln)
		}
	}
	s.handed.milter, s.handed.exim = len(s.milter) > 0, len(s.exim) > 0
	return s, err
}

// listen opens the milter sockets of the configuration.
func listen(cfg *config.Config) ([]net.Listener, error) { return listenAt(cfg, cfg.Milter.Listen) }

// listenAt opens sockets, to which the MTA gets access as the configuration says.
func listenAt(cfg *config.Config, all []wire.Endpoint) ([]net.Listener, error) {
	access := milter.Access{Mode: fs.FileMode(cfg.Milter.SocketMode), Group: cfg.Milter.SocketGroup}
	if access.Group == "" && os.Geteuid() == 0 {
		access.Group = mtaGroup(cfg)
	}
	var lns []net.Listener
	for _, at := range all {
		ln, err := milter.Listen(at, access)
		if err != nil {
			closeAll(lns)
			return nil, err
		}
		lns = append(lns, ln)
	}
	return lns, nil
}

// settled names the settings that systemd leaves nothing to, now and at any start at which it hands over the same.
func (s *sockets) settled(cfg *config.Config) (names []string) {
	if s.handed.exim {
		names = append(names, "exim.listen")
	}
	if s.handed.milter {
		names = append(names, "milter.listen")
		if s.handed.exim || len(cfg.Exim.Listen) == 0 { // no socket is opened that they could be of
			names = append(names, "milter.socket_group", "milter.socket_mode")
		}
	}
	return names
}

// unused names those of them that are set to something else than what is so without them.
func (s *sockets) unused(cfg *config.Config) []string {
	usual := config.Default(config.Host{PostfixSpool: hasSpool()})
	other := func(set, unset []wire.Endpoint, handed []net.Listener) bool {
		return !slices.Equal(set, unset) && !sameSockets(set, handed)
	}
	said := map[string]bool{
		"exim.listen":         other(cfg.Exim.Listen, usual.Exim.Listen, s.exim),
		"milter.listen":       other(cfg.Milter.Listen, usual.Milter.Listen, s.milter),
		"milter.socket_group": cfg.Milter.SocketGroup != usual.Milter.SocketGroup,
		"milter.socket_mode":  cfg.Milter.SocketMode != usual.Milter.SocketMode,
	}
	return slices.DeleteFunc(s.settled(cfg), func(name string) bool { return !said[name] })
}

// sameSockets tells whether a configuration names the very sockets that are open.
func sameSockets(set []wire.Endpoint, open []net.Listener) bool {
	return len(set) == len(open) && !slices.ContainsFunc(open, func(ln net.Listener) bool {
		at := ln.Addr()
		return !slices.Contains(set, wire.Endpoint{Network: at.Network(), Address: at.String()})
	})
}

// warnUnused tells who has set something that does nothing.
func (s *sockets) warnUnused(log *slog.Logger, cfg *config.Config) {
	if names := s.unused(cfg); len(names) > 0 {
		log.Warn("systemd hands over the sockets, so some settings do nothing", "settings", strings.Join(names, " "),
			"remedy", "ListenStream=, SocketGroup= and SocketMode= of the socket unit in place of them; or do without "+
				"it: systemctl disable --now reputed.socket, then systemctl restart reputed")
	}
}

// listenStatus opens the socket where the daemon tells how it does. Without it mail flows all the same.
func listenStatus(cfg *config.Config, log *slog.Logger) net.Listener {
	if cfg.Status.Socket == "" {
		return nil
	}
	at := wire.Endpoint{Network: "unix", Address: cfg.Status.Socket}
	ln, err := milter.Listen(at, milter.Access{Mode: 0o660})
	if err != nil {
		log.Warn("no status socket, so reputed status and reputed hold know nothing of this daemon", "err", err,
			"remedy", "status.socket in the configuration")
		return nil
	}
	return ln
}

func closeAll(lns []net.Listener) {
	for _, ln := range lns {
		ln.Close()
	}
}

// handedOver takes the sockets of a systemd unit. What milter.listen and exim.listen may not be, they may not be either.
func handedOver(files []*os.File, guarded bool) ([]net.Listener, error) {
	var lns []net.Listener
	for i, f := range files {
		ln, err := listener(f, guarded && f.Name() != eximSocketName)
		if err != nil {
			closeAll(lns)
			return nil, fmt.Errorf("socket %d of %d from systemd (%s): %w", i+1, len(files), f.Name(), err)
		}
		lns = append(lns, ln)
	}
	return lns, nil
}

// errNoListener is said of what else a unit may hand over.
var errNoListener = errors.New("not a stream socket that listens (in the unit: ListenStream=, and no Accept=yes)")

// listener makes a listener of a socket, and closes the file. One that is guarded may be in reach of other hosts.
func listener(f *os.File, guarded bool) (net.Listener, error) {
	defer f.Close()
	if !listens(f) {
		return nil, errNoListener
	}
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoListener, err)
	}
	if tcp, ok := ln.Addr().(*net.TCPAddr); ok && !guarded {
		err = withinReach(tcp)
	} else if !ok {
		err = ofEverybody(ln.Addr().String())
	}
	if err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// listens tells streams that take connections from all else: package net takes datagram sockets for listeners too.
func listens(f *os.File) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	var kind, accepts int
	err = raw.Control(func(fd uintptr) {
		kind, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_TYPE)
		accepts, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
	})
	return err == nil && kind == syscall.SOCK_STREAM && accepts == 1
}

// withinReach refuses a socket that other hosts can reach.
func withinReach(at *net.TCPAddr) error {
	if !at.IP.IsLoopback() {
		return fmt.Errorf("%s can be reached by other hosts, and whoever reaches it can have any mail signed (in the unit: "+
			"ListenStream=127.0.0.1:%d, or better the path of a unix socket; or name the hosts of the mta in milter.allow)",
			at, at.Port)
	}
	return nil
}

// ofEverybody refuses a unix socket that every local user may connect to, which is what systemd makes unless it is told
// otherwise. One without a path has no mode at all.
func ofEverybody(path string) error {
	if path == "" || path[0] == '@' {
		return fmt.Errorf("%q has no path, so every local user can connect, and have any mail signed (in the unit: "+
			"ListenStream= with a path, and SocketMode=0660)", path)
	}
	info, err := os.Lstat(path)
	if err == nil && info.Mode().Type() == fs.ModeSocket && info.Mode()&0o002 != 0 {
		return fmt.Errorf("%s has mode %04o, so every local user can connect, and have any mail signed (in the unit: "+
			"SocketMode=0660, and SocketGroup= for the mta)", path, info.Mode().Perm())
	}
	return nil
}

// mtaGroup is the group that root gives its sockets to when nothing else is said: without it the MTA could not connect.
// Any other user's own group is left as it is. Exim needs both kinds of socket.
func mtaGroup(cfg *config.Config) string {
	if len(cfg.Exim.Listen) > 0 {
		if gid := eximGroup(); gid != "" {
			return gid
		}
	}
	if g, err := user.LookupGroup("postfix"); err == nil {
		return g.Gid
	}
	return ""
}

// postfixLines gives what main.cf needs to use the sockets.
func postfixLines(lns []net.Listener) string {
	var b strings.Builder
	for i, ln := range lns {
		comment := ""
		if i > 0 {
			comment = "# or: " // one milter is enough: two would sign twice
		}
		fmt.Fprintf(&b, "  %ssmtpd_milters = %s\n", comment, postfixSocket(ln.Addr()))
	}
	b.WriteString("  non_smtpd_milters = $smtpd_milters\n")
	b.WriteString("  milter_default_action = tempfail\n")
	b.WriteString("  internal_mail_filter_classes = bounce\n")
	b.WriteString("  disable_mime_output_conversion = yes\n")
	return b.String()
}

// postfixSpool is Postfix's queue directory, and the root that its chrooted services see.
const postfixSpool = "/var/spool/postfix/"

// postfixSocket spells a socket so that chrooted and other services of Postfix find it: a path below the queue
// directory is given relative to it, which is where both kinds stand.
func postfixSocket(at net.Addr) string {
	e := endpoint(at)
	if e.Network == "unix" {
		e.Address = strings.TrimPrefix(e.Address, postfixSpool)
	}
	return e.String()
}

// endpoint names a socket that is open as an MTA of this host finds it: one that listens everywhere does so at 127.0.0.1
// too. Its own address is nothing to connect to, and of inet:0.0.0.0 package net makes [::].
func endpoint(at net.Addr) wire.Endpoint {
	if tcp, ok := at.(*net.TCPAddr); ok && (tcp.IP == nil || tcp.IP.IsUnspecified()) {
		at = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: tcp.Port}
	}
	return wire.Endpoint{Network: at.Network(), Address: at.String()}
}
