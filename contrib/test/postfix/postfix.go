// Package postfix runs a private Postfix for tests: its own configuration, queue, log and loopback port, beside any
// Postfix that the machine may have.
package postfix

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Options of an instance.
type Options struct {
	Sink   string   // address of the SMTP server that all mail goes to
	Main   []string // lines of main.cf, after those that make the instance private
	Master string   // further services in master.cf; "PORT1", "PORT2" … stand for free ports, see [Postfix.Port]
	Ports  int      // how many of them
	Chroot bool     // run the services that talk to milters in a chroot, as Debian does
}

// Postfix is a running instance.
type Postfix struct {
	t     testing.TB
	dir   string
	addr  string
	ports []string
}

// Start starts an instance and stops it when the test ends. It wants root and an installed Postfix: without, the test
// is skipped, or fails: see [Require].
func Start(t testing.TB, dir string, o Options) *Postfix {
	t.Helper()
	Require(t)
	p := &Postfix{t: t, dir: dir, addr: FreePort(t)}
	for range o.Ports {
		p.ports = append(p.ports, FreePort(t))
	}
	p.write(o)
	p.must("postfix", "check")
	p.must("postfix", "start")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of Postfix's log:\n%s", Tail(p.Log()))
		}
		p.run("postfix", "stop")
	})
	p.waitFor(p.addr)
	return p
}

// NewDir makes the directory of an instance. Every part of its path must be open to the user postfix.
func NewDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "reputed-postfix-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Spool is the queue directory of the instance in dir: what its chrooted services take for the root.
func Spool(dir string) string { return filepath.Join(dir, "spool") }

// Require skips the test where no private Postfix can run, and fails it where REPUTED_REQUIRE_MTA is set, as
// contrib/test/run does, or CI=true.
func Require(t testing.TB) {
	t.Helper()
	missing := ""
	if os.Geteuid() != 0 {
		missing = "a private Postfix wants root"
	} else if _, err := exec.LookPath("postfix"); err != nil {
		missing = "Postfix is not installed: apt-get install postfix"
	}
	switch {
	case missing == "":
	case os.Getenv("REPUTED_REQUIRE_MTA") != "" || os.Getenv("CI") == "true":
		t.Fatal(missing)
	default:
		t.Skip(missing)
	}
}

