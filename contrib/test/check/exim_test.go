//go:build integration

package check

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"reputed/contrib/test/exim"
	"reputed/policy/dns/dnstest"
)

// eximHost is a host with an Exim, whose name is in the DNS or not.
type eximHost struct {
	t       *testing.T
	dir     string
	options exim.Options
	names   *dnstest.Server
}

// eximName is the name by which the instance greets.
const eximName = "mta.example.org"

// newEximHost is set up as contrib/exim/README.md says, but that nothing of it runs.
func newEximHost(t *testing.T) *eximHost {
	t.Helper()
	exim.Require(t)
	h := &eximHost{t: t, dir: exim.NewDir(t)}
	var err error
	if h.names, err = dnstest.Start(eximName + ". A " + egress); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.names.Close() })
	for name, text := range map[string]string{
		"reputed-filter": "#!/bin/sh\n",
		"reputed.toml": `hostname = "` + eximName + `"
state_dir = "DIR/state"
milter.listen = ["unix:DIR/milter.sock"]
exim.listen = "unix:DIR/exim.sock"
[[egress]]
addresses = ["` + egress + `"]
[[domain]]
name = "example.org"
[dns]
servers = ["` + h.names.Addr() + `"]
[policy.dnsbl]
watch = []
`,
	} {
		if err := os.WriteFile(filepath.Join(h.dir, name), []byte(strings.ReplaceAll(text, "DIR", h.dir)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h.options = exim.Options{
		Sink:      "127.0.0.1:25", // no smarthost: it is this host
		Main:      include(t, "main.conf") + h.paths() + exim.AsksMain,
		ACL:       include(t, "acl.conf") + exim.AsksACL,
		Routers:   "dns:\n  driver = dnslookup\n  domains = ! +local_domains\n  transport = remote_smtp\n",
		Transport: include(t, "transport.conf"),
	}
	return h
}

// snippet gives a file of contrib/exim.
func snippet(t *testing.T, name string) (path, text string) {
	t.Helper()
	path, err := filepath.Abs("../../exim/" + name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path) // so that tests are not taken for done when it changes
	if err != nil {
		t.Fatal(err)
	}
	return path, string(b)
}

// include gives the line that operators write.
func include(t *testing.T, name string) string {
	t.Helper()
	path, _ := snippet(t, name)
	return ".include " + path + "\n"
}

// paths gives macros of main.conf the paths of this host.
func (h *eximHost) paths() string {
	return strings.ReplaceAll("REPUTED_EXIM_SOCKET == DIR/exim.sock\nREPUTED_MILTER_SOCKET == unix:DIR/milter.sock\n"+
		"REPUTED_FILTER == DIR/reputed-filter\nREPUTED_KEYS == DIR/dkim\n", "DIR", h.dir)
}

// judged says what the verb makes of it.
func (h *eximHost) judged(args ...string) said {
	h.t.Helper()
	at := exim.Write(h.t, h.dir, h.options).Program()
	return runCheck(h.t, []string{"PATH=" + at + ":/usr/bin:/bin"}, args...)
}

// Exim set up as contrib/exim has it, and then otherwise: what exim -bP says of each is judged as it should be. What does
// not hide the others is wrong all at once.
func TestCheckExim(t *testing.T) {
	exim.Require(t)
	for name, tt := range map[string]struct {
		edit  func(*testing.T, *eximHost)
		code  int
		wants []string // of each finding, its result and what it must hold
	}{
		"as it should be": {nil, 0, []string{"good"}},
		"Exim signs, with keys of reputed; and what is as well": {func(t *testing.T, h *eximHost) {
			h.options.Transport = include(t, "own-signer.conf") + "  interface = " + egress + "\n" +
				"amavis:\n  driver = smtp\n  hosts = 127.0.0.1\n"
		}, 0, []string{"good"}},
		"a content filter on this host": {func(t *testing.T, h *eximHost) {
			h.options.Routers = "amavis:\n  driver = manualroute\n  condition = ${if !eq{$received_protocol}{scanned-ok}}\n" +
				"  route_list = \"* localhost byname\"\n  self = send\n  transport = amavis\n" + h.options.Routers
			h.options.Transport += "amavis:\n  driver = smtp\n  port = 10024\n  allow_localhost\n"
		}, 0, []string{"good"}},
		"an ACL for each port": {func(t *testing.T, h *eximHost) {
			h.options.Main = strings.Replace(h.options.Main, "acl_smtp_mail = check_mail",
				"acl_smtp_mail = ${if ={25}{$interface_port}{check_mail}{check_submit}}", 1)
			h.options.ACL += "check_submit:\n  require acl = acl_reputed_mail\n  accept\n"
		}, 0, []string{"good"}},
		"one of them asks late, another is in a file": {func(t *testing.T, h *eximHost) {
			h.options.Main = strings.NewReplacer("acl_smtp_mail = check_mail",
				"acl_smtp_mail = ${if ={25}{$interface_port}{check_mail}{check_submit}}",
				"acl_smtp_data = check_data", "acl_smtp_data = /etc/exim4/check_data").Replace(h.options.Main)
			h.options.ACL += "check_submit:\n  accept hosts = :\n  require acl = acl_reputed_mail\n  accept\n"
		}, 1, []string{"late before the first accept of the ACL check_submit", "unknown acl_smtp_data"}},
		"nothing is wired": {func(t *testing.T, h *eximHost) {
			h.options.Transport = ""
			h.options.Main = edited(t, "main.conf", "acl_not_smtp", "# acl_not_smtp") + h.paths() + "acl_smtp_mail = check_mail\n"
			h.options.ACL = include(t, "acl.conf") + "check_mail:\n  accept\n"
		}, 2, []string{
			"filter transport remote_smtp passes no filter", "acl acl_smtp_mail does not ask", "acl acl_not_smtp = acl_reputed_local",
			"acl acl_smtp_rcpt = acl_check_rcpt\n\nacl_check_rcpt:\n", "acl acl_smtp_data = acl_reputed_data",
		}},
		"wired, and wrong": {func(t *testing.T, h *eximHost) {
			h.options.Main = edited(t, "main.conf", "spool_wireformat = false", "spool_wireformat = true") + h.paths() + exim.AsksMain +
				"REPUTED_FILTER == /usr/bin/reputed-gone\nREPUTED_MILTER_SOCKET == inet:127.0.0.1:8891\nREPUTED_EXIM_SOCKET == /run/other.sock\n"
			h.options.Transport = edited(t, "transport.conf", "  headers_add", "#  headers_add", "  initgroups", "") +
				"  dkim_domain = example.org\n  dkim_selector = s1\n  dkim_private_key = /etc/exim4/dkim.key\nbulk:\n  driver = smtp\n"
		}, 2, []string{
			"return-path headers_add = ${if inlist", "initgroups user = $exim_uid", "filter no program that can be run, and the mail waits: /usr/bin/reputed-gone",
			"socket REPUTED_MILTER_SOCKET == unix:", "signer signs mail itself", "filter transport bulk passes no filter",
			"wireformat spool_wireformat = false", "socket asks at /run/other.sock",
		}},
		"Exim signs, unsigned rather than late; and nobody is to answer": {func(t *testing.T, h *eximHost) {
			h.options.Transport = edited(t, "own-signer.conf", "dkim_strict   = true", "")
			h.configure("exim.listen", "#")
		}, 2, []string{"strict dkim_strict = true", "socket [exim]\nlisten = \"unix:"}},
		"it is known by other names and addresses": {func(t *testing.T, h *eximHost) {
			h.options.Transport += "  interface = <; 203.0.113.99 ; 2001:db8::99\n  hosts_avoid_tls = *\n  return_path = srs0@example.net\n" +
				"second:\n  driver = smtp\n  helo_data = web1.example.org\n" + include(t, "transport.conf")
			h.configure(eximName, "mail.example.org")
		}, 1, []string{
			"helo primary_hostname = mail.example.org", "bind 203.0.113.99", "bind 2001:db8::99", "rewrite SRS", "tls without TLS",
			"helo helo_data = mail.example.org",
		}},
		"a smarthost": {func(t *testing.T, h *eximHost) { h.options.Sink, h.options.Routers = "198.51.100.25:25", "" }, 1, []string{"relay set via"}},
		"a smarthost for some mail": {func(t *testing.T, h *eximHost) {
			h.options.Routers = "some:\n  driver = manualroute\n  senders = *@news.example.org\n  transport = remote_smtp\n" +
				"  route_list = * 198.51.100.25\n" + h.options.Routers
		}, 0, []string{"good"}},
		"it is configured, and sees alone how this host greets": {func(t *testing.T, h *eximHost) {
			h.options.Sink, h.options.Routers = "198.51.100.25:25", ""
			h.options.Transport += "  helo_data = inside.example.org\n"
			h.configure("[[egress]]", "[[egress]]\nvia = \"spf.relay.example\"")
		}, 0, []string{"good"}},
		"it cannot be read": {func(t *testing.T, h *eximHost) { h.options.Main += "no_such_option = 1\n" }, 3, []string{"unreadable as root"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newEximHost(t)
			if tt.edit != nil {
				tt.edit(t, h)
			}
			got := h.judged("--config", h.config(), "--only", "exim")
			if got.code != tt.code || len(got.Items) != 1 || len(got.Items[0].Findings) != len(tt.wants) {
				t.Fatalf("exit %d, want %d: %+v", got.code, tt.code, got)
			}
			for i, f := range got.Items[0].Findings {
				result, holds, _ := strings.Cut(tt.wants[i], " ")
				if f.Result != result || !strings.Contains(f.Reason+"\n"+f.Advice+"\n"+f.Fix, holds) {
					t.Errorf("want %s: %+v", tt.wants[i], f)
				}
			}
		})
	}
}

// A site without an ACL for RCPT takes the one that is advised: then reputed is asked, and strangers get through to
// this host as before, and no further.
func TestCheckEximRelaysForNobody(t *testing.T) {
	h := newEximHost(t)
	h.options.Main = include(t, "main.conf") + h.paths() + "acl_smtp_mail = check_mail\nacl_smtp_data = check_data\n"
	got := h.judged("--config", h.config(), "--only", "exim")
	if len(got.Items) != 1 || len(got.Items[0].Findings) != 1 || got.Items[0].Findings[0].Result != "acl" {
		t.Fatalf("%+v", got)
	}
	fix := got.Items[0].Findings[0].Fix
	main, acl, _ := strings.Cut(fix, "\n")
	_, readme := snippet(t, "README.md")
	if !strings.Contains(strings.ReplaceAll(readme, "\n    ", "\n"), "\n"+fix+"\n") {
		t.Errorf("not in contrib/exim/README.md:\n%s", fix)
	}
	before := h.hears("198.51.100.7")
	h.options.Main += main + "\n"
	h.options.ACL += acl + "\n"
	if got := h.judged("--config", h.config(), "--only", "exim"); got.code != 0 {
		t.Errorf("exit %d: %+v", got.code, got)
	}
	for _, tt := range []struct{ client, outside, inside string }{
		{"198.51.100.7", "550 relay not permitted", "250 Accepted"},
		{"127.0.0.1", "451 4.3.0 mail system trouble, please try again later", "250 Accepted"}, // reputed does not run
	} {
		replies := h.hears(tt.client)
		if !strings.Contains(replies, "\n"+tt.outside) || !strings.Contains(replies, "\n"+tt.inside) {
			t.Errorf("%s hears:\n%s", tt.client, replies)
		}
	}
	if strings.Count(before, "\n550 ") != 2 {
		t.Errorf("without an ACL a stranger hears:\n%s", before)
	}
}

// hears gives what a client hears that sends to others, and to this host. Nothing is sent.
func (h *eximHost) hears(client string) string {
	h.t.Helper()
	cmd := exec.Command(filepath.Join(exim.Write(h.t, h.dir, h.options).Program(), "exim4"), "-bh", client)
	cmd.Stdin = strings.NewReader("EHLO client.example\r\nMAIL FROM:<ann@example.org>\r\n" +
		"RCPT TO:<friend@world.example>\r\nRCPT TO:<user@local.example>\r\nQUIT\r\n")
	out, err := cmd.Output()
	if err != nil {
		h.t.Fatal(err)
	}
	return strings.ReplaceAll(string(out), "\r", "")
}

// edited gives a file of contrib/exim with something else in the place of something.
func edited(t *testing.T, name string, edits ...string) string {
	t.Helper()
	_, text := snippet(t, name)
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(text, edits[i]) {
			t.Fatalf("%s has no %q", name, edits[i])
		}
	}
	return strings.NewReplacer(edits...).Replace(text) + "\n"
}

// Who may not read the configuration of Exim is told that it is not known, and what to do.
func TestCheckEximAsNobody(t *testing.T) {
	t.Parallel()
	h := newEximHost(t)
	e := exim.Write(t, h.dir, h.options)
	at := e.Program("setpriv --reuid=nobody --regid=nogroup --clear-groups")
	if err := os.Chmod(filepath.Join(h.dir, "exim.conf"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := runCheck(t, []string{"PATH=" + at + ":/usr/bin:/bin"}, "--config", h.config(), "--only", "exim")
	if f := got.Items[0].Findings[0]; got.code != 3 || f.Result != "unreadable" || !strings.Contains(f.Advice, "as root") {
		t.Errorf("exit %d: %+v", got.code, f)
	}
}

// Without a configuration of reputed, Exim says how this host greets; and that must be in the DNS.
func TestCheckEximName(t *testing.T) {
	t.Parallel()
	h := newEximHost(t)
	look := func() said {
		return h.judged("--server", h.names.Addr(), "--egress", egress, "--only", "helo,exim",
			"--postfix-config", h.dir) // there is none: Exim is the only server of this host
	}
	if got := look(); got.code != 0 || len(got.Items) != 2 {
		t.Errorf("exit %d: %+v", got.code, got)
	}
	if err := h.names.Set("mail.example.org. A " + egress); err != nil {
		t.Fatal(err)
	}
	got := look()
	if got.code != 2 || len(got.Items) != 2 {
		t.Fatalf("exit %d: %+v", got.code, got)
	}
	if f := got.Items[0].Findings[0]; f.Result != "no-address" || f.Fix != eximName+". IN A "+egress {
		t.Errorf("%+v", f)
	}
}

func (h *eximHost) config() string { return filepath.Join(h.dir, "reputed.toml") }

// configure changes the configuration of reputed.
func (h *eximHost) configure(old, with string) {
	h.t.Helper()
	text, err := os.ReadFile(h.config())
	if err == nil && !strings.Contains(string(text), old) {
		err = fmt.Errorf("no %q", old)
	}
	if err == nil {
		err = os.WriteFile(h.config(), []byte(strings.Replace(string(text), old, with, 1)), 0o600)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}
