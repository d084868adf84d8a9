//go:build integration

package exim_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"reputed/contrib/test/exim"
	"reputed/contrib/test/sink"
	"reputed/contrib/test/verifiers"
)

// Debian's package exim4-config, set up as its README says, with what contrib/exim/debian adds to it.
func TestDebian(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		split   string
		install func(t *testing.T, dir string)
	}{
		{"split", "true", func(*testing.T, string) {}},
		{"one file", "false", editTemplate},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDebian(t, tt.split, tt.install)
			d.checks(t)
			d.signs(t)
			d.refuses(t)
			d.noPanics(t)
		})
	}
}

// copied are the files that operators copy, and where to.
var copied = []struct{ from, to string }{
	{"main.conf", "reputed/main.conf"},
	{"acl.conf", "reputed/acl.conf"},
	{"transport.conf", "reputed/transport.conf"},
	{"debian/conf.d/main/000_reputed", "conf.d/main/000_reputed"},
	{"debian/conf.d/acl/25_reputed", "conf.d/acl/25_reputed"},
	{"debian/conf.d/transport/30_exim4-config_remote_smtp-reputed",
		"conf.d/transport/30_exim4-config_remote_smtp-reputed"},
	{"debian/conf.d/transport/30_exim4-config_remote_smtp_smarthost-reputed",
		"conf.d/transport/30_exim4-config_remote_smtp_smarthost-reputed"},
}

// answers are what Debian asks when the package is installed.
const answers = `dc_eximconfig_configtype='smarthost'
dc_other_hostnames='local.example'
dc_local_interfaces='127.0.0.1'
dc_readhost=''
dc_relay_domains='inbound.example'
dc_minimaldns='false'
dc_relay_nets=''
dc_smarthost='unused.example'
CFILEMODE='644'
dc_use_split_config='SPLIT'
dc_hide_mailname=''
dc_mailname_in_oh='true'
dc_localdelivery='mail_spool'
`

// before are macros that keep the instance to itself.
const before = `SPOOLDIR = @DIR@/spool
DC_minimaldns = 1
MAIN_HARDCODE_PRIMARY_HOSTNAME = mta.example.org
`

// after are options for which Debian has no macros.
const after = `log_file_path = @DIR@/log/%slog
pid_file_path = @DIR@/exim.pid
daemon_smtp_ports = @PORT@
unknown_login = Debian-exim
`

// toSink are routers that send mail to the sink by Debian's transports: of a host on loopback, Debian's own routers say
// that it is this one.
const toSink = `to_sink:
  driver = manualroute
  domains = world.example
  transport = remote_smtp
  route_list = * SINK
  self = send
by_smarthost:
  driver = manualroute
  domains = smart.example : inbound.example
  transport = remote_smtp_smarthost
  route_list = * SINK
  self = send
`

// debian is Debian's configuration in the making: a directory in the place of /etc/exim4.
type debian struct {
	t         *testing.T
	dir, etc  string
	elsewhere *strings.Replacer // puts other paths in the place of the machine's
}

// newDebian starts an Exim with the configuration that Debian's update-exim4.conf makes.
func newDebian(t *testing.T, split string, install func(t *testing.T, etc string)) *host {
	t.Helper()
	exim.Require(t)
	h := &host{t: t, dir: exim.NewDir(t), sink: sink.Start(t), by: verifiers.All(t)[:1]}
	h.daemon = newDaemon(t, h.dir, world, rules)
	h.keys = h.daemon.newKeys("example.org", "forgotten.example")
	h.daemon.start()
	etc := filepath.Join(h.dir, "etc")
	d := debian{t: t, dir: h.dir, etc: etc, elsewhere: strings.NewReplacer(
		"/etc/exim4", etc, "/etc/aliases", h.dir+"/aliases", "/etc/mailname", h.dir+"/mailname",
		"/etc/email-addresses", exim.Root+"/etc/email-addresses", "/usr/sbin/exim4", "@EXIM@",
		"user = mail\n", "user = @UID@\n")} // see private in config.go
	d.unpack(split, strings.Replace(h.sink.Addr(), ":", "::", 1))
	install(t, etc)
	h.exim = exim.StartWith(t, h.dir, d.make())
	return h
}

// unpack puts the package's files in place, with those of contrib/exim and of this test.
func (d *debian) unpack(split, to string) {
	d.t.Helper()
	if out, err := exec.Command("cp", "-r", exim.Root+"/etc/exim4", d.etc).CombinedOutput(); err != nil {
		d.t.Fatalf("%v: %s", err, out)
	}
	files := map[string]string{
		"conf.d/main/000_before":    before,
		"conf.d/main/001_paths":     paths(d.dir, filter),
		"conf.d/main/99_after":      after,
		"conf.d/router/050_to_sink": strings.ReplaceAll(toSink, "SINK", to),
		"update-exim4.conf.conf":    strings.ReplaceAll(answers, "SPLIT", split),
		"../aliases":                "alias: friend@world.example\nuser: :blackhole:\n",
		"../mailname":               "example.org\n",
	}
	for _, c := range copied {
		text, err := os.ReadFile(shipped(d.t, c.from))
		if err != nil {
			d.t.Fatal(err)
		}
		files[c.to] = string(text)
	}
	for name, text := range files {
		write(d.t, filepath.Join(d.etc, name), text)
	}
}

