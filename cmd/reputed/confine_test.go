//go:build integration && linux

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"reputed/milter/bridge"
	"reputed/milter/wire"
	"reputed/policy/mail"
	"reputed/signer"
	"reputed/signer/keydir"
)

// nobody is a user without rights, in place of the unit's.
const nobody = 65534

// cage is what the unit makes around a program, as far as it can be made without systemd as process 1: its user without
// capabilities, a file system that cannot be written to but for the state, no other people's files, namespaces of its
// own, and the filters of system calls. $1 is the directory with state and program; the rest is the command.
const cage = `set -e
dir=$1; shift
mount -t tmpfs tmpfs /mnt
mkdir /mnt/cage
mount --bind "$dir" /mnt/cage
for hidden in /home /root /tmp /var/tmp; do mount -t tmpfs -o ro tmpfs $hidden; done
mount -o remount,bind,ro /
cd /
exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs \
	/usr/bin/python3 /mnt/cage/confine.py "$@"`

// confined gives the command that runs a program of the directory in the cage.
func confined(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	args = append([]string{"--mount", "--ipc", "--uts", "--propagation", "private", "sh", "-c", cage, "sh", dir}, args...)
	cmd := exec.Command("unshare", args...)
	cmd.Stdin = strings.NewReader(strings.Join(unitCalls(t), "\n"))
	return cmd
}

// unitCalls gives the system calls that the unit allows, by systemd's own word.
func unitCalls(t *testing.T) []string {
	t.Helper()
	allowed := map[string]bool{}
	for _, line := range directives(t, "reputed.service")["SystemCallFilter"] {
		names, takesAway := strings.CutPrefix(line, "~")
		for name := range strings.FieldsSeq(names) {
			for _, call := range callsOf(t, name) {
				allowed[call] = !takesAway
			}
		}
	}
	var calls []string
	for call, ok := range allowed {
		if ok {
			calls = append(calls, call)
		}
	}
	slices.Sort(calls)
	return calls
}

// callsOf gives the calls of a set, and of the sets in it.
func callsOf(t *testing.T, name string) (calls []string) {
	t.Helper()
	if !strings.HasPrefix(name, "@") {
		return []string{name}
	}
	out, err := exec.Command("systemd-analyze", "--no-pager", "syscall-filter", name).Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for line := range strings.Lines(string(out)) {
		if member := strings.TrimSpace(line); line[0] == ' ' && !strings.HasPrefix(member, "#") {
			calls = append(calls, callsOf(t, member)...)
		}
	}
	return calls
}

// cageFor puts the program, a key and a configuration into a directory of nobody's. Env is added to what builds it.
func cageFor(t *testing.T, env ...string) (dir string) {
	t.Helper()
	for _, needed := range []string{"systemd-analyze", "unshare", "setpriv", "/usr/bin/python3"} {
		if _, err := exec.LookPath(needed); err != nil || os.Geteuid() != 0 {
			t.Skipf("it takes root, and %s", needed)
		}
	}
	dir, err := os.MkdirTemp("", "reputed-cage-")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "reputed"), "reputed/cmd/reputed")
	build.Stderr, build.Env = os.Stderr, append(os.Environ(), env...)
	must(build.Run())
	loader, err := os.ReadFile(filepath.Join("testdata", "confine.py"))
	must(err)
	must(os.WriteFile(filepath.Join(dir, "confine.py"), loader, 0o644))
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	state := filepath.Join(dir, "state")
	must(os.Mkdir(state, 0o700))
	_, err = keydir.Store(filepath.Join(state, "keys"), signer.ID{
		Domain: domain(t, "example.org"), Selector: domain(t, "s1"),
	}, private)
	must(err)
	must(os.WriteFile(filepath.Join(dir, "reputed.toml"), []byte(`hostname = "mta.example.org"
state_dir = "/mnt/cage/state"
milter.listen = ["unix:/mnt/cage/state/milter.sock"]
status.socket = "/mnt/cage/state/status.sock"
dns.servers = ["127.0.0.1:1"]
`), 0o644))
	must(filepath.WalkDir(state, func(path string, _ os.DirEntry, _ error) error { return os.Chown(path, nobody, nobody) }))
	must(os.Chmod(dir, 0o755))
	return dir
}

// serve signs under what the unit allows, and reloads, and ends; and nobody else of its user sees into it. So it does in
// both of its builds: with RSA in the hands of libcrypto, and without cgo.
func TestConfined(t *testing.T) {
	for cgo, hands := range map[string]string{"1": `rsa="libcrypto, OpenSSL 3`, "0": "rsa=crypto/rsa"} {
		t.Run("CGO_ENABLED="+cgo, func(t *testing.T) { testConfined(t, cageFor(t, "CGO_ENABLED="+cgo), hands) })
	}
}

