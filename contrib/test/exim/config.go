package exim

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// private makes an instance that touches nothing of the machine's, and sends all mail to the sink but that to
// local.example. The user Debian-exim cannot everywhere read what users are called: his bounces need unknown_login.
const private = `exim_path = @EXIM@
primary_hostname = mta.example.org
qualify_domain = example.org
spool_directory = @DIR@/spool
log_file_path = @DIR@/log/%slog
pid_file_path = @DIR@/exim.pid
local_interfaces = <; @ADDRESS@
daemon_smtp_ports = @PORT@
tls_advertise_hosts =
keep_environment =
host_lookup =
recipients_max = 0
smtp_accept_max = 0
smtp_accept_max_per_connection = 0
smtp_accept_queue_per_connection = 0
smtp_max_unknown_commands = 100
queue_run_max = 20
remote_max_parallel = 1
unknown_login = Debian-exim
untrusted_set_sender = *
local_from_check = false
local_sender_retain = true
ignore_bounce_errors_after = 0s
log_selector = +received_recipients +smtp_confirmation
domainlist local_domains = local.example
domainlist relay_to_domains = inbound.example@RELAYTO@
hostlist relay_from_hosts = 127.0.0.1
`

// routing sends what the routers before did not take.
const routing = `out:
  driver = manualroute
  domains = ! +local_domains
  transport = remote_smtp
  route_list = * @SINKHOST@::@SINKPORT@
  self = send
  no_more
here:
  driver = accept
  transport = mailbox
begin transports
mailbox:
  driver = appendfile
  file = @DIR@/spool/mailbox
  user = @UID@
  group = @GID@
remote_smtp:
  driver = smtp
`

// text assembles the configuration.
func (o Options) text(e *Exim) string {
	acl := o.ACL
	main := private + o.Main + "\n"
	if acl == "" {
		main += "acl_smtp_rcpt = everything\n"
		acl = "everything:\n  accept\n"
	}
	host, port, err := net.SplitHostPort(o.Sink)
	if err != nil {
		e.t.Fatal(err)
	}
	return strings.NewReplacer("@SINKHOST@", host, "@SINKPORT@", port, "@RELAYTO@", o.RelayTo).Replace(e.fill(
		main + "begin acl\n" + acl + "\nbegin routers\n" + o.Routers + "\n" + routing + o.Transport +
			"\nbegin retry\n* * F,1h,1s\nbegin authenticators\n" + o.Auth + "\n"))
}

// fill puts in the words that only the instance knows.
func (e *Exim) fill(text string) string {
	host, port, err := net.SplitHostPort(e.addr)
	if err != nil {
		e.t.Fatal(err)
	}
	return strings.NewReplacer("@ADDRESS@", host, "@PORT@", port, "@DIR@", e.dir, "@EXIM@", program,
		"@UID@", strconv.Itoa(e.uid), "@GID@", strconv.Itoa(e.gid)).Replace(text)
}

// trusted is the list of configurations with which Exim keeps root's rights when it calls itself. Its name is part of
// the program.
const trusted = "/etc/exim4/trusted_configs"

// trust puts a configuration on the list while the test runs.
func trust(t testing.TB, config string) {
	t.Helper()
	line := config + "\n"
	if err := changeTrusted(func(lines []string) []string { return append(lines, line) }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := changeTrusted(func(lines []string) []string {
			return slices.DeleteFunc(lines, func(l string) bool { return l == line })
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// changeTrusted changes the list, one of us at a time. Those that run read it meanwhile, so it is never half there.
func changeTrusted(edit func(lines []string) []string) error {
	if err := os.MkdirAll(filepath.Dir(trusted), 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(trusted+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	text, err := os.ReadFile(trusted)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	all := strings.Join(edit(slices.Collect(strings.Lines(string(text)))), "")
	if err := os.WriteFile(trusted+".new", []byte(all), 0o644); err != nil {
		return err
	}
	return os.Rename(trusted+".new", trusted)
}
