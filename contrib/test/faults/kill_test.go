//go:build integration

package faults

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// One Postfix serves both, for it takes seconds to start.
func TestPostfix(t *testing.T) {
	r := newRelay(t)
	t.Run("kills", r.kills)
	t.Run("restarts", r.restarts)
}

// The daemon is killed again and again while mail comes in, also in the midst of messages: what is accepted is signed,
// and arrives once. What is refused for now comes again.
func (r *relay) kills(t *testing.T) {
	r.start()
	f := &traffic{name: "killed", postfix: r.postfix.Addr()}
	done := make(chan struct{})
	kills := 0
	go func() {
		defer close(done)
		for kills < 3 || f.accepted.Load() < killMessages && !t.Failed() {
			time.Sleep(time.Second)
			r.kill()
			kills++
			time.Sleep(100 * time.Millisecond) // systemd waits for five times as long
			r.spawn()
		}
	}()
	f.flow(t, killMessages, 10, done)
	f.arrived(t, r)
	figure(t, "kill -9 every second, Postfix",
		"%d messages, %d kills, %d tries again: 0 lost, 0 twice, 0 unsigned; %.0f msg/s",
		f.accepted.Load(), kills, f.retried.Load(), float64(f.accepted.Load())/f.lasted.Seconds())
	r.stop()
}

// hold makes the daemon's socket as a unit of systemd does, which holds it while no daemon runs.
func (d *daemon) hold() {
	d.t.Helper()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: d.socket, Net: "unix"})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { ln.Close() })
	group := os.Getgid()
	if g, err := user.LookupGroup("postfix"); err == nil {
		group, _ = strconv.Atoi(g.Gid)
	}
	if err := errors.Join(os.Chown(d.socket, -1, group), os.Chmod(d.socket, 0o660)); err != nil {
		d.t.Fatal(err)
	}
	file, err := ln.File()
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { file.Close() })
	d.sockets = []*os.File{file}
}

// upgrade stops the daemon, and starts another program in its place.
func (d *daemon) upgrade(n int) {
	d.t.Helper()
	d.stop()
	next := filepath.Join(d.dir, fmt.Sprintf("reputed-%d", n))
	if err := os.Link(plain, next); err != nil { // another file system
		d.t.Logf("the same program again: %v", err)
		next = plain
	}
	d.program = next
	d.start()
}

// The daemon is restarted, and replaced by another one, while mail comes: its socket is systemd's. Nobody is refused
// who comes meanwhile.
func TestRestarts(t *testing.T) {
	d := newDaemon(t, t.TempDir(), "", "example.org")
	d.hold()
	d.start()
	l := load{socket: d.socket, clients: 8, fresh: true}
	got := l.during(t.Context(), func() {
		for n := range restarts {
			time.Sleep(300 * time.Millisecond) // mail flows
			d.upgrade(n)
		}
	})
	got.whole(t, "restarted")
	figure(t, "restarts, milter sessions",
		"%d messages, %d restarts: %d tempfailed, %d unsigned, %d unanswered; %.0f msg/s; p99 %v, at most %v", got.sent,
		restarts, got.deferred, got.unsigned, got.broken, got.rate(), got.percentile(99), got.percentile(100))
	d.stop()
}

// The same by Postfix.
func (r *relay) restarts(t *testing.T) {
	r.hold()
	r.start()
	f := &traffic{name: "restarted", postfix: r.postfix.Addr()}
	done := make(chan struct{})
	n := 0
	go func() {
		defer close(done)
		for ; n < restarts && !t.Failed(); n++ {
			time.Sleep(500 * time.Millisecond)
			r.upgrade(n)
		}
	}()
	f.flow(t, 1, 1, done)
	if again := f.retried.Load(); again > 0 {
		t.Errorf("%d messages were refused for now", again)
	}
	f.arrived(t, r)
	figure(t, "restarts, Postfix", "%d messages, %d restarts: %d tempfailed, 0 lost, 0 twice, 0 unsigned; %.0f msg/s",
		f.accepted.Load(), n, f.retried.Load(), float64(f.accepted.Load())/f.lasted.Seconds())
	r.stop()
}
