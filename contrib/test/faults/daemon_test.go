//go:build integration

package faults

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"reputed/contrib/test/postfix"
	"reputed/policy/dns/dnstest"
)

// daemon is `reputed serve`, in a directory of its own.
type daemon struct {
	t       testing.TB
	dir     string
	config  string
	socket  string
	log     string // a file
	program string
	wrap    []string   // a command that runs it, such as prlimit(1), in the same process
	sockets []*os.File // handed over, as systemd does
	keys    map[string]string
	rsa     string // who makes RSA signatures, as the log says it
	cmd     *exec.Cmd
	ended   chan struct{}
	status  error // of what ended
}

// newDaemon writes a configuration, and makes keys for domains. Where extra does not say whom to ask about names, the
// DNS knows of nothing; where it does not say which, no list is watched.
func newDaemon(t testing.TB, dir, extra string, domains ...string) *daemon {
	t.Helper()
	d := &daemon{
		t: t, dir: dir, program: plain, config: filepath.Join(dir, "reputed.toml"), log: filepath.Join(dir, "reputed.log"),
		socket: filepath.Join(postfix.Spool(dir), "reputed", "milter.sock"), keys: map[string]string{},
		rsa: `rsa="libcrypto, OpenSSL 3`,
	}
	if err := os.MkdirAll(filepath.Dir(d.socket), 0o755); err != nil {
		t.Fatal(err)
	}
	d.configure(extra)
	for _, domain := range domains {
		d.newKey(domain)
	}
	return d
}