// testConfined runs the program of a directory, which must log who makes RSA signatures.
func testConfined(t *testing.T, dir, hands string) {
	cmd := confined(t, dir, "/mnt/cage/reputed", "serve", "--config", "/mnt/cage/reputed.toml")
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop := func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			t.Errorf("it ended with %v", err)
		}
		t.Logf("%s", log.Bytes())
	}
	signAt(t, filepath.Join(dir, "state", "milter.sock"), ended)
	cmd.Process.Signal(syscall.SIGHUP)
	signAt(t, filepath.Join(dir, "state", "milter.sock"), ended)

	for _, file := range []string{"environ", "mem", "maps"} {
		look := exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat",
			fmt.Sprintf("/proc/%d/%s", cmd.Process.Pid, file))
		if out, err := look.CombinedOutput(); err == nil || !strings.Contains(string(out), "Permission denied") {
			t.Errorf("another process of its user reads %s: %v", file, err)
		}
	}
	stop()
	for _, want := range []string{"MDWE True", hands, "msg=stopped"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %s", want)
		}
	}
	for _, bad := range []string{"level=ERROR", "libcrypto fails", "not all is done"} {
		if strings.Contains(log.String(), bad) {
			t.Errorf("the log has %s", bad)
		}
	}
}

// signAt has a message signed, once somebody answers at the socket.
func signAt(t *testing.T, socket string, ended <-chan error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var s *bridge.Session
	for {
		var err error
		if s, err = bridge.Dial(ctx, wire.Endpoint{Network: "unix", Address: socket}, bridge.Options{}); err == nil {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("it ended with %v", err)
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	defer s.Close()
	h := new(mail.Header)
	h.Add([]byte("From"), []byte(" ann@example.org"))
	r, err := s.Play(bridge.Message{
		Client:     wire.Peer{Name: "localhost", Family: wire.FamilyInet, Port: 4000, Addr: netip.MustParseAddr("127.0.0.1")},
		Sender:     "ann@example.org",
		Recipients: []bridge.Recipient{{Path: "b@elsewhere.example"}},
		QueueID:    "X",
		Header:     h,
		Body:       strings.NewReader("x\r\n"),
	})
	if err != nil || r.End.Kind != bridge.Accept || len(r.Changes) != 1 {
		t.Fatalf("%v, %d fields, %v", r.End, len(r.Changes), err)
	}
}

// The cage is one: what it forbids does not go in it. Else the test above shows nothing.
func TestCage(t *testing.T) {
	dir := cageFor(t)
	for what, want := range map[string]string{
		"os.setuid(0)":                             "killed", // not among the calls
		"os.sched_setaffinity(0, {0})":             "killed",
		"open('/usr/x', 'w')":                      "Read-only file system",
		"open('/tmp/x', 'w')":                      "Read-only file system",
		"open('/mnt/cage/reputed', 'a')":           "Permission denied",
		"open('/mnt/cage/state/x', 'w')":           "",
		"mmap.mmap(-1, 4096, prot=7)":              "PermissionError",
		"mmap.mmap(-1, 4096, prot=3)":              "",
		"socket.socket(socket.AF_PACKET)":          "Address family not supported",
		"socket.socket(socket.AF_UNIX)":            "",
		"os.chmod('/mnt/cage/state', 0o4700)":      "Operation not permitted",
		"os.mkdir('/mnt/cage/state/d', 0o2700)":    "Operation not permitted",
		"os.mknod('/mnt/cage/state/s', 0o4700)":    "Operation not permitted",
		"os.open('/mnt/cage/state/s', 65, 0o4700)": "Operation not permitted", // O_CREAT and O_WRONLY
		"os.open('/mnt/cage/state/y', 65, 0o700)":  "",
		"ctypes.CDLL(None).unshare(0) and 1/0":     "ZeroDivisionError", // -1
		"open('/proc/sys/kernel/hostname', 'w')":   "Permission denied",
	} {
		out, err := confined(t, dir, "/usr/bin/python3", "-c", "import ctypes, mmap, os, socket\n"+what).CombinedOutput()
		exit := (*exec.ExitError)(nil)
		status := syscall.WaitStatus(0)
		if errors.As(err, &exit) {
			status = exit.Sys().(syscall.WaitStatus)
		}
		ok := strings.Contains(string(out), want) && (err == nil) == (want == "")
		if want == "killed" {
			ok = status.Signaled() && status.Signal() == syscall.SIGSYS
		}
		if !ok {
			t.Errorf("%s: %v, want %q\n%s", what, err, want, out)
		}
	}
}
