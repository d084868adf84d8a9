package maillog

import (
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

// writable tells whether a pipe or socket is read by somebody, and has room, now or within a time: of a pipe that is
// PIPE_BUF octets, pipe(7). Where the kernel does not tell, it has.
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
