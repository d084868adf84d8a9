// Package exim runs a private Exim for tests: its own configuration, queue, log and loopback port, beside the MTA that
// the machine has.
//
// Exim cannot be installed beside Postfix, so its Debian packages are unpacked below [Root], which contrib/test/run
// does. The program insists on a user Debian-exim, which contrib/test/run makes. So that it keeps its rights with a
// configuration of another name, [Start] puts that name into /etc/exim4/trusted_configs, and takes it out again when
// the test ends. Nothing else on the machine is touched.
package exim

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"reputed/contrib/test/postfix"
)

// Root is where Debian's packages exim4-daemon-light and exim4-config are unpacked. It is not in somebody's home, for
// the user Debian-exim must get there.
const Root = "/var/cache/reputed-test/exim"

const program = Root + "/usr/sbin/exim4"

// Options of an instance.
type Options struct {
	Sink      string // address of the SMTP server that all mail to others goes to
	Main      string // lines of the main section, after those that make the instance private
	RelayTo   string // further items of the list relay_to_domains
	ACL       string // the ACLs; none: everything is taken
	Routers   string // routers that come before those that send mail to the sink and deliver it here
	Transport string // options of the transport remote_smtp
	Auth      string // authenticators
}

// Exim is a running instance.
type Exim struct {
	t      testing.TB
	dir    string
	addr   string
	uid    int
	gid    int
	daemon bool
}

// Start starts an instance and stops it when the test ends. It wants root and an unpacked Exim: without, the test is
// skipped, or fails: see [Require].
func Start(t testing.TB, dir string, o Options) *Exim {
	t.Helper()
	e := prepare(t, dir)
	e.configure(o.text(e))
	return e
}

// StartWith is Start with a configuration that somebody else has written, in which these words are replaced: @ADDRESS@
// and @PORT@, where to listen; @DIR@, the directory of the instance; @EXIM@, the program; @UID@
// and @GID@, the user Debian-exim, whom he himself cannot everywhere look up by name.
func StartWith(t testing.TB, dir, configuration string) *Exim {
	t.Helper()
	e := prepare(t, dir)
	e.configure(e.fill(configuration))
	return e
}

// Write writes the configuration of an instance that is never started: for those who only read what it is set to.
func Write(t testing.TB, dir string, o Options) *Exim {
	t.Helper()
	e := prepare(t, dir)
	if err := os.WriteFile(e.config(), []byte(o.text(e)), 0o644); err != nil {
		t.Fatal(err)
	}
	return e
}

// Program gives a directory with a program exim4 that runs on the instance, for those who look for one in PATH. The
// words come before it, such as those of another program that runs it as somebody else.
func (e *Exim) Program(before ...string) string {
	e.t.Helper()
	bin := filepath.Join(e.dir, "bin")
	script := fmt.Sprintf("#!/bin/sh\nexec %s %s -C %s \"$@\"\n", strings.Join(before, " "), program, e.config())
	err := os.MkdirAll(bin, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(bin, "exim4"), []byte(script), 0o755)
	}
	if err != nil {
		e.t.Fatal(err)
	}
	return bin
}

// Check gives what Exim says of a configuration that it does not take, "" of one that it does.
func Check(t testing.TB, dir string, o Options) string {
	t.Helper()
	e := prepare(t, dir)
	if err := os.WriteFile(e.config(), []byte(o.text(e)), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := e.run(nil, "-bV")
	if err == nil {
		return ""
	}
	return out
}

func prepare(t testing.TB, dir string) *Exim {
	t.Helper()
	Require(t)
	e := &Exim{t: t, dir: dir, addr: postfix.FreePort(t)}
	owner, err := user.Lookup("Debian-exim")
	if err != nil {
		t.Fatal(err)
	}
	e.uid, _ = strconv.Atoi(owner.Uid)
	e.gid, _ = strconv.Atoi(owner.Gid)
	for _, d := range []string{"spool", "log"} {
		path := filepath.Join(dir, d)
		if err := os.MkdirAll(path, 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, e.uid, e.gid); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// configure writes the configuration, and starts the daemon.
func (e *Exim) configure(text string) {
	e.t.Helper()
	if err := os.WriteFile(e.config(), []byte(text), 0o644); err != nil {
		e.t.Fatal(err)
	}
	trust(e.t, e.config())
	e.must("-bV")
	e.Up()
	e.t.Cleanup(func() {
		e.Down()
		if e.t.Failed() {
			e.t.Logf("the end of Exim's logs:\n%s%s", postfix.Tail(e.Log()), postfix.Tail(e.log("panic")))
		}
	})
}

// Up starts the daemon.
func (e *Exim) Up() {
	e.t.Helper()
	e.must("-bd", "-q1s")
	e.daemon = true
	Eventually(e.t, "Exim answers on "+e.addr, func() bool {
		conn, err := net.Dial("tcp", e.addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// Down stops the daemon. Deliveries that are under way end by themselves.
func (e *Exim) Down() {
	e.t.Helper()
	if !e.daemon {
		return
	}
	text, err := os.ReadFile(filepath.Join(e.dir, "exim.pid"))
	if err != nil {
		e.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		e.t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		e.t.Fatal(err)
	}
	Eventually(e.t, "Exim ends", func() bool { return syscall.Kill(pid, 0) != nil })
	e.daemon = false
}

// NewDir makes the directory of an instance. Every part of its path must be open to the user Debian-exim.
func NewDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "reputed-exim-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Require skips the test where no private Exim can run, and fails it where REPUTED_REQUIRE_MTA is set, as
// contrib/test/run does, or CI=true.
func Require(t testing.TB) {
	t.Helper()
	missing := ""
	if os.Geteuid() != 0 {
		missing = "a private Exim wants root"
	} else if _, err := os.Stat(program); err != nil {
		missing = "Exim is not unpacked in " + Root + ": contrib/test/run does it"
	} else if _, err := user.Lookup("Debian-exim"); err != nil {
		missing = "there is no user Debian-exim: contrib/test/run makes one"
	}
	switch {
	case missing == "":
	case os.Getenv("REPUTED_REQUIRE_MTA") != "" || os.Getenv("CI") == "true":
		t.Fatal(missing)
	default:
		t.Skip(missing)
	}
}

// Addr is where the instance takes mail.
func (e *Exim) Addr() string { return e.addr }

func (e *Exim) config() string { return filepath.Join(e.dir, "exim.conf") }

// run runs the program on the instance.
func (e *Exim) run(stdin []byte, args ...string) (string, error) {
	cmd := exec.Command(program, append([]string{"-C", e.config()}, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (e *Exim) must(args ...string) string {
	e.t.Helper()
	out, err := e.run(nil, args...)
	if err != nil {
		e.t.Fatalf("exim4 %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// Sendmail submits a message as a program on this host does.
func (e *Exim) Sendmail(from string, to []string, message []byte) error {
	if out, err := e.run(message, append([]string{"-i", "-f", from}, to...)...); err != nil {
		return fmt.Errorf("exim4: %w: %s", err, out)
	}
	return nil
}

// Session speaks SMTP with the program on its standard input and output (-bs): the lines are sent at once, and all that
// it says is returned. Further arguments may show it another client, such as "-oMa", "203.0.113.9.4567".
func (e *Exim) Session(lines []string, args ...string) string {
	// Its status tells of refusals too.
	out, _ := e.run([]byte(strings.Join(lines, "\r\n")+"\r\n"), append(args, "-bs")...)
	return out
}
