package main

import (
	"fmt"
	"syscall"
	"unsafe"
)

// interest is what is waited for, at its edge. That there is room to write only when there was none: a unix socket
// would tell of each read at the other end.
const interest = syscall.EPOLLIN | syscall.EPOLLRDHUP | edge

const edge = 1 << 31 // EPOLLET, which package syscall has as a negative number on some machines

// watch says what to wait for on a player's connection.
func (r *replay) watch(p *player, how int, events uint32) error {
	e := syscall.EpollEvent{Events: events, Fd: int32(p.slot)}
	if err := syscall.EpollCtl(r.epoll, how, p.fd, &e); err != nil {
		return fmt.Errorf("message %d: watching: %w", p.n, err)
	}
	return nil
}

// wait gives the events that there are, or that come within so many milliseconds. The scheduler of goroutines is not
// told of it: its looking after the processor that waits cost half as much as all the system calls. It can do without,
// since its signals end the wait.
func (r *replay) wait(ms int) ([]syscall.EpollEvent, error) {
	n, _, err := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(r.epoll),
		uintptr(unsafe.Pointer(unsafe.SliceData(r.events))), uintptr(len(r.events)), uintptr(ms), 0, 0)
	switch err {
	case 0:
		return r.events[:n], nil
	case syscall.EINTR:
		return nil, nil
	}
	return nil, fmt.Errorf("waiting: %w", err)
}
