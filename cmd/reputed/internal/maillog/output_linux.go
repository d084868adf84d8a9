package maillog

import (
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// pollfd is that of poll(2).
type pollfd struct {
	fd              int32
	events, revents int16
}

const pollOut = 0x4 // POLLOUT

// writable tells whether a pipe, socket or terminal is read by somebody, and has room, now or within a time: of a pipe
// that is PIPE_BUF octets, pipe(7), and a terminal that is stopped has none. Where the kernel does not tell, it has.
func writable(fd int, within time.Duration) bool {
	wait := syscall.NsecToTimespec(int64(within))
	for {
		p := pollfd{fd: int32(fd), events: pollOut}
		// poll(2): the kernel leaves in wait what remains of it, so an interrupted call goes on. Not every processor's
		// Linux has poll itself.
		n, _, err := syscall.Syscall6(syscall.SYS_PPOLL,
			uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&wait)), 0, 0, 0)
		if err != syscall.EINTR {
			return err != 0 || n == 1 && p.revents == pollOut
		}
	}
}

// isTerminal tells terminals from all else.
func isTerminal(fd int) bool {
	var its syscall.Termios
	_, _, err := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TCGETS, uintptr(unsafe.Pointer(&its)))
	return err == 0
}

// terminal is the descriptor of one, which does not block.
type terminal int

// openTerminal opens a terminal once more: open(2) has O_NONBLOCK be of what was opened, and not of the terminal. Of
// one that may not be opened, as after su(1), there is nothing but what poll(2) tells.
func openTerminal(fd int) (terminal, bool) {
	if !isTerminal(fd) {
		return 0, false
	}
	const how = syscall.O_WRONLY | syscall.O_NOCTTY | syscall.O_NONBLOCK | syscall.O_CLOEXEC
	own, err := syscall.Open("/proc/self/fd/"+strconv.Itoa(fd), how, 0)
	return terminal(own), err == nil
}

// Write writes what there is room for, which may be nothing.
func (t terminal) Write(p []byte) (int, error) {
	for {
		n, err := syscall.Write(int(t), p)
		switch err {
		case nil:
			return n, nil
		case syscall.EAGAIN:
			return 0, nil
		case syscall.EINTR:
		default:
			return 0, err
		}
	}
}
