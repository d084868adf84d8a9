package milter

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"reputed/milter/wire"
)

// Access says who may reach a unix socket.
type Access struct {
	Mode  fs.FileMode // 0 is 0660
	Group string      // name or number; "" leaves the process's own
}

// Listen opens a milter socket. For a unix socket it makes the directory if only that is missing, replaces the socket
// that a dead process left behind, and refuses to when a living one answers there. Mode and group are set before
// anybody can connect. The file is removed when the listener is closed, unless it is another's by then.
func Listen(at wire.Endpoint, a Access) (net.Listener, error) {
	if at.Network != "unix" {
		ln, err := net.Listen(at.Network, at.Address)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", at, plain(err))
		}
		return ln, nil
	}
	ln, err := listenUnix(at.Address, a)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", at, plain(err))
	}
	return ln, nil
}

func listenUnix(path string, a Access) (net.Listener, error) {
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := vacant(path); err != nil {
		return nil, err
	}
	// Bound under another name and renamed when ready: nobody connects before mode and group are right.
	fresh := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false)
	if err := publish(fresh, path, a); err != nil {
		ln.Close()
		os.Remove(fresh)
		return nil, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		ln.Close()
		return nil, err
	}
	return &unixListener{UnixListener: ln, path: path, info: info}, nil
}

// vacant refuses when somebody answers on the path, or when what is there is no socket.
func vacant(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is there and is no socket; remove it, or choose another path", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
		return fmt.Errorf("another process answers there; stop it, or choose another path (who: fuser %s)", path)
	}
	return nil
}

// publish sets who may connect, and gives the socket its name.
func publish(fresh, path string, a Access) error {
	mode := a.Mode
	if mode == 0 {
		mode = 0o660
	}
	if err := os.Chmod(fresh, mode); err != nil {
		return err
	}
	if a.Group != "" {
		gid, err := groupID(a.Group)
		if err != nil {
			return err
		}
		if err := os.Chown(fresh, -1, gid); err != nil {
			return fmt.Errorf("%w (only root, or a member of the group, can give the socket to group %s)", err, a.Group)
		}
	}
	return os.Rename(fresh, path)
}

func groupID(name string) (int, error) {
	if gid, err := strconv.Atoi(name); err == nil {
		return gid, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("there is no group %q on this host", name)
	}
	return strconv.Atoi(g.Gid)
}

// unixListener removes its socket when it is closed.
type unixListener struct {
	*net.UnixListener
	path string
	info fs.FileInfo
}

// Addr gives the name that clients use.
func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

func (l *unixListener) Close() error {
	if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.info) {
		os.Remove(l.path)
	}
	return l.UnixListener.Close()
}

// plain says in plain words what keeps a socket from opening.
func plain(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return errors.New("the port is in use; see who has it: ss -ltnp")
	case errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM):
		return fmt.Errorf("%w; run as a user who may write there, or choose another path", err)
	}
	return err
}
