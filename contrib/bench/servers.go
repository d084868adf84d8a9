package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"reputed/milter/wire"
)

// server is a milter that is measured.
type server struct {
	name    string
	version string
	signs   string // who signs in it, if it is ours: it says so itself
	program string // where it is
	command func(dir string, at wire.Endpoint) (*exec.Cmd, error)
}

func (s *server) installed() bool {
	_, err := os.Stat(s.program)
	return err == nil
}

// servers are all that are known, ours first.
func (st *stage) servers() []*server {
	return []*server{
		{"reputed", "", libcrypto, st.binary, st.reputed(setting{rsa: "libcrypto"})},
		{"reputed-go", "", "crypto/rsa", st.binary, st.reputed(setting{rsa: "go"})},
		{"opendkim", debianVersion("opendkim"), "", "/usr/sbin/opendkim", st.opendkim},
		{"dkimpy-milter", debianVersion("dkimpy-milter"), "", "/usr/bin/dkimpy-milter", st.dkimpy},
		{"rspamd", debianVersion("rspamd"), "", "/usr/bin/rspamd", st.rspamd},
	}
}

// libcrypto is how reputed names it.
const libcrypto = "libcrypto, OpenSSL"

// ours tells reputed from its peers.
func (s *server) ours() bool { return s.signs != "" }

func debianVersion(pkg string) string {
	out, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", pkg).Output()
	if err != nil {
		return ""
	}
	return string(out)
}

// write writes the files of a configuration.
func write(dir string, files map[string]string) error {
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// asOurs writes an endpoint as reputed has it; asTheirs as libmilter has it.
func asOurs(at wire.Endpoint) string {
	if at.Network == "unix" {
		return "unix:" + at.Address
	}
	return "inet:" + at.Address
}

func asTheirs(at wire.Endpoint) string {
	if at.Network == "unix" {
		return "local:" + at.Address
	}
	host, port, _ := strings.Cut(at.Address, ":")
	return "inet:" + port + "@" + host
}

// signing finds who signs in the line of reputed's log that says what it is set up to do.
var signing = regexp.MustCompile(`msg=serving .*\brsa=("[^"]*"|\S+)`)

// told gives what the log of a server of ours says of who signs. That it is somebody else than was meant is an error: a
// program that was built without a C compiler has no libcrypto.
func (s *server) told(log string) (string, error) {
	m := signing.FindStringSubmatch(log)
	if m == nil || !strings.HasPrefix(strings.Trim(m[1], `"`), s.signs) {
		return "", fmt.Errorf("it does not say that %s signs", s.signs)
	}
	return strings.Trim(m[1], `"`), nil
}

// setting is how reputed is set up, besides what it always is.
type setting struct {
	rsa     string // who makes RSA signatures
	domains int    // that there are keys for, besides example.org
	ed25519 bool   // a second key for example.org
	lists   bool   // the lists that are watched by default, instead of one
}

const oneList = `[policy.dnsbl]
listed = "defer"
act_on = ["local"]
watch = ["local"]
[[policy.dnsbl.list]]
id = "local"
zone = "bl.example.net"
codes = { "127.0.0.2" = { meaning = "spam source", severity = "block" } }
`

// reputed with all that it does in earnest: logging, SPF of each sender, a block list that is watched and may act.
func (st *stage) reputed(how setting) func(string, wire.Endpoint) (*exec.Cmd, error) {
	return func(dir string, at wire.Endpoint) (*exec.Cmd, error) {
		if err := st.writeKeys(filepath.Join(dir, "keys"), how); err != nil {
			return nil, err
		}
		lists := oneList
		if how.lists {
			lists = ""
		}
		err := write(dir, map[string]string{"reputed.toml": fmt.Sprintf(`
hostname = "mail.example.org"
state_dir = %q
[milter]
listen = [%q]
[[egress]]
addresses = ["203.0.113.25"]
[dns]
servers = [%q]
[signing]
keys = %q
rsa = %q
%s
[status]
socket = %q
`, dir, asOurs(at), st.dns.Addr(), filepath.Join(dir, "keys"), how.rsa, lists, filepath.Join(dir, "status.sock"))})
		return exec.Command(st.binary, "serve", "--config", filepath.Join(dir, "reputed.toml")), err
	}
}

// writeKeys lays out the directory of keys. All RSA keys are the same one: making thousands would take longer than the
// bench, and a signer does not know.
func (st *stage) writeKeys(dir string, how setting) error {
	text, err := os.ReadFile(st.key)
	if err != nil {
		return err
	}
	for n := -1; n < how.domains; n++ {
		name := "example.org"
		if n >= 0 {
			name = domain(n, how.domains)
		}
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name, selector+".pem"), text, 0o600); err != nil {
			return err
		}
	}
	if !how.ed25519 {
		return nil
	}
	return os.WriteFile(filepath.Join(dir, "example.org", edwardsSelector+".pem"), st.edwards, 0o600)
}

// opendkim signs, and does nothing else.
func (st *stage) opendkim(dir string, at wire.Endpoint) (*exec.Cmd, error) {
	err := write(dir, map[string]string{"opendkim.conf": fmt.Sprintf(`
Mode s
Domain example.org
Selector %s
KeyFile %s
Canonicalization relaxed/relaxed
OversignHeaders From
InternalHosts 127.0.0.1
Socket %s
Syslog no
Background no
RequireSafeKeys no
`, selector, st.key, asTheirs(at))})
	return exec.Command("/usr/sbin/opendkim", "-f", "-x", filepath.Join(dir, "opendkim.conf")), err
}

func (st *stage) dkimpy(dir string, at wire.Endpoint) (*exec.Cmd, error) {
	err := write(dir, map[string]string{"dkimpy.conf": fmt.Sprintf(`
Mode s
Domain example.org
Selector %s
KeyFile %s
Canonicalization relaxed/relaxed
InternalHosts 127.0.0.1
Socket %s
Syslog no
UserID root
PidFile %s/pid
`, selector, st.key, asTheirs(at), dir)})
	return exec.Command("/usr/bin/dkimpy-milter", filepath.Join(dir, "dkimpy.conf")), err
}

// rspamd without anything but signing: no rules, no Redis, errors only in the log.
func (st *stage) rspamd(dir string, at wire.Endpoint) (*exec.Cmd, error) {
	socket := at.Address + " mode=0666"
	if at.Network != "unix" {
		socket = at.Address
	}
	err := write(dir, map[string]string{"rspamd.conf": fmt.Sprintf(`
options { dns { nameserver = ["127.0.0.1"]; } filters = "dkim"; tempdir = %[1]q; pidfile = "%[1]s/pid";
  local_addrs = ["127.0.0.0/8"];
  disable_hyperscan = true; task_timeout = 120s; }
logging { type = "console"; level = "error"; }
modules { path = "/usr/share/rspamd/plugins/dkim_signing.lua"; }
dkim { }
dkim_signing { enabled = true; sign_local = true; sign_authenticated = true; allow_username_mismatch = true;
  allow_hdrfrom_mismatch = true; use_esld = false; check_pubkey = false;
  domain { "example.org" { selector = %[2]q; path = %[3]q; } } }
worker "rspamd_proxy" { bind_socket = %[4]q; milter = true; timeout = 120s; count = 2;
  upstream "local" { default = yes; self_scan = yes; } }
`, dir, selector, st.key, socket)})
	conf := filepath.Join(dir, "rspamd.conf")
	return exec.Command("/usr/bin/rspamd", "-f", "-i", "-c", conf, "-u", "root", "-g", "root"), err
}
