//go:build integration

package mta

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

	"reputed/contrib/test/postfix"
	"reputed/contrib/test/sink"
	"reputed/contrib/test/verifiers"
	"reputed/policy/dns/dnstest"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	os.Setenv("GORACE", "atexit_sleep_ms=0") // else each run of the program waits for a second when it is done
	dir, err := os.MkdirTemp("", "reputed-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "reputed")
	// What works beside the messages goes 3600 times faster than time: an hour is a second.
	build := exec.Command("go", "build", "-race", "-ldflags", "-X main.haste=3600", "-o", binary, "reputed/cmd/reputed")
	build.Stderr = os.Stderr
	status := 1
	if build.Run() == nil {
		status = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(status)
}

// daemon is `reputed serve` beside a Postfix in dir.
type daemon struct {
	t      testing.TB
	config string
	socket string
	cmd    *exec.Cmd
	log    *safeBuffer
}

// newDaemon writes a configuration for a Postfix in dir. Where extra does not say whom to ask about names and lists,
// nobody in the world is: the DNS knows of nothing, and no list is watched.
func newDaemon(t testing.TB, dir, extra string) *daemon {
	t.Helper()
	d := &daemon{
		t:      t,
		config: filepath.Join(dir, "reputed.toml"),
		socket: filepath.Join(postfix.Spool(dir), "reputed", "milter.sock"),
		log:    &safeBuffer{},
	}
	if err := os.MkdirAll(postfix.Spool(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`hostname = "mta.example.org"
state_dir = %q
[milter]
listen = ["unix:%s"]
socket_group = "postfix"
%s`, filepath.Join(dir, "state"), d.socket, extra)
	if !strings.Contains(extra, "[dns]") {
		empty, err := dnstest.Start("")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { empty.Close() })
		text += fmt.Sprintf("[dns]\nservers = [%q]\n", empty.Addr())
	}
	if !strings.Contains(extra, "[status]") {
		text += fmt.Sprintf("[status]\nsocket = %q\n", filepath.Join(dir, "status.sock"))
	}
	if !strings.Contains(extra, "[policy.dnsbl]") {
		text += "[policy.dnsbl]\nwatch = []\n"
	}
	if err := os.WriteFile(d.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

// run runs a verb on the daemon's configuration.
func (d *daemon) run(args ...string) string {
	d.t.Helper()
	cmd := exec.Command(binary, append(args, "--config", d.config)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		d.t.Fatalf("reputed %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}

// newKeys makes keys that sign at once, as those do that were copied here without the state beside them: no name server
// of these tests has their records. It gives the records, by name.
func (d *daemon) newKeys(args ...string) map[string]string {
	d.t.Helper()
	made := records(d.run(append([]string{"keys", "new"}, args...)...))
	var states []string
	for _, state := range []string{"state", "."} {
		found, _ := filepath.Glob(filepath.Join(filepath.Dir(d.config), state, "keys", "*", "*.json"))
		states = append(states, found...)
	}
	if len(made) == 0 || len(states) < len(made) {
		d.t.Fatalf("%d keys, the state of %d", len(made), len(states))
	}
	for _, s := range states {
		if err := os.Remove(s); err != nil {
			d.t.Fatal(err)
		}
	}
	return made
}

var recordLine = regexp.MustCompile(`(?m)^(\S+)\. (?:\d+ )?IN TXT (?:\( )?(".*")(?: \))?$`)

// records gives the records in the output of `keys new`, by name.
func records(zone string) map[string]string {
	all := map[string]string{}
	for _, m := range recordLine.FindAllStringSubmatch(zone, -1) {
		all[m[1]] = strings.ReplaceAll(strings.Trim(m[2], `"`), `" "`, "")
	}
	return all
}

// start starts the daemon, and waits until it serves.
func (d *daemon) start() {
	d.t.Helper()
	d.cmd = exec.Command(binary, "serve", "--config", d.config)
	d.cmd.Stderr = d.log
	before := strings.Count(d.log.String(), "msg=listening")
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		d.kill()
		if d.t.Failed() {
			d.t.Logf("the end of reputed's log:\n%s", postfix.Tail(d.log.String()))
		}
	})
	postfix.Eventually(d.t, "reputed listens", func() bool {
		return strings.Count(d.log.String(), "msg=listening") > before
	})
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
	case <-time.After(35 * time.Second):
		d.t.Fatal("serve did not end within 35 s of SIGTERM")
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

// logLine waits for the log line of a message that holds all the words.
func (d *daemon) logLine(words ...string) string {
	d.t.Helper()
	var found string
	postfix.Eventually(d.t, fmt.Sprintf("a log line with %q", words), func() bool {
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

// signers tells which domains signed a message, by each verifier, and that all their signatures pass.
func signers(t testing.TB, m *sink.Message, keys map[string]string) string {
	t.Helper()
	var domains string
	for i, v := range verifiers.All(t) {
		results, err := v.Verify([][]byte{m.Data}, keys)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		var passed []string
		for _, r := range results[0] {
			if !r.Pass {
				t.Errorf("%s: the signature of %s in %q does not verify: %s", v.Name, r.Domain, m.Subject(), r.Reason)
			}
			passed = append(passed, r.Domain)
		}
		if got := strings.Join(passed, " "); i == 0 {
			domains = got
		} else if got != domains {
			t.Errorf("%s finds signatures of %q, others of %q", v.Name, got, domains)
		}
	}
	return domains
}

// expect wants a reply of the SMTP server to begin so.
func expect(t testing.TB, want, reply string) {
	t.Helper()
	if !strings.HasPrefix(reply, want) {
		t.Fatalf("reply %q, want %s…", reply, want)
	}
}

// message gives a message of that From and subject.
func message(from, subject string, fields ...string) []byte {
	fields = append(fields, "From: "+from, "To: friend@elsewhere.example", "Subject: "+subject)
	return []byte(strings.Join(fields, "\r\n") + "\r\n\r\nsome text  \r\n.\r\n\r\n")
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
