package main

import (
	"bufio"
	"crypto/ed25519"
	"errors"
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
	log, stderr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	defer stderr.Close()
	s := newStalledAt(t, stderr)
	s.log = log
	return s
}

// newStalledAt starts one with its output and its log at one stream.
func newStalledAt(t *testing.T, stream *os.File) *stalled {
	t.Helper()
	s := &stalled{t: t, dir: t.TempDir()}
	text := fmt.Sprintf("hostname = \"mta.example.org\"\nstate_dir = %q\nmilter.listen = [\"unix:%s\"]\n"+
		"status.socket = %q\ndns.servers = [\"127.0.0.1:1\"]\npolicy.dnsbl.watch = []\n",
		s.dir, filepath.Join(s.dir, "milter.sock"), filepath.Join(s.dir, "status.sock"))
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	_, err := keydir.Store(filepath.Join(s.dir, "keys"), testID(t, "s1"), private)
	s.must(err)
	s.start(text, stream)
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

func (s *stalled) start(config string, stream *os.File) {
	s.t.Helper()
	file := filepath.Join(s.dir, "reputed.toml")
	s.must(os.WriteFile(file, []byte(config), 0o600))
	s.cmd = exec.Command("reputed", "serve", "--config", file)
	s.cmd.Stdout, s.cmd.Stderr = stream, stream
	s.must(s.cmd.Start())
	s.t.Cleanup(func() { s.cmd.Process.Kill(); s.cmd.Wait() })
}

func (s *stalled) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// filled gives an end of a pipe that nobody reads, and that has no room.
func filled(t *testing.T) *os.File {
	t.Helper()
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { from.Close(); to.Close() })
	to.SetWriteDeadline(time.Now().Add(time.Second / 10))
	for page := make([]byte, 4096); err == nil; {
		_, err = to.Write(page)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return to
}

// Output and log are one pipe that is full from the start on, as where runit's or s6's logger hangs: mail is signed, and
// it ends when it is told to.
func TestAllStalled(t *testing.T) {
	s := newStalledAt(t, filled(t))
	s.signs("X")
	s.must(s.cmd.Process.Signal(syscall.SIGTERM))
	if code := s.exit(); code != exitOK {
		t.Errorf("exit %d", code)
	}
}

// Nor does the line that says why it ends keep it from ending: it is to be started again.
func TestFailureStalled(t *testing.T) {
	nowhere := "/dev/null/milter.sock"
	for text, want := range map[string]int{
		"hostname = 1\n": exitConfig,
		fmt.Sprintf("milter.listen = [\"unix:%s\"]\nstatus.socket = \"\"\n", nowhere): exitFault,
	} {
		s := &stalled{t: t, dir: t.TempDir()}
		s.start(fmt.Sprintf("state_dir = %q\n", s.dir)+text, filled(t))
		if code := s.exit(); code != want {
			t.Errorf("exit %d, want %d: %s", code, want, text)
		}
	}
}

// exit waits for its end, and gives its status.
func (s *stalled) exit() int {
	s.t.Helper()
	kill := time.AfterFunc(20*time.Second, func() { s.cmd.Process.Kill() })
	defer kill.Stop()
	s.cmd.Wait()
	return s.cmd.ProcessState.ExitCode()
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