// configure writes the configuration.
func (d *daemon) configure(extra string) {
	d.t.Helper()
	text := fmt.Sprintf("hostname = \"mta.example.org\"\nstate_dir = %q\n", filepath.Join(d.dir, "state"))
	for section, lines := range map[string]string{
		"[milter]":       fmt.Sprintf("listen = [\"unix:%s\"]\n", d.socket),
		"[status]":       fmt.Sprintf("socket = %q\n", filepath.Join(d.dir, "status.sock")),
		"[signing]":      fmt.Sprintf("keys = %q\n", filepath.Join(d.dir, "keys")),
		"[policy.dnsbl]": "watch = []\n",
	} {
		if !strings.Contains(extra, section) {
			text += section + "\n" + lines
		}
	}
	if !strings.Contains(extra, "[dns]") {
		text += fmt.Sprintf("[dns]\nservers = [%q]\n", nameServer(d.t, "").Addr())
	}
	if err := os.WriteFile(d.config, []byte(text+extra), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// nameServer serves a zone until the test ends.
func nameServer(t testing.TB, zone string) *dnstest.Server {
	t.Helper()
	s, err := dnstest.Start(zone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// run runs a verb on the daemon's configuration.
func (d *daemon) run(args ...string) string {
	d.t.Helper()
	cmd := exec.Command(plain, append(args, "--config", d.config)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		d.t.Fatalf("reputed %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}

var recordLine = regexp.MustCompile(`(?m)^(\S+)\. (?:\d+ )?IN TXT (?:\( )?(".*")(?: \))?$`)

// newKey makes a key that signs at once, as one does that was copied here without the state beside it: no name server
// of these tests has its record. It gives the file.
func (d *daemon) newKey(domain string) string {
	d.t.Helper()
	for _, m := range recordLine.FindAllStringSubmatch(d.run("keys", "new", domain), -1) {
		d.keys[m[1]] = strings.ReplaceAll(strings.Trim(m[2], `"`), `" "`, "")
	}
	states, _ := filepath.Glob(filepath.Join(d.dir, "keys", domain, "*.json"))
	files, _ := filepath.Glob(filepath.Join(d.dir, "keys", domain, "*.pem"))
	if len(states) != 1 || len(files) != 1 {
		d.t.Fatalf("keys of %s: %q, %q", domain, states, files)
	}
	if err := os.Remove(states[0]); err != nil {
		d.t.Fatal(err)
	}
	return files[0]
}

// start starts the daemon, and waits until it serves. It is to sign as it does where it is installed: README builds it
// with cgo.
func (d *daemon) start() {
	d.t.Helper()
	from := d.mark()
	d.spawn()
	postfix.Eventually(d.t, "reputed listens", func() bool {
		d.alive()
		return lineWith(d.since(from), "msg=listening") != ""
	})
	if line := lineWith(d.since(from), "msg=serving"); !strings.Contains(line, d.rsa) {
		d.t.Fatalf("not %s, so another program is under test; is cgo on?\n%s", d.rsa, line)
	}
}

// What start says of who signs can be otherwise.
func TestWhoSigns(t *testing.T) {
	dir := t.TempDir()
	d := newDaemon(t, dir, fmt.Sprintf("[signing]\nkeys = %q\nrsa = \"go\"\n", filepath.Join(dir, "keys")), "example.org")
	d.rsa = "rsa=crypto/rsa "
	d.start()
	d.stop()
}

// spawn starts the daemon.
func (d *daemon) spawn() {
	d.t.Helper()
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	args := append(append([]string{}, d.wrap...), d.program, "serve", "--config", d.config)
	if len(d.sockets) > 0 { // sd_listen_fds(3)
		script := fmt.Sprintf(`LISTEN_PID=$$ LISTEN_FDS=%d exec "$@"`, len(d.sockets))
		args = append([]string{"sh", "-c", script, "sh"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr, cmd.ExtraFiles = log, d.sockets
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	first, ended := d.cmd == nil, make(chan struct{})
	d.cmd, d.ended = cmd, ended
	go func() {
		d.status = cmd.Wait()
		close(ended)
	}()
	if first {
		d.t.Cleanup(d.cleanUp)
	}
}

func (d *daemon) cleanUp() {
	d.kill()
	if d.t.Failed() {
		var b strings.Builder
		for line := range strings.Lines(d.since(0)) {
			if !strings.Contains(line, "msg=message ") {
				b.WriteString(line)
			}
		}
		d.t.Logf("the end of reputed's log, but for messages:\n%s", postfix.Tail(b.String()))
	}
}

// kill ends the daemon as kill -9 does.
func (d *daemon) kill() {
	d.cmd.Process.Kill()
	<-d.ended
}

// stop ends the daemon as systemd does, and wants it to end well.
func (d *daemon) stop() {
	d.t.Helper()
	d.signal(syscall.SIGTERM)
	select {
	case <-d.ended:
		if d.status != nil {
			d.t.Errorf("serve ended with %v", d.status)
		}
	case <-time.After(40 * time.Second):
		d.t.Fatal("serve did not end within 40 s of SIGTERM")
	}
}

func (d *daemon) signal(s os.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		d.t.Fatal(err)
	}
}

// alive wants the daemon to be the process that was started.
func (d *daemon) alive() {
	d.t.Helper()
	select {
	case <-d.ended:
		d.t.Fatalf("the daemon has ended: %v", d.status)
	default:
	}
}

// mark gives how long the log is.
func (d *daemon) mark() int64 {
	info, err := os.Stat(d.log)
	if err != nil {
		return 0
	}
	return info.Size()
}

// since gives the log from a mark on.
func (d *daemon) since(mark int64) string {
	f, err := os.Open(d.log)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, _ := io.ReadAll(io.NewSectionReader(f, mark, math.MaxInt64-mark))
	return string(text)
}

// says waits for a log line after the mark that holds all the words, and gives it.
func (d *daemon) says(mark int64, words ...string) (found string) {
	d.t.Helper()
	postfix.Eventually(d.t, fmt.Sprintf("a log line with %q", words), func() bool {
		found = lineWith(d.since(mark), words...)
		return found != ""
	})
	return found
}

// lineWith finds a line that holds all the words, "" if there is none.
func lineWith(text string, words ...string) string {
lines:
	for line := range strings.Lines(text) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue lines
			}
		}
		return line
	}
	return ""
}

// usage is what a process holds.
type usage struct {
	rss   int // KiB now
	peak  int // KiB at most so far
	files int // descriptors
}

func (u usage) String() string {
	return fmt.Sprintf("RSS %.1f MiB (peak %.1f), %d descriptors", float64(u.rss)/1024, float64(u.peak)/1024, u.files)
}

// usage looks at /proc.
func (d *daemon) usage() (u usage) {
	d.t.Helper()
	u, err := usageOf(d.cmd.Process.Pid)
	if err != nil {
		d.t.Fatal(err)
	}
	return u
}

func usageOf(pid int) (u usage, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		n, _ := strconv.Atoi(words[1])
		switch words[0] {
		case "VmRSS:":
			u.rss = n
		case "VmHWM:":
			u.peak = n
		}
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	u.files = len(files)
	return u, errors.Join(err)
}

// maxRSS is how much memory the daemon may hold, whatever it is sent.
const maxRSS = 64 << 10 // KiB

// small wants the daemon to have stayed so. The race detector needs several times as much.
func (d *daemon) small(what string) usage {
	d.t.Helper()
	u := d.usage()
	if u.peak > maxRSS && d.program != raced {
		d.t.Errorf("%s: %v", what, u)
	}
	return u
}