// FreePort gives a loopback address that nobody listens on.
func FreePort(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// private makes an instance that touches nothing of the machine's and sends everything to the sink.
const private = `compatibility_level = 3.6
queue_directory = %[1]s/spool
data_directory = %[1]s/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
alternate_config_directories =
myhostname = mta.example.org
mydestination = local.example
local_recipient_maps =
local_transport = discard:
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
smtpd_authorized_xclient_hosts = 127.0.0.1
smtp_host_lookup = native
smtp_dns_support_level = disabled
smtp_tls_security_level = none
smtpd_tls_security_level = none
relayhost = [%[2]s]:%[3]s
maillog_file = %[1]s/log/mail.log
maillog_file_prefixes = %[1]s
milter_connect_timeout = 10s
milter_command_timeout = 10s
milter_content_timeout = 20s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 1000
`

func (p *Postfix) write(o Options) {
	p.t.Helper()
	for _, d := range []string{"etc", "spool", "data", "log"} {
		if err := os.MkdirAll(filepath.Join(p.dir, d), 0o755); err != nil {
			p.t.Fatal(err)
		}
	}
	owner, err := user.Lookup("postfix")
	if err != nil {
		p.t.Fatal(err)
	}
	uid, _ := strconv.Atoi(owner.Uid)
	if err := os.Chown(filepath.Join(p.dir, "data"), uid, 0); err != nil {
		p.t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(o.Sink)
	if err != nil {
		p.t.Fatal(err)
	}
	wished := strings.Join(o.Main, "\n") + "\n"
	p.file("main.cf", without(fmt.Sprintf(private, p.dir, host, port), wished)+wished)
	p.file("master.cf", p.master(o))
}

// without gives the lines of main.cf whose parameters another text does not set. Postfix takes the later of two, but each
// of its programs warns of that, postlogd too: where sockets queue few messages, as in a network namespace of its own, it
// waits for itself then, for ever.
func without(main, other string) string {
	set := map[string]bool{}
	for line := range strings.Lines(other) {
		name, _, _ := strings.Cut(line, "=")
		set[strings.TrimSpace(name)] = true
	}
	var b strings.Builder
	for line := range strings.Lines(main) {
		if name, _, _ := strings.Cut(line, "="); !set[strings.TrimSpace(name)] {
			b.WriteString(line)
		}
	}
	return b.String()
}

func (p *Postfix) file(name, text string) {
	p.t.Helper()
	for i, port := range p.ports {
		text = strings.ReplaceAll(text, fmt.Sprintf("PORT%d", i+1), port)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "etc", name), []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// master gives Debian's services on the instance's port, less those that deliver by pipe.
func (p *Postfix) master(o Options) string {
	stock, err := os.ReadFile("/etc/postfix/master.cf.proto")
	if err != nil {
		p.t.Fatal(err)
	}
	var b strings.Builder
	keep := false
	for line := range strings.Lines(string(stock)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || strings.HasPrefix(line, "#"):
		case line[0] == ' ' || line[0] == '\t':
			if keep {
				b.WriteString(line)
			}
		case len(fields) >= 8:
			if keep = fields[7] != "pipe"; !keep {
				continue
			}
			if fields[0] == "smtp" && fields[1] == "inet" {
				fields[0] = p.addr
			}
			milters := fields[7] == "smtpd" || fields[7] == "cleanup"
			fields[4] = "n"
			if milters && o.Chroot {
				fields[4] = "y"
			}
			b.WriteString(strings.Join(fields, " ") + "\n")
		}
	}
	return b.String() + o.Master
}

// Addr is where the instance takes mail.
func (p *Postfix) Addr() string { return p.addr }

// Port gives the address that stands for PORTn in the services of the options.
func (p *Postfix) Port(n int) string { return p.ports[n-1] }

// Set changes main.cf, and reloads.
func (p *Postfix) Set(lines ...string) {
	p.t.Helper()
	p.must("postconf", append([]string{"-e"}, lines...)...)
	p.must("postfix", "reload")
}

// Reload makes the instance read its configuration again.
func (p *Postfix) Reload() {
	p.t.Helper()
	p.must("postfix", "reload")
}

// run runs one of Postfix's commands on the instance.
func (p *Postfix) run(name string, args ...string) (string, error) {
	out, err := exec.Command(name, append([]string{"-c", filepath.Join(p.dir, "etc")}, args...)...).CombinedOutput()
	return string(out), err
}

func (p *Postfix) must(name string, args ...string) string {
	p.t.Helper()
	out, err := p.run(name, args...)
	if err != nil {
		p.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// Sendmail submits a message as a program on this host does.
func (p *Postfix) Sendmail(from string, to []string, message []byte) error {
	args := append([]string{"-C", filepath.Join(p.dir, "etc"), "-i", "-f", from}, to...)
	cmd := exec.Command("sendmail", args...)
	cmd.Stdin = bytes.NewReader(message)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("sendmail: %w: %s", err, out)
	}
	return nil
}

// Queued is a message in the queue.
type Queued struct {
	Queue      string `json:"queue_name"`
	ID         string `json:"queue_id"`
	Sender     string `json:"sender"`
	Recipients []struct {
		Address string `json:"address"`
		Reason  string `json:"delay_reason"`
	} `json:"recipients"`
}

// Queue gives what is in the queue.
func (p *Postfix) Queue() []Queued {
	p.t.Helper()
	var all []Queued
	// On standard error it complains of messages that leave while it looks.
	out, err := exec.Command("postqueue", "-c", filepath.Join(p.dir, "etc"), "-j").Output()
	if err != nil {
		p.t.Fatalf("postqueue -j: %v", err)
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	for dec.More() {
		var q Queued
		if err := dec.Decode(&q); err != nil {
			p.t.Fatalf("postqueue -j: %v", err)
		}
		all = append(all, q)
	}
	return all
}

// Super runs postsuper.
func (p *Postfix) Super(args ...string) {
	p.t.Helper()
	p.must("postsuper", args...)
}

// Flush makes the queue manager try everything now, maildrop included.
func (p *Postfix) Flush() {
	p.t.Helper()
	p.must("postqueue", "-f")
}

// Log gives the mail log.
func (p *Postfix) Log() string {
	text, _ := os.ReadFile(filepath.Join(p.dir, "log", "mail.log"))
	return string(text)
}

// Tail gives the last lines of a log.
func Tail(log string) string {
	lines := strings.SplitAfter(log, "\n")
	return strings.Join(lines[max(0, len(lines)-100):], "")
}

func (p *Postfix) waitFor(addr string) {
	p.t.Helper()
	Eventually(p.t, "Postfix answers on "+addr, func() bool {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// Eventually polls until the condition holds, for at most half a minute.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("not within 30 s: %s", what)
}
