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
// that a dead process left behind, and refuses to when a living one may be behind it. Mode and group are set before
// anybody can connect. The file is removed when the listener is closed, unless it is another's by then.
func Listen(at wire.Endpoint, a Access) (net.Listener, error) {
	open, why := listenUnix, plainUnix
	if at.Network != "unix" {
		open, why = listenTCP, plainTCP
	}
	ln, err := open(at.Address, a)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", at, why(err))
	}
	return ln, nil
}

func listenTCP(address string, _ Access) (net.Listener, error) { return net.Listen("tcp", address) }

func listenUnix(path string, a Access) (net.Listener, error) {
	gid, err := groupID(a.Group)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	if err := os.Mkdir(dir, 0o755); err == nil {
		err = os.Chmod(dir, 0o755) // whatever the umask: the MTA must get through
		if err != nil {
			return nil, err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	defer lock(dir)()
	if err := vacate(path); err != nil {
		return nil, err
	}
	ln, err := bind(path, func() error { return give(path, a, gid) })
	if err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		ln.Close()
		return nil, err
	}
	return &unixListener{Listener: ln, path: path, info: info}, nil
}

// lock keeps two processes of this program from finding the same dead socket: the later one would remove what the
// earlier one made. Whoever may read the directory can hold it, so it is waited for a second, and then done without.
func lock(dir string) (unlock func()) {
	f, err := os.Open(dir)
	if err != nil {
		return func() {}
	}
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != syscall.EWOULDBLOCK {
			break
		}
	}
	return func() { f.Close() }
}

// vacate removes the socket that a dead process left behind. It refuses when what is there is no socket, or may be a
// living one: one whose queue is full answers EAGAIN, one of another type EPROTOTYPE. Only a refusal is a dead one's.
func vacate(path string) error {
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
	switch {
	case err == nil:
		conn.Close()
		return fmt.Errorf("another process answers there; stop it, or choose another path (who: fuser %s)", path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return fmt.Errorf("another process may have that socket; stop it, or choose another path (who: fuser %s): %w",
		path, errors.Unwrap(err))
}

// backlog is how many connections may wait to be accepted; the kernel has a bound of its own, net.core.somaxconn.
const backlog = 4096

// bind makes a socket under its own name. Nobody can connect before listen(2), and by then it was prepared.
func bind(path string, prepare func() error) (_ net.Listener, err error) {
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close() // the listener has a copy
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	defer func() {
		if err != nil {
			os.Remove(path)
		}
	}()
	if err := prepare(); err != nil {
		return nil, err
	}
	if err := syscall.Listen(fd, backlog); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	return net.FileListener(f)
}

// give sets who may connect.
func give(path string, a Access, gid int) error {
	if gid >= 0 {
		if err := os.Chown(path, -1, gid); err != nil {
			return fmt.Errorf("%w (only root, or a member of the group, can give the socket to group %s)", err, a.Group)
		}
	}
	mode := a.Mode
	if mode == 0 {
		mode = 0o660
	}
	return os.Chmod(path, mode)
}

// groupID gives the number of a group, and -1 for none.
func groupID(name string) (int, error) {
	if name == "" {
		return -1, nil
	}
	if gid, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(gid), nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("there is no group %q on this host", name)
	}
	return strconv.Atoi(g.Gid)
}

// unixListener removes its socket when it is closed.
type unixListener struct {
	net.Listener
	path string
	info fs.FileInfo
}

func (l *unixListener) Close() error {
	if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.info) {
		os.Remove(l.path)
	}
	return l.Listener.Close()
}

// plainUnix says in plain words what keeps a unix socket from opening.
func plainUnix(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; run as a user who may write there, or choose another path", err)
	case errors.Is(err, syscall.EADDRINUSE):
		return errors.New("another process has just made a socket there")
	}
	return err
}

// plainTCP says the same of a TCP socket.
func plainTCP(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return errors.New("the port is in use; see who has it: ss -ltnp")
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; choose a port from 1024 on, those below are root's (CAP_NET_BIND_SERVICE)", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w; this host does not have that address", err)
	}
	return err
}
