//go:build integration

package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"reputed/contrib/test/nameserver"
	"reputed/contrib/test/postfix"
)

// mounts runs the daemon in a mount namespace of its own, after commands that mount something in it. It wants root.
func (d *daemon) mounts(commands string) {
	d.t.Helper()
	postfix.Require(d.t) // root
	d.wrap = []string{"unshare", "--mount", "--propagation", "private", "sh", "-ec", commands + "\nexec \"$@\"", "sh"}
}

// inside gives the path by which a file that the daemon sees is reached from here.
func (d *daemon) inside(path string) string {
	return fmt.Sprintf("/proc/%d/root%s", d.cmd.Process.Pid, path)
}

// stateful is a daemon that has something to keep: what it knows of lists, keys, and held mail.
func stateful(t *testing.T) *daemon {
	t.Helper()
	server := nameServer(t, pass+"*.bl.invalid. A 127.0.0.2\n")
	d := newDaemon(t, t.TempDir(), fmt.Sprintf(strict, server.Addr())+`
[policy.dnsbl]
watch = ["local"]
[[policy.dnsbl.list]]
id = "local"
zone = "bl.invalid"
codes = { "127.0.0.2" = { meaning = "spam source", severity = "block" } }
`, "example.org")
	d.program = hasty
	if err := os.MkdirAll(filepath.Join(d.dir, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	return d
}

// unknown is mail from domains that nobody has asked about yet.
func (d *daemon) unknown(clients int) load {
	return load{socket: d.socket, keys: d.keys, clients: clients, message: func(int) mailing {
		return mailing{sender: fmt.Sprintf("ann@d%d.example.org", time.Now().UnixNano())}
	}}
}

// signs wants mail to be signed for a while, and the daemon to have said since a mark what it cannot do: it says that
// once, which may be before any mail has come.
func (d *daemon) signs(t *testing.T, from int64, what string, says ...string) {
	t.Helper()
	var all tally
	for end := time.Now().Add(20 * time.Second); ; {
		got := d.unknown(2).count(t.Context(), 50)
		all.add(got)
		if len(says) == 0 || lineWith(d.since(from), says...) != "" {
			break
		}
		if time.Now().After(end) {
			t.Errorf("%s: it does not say so", what)
			break
		}
	}
	all.whole(t, what)
	d.alive()
	said := ""
	if len(says) > 0 {
		said = fmt.Sprintf("; it says %q", says[len(says)-1])
	}
	figure(t, what, "%d of %d signed%s", all.signed, all.sent, said)
}

// The disk with the state is full.
func TestDiskFull(t *testing.T) {
	d := stateful(t)
	state := filepath.Join(d.dir, "state")
	d.mounts("mount -t tmpfs -o size=64k,mode=0700 none " + state)
	d.start()
	from := d.mark()
	fill := d.inside(filepath.Join(state, "filling"))
	os.WriteFile(fill, make([]byte, 1<<20), 0o600) // as much as there is room for
	if n, err := os.Stat(fill); err != nil || n.Size() == 0 || n.Size() >= 1<<20 {
		t.Fatalf("the disk is not full: %v, %v", n, err)
	}
	d.signs(t, from, "disk full", "no space left on device")
	from = d.mark()
	d.signal(syscall.SIGHUP)
	d.signs(t, from, "disk full, reloaded", "msg=reloaded")
	d.stop()
	d.start() // on a disk that is empty
	d.signs(t, 0, "started again after a full disk")
	d.stop()
}

// The state directory becomes read-only, as file systems do that find themselves damaged.
func TestReadOnly(t *testing.T) {
	d := stateful(t)
	state := filepath.Join(d.dir, "state")
	d.mounts("mount -t tmpfs none " + state)
	d.start()
	from := d.mark()
	remount := func() (busy bool) { // while a file is being written there
		out, err := exec.Command("nsenter", "-t", fmt.Sprint(d.cmd.Process.Pid), "-m", "mount", "-o", "remount,ro", state).
			CombinedOutput()
		if err != nil && !strings.Contains(string(out), "busy") {
			t.Fatalf("%v: %s", err, out)
		}
		return err != nil
	}
	postfix.Eventually(t, "nothing is written there for a moment", func() bool { return !remount() })
	d.signs(t, from, "state directory read-only", "read-only file system")
	d.stop()
}

// It starts where it cannot write at all.
func TestReadOnlyStart(t *testing.T) {
	d := stateful(t)
	state := filepath.Join(d.dir, "state")
	d.mounts("mount -t tmpfs -o ro none " + state)
	d.start()
	d.signs(t, 0, "started read-only", "read-only file system")
	d.stop()
}

// resolvConf is a daemon beside a BIND, with an /etc of its own, in which resolv.conf leads there.
func resolvConf(t *testing.T) (d *daemon, conf, good string) {
	t.Helper()
	postfix.Require(t)
	addr := nameserver.Loopback(t)
	zone := "@ 60 SOA ns hostmaster 1 60 60 60 1\n@ NS ns\nns A " + addr
	zone += strings.ReplaceAll(pass, "$ORIGIN example.org.", "")
	nameserver.StartBIND(t, nameserver.BINDOptions{
		Dynamic: nameserver.Dynamic{Addr: addr}, Zones: map[string]string{"example.org": zone},
	})
	dir := t.TempDir()
	d = newDaemon(t, dir, strings.ReplaceAll(strict, "servers = [%q]", ""), "example.org")
	etc := filepath.Join(dir, "etc")
	conf, good = filepath.Join(etc, "resolv.conf"), "nameserver "+addr+"\n"
	if err := errors.Join(os.Mkdir(etc, 0o755), os.WriteFile(conf, []byte(good), 0o644)); err != nil {
		t.Fatal(err)
	}
	d.mounts("cp /etc/passwd /etc/group " + etc + " && mount --bind " + etc + " /etc")
	d.start()
	return d, conf, good
}

// resolv.conf loses its servers, or is gone, and then is back: the ones that it had are asked meanwhile, and the log
// tells of each, once. Then it leads nowhere.
func TestResolvConf(t *testing.T) {
	d, conf, good := resolvConf(t)
	write := func(text string) error { return os.WriteFile(conf, []byte(text), 0o644) }
	set := func(text string) {
		t.Helper()
		if err := write(text); err != nil {
			t.Fatal(err)
		}
	}
	d.signs(t, 0, "resolv.conf as usual", "msg=message ", "decision=accept")
	for _, loss := range []struct {
		what, says string
		lose       func() error
	}{
		{"resolv.conf emptied", "names no name server", func() error { return write("") }},
		{"resolv.conf removed", "no such file", func() error { return os.Remove(conf) }},
	} {
		from := d.mark()
		if err := loss.lose(); err != nil {
			t.Fatal(err)
		}
		d.signs(t, from, loss.what, "resolv.conf is of no use", loss.says)
		back := d.mark()
		set(good)
		d.signs(t, back, loss.what+", and back", "resolv.conf names name servers again")
		if n := strings.Count(d.since(from), "msg=\"resolv.conf"); n != 2 {
			t.Errorf("%s: %d lines tell of it and of its end", loss.what, n)
		}
	}
	if line := lineWith(d.since(0), "temperror"); line != "" {
		t.Errorf("it does not go on with the servers that it had: %s", line)
	}
	from := d.mark()
	set("nameserver 127.53.0.1\n") // where nobody is
	d.signal(syscall.SIGHUP)
	d.signs(t, from, "resolv.conf leads nowhere", "msg=message ", "temperror")
	set(good)
	postfix.Eventually(t, "the records are found again", func() bool {
		from = d.mark()
		d.unknown(1).count(t.Context(), 5)
		return lineWith(d.since(from), "temperror") == ""
	})
	d.stop()
}

// Nobody reads the log any more, as when journald has ended: its pipe is closed.
func TestLogGone(t *testing.T) {
	d := newDaemon(t, t.TempDir(), "", "example.org")
	d.wrap = []string{"sh", "-c", `exec "$@" 2>"$0"`, filepath.Join(d.dir, "pipe")}
	if err := syscall.Mkfifo(filepath.Join(d.dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	reader := make(chan *os.File, 1)
	go func() {
		f, _ := os.Open(filepath.Join(d.dir, "pipe"))
		reader <- f
	}()
	d.spawn()
	f := <-reader
	buf := make([]byte, 64<<10)
	for text := ""; !strings.Contains(text, "msg=listening"); {
		n, err := f.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		text += string(buf[:n])
	}
	f.Close()
	got := load{socket: d.socket, keys: d.keys, clients: 2}.count(t.Context(), 100)
	got.whole(t, "without a log")
	d.alive()
	figure(t, "nobody reads the log", "%d of %d signed", got.signed, got.sent)
	d.stop()
}
