package main

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"syscall"
	"time"

	"reputed/milter/wire"
)

// loaded is what became of a load.
type loaded struct {
	took      time.Duration
	latencies []time.Duration // sorted
	samples   []sample        // of the last messages
}

// sample is what a message was signed with.
type sample struct {
	n      int    // of the message
	fields []byte // the signatures, as header fields
}

// samples is how many signatures of a run are verified, unless there are fewer messages.
const samples = 4

// replay plays a load by its scripts: one goroutine, which waits for all connections at once. One for each would be
// simpler, and its waking and sleeping would cost more than the system calls that it makes.
type replay struct {
	*load
	to      syscall.Sockaddr
	family  int
	epoll   int
	events  []syscall.EpollEvent
	players []player
	begun   int       // messages
	waiting []*player // for the server to take connections: its queue of them is full
	in      []byte
	out     loaded
}

// run plays all messages, after [load.record]. Whatever is not answered as it was then, and not signed, is an error.
func (l *load) run(ctx context.Context) (loaded, error) {
	r, err := newReplay(l)
	if err != nil {
		return loaded{}, err
	}
	defer r.close()
	if !l.eager && len(r.players) > 1 {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := urgent(false); err != nil {
			return loaded{}, err
		}
		defer urgent(true)
	}
	begin := time.Now()
	err = r.all(ctx)
	r.out.took = time.Since(begin)
	slices.Sort(r.out.latencies)
	return r.out, err
}

func newReplay(l *load) (*replay, error) {
	at := min(l.at, l.messages)
	r := &replay{
		load: l, players: make([]player, at), events: make([]syscall.EpollEvent, at), in: make([]byte, 64<<10),
	}
	r.out.latencies = make([]time.Duration, 0, l.messages)
	for i := range r.players {
		r.players[i].slot, r.players[i].fd = i, -1
	}
	var err error
	if r.to, r.family, err = sockaddr(l.socket); err != nil {
		return nil, err
	}
	r.epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	return r, err
}

func sockaddr(at wire.Endpoint) (to syscall.Sockaddr, family int, err error) {
	if at.Network == "unix" {
		return &syscall.SockaddrUnix{Name: at.Address}, syscall.AF_UNIX, nil
	}
	a, err := netip.ParseAddrPort(at.Address)
	if err != nil || !a.Addr().Is4() {
		return nil, 0, fmt.Errorf("%w: %s: not an IPv4 address with its port", wire.ErrEndpoint, at)
	}
	return &syscall.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}, syscall.AF_INET, nil
}

func (r *replay) close() {
	for i := range r.players {
		if p := &r.players[i]; p.fd >= 0 {
			syscall.Close(p.fd)
		}
	}
	syscall.Close(r.epoll)
}

// How long to wait for anything to happen, in milliseconds: until it is looked whether all is to end, or whether a
// server with a full queue takes connections again.
const (
	idle  = 100
	retry = 1
)

// all begins as many messages as may be at a time, and goes on with each when its connection is ready.
func (r *replay) all(ctx context.Context) error {
	for i := range r.players {
		if err := r.begin(&r.players[i]); err != nil {
			return err
		}
	}
	for len(r.out.latencies) < r.messages {
		ms := idle
		if len(r.waiting) > 0 {
			ms = retry
		}
		events, err := r.wait(ms)
		for i := 0; err == nil && i < len(events); i++ {
			err = r.ready(events[i])
		}
		if err == nil {
			err = r.retry()
		}
		if err == nil && len(events) == 0 {
			err = r.overdue()
		}
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ready goes on with the message of which something happened.
func (r *replay) ready(e syscall.EpollEvent) error {
	p := &r.players[e.Fd]
	if e.Events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0 {
		p.gone = true
	}
	if e.Events&syscall.EPOLLIN != 0 || p.gone {
		p.readable = true
	}
	return r.goOn(p)
}

// begin begins the next message, if there is one.
func (r *replay) begin(p *player) (err error) {
	if r.begun == r.messages {
		return nil
	}
	r.begun++
	p.next(r.begun, r.scripts[r.begun%len(r.scripts)])
	p.wanted = r.messages-r.begun < samples
	p.fd, err = syscall.Socket(r.family, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err == nil && r.family == syscall.AF_INET {
		err = syscall.SetsockoptInt(p.fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	}
	if err != nil {
		return fmt.Errorf("message %d: %w", p.n, err)
	}
	return r.connect(p)
}

// connect connects. Over TCP that may take a while, in which nothing can be written.
func (r *replay) connect(p *player) error {
	switch err := syscall.Connect(p.fd, r.to); err {
	case nil, syscall.EINPROGRESS:
	case syscall.EAGAIN:
		r.waiting = append(r.waiting, p)
		return nil
	default:
		return fmt.Errorf("message %d: %s: %w", p.n, r.socket, err)
	}
	if err := r.watch(p, syscall.EPOLL_CTL_ADD, interest); err != nil {
		return err
	}
	return r.goOn(p)
}

// retry connects those that wait, as far as the server takes them.
func (r *replay) retry() error {
	waiting := r.waiting
	r.waiting = nil
	for i, p := range waiting {
		if len(r.waiting) > 0 { // it takes no more
			r.waiting = append(r.waiting, waiting[i:]...)
			break
		}
		if err := r.connect(p); err != nil {
			return err
		}
	}
	return nil
}

// goOn goes on with a message, and begins the next one when it is done.
func (r *replay) goOn(p *player) error {
	done, err := p.play(r.in)
	if err != nil {
		return fmt.Errorf("message %d: milter %s: %w", p.n, r.socket, err)
	}
	if p.full && !p.watched {
		p.watched = true
		return r.watch(p, syscall.EPOLL_CTL_MOD, interest|syscall.EPOLLOUT)
	}
	if !done {
		return nil
	}
	syscall.Close(p.fd)
	p.fd = -1
	r.out.latencies = append(r.out.latencies, time.Since(p.begun))
	if p.wanted {
		r.out.samples = append(r.out.samples, sample{p.n, p.header})
	}
	return r.begin(p)
}

// overdue looks for a message that takes too long. It is asked when nothing happens, which is so when one hangs, before
// long.
func (r *replay) overdue() error {
	for i := range r.players {
		if p := &r.players[i]; p.fd >= 0 && time.Since(p.begun) > r.limit() {
			return fmt.Errorf("message %d: milter %s: no answer: %w", p.n, r.socket, context.DeadlineExceeded)
		}
	}
	return nil
}
