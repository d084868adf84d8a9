//go:build integration

package opendkim

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"reputed/milter/bridge"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "reputed-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "reputed")
	build := exec.Command("go", "build", "-o", binary, "reputed/cmd/reputed")
	build.Stderr = os.Stderr
	status := 1
	if build.Run() == nil {
		status = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(status)
}

// setups are those that the import has as its cases.
const setups = "../../../cmd/reputed/internal/opendkim/testdata/*.txtar"

// Both programs sign the same mail: the domains, the selectors, the canonicalization and the fields that are covered
// are those of OpenDKIM, and what is not signed by it is not signed here. Where a case says that mail fares otherwise
// (a sender with "!"), it does, and the comparison that the import offers had said so. Each decision of both is the one
// that the comparison expects.
func TestSameSignatures(t *testing.T) {
	require(t)
	cases, err := filepath.Glob(setups)
	if err != nil || len(cases) == 0 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	same := 0
	for _, name := range cases {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == "senders" })
		if i < 0 {
			continue
		}
		senders := strings.Split(strings.TrimSpace(string(archive.Files[i].Data)), "\n")
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			same += play(t, install(t, archive), senders)
		})
	}
	t.Logf("%d messages fared alike", same)
	if same < 60 {
		t.Errorf("%d messages fared alike, at least 60 should be", same)
	}
}

// require skips the test where there is no opendkim, or fails where it must be there.
func require(t *testing.T) {
	if _, err := os.Stat(program); err == nil {
		return
	}
	const missing = "opendkim is not installed: apt-get install --no-install-recommends opendkim"
	if os.Getenv("REPUTED_REQUIRE_MTA") != "" || os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip(missing)
}

// play has both programs sign mail from each sender, and counts what they do alike.
func play(t *testing.T, dir string, senders []string) (same int) {
	expected := comparisons(t, dir, senders)
	opendkim, reputed := theirs(t, dir), ours(t, dir)
	for _, line := range senders {
		line, differs := strings.CutPrefix(line, "!")
		l := parseLetter(line)
		got, reply := reputed.sign(l)
		want, theirReply := opendkim.sign(l)
		alike := decision(got, reply) == decision(want, theirReply) && slices.Equal(got, want)
		if alike == differs {
			t.Errorf("%s: opendkim: %s %v; reputed: %s %v", line, theirReply.Kind, want, reply.Kind, got)
		}
		if alike {
			same++
		}
		if e, ok := expected[l.from]; ok && l.client+l.login+l.daemon == "" {
			if d := [2]string{decision(want, theirReply), decision(got, reply)}; d != e {
				t.Errorf("%s: opendkim and reputed did %q, and the comparison says %q", line, d, e)
			}
		}
	}
	return same
}

// decision gives what was done as the comparison writes it.
func decision(signed []signature, reply bridge.Reply) string {
	var names []string
	for _, s := range signed {
		if name := strings.ToLower(s.selector + "._domainkey." + s.domain); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	switch {
	case reply.Kind != bridge.Accept && reply.Kind != bridge.Continue:
		return "deferred"
	case len(names) == 0:
		return "unsigned"
	}
	return strings.Join(names, " ")
}

// comparisons asks the import what both will do with mail from each sender.
func comparisons(t *testing.T, dir string, senders []string) map[string][2]string {
	t.Helper()
	args := []string{"config", "import-opendkim", filepath.Join(dir, "etc/opendkim.conf"), "--check"}
	for _, line := range senders {
		args = append(args, parseLetter(strings.TrimPrefix(line, "!")).from)
	}
	out, _ := exec.Command(binary, args...).Output() // the status tells of differences, which some cases have
	expected := map[string][2]string{}
	columns := regexp.MustCompile(`  +`)
	for line := range strings.Lines(string(out)) {
		if c := columns.Split(strings.TrimSpace(line), -1); len(c) == 4 {
			expected[c[0]] = [2]string{c[1], c[2]}
		}
	}
	if len(expected) == 0 {
		t.Errorf("the comparison says nothing: %s", out)
	}
	return expected
}

// parseLetter reads a line of a case: the sender, how the mail came, and fields.
func parseLetter(line string) (l letter) {
	words := strings.Fields(line)
	l.from = words[0]
	for _, w := range words[1:] {
		name, value, _ := strings.Cut(w, "=")
		switch name {
		case "client":
			l.client = value
		case "login":
			l.login = value
		case "daemon":
			l.daemon = value
		default:
			l.fields = append(l.fields, name+": "+value)
		}
	}
	return l
}

// keyOf gives a key in PEM, the same for each name.
func keyOf(t *testing.T, keys map[string][]byte, name string) []byte {
	t.Helper()
	if keys[name] == nil {
		var private any
		var err error
		if name == "ed25519" {
			_, private, err = ed25519.GenerateKey(rand.Reader)
		} else {
			private, err = rsa.GenerateKey(rand.Reader, 2048)
		}
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	return keys[name]
}

// install lays the files of a case in a directory, which stands for the root directory.
func install(t *testing.T, archive *txtar.Archive) string {
	t.Helper()
	dir := t.TempDir()
	keys := map[string][]byte{}
	for _, f := range archive.Files {
		if !strings.HasPrefix(f.Name, "etc/") {
			continue
		}
		text := bytes.ReplaceAll(f.Data, []byte("/etc/"), []byte(dir+"/etc/"))
		if name, isKey := strings.CutPrefix(strings.TrimSpace(string(text)), "KEY "); isKey {
			text = keyOf(t, keys, name)
		}
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// theirs starts opendkim with the configuration of a case. Temporary directories are open to others, which it minds.
func theirs(t *testing.T, dir string) *server {
	t.Helper()
	socket := filepath.Join(dir, "opendkim.sock")
	conf := configure(t, dir, "their.conf", socket, "RequireSafeKeys no\n")
	return serve(t, socket, program, "-f", "-x", conf, "-u", "root", "-P", filepath.Join(dir, "pid"))
}

// ours imports the configuration of a case, and starts the daemon with it. It is kept from the network.
func ours(t *testing.T, dir string) *server {
	t.Helper()
	socket := filepath.Join(dir, "reputed.sock")
	conf := configure(t, dir, "our.conf", socket, "")
	imported := exec.Command(binary, "config", "import-opendkim", conf, "--keys", filepath.Join(dir, "keys"))
	var report bytes.Buffer
	imported.Stderr = &report
	text, err := imported.Output()
	if err != nil && len(text) == 0 {
		t.Fatalf("%v\n%s", err, report.String())
	}
	toml := fmt.Sprintf("hostname = \"mail.example.org\"\nstate_dir = %q\n%s\n[policy.dnsbl]\nwatch = []\n",
		filepath.Join(dir, "state"), text)
	if !strings.Contains(toml, "[dns]") {
		toml += "[dns]\nservers = [\"127.0.0.1:1\"]\n"
	}
	file := filepath.Join(dir, "reputed.toml")
	if err := os.WriteFile(file, []byte(toml), 0o600); err != nil {
		t.Fatal(err)
	}
	return serve(t, socket, binary, "serve", "--config", file)
}

// configure writes opendkim.conf once more, with a socket of its own.
func configure(t *testing.T, dir, name, socket, more string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "etc/opendkim.conf"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "etc", name)
	text = fmt.Appendf(text, "\n%sSocket local:%s\n", more, socket)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
