package main

import (
	"bufio"
	"crypto/ed25519"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"reputed/milter/bridge"
	"reputed/milter/wire"
	"reputed/policy/mail"
	"reputed/signer/keydir"
)

// stalled is serve with a log that is a pipe.
type stalled struct {
	t    *testing.T
	dir  string
	cmd  *exec.Cmd
	log  *os.File
	mail *bridge.Session
}

func newStalled(t *testing.T) *stalled {
	t.Helper()
	s := &stalled{t: t, dir: t.TempDir()}
	config := filepath.Join(s.dir, "reputed.toml")
	text := fmt.Sprintf("hostname = \"mta.example.org\"\nstate_dir = %q\nmilter.listen = [\"unix:%s\"]\n"+
		"status.socket = %q\ndns.servers = [\"127.0.0.1:1\"]\npolicy.dnsbl.watch = []\n",
		s.dir, filepath.Join(s.dir, "milter.sock"), filepath.Join(s.dir, "status.sock"))
	s.must(os.WriteFile(config, []byte(text), 0o600))
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	_, err := keydir.Store(filepath.Join(s.dir, "keys"), testID(t, "s1"), private)
	s.must(err)
	log, stderr, err := os.Pipe()
	s.must(err)
	t.Cleanup(func() { log.Close() })
	s.log, s.cmd = log, exec.Command("reputed", "serve", "--config", config)
	s.cmd.Stderr = stderr
	s.must(s.cmd.Start())
	stderr.Close()
	t.Cleanup(func() { s.cmd.Process.Kill(); s.cmd.Wait() })
	at := wire.Endpoint{Network: "unix", Address: filepath.Join(s.dir, "milter.sock")}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if s.mail, err = bridge.Dial(t.Context(), at, bridge.Options{}); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { s.mail.Close() })
	return s
}

func (s *stalled) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// signs has a message signed. Its line in the log is half a KB.
func (s *stalled) signs(queueID string) {
	s.t.Helper()
	h := new(mail.Header)
	h.Add([]byte("From"), []byte(" ann@example.org"))
	r, err := s.mail.Play(bridge.Message{
		Client:     wire.Peer{Name: "localhost", Family: wire.FamilyInet, Port: 4000, Addr: netip.MustParseAddr("127.0.0.1")},
		Sender:     strings.Repeat("ann", 80) + "@example.org",
		Recipients: []bridge.Recipient{{Path: "b@elsewhere.example", Mailer: "smtp"}},
		QueueID:    queueID,
		Header:     h,
		Body:       strings.NewReader("x\r\n"),
	})
	if err != nil || r.End.Kind != bridge.Accept || len(r.Changes) != 1 {
		s.t.Fatalf("%v, %d fields, %v", r.End, len(r.Changes), err)
	}
}

// lost gives how many lines are lost, by reputed status.
func (s *stalled) lost() int {
	s.t.Helper()
	e, stdout, stderr := testEnv("")
	run(s.t.Context(), e, []string{"status", "--socket", filepath.Join(s.dir, "status.sock")})
	m := regexp.MustCompile(`lines of the log are lost since the start: (\d+)`).FindStringSubmatch(stdout.String())
	if m == nil {
		s.t.Fatalf("reputed status tells of no lost line: %s%s", stdout, stderr)
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// What reads the log, as journald does, stalls, and does not close it: mail is signed all the same, and reputed status
// tells how much of the log is lost. Once it reads again, the log does too.
func TestLogStalled(t *testing.T) {
	s, begin := newStalled(t), time.Now()
	const messages = 500
	for range messages {
		s.signs("X")
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("%d messages took %v", messages, took)
	}
	if lost := s.lost(); lost < messages/2 {
		t.Errorf("of the lines of %d messages, %d are lost", messages, lost)
	}
	lines := make(chan string, 10*messages)
	go func() {
		defer close(lines)
		for from := bufio.NewScanner(s.log); from.Scan(); {
			lines <- from.Text()
		}
	}()
	var told int
	var last string
	for n, again := 0, false; !again; n++ { // until there is room
		if n == messages {
			t.Fatal("it does not go on")
		}
		s.signs("Y")
		for len(lines) > 0 {
			last = <-lines
			told += gap(last)
			again = again || strings.Contains(last, "queue=Y")
			if again && told == 0 {
				t.Fatalf("it goes on without telling of the gap: %s", last)
			}
		}
	}
	lost := s.lost()
	s.cmd.Process.Signal(syscall.SIGTERM)
	for line := range lines {
		last = line
		told += gap(last)
	}
	if told != lost || !strings.Contains(last, "msg=stopped") {
		t.Errorf("%d are lost; the log tells of %d, and ends with %q", lost, told, last)
	}
}

// gap gives how many lines the log says are lost.
func gap(line string) int {
	m := regexp.MustCompile(`level=WARN msg="lines of this log are lost" lost=(\d+) since=20\S+ err="nobody reads it"`).
		FindStringSubmatch(line)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}
