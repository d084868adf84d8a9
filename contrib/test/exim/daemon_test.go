//go:build integration

package exim_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"reputed/contrib/test/exim"
	"reputed/contrib/test/postfix"
	"reputed/policy/dns/dnstest"
)

// The programs under test, built once: the daemon with the race detector, the filter as it is shipped.
var program, filter string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "reputed-bin-")
	if err == nil {
		err = os.Chmod(dir, 0o755) // Exim's user runs the filter
	}
	status := 1
	program, filter = filepath.Join(dir, "reputed"), filepath.Join(dir, "reputed-filter")
	// What works beside the messages goes 3600 times faster than time: an hour is a second.
	if err == nil {
		err = run("go", "build", "-race", "-ldflags", "-X main.haste=3600", "-o", program, "reputed/cmd/reputed")
	}
	if err == nil {
		cmd := exec.Command("go", "build", "-trimpath", "-o", filter, "reputed/cmd/reputed-filter")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		cmd.Stderr = os.Stderr
		err = cmd.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		status = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(status)
}

func run(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

// daemon is `reputed serve` beside an Exim in dir.
type daemon struct {
	t      testing.TB
	dir    string
	config string
	names  *dnstest.Server
	cmd    *exec.Cmd
	log    *safeBuffer
}

// newDaemon writes a configuration. Nobody in the world is asked about names and lists: only this zone is there.
func newDaemon(t testing.TB, dir, zone, extra string) *daemon {
	t.Helper()
	names, err := dnstest.Start(zone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { names.Close() })
	d := &daemon{t: t, dir: dir, names: names, config: filepath.Join(dir, "reputed.toml"), log: &safeBuffer{}}
	text := strings.NewReplacer("DIR", dir, "DNS", names.Addr()).Replace(`hostname = "mta.example.org"
state_dir = "DIR/state"
[milter]
listen = ["unix:DIR/milter.sock"]
[exim]
listen = "unix:DIR/exim.sock"
[dns]
servers = ["DNS"]
[status]
socket = "DIR/status.sock"
`) + extra
	if !strings.Contains(extra, "[policy.dnsbl]") {
		text += "[policy.dnsbl]\nwatch = []\n"
	}
	if err := os.WriteFile(d.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

// edit changes the configuration.
func (d *daemon) edit(old, with string) {
	d.t.Helper()
	text, err := os.ReadFile(d.config)
	if err == nil {
		err = os.WriteFile(d.config, bytes.Replace(text, []byte(old), []byte(with), 1), 0o600)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

var recordLine = regexp.MustCompile(`(?m)^(\S+)\. (?:\d+ )?IN TXT (?:\( )?(".*")(?: \))?$`)

// newKeys makes keys that sign at once, and gives their records by name.
func (d *daemon) newKeys(args ...string) map[string]string {
	d.t.Helper()
	made := d.waitingKeys(args...)
	d.useKeys()
	return made
}

// waitingKeys makes keys that do not sign, for no name server has their records.
func (d *daemon) waitingKeys(args ...string) map[string]string {
	d.t.Helper()
	cmd := exec.Command(program, append([]string{"keys", "new", "--config", d.config}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		d.t.Fatalf("reputed keys new: %v\n%s", err, stderr.String())
	}
	made := map[string]string{}
	for _, m := range recordLine.FindAllStringSubmatch(string(out), -1) {
		made[m[1]] = strings.ReplaceAll(strings.Trim(m[2], `"`), `" "`, "")
	}
	if len(made) == 0 {
		d.t.Fatalf("no records in\n%s", out)
	}
	return made
}

// useKeys makes all keys sign, as those do that were copied here without the state beside them.
func (d *daemon) useKeys() {
	d.t.Helper()
	states, _ := filepath.Glob(filepath.Join(d.dir, "state", "keys", "*", "*.json"))
	if len(states) == 0 {
		d.t.Fatal("no key has a state")
	}
	for _, s := range states {
		if err := os.Remove(s); err != nil {
			d.t.Fatal(err)
		}
	}
}

// start starts the daemon, and waits until it serves.
func (d *daemon) start() {
	d.t.Helper()
	d.cmd = exec.Command(program, "serve", "--config", d.config)
	d.cmd.Stderr = d.log
	const listens = `msg="listening for exim"`
	before := strings.Count(d.log.String(), listens)
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		d.kill()
		if d.t.Failed() {
			d.t.Logf("the end of reputed's log:\n%s", postfix.Tail(d.log.String()))
		}
	})
	exim.Eventually(d.t, "reputed listens", func() bool { return strings.Count(d.log.String(), listens) > before })
}

// stop ends the daemon as systemd does, and wants it to end well.
func (d *daemon) stop() {
	d.t.Helper()
	d.signal(syscall.SIGTERM)
	ended := make(chan error, 1)
	go func() { ended <- d.cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			d.t.Errorf("serve ended with %v", err)
		}
	case <-time.After(exim.Patience):
		d.t.Fatal("serve did not end after SIGTERM")
	}
}

// kill ends a daemon that still runs.
func (d *daemon) kill() {
	if d.cmd.ProcessState == nil {
		d.cmd.Process.Kill()
		d.cmd.Wait()
	}
}

func (d *daemon) signal(s os.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		d.t.Fatal(err)
	}
}

// logLine waits for a line of the log that holds all the words.
func (d *daemon) logLine(words ...string) string {
	d.t.Helper()
	var found string
	exim.Eventually(d.t, fmt.Sprintf("a log line with %q", words), func() bool {
	lines:
		for line := range strings.Lines(d.log.String()) {
			for _, w := range words {
				if !strings.Contains(line, w) {
					continue lines
				}
			}
			found = line
			return true
		}
		return false
	})
	return found
}

// safeBuffer may be written and read at the same time.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
