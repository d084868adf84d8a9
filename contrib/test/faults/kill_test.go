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
	f := r.traffic("killed")
	kills := r.killed(t, f, killMessages)
	f.arrived(t)
	figure(t, "kill -9 every second, Postfix", "%d messages, %d kills, %d tries again: %s; %.0f msg/s",
		f.accepted.Load(), kills, f.retried.Load(), unharmed(t), f.rate())
	r.stop()
}

// killed sends at least so many messages while the daemon is killed every second.
func (d *daemon) killed(t *testing.T, f *traffic, messages int64) (kills int) {
	f.pause = killPause
	done := make(chan struct{})
	go func() {
		defer close(done)
		for (kills < leastKills || f.accepted.Load() < messages) && !t.Failed() {
			time.Sleep(900 * time.Millisecond)
			d.kill()
			kills++
			time.Sleep(100 * time.Millisecond) // systemd waits for five times as long
			d.spawn()
		}
	}()
	f.flow(t, messages, 10, done)
	return kills
}

// unharmed is what a figure says of mail when the test has found nothing wrong with it.
func unharmed(t *testing.T) string {
	if t.Failed() {
		return "NOT all arrived once and signed"
	}
	return "0 lost, 0 twice, 0 unsigned"
}

// least is how many messages there are to be in a second, in the long form.
const least = 100

// enough wants it to have been so many.
func enough(t *testing.T, rate float64) {
	t.Helper()
	if long && rate < least {
		t.Errorf("only %.0f messages in a second", rate)
	}
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
	l := load{socket: d.socket, keys: d.keys, clients: 8, fresh: true}
	stay := load{socket: d.socket, keys: d.keys, clients: 4, pause: 20 * time.Millisecond}
	var stayed tally
	got := l.during(t.Context(), func() {
		stayed = stay.during(t.Context(), func() {
			for n := range restarts {
				time.Sleep(300 * time.Millisecond) // mail flows
				d.upgrade(n)
			}
		})
	})
	got.whole(t, "restarted")
	enough(t, got.rate())
	figure(t, "restarts, milter sessions",
		"%d messages, %d restarts: %d tempfailed, %d unsigned, %d unanswered; %.0f msg/s; p99 %v, at most %v", got.sent,
		restarts, got.deferred, got.unsigned, got.broken, got.rate(), got.percentile(99), got.percentile(100))
	stayed.outlasted(t, stay.clients*restarts)
	d.stop()
}

// outlasted is of sessions with one message after the other, which are cut off at a restart: an MTA has its way then
// with the message that comes next, as it has been told, and connects anew for the one after it. No other message is
// touched, and none leaves unsigned by an answer of ours.
func (a *tally) outlasted(t *testing.T, most int) {
	t.Helper()
	lost := a.broken + a.deferred
	if a.signed == 0 || a.signed+lost != a.sent || lost > a.cut || a.cut > most {
		t.Errorf("%d sessions are cut, %d at most: of %d messages %d signed, %d unsigned, %d deferred, %d refused, "+
			"%d without answer: %q", a.cut, most, a.sent, a.signed, a.unsigned, a.deferred, a.refused, a.broken, a.what)
	}
	a.verified(t, "in sessions over a restart")
	figure(t, "restarts, sessions open over them", "%d messages: %d sessions cut, which cost %d messages without an answer "+
		"and %d tempfailed; %d unsigned", a.sent, a.cut, a.broken, a.deferred, a.unsigned)
}

// The same by Postfix.
func (r *relay) restarts(t *testing.T) {
	r.hold()
	r.start()
	f := r.traffic("restarted")
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
	f.arrived(t)
	enough(t, f.rate())
	figure(t, "restarts, Postfix", "%d messages, %d restarts: %d tempfailed, %s; %.0f msg/s", f.accepted.Load(), n,
		f.retried.Load(), unharmed(t), f.rate())
	r.stop()
}
