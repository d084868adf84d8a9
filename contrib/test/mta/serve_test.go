//go:build integration

package mta

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"reputed/contrib/test/postfix"
	"reputed/milter/bridge"
	"reputed/milter/wire"
	"reputed/policy/mail"
)

// solo is a daemon without an MTA, in a directory of its own.
func solo(t *testing.T) *daemon {
	t.Helper()
	dir := t.TempDir()
	d := &daemon{
		t: t, config: filepath.Join(dir, "reputed.toml"), socket: filepath.Join(dir, "milter.sock"), log: &safeBuffer{},
	}
	// Nobody in the world is asked.
	text := fmt.Sprintf("state_dir = %q\n[milter]\nlisten = [\"unix:%s\"]\n[dns]\nservers = [\"127.0.0.1:1\"]\n"+
		"[policy.dnsbl]\nwatch = []\n[status]\nsocket = %q\n", dir, d.socket, filepath.Join(dir, "status.sock"))
	if err := os.WriteFile(d.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d.newKeys("example.org")
	return d
}

func (d *daemon) dial() *bridge.Session {
	d.t.Helper()
	s, err := bridge.Dial(d.t.Context(), wire.Endpoint{Network: "unix", Address: d.socket}, bridge.Options{})
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

// loopback is a client on this host.
var loopback = wire.Peer{Name: "localhost", Family: wire.FamilyInet, Port: 4000, Addr: netip.MustParseAddr("127.0.0.1")}

// note is a message of ours.
func note() bridge.Message {
	h := new(mail.Header)
	h.Add([]byte("From"), []byte(" ann@example.org"))
	return bridge.Message{
		Client:     loopback,
		Sender:     "ann@example.org",
		Recipients: []bridge.Recipient{{Path: "friend@elsewhere.example", Mailer: "smtp"}},
		QueueID:    "X",
		Header:     h,
		Body:       strings.NewReader("x\r\n"),
	}
}

// play sends a message of ours, and gives how many fields the filter put on it.
func play(t *testing.T, s *bridge.Session) int {
	t.Helper()
	r, err := s.Play(note())
	if err != nil || r.End.Kind != bridge.Accept {
		t.Fatalf("%v, %v", r.End, err)
	}
	return len(r.Changes)
}

// systemd holds the socket, and hands it over: mail that comes while nobody runs waits in it.
func TestSocketActivation(t *testing.T) {
	d := solo(t)
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: d.socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	file, err := ln.File()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // and again, after a restart
		answered := make(chan int, 1)
		s := make(chan *bridge.Session, 1)
		go func() { // connected before anybody serves
			session, err := bridge.Dial(t.Context(), wire.Endpoint{Network: "unix", Address: d.socket}, bridge.Options{})
			if err != nil {
				t.Error(err)
				answered <- 0
				return
			}
			s <- session
			answered <- play(t, session)
		}()
		d.cmd = exec.Command("sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"`, "sh", binary, "serve", "--config", d.config)
		d.cmd.ExtraFiles = []*os.File{file}
		d.cmd.Stderr = d.log
		if err := d.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.kill)
		if n := <-answered; n != 1 {
			t.Errorf("%d fields", n)
		}
		(<-s).Close()
		d.stop()
	}
	if _, err := os.Stat(d.socket); err != nil {
		t.Errorf("the socket is systemd's, and is gone: %v", err)
	}
}

// systemd is told of readiness, reloads and the end.
func TestNotify(t *testing.T) {
	d := solo(t)
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	next := func(want string) {
		t.Helper()
		buf := make([]byte, 1024)
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := conn.Read(buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), want) {
			t.Fatalf("notified %q, %v; want %q", buf[:n], err, want)
		}
	}
	t.Setenv("NOTIFY_SOCKET", path)
	d.start()
	next("READY=1")
	d.signal(syscall.SIGHUP)
	next("RELOADING=1\nMONOTONIC_USEC=")
	next("READY=1")
	d.signal(syscall.SIGTERM)
	next("STOPPING=1")
	if err := d.cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// SIGTERM answers the message in hand, closes sessions between messages, and ends.
func TestStop(t *testing.T) {
	d := solo(t)
	d.start()
	busy, quiet := d.dial(), d.dial()
	play(t, quiet)
	for _, step := range []func() (bridge.Reply, error){
		func() (bridge.Reply, error) { return busy.Connect(loopback) },
		func() (bridge.Reply, error) { return busy.Mail("<ann@example.org>", nil) },
		func() (bridge.Reply, error) { return busy.Rcpt("<friend@elsewhere.example>") },
		func() (bridge.Reply, error) { return busy.Header(mail.NewField("From", " ann@example.org")) },
	} {
		if r, err := step(); err != nil || r.Final() {
			t.Fatal(r, err)
		}
	}
	d.signal(syscall.SIGTERM)
	d.logLine("stopping")
	// A message that comes at that moment is answered; then the session has ended.
	postfix.Eventually(t, "a session between messages ends", func() bool {
		_, err := quiet.Play(note())
		return err != nil
	})
	if _, err := busy.EndHeader(); err != nil {
		t.Error(err)
	}
	if o, err := busy.End(); err != nil || o.End.Kind != bridge.Accept || len(o.Changes) != 1 {
		t.Errorf("the message in hand: %+v, %v", o, err)
	}
	if err := d.cmd.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(d.socket); !os.IsNotExist(err) {
		t.Errorf("the socket stays behind: %v", err)
	}
}

// A killed daemon's socket is replaced; a living one's is not.
func TestSocketInUse(t *testing.T) {
	d := solo(t)
	d.start()
	out, err := exec.Command(binary, "serve", "--config", d.config).CombinedOutput()
	exit, ok := err.(*exec.ExitError)
	if !ok || exit.ExitCode() != 70 || !strings.Contains(string(out), "another process answers there") {
		t.Errorf("a second daemon: %v\n%s", err, out)
	}
	d.kill()
	d.start()
	s := d.dial()
	defer s.Close()
	if n := play(t, s); n != 1 {
		t.Errorf("%d fields", n)
	}
	d.stop()
}

// What is wrong with keys is said at the start, and other domains are served; a reload that makes it worse is refused,
// for that and not for what was wrong before, and the keys in use stay.
func TestKeyProblems(t *testing.T) {
	d := solo(t)
	keys, err := filepath.Glob(filepath.Join(filepath.Dir(d.config), "keys", "example.org", "*.pem"))
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	d.newKeys("example.net", "--ed25519", "--selector", "bad")
	bad := filepath.Join(filepath.Dir(d.config), "keys", "example.net", "bad.pem")
	if err := os.Chmod(bad, 0o644); err != nil {
		t.Fatal(err)
	}
	d.start()
	d.logLine("key problem", "mode 0644", "chmod 0600 "+bad)
	d.logLine("mail from this domain is deferred", "domain=example.net")
	d.signal(syscall.SIGHUP) // the broken key is no news
	d.logLine("msg=reloaded")
	s := d.dial()
	defer s.Close()
	if n := play(t, s); n != 1 {
		t.Errorf("%d fields", n)
	}
	if err := os.WriteFile(keys[0], []byte("-----BEGIN"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.signal(syscall.SIGHUP)
	if line := d.logLine("reload refused", "no PEM block in it"); strings.Contains(line, "bad.pem") {
		t.Errorf("what was wrong before is a reason: %s", line)
	}
	if n := play(t, s); n != 1 {
		t.Errorf("after a bad reload: %d fields", n)
	}
	// Nothing of a private key is ever written to the log.
	text, err := os.ReadFile(bad)
	if err != nil {
		t.Fatal(err)
	}
	if secret := strings.Split(string(text), "\n")[1]; strings.Contains(d.log.String(), secret[20:]) {
		t.Error("key bytes in the log")
	}
	d.stop()
	postfix.Eventually(t, "the counts are logged", func() bool { return strings.Contains(d.log.String(), "msg=stopped") })
}
