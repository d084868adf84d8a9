//go:build integration

package faults

import (
	"bytes"

	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"reputed/contrib/test/exim"
	"reputed/contrib/test/sink"
)

// mainSection is what such a site has in the main section, with a few paths.
const mainSection = `
REPUTED_EXIM_SOCKET == DIR/exim.sock
REPUTED_MILTER_SOCKET == unix:DIR/milter.sock
REPUTED_FILTER == PROGRAM
`

// newExim starts an Exim that is set up by contrib/exim, and prepares the daemon beside it, which the test starts.
func newExim(t *testing.T) (*daemon, *exim.Exim, *sink.Sink) {
	t.Helper()
	exim.Require(t)
	dir, s := exim.NewDir(t), sink.Start(t)
	in := strings.NewReplacer("DIR", dir, "PROGRAM", filter)
	d := newDaemon(t, dir, in.Replace("[milter]\nlisten = [\"unix:DIR/milter.sock\"]\n[exim]\nlisten = \"unix:DIR/exim.sock\"\n"),
		"example.org")
	d.socket = filepath.Join(dir, "milter.sock")
	text := map[string]string{}
	for _, section := range []string{"main", "acl", "transport"} {
		recipe, err := os.ReadFile("../../exim/" + section + ".conf")
		if err != nil {
			t.Fatal(err)
		}
		text[section] = string(recipe) + "\n"
	}
	e := exim.Start(t, dir, exim.Options{
		Sink: s.Addr(), Main: text["main"] + in.Replace(mainSection) + exim.AsksMain, ACL: text["acl"] + exim.AsksACL, Transport: text["transport"],
	})
	return d, e, s
}

// The same with Exim: the daemon is killed every second, and whichever filter is at work each twentieth of one. What a
// filter did not finish goes out later, whole and signed.
func TestExim(t *testing.T) {
	d, e, s := newExim(t)
	d.start()
	f := &traffic{name: "killed", mta: e.Addr(), sink: s, keys: d.keys}
	over, filters := make(chan struct{}), make(chan int)
	go func() { filters <- d.killFilters(t, over) }()
	kills := d.killed(t, f, eximMessages)
	close(over)
	killed := <-filters
	f.arrived(t)
	e.Empty()
	if killed == 0 {
		t.Error("no filter was at work when it was to be killed")
	}
	figure(t, "kill -9 every second, Exim", "%d messages, %d kills, and of %d filters; %d tries again: %s; %.0f msg/s",
		f.accepted.Load(), kills, killed, f.retried.Load(), unharmed(t), f.rate())
	d.stop()
}

// killFilters kills Exim's filters until it is over, and gives how many.
func (d *daemon) killFilters(t *testing.T, over <-chan struct{}) (killed int) {
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		select {
		case <-over:
			tick.Stop()
			return killed
		case <-tick.C:
			for _, pid := range d.filters(t) {
				if syscall.Kill(pid, syscall.SIGKILL) == nil {
					killed++
				}
			}
		}
	}
}

// filters gives the processes that are filters of this daemon's Exim.
func (d *daemon) filters(t *testing.T) (pids []int) {
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Error(err)
	}
	for _, file := range all {
		line, err := os.ReadFile(file)
		if err == nil && bytes.HasPrefix(line, []byte(filter)) && bytes.Contains(line, []byte(d.dir)) {
			pid, _ := strconv.Atoi(strings.Split(file, "/")[2])
			pids = append(pids, pid)
		}
	}
	return pids
}
