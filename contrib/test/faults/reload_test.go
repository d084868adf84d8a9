//go:build integration

package faults

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// reloading is a daemon that is told to read its configuration again and again.
type reloading struct {
	*daemon
	good []byte // the configuration
	key  string // a file of a key, and what is in it
	pem  []byte
	bad  int
}

// breakIt makes what the next reload reads wrong, by turns in ways that differ, and gives what the log must say: file and
// line.
func (r *reloading) breakIt() (mend func(), says []string) {
	r.t.Helper()
	r.bad++
	line := bytes.Count(r.good, []byte("\n")) + 1
	config := func(text string, at int) (func(), []string) {
		r.write(r.config, append(bytes.Clone(r.good), text...))
		return func() { r.write(r.config, r.good) }, []string{fmt.Sprintf("%s:%d:", filepath.Base(r.config), at)}
	}
	key := func(text []byte, at int) (func(), []string) {
		r.write(r.key, text)
		return func() { r.write(r.key, r.pem) }, []string{fmt.Sprintf("%s:%d:", r.key, at)}
	}
	switch r.bad % 5 {
	case 0:
		return config("\n[outbound]\nnetworks = [\"no network\"]\n", line+2)
	case 1:
		return key(append([]byte("of example.com\n"), r.pem[:len(r.pem)/2]...), 2)
	case 2:
		return config("rubbish\n", line)
	case 3:
		return key([]byte("rubbish\n"), 1)
	}
	return config("\n[[domain]]\nname = \"example.net\"\nselector = \"s1\"\n", line+3)
}

func (r *reloading) write(name string, text []byte) {
	r.t.Helper()
	next := name + ".next" // as editors do: nobody reads half of it
	if err := os.WriteFile(next, text, 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(next, name); err != nil {
		r.t.Fatal(err)
	}
}

// reload tells the daemon, and waits for what it says.
func (r *reloading) reload(n int, says ...string) {
	r.t.Helper()
	from := r.mark()
	r.signal([]os.Signal{syscall.SIGHUP, syscall.SIGUSR1}[n%2])
	r.says(from, says...)
}

// Reloads while mail flows, every tenth with a configuration or a key that is wrong: each message is signed, and what
// is wrong is named.
func TestReloads(t *testing.T) {
	r := &reloading{daemon: newDaemon(t, t.TempDir(), "", "example.org")}
	r.key = r.newKey("example.com")
	var err error
	if r.good, err = os.ReadFile(r.config); err != nil {
		t.Fatal(err)
	}
	if r.pem, err = os.ReadFile(r.key); err != nil {
		t.Fatal(err)
	}
	r.start()
	before := r.usage()
	l := load{socket: r.socket, keys: r.keys, clients: 4, message: func(n int) mailing {
		return mailing{sender: []string{"ann@example.org", "cy@example.com"}[n%2]}
	}}
	got := l.during(t.Context(), func() {
		for n := 1; n <= reloads && !t.Failed(); n++ {
			if n%10 != 0 {
				r.reload(n, "msg=reloaded")
				continue
			}
			mend, says := r.breakIt()
			r.reload(n, append(says, "reload refused")...)
			mend()
		}
	})
	got.whole(t, "reloaded")
	enough(t, got.rate())
	text := r.since(0)
	good, bad := strings.Count(text, "msg=reloaded"), strings.Count(text, "reload refused")
	if good+bad != reloads || bad != reloads/10 {
		t.Errorf("%d reloads, %d refused, of %d", good, bad, reloads)
	}
	figure(t, "reloads",
		"%d, %d of them refused with file and line: %d of %d messages signed; %.0f msg/s, p99 %v; before %v; after %v",
		reloads, bad, got.signed, got.sent, got.rate(), got.percentile(99), before, r.small("reloaded"))
	r.stop()
}