// make runs update-exim4.conf, and gives what it makes.
func (d *debian) make() string {
	d.t.Helper()
	if err := filepath.Walk(d.etc, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		write(d.t, path, d.elsewhere.Replace(string(text)))
		return err
	}); err != nil {
		d.t.Fatal(err)
	}
	text, err := os.ReadFile(exim.Root + "/usr/sbin/update-exim4.conf")
	if err != nil {
		d.t.Fatal(err)
	}
	script, made := filepath.Join(d.dir, "update"), filepath.Join(d.dir, "config.autogenerated")
	write(d.t, script, d.elsewhere.Replace(string(text)))
	if out, err := exec.Command("sh", script, "-v", "-d", d.etc, "-o", made).CombinedOutput(); err != nil {
		d.t.Fatalf("update-exim4.conf: %v: %s", err, out)
	}
	text, err = os.ReadFile(made)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(text)
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// editTemplate makes the changes that the README asks for where the configuration is one file.
func editTemplate(t *testing.T, etc string) {
	t.Helper()
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(etc, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	write(t, filepath.Join(etc, "exim4.conf.localmacros"), before+".include /etc/exim4/conf.d/main/000_reputed\n"+
		read("conf.d/main/001_paths")+after)
	template := read("exim4.conf.template")
	for _, edit := range [][2]string{
		{"\nbegin acl\n", "\nbegin acl\n.include /etc/exim4/conf.d/acl/25_reputed\n"},
		{"\nbegin routers\n", "\nbegin routers\n" + read("conf.d/router/050_to_sink")},
		{"\nremote_smtp:\n", "\nremote_smtp:\n.include /etc/exim4/reputed/transport.conf\n"},
		{"\nremote_smtp_smarthost:\n", "\nremote_smtp_smarthost:\n.include /etc/exim4/reputed/transport.conf\n"},
	} {
		if strings.Count(template, edit[0]) != 1 {
			t.Fatalf("%q is %d times in Debian's template", edit[0], strings.Count(template, edit[0]))
		}
		template = strings.Replace(template, edit[0], edit[1], 1)
	}
	write(t, filepath.Join(etc, "exim4.conf.template"), template)
}

// checks runs the verb that judges settings: of Debian's transports and ACLs it says only that there is a smarthost.
func (h *host) checks(t *testing.T) {
	t.Helper()
	cmd := exec.Command(program, "check", "--json", "--config", h.daemon.config, "--only", "exim")
	cmd.Env = append(os.Environ(), "PATH="+h.exim.Program()+":/usr/bin:/bin")
	out, _ := cmd.Output() // its status tells of what it found
	var said struct {
		Items []struct {
			Findings []struct{ Result, Reason string }
		}
	}
	if err := json.Unmarshal(out, &said); err != nil || len(said.Items) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	if f := said.Items[0].Findings; len(f) != 1 || f[0].Result != "relay" || !strings.Contains(f[0].Reason, "router smarthost") {
		t.Errorf("%+v", f)
	}
}

func (h *host) signs(t *testing.T) {
	t.Helper()
	for name, send := range map[string]way{"SMTP": h.smtp("127.0.0.1"), "sendmail": h.sendmail} {
		for _, domain := range []string{"world.example", "smart.example"} {
			subject := fmt.Sprintf("by %s to %s.", name, domain)
			must(t, send.mail(t, "ann@example.org", "friend@"+domain, subject))
			h.signedBy(t, subject, "example.org")
		}
	}
	stranger := h.smtp("127.0.0.2")
	must(t, stranger.mail(t, "someone@elsewhere.example", "alias@local.example", "sent on"))
	h.signedBy(t, "sent on", "")
	must(t, stranger.mail(t, "someone@elsewhere.example", "user@inbound.example", "relayed"))
	h.signedBy(t, "relayed", "")
}

// What Debian's ACLs refuse stays refused, in their words.
func (h *host) refuses(t *testing.T) {
	t.Helper()
	client, stranger := h.smtp("127.0.0.1"), h.smtp("127.0.0.2")
	for _, tt := range []struct {
		name       string
		send       way
		sender, to string
		field      string // further one
		want       string
	}{
		{"SPF", client, "fay@forgotten.example", "friend@world.example", "X: y", forgotten},
		{"SPF, stays", client, "fay@forgotten.example", "user@local.example", "X: y", "250"},
		{"two authors", client, "ann@example.org", "friend@world.example", "From: bob@example.org",
			"550 5.6.0 message has several From fields"},
		{"relaying", stranger, "someone@elsewhere.example", "friend@world.example", "X: y", "550 relay not permitted"},
		{"characters", client, "ann@example.org", "a!b@world.example", "X: y", "550 restricted characters in address"},
		{"no such user", stranger, "someone@elsewhere.example", "no-one@local.example", "X: y", "550 Unrouteable address"},
		{"a bad header", client, "ann@example.org", "friend@world.example", "Reply-To: @@@", "550 header syntax"},
	} {
		reply := tt.send(t, tt.sender, tt.to, message(tt.sender, tt.name, tt.field))
		if !strings.HasPrefix(reply, tt.want) {
			t.Errorf("%s: reply %q, want %q", tt.name, reply, tt.want)
		}
	}
	h.daemon.stop()
	if reply := client.mail(t, "ann@example.org", "friend@world.example", "x"); !strings.HasPrefix(reply, "451 4.3.0") {
		t.Errorf("reputed is down: %s", reply)
	}
	must(t, stranger.mail(t, "someone@elsewhere.example", "user@local.example", "x"))
}
