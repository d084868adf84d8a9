//go:build integration

package exim_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"reputed/contrib/test/exim"
	"reputed/contrib/test/sink"
)

const friend = "friend@world.example"

// Exim signs by itself, under the selector that reputed says, with keys that were copied for it.
func TestOwnSigner(t *testing.T) {
	t.Parallel()
	s := example(func(o *exim.Options) {
		o.Transport = include(t, "own-signer.conf")
		o.Main += "strict_acl_vars = true\n"
	})
	s.reputed += "[[domain]]\nname = \"waiting.example\"\n"
	h := newHost(t, s)
	h.copyKeys(t)
	for _, sub := range []struct {
		name string
		run  func(*host, *testing.T)
	}{
		{"authors", (*host).nativeAuthors},
		{"no key can be used", (*host).nativeNoKey},
		{"reputed is down", (*host).nativeDown},
		{"another key takes over", (*host).nativeRotation},
	} {
		t.Run(sub.name, func(t *testing.T) { sub.run(h, t) })
	}
}

// Whose domain it is signed for, however From is written.
func (h *host) nativeAuthors(t *testing.T) {
	for i, tt := range []struct{ from, want string }{
		{"Ann <ann@EXAMPLE.org>", "example.org"},
		{"=?utf-8?Q?M=C3=BCller=2C_J=C3=B6rg?= <ann@example.org>", "example.org"}, // decoded, it has a comma
		{"\"Ann, of\r\n us\"\r\n <ann@example.org>", "example.org"},
		{"ann@example.org, \"B: x\" <bob@example.net>, c@keyless.example", "example.net example.org"},
		{"us: ann@example.org;", "example.org"},
		{"ann@keyless.example", ""},
	} {
		subject := fmt.Sprintf("author %d.", i)
		must(t, h.sendmail(t, "ann@example.org", friend, message(tt.from, subject)))
		m := h.sink.Subject(t, subject)
		got := strings.Fields(h.signers(t, []*sink.Message{m})[0])
		slices.Sort(got)
		if strings.Join(got, " ") != tt.want {
			t.Errorf("From: %s: signed by %q, want %q", tt.from, got, tt.want)
		}
	}
	must(t, h.smtp("127.0.0.2").mail(t, "ann@example.org", "user@inbound.example", "a stranger's"))
	h.signedBy(t, "a stranger's", "")
	must(t, h.smtp("127.0.0.1")(t, "ann@example.org", friend, message("nobody: ;", "no author")))
	h.signedBy(t, "no author", "")
	h.exim.LogLine("leaves unsigned: no address in From")
}

// What should be signed waits for a key that can be used.
func (h *host) nativeNoKey(t *testing.T) {
	maps.Copy(h.keys, h.daemon.waitingKeys("waiting.example"))
	h.reload(t)
	h.copyKeys(t)
	must(t, way(h.sendmail).mail(t, "ann@waiting.example", friend, "waits for a usable key"))
	h.exim.LogLine("failed to expand dkim_selector")
	h.daemon.useKeys()
	h.reload(t)
	h.signedBy(t, "waits for a usable key", "waiting.example")
}

// Nothing leaves while reputed is silent. What it was not asked about is asked about when it leaves: what a program on
// this host handed back for a stranger is not signed.
func (h *host) nativeDown(t *testing.T) {
	must(t, h.sendmail(t, "ann@example.org", "friend@later.example", message("ann@example.org", "waits for the selector")))
	h.daemon.stop()
	must(t, way(h.sendmail).mail(t, "ann@example.org", friend, "waits for its class"))
	must(t, h.sendmail(t, "someone@elsewhere.example", friend,
		message("ann@example.org", "a redirect meanwhile", "Received: from elsewhere")))
	h.open(t)
	h.exim.LogLine("failed to expand dkim_selector")
	h.exim.LogLine("failed to expand dkim_domain")
	h.daemon.start()
	h.signedBy(t, "waits for the selector", "example.org")
	h.signedBy(t, "waits for its class", "example.org")
	h.signedBy(t, "a redirect meanwhile", "")
}

// Another key takes over, whose copy comes late.
func (h *host) nativeRotation(t *testing.T) {
	old, _ := filepath.Glob(filepath.Join(h.dir, "state/keys/example.org/*.pem"))
	maps.Copy(h.keys, h.daemon.newKeys("example.org"))
	if err := os.Remove(old[0]); err != nil {
		t.Fatal(err)
	}
	h.reload(t)
	must(t, way(h.sendmail).mail(t, "ann@example.org", friend, "waits for the key"))
	h.exim.LogLine("failed to expand dkim_private_key")
	h.copyKeys(t)
	m := h.signedBy(t, "waits for the key", "example.org")
	if bytes.Contains(m.Data, []byte("s="+strings.TrimSuffix(filepath.Base(old[0]), ".pem"))) {
		t.Errorf("signed with the old key:\n%s", m.Data)
	}
	if left, _ := filepath.Glob(filepath.Join(h.dir, "dkim/example.org/*.pem")); len(left) != 1 {
		t.Errorf("copies: %v", left)
	}
}

// reload has the daemon read its keys again, and waits until it has.
func (h *host) reload(t *testing.T) {
	t.Helper()
	before := strings.Count(h.daemon.log.String(), "msg=reloaded")
	h.daemon.signal(syscall.SIGHUP)
	exim.Eventually(t, "reputed has reloaded", func() bool {
		return strings.Count(h.daemon.log.String(), "msg=reloaded") > before
	})
}

// Where there are no keys to copy, something is wrong with the place, and not with the copies.
func TestCopyKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	from, to := filepath.Join(dir, "keys"), filepath.Join(dir, "dkim")
	for _, name := range []string{"a.example/one", "a.example/two", "b.example/one"} {
		write(t, filepath.Join(from, name+".pem"), name)
	}
	copies := func(status int) string {
		t.Helper()
		cmd := exec.Command(shipped(t, "copy-keys"), from, to, strconv.Itoa(os.Getegid()))
		if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != status {
			t.Errorf("status %d, want %d: %s", cmd.ProcessState.ExitCode(), status, out)
		}
		all, _ := filepath.Glob(filepath.Join(to, "*/*"))
		return strings.ReplaceAll(strings.Join(all, " "), to+"/", "")
	}
	rename := func(old, new string) {
		t.Helper()
		if err := os.Rename(old, new); err != nil {
			t.Fatal(err)
		}
	}
	const three, two = "a.example/one.pem a.example/two.pem b.example/one.pem", "a.example/one.pem b.example/one.pem"
	if got := copies(0); got != three {
		t.Errorf("copies: %s", got)
	}
	rename(from+"/a.example/two.pem", dir+"/gone")
	if got := copies(0); got != two {
		t.Errorf("one is removed: %s", got)
	}
	rename(from, from+".away")
	if got := copies(66); got != two {
		t.Errorf("no place: %s", got)
	}
	if err := os.Mkdir(from, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := copies(66); got != two {
		t.Errorf("no keys there: %s", got)
	}
}

func (h *host) copyKeys(t *testing.T) {
	t.Helper()
	out, err := exec.Command(shipped(t, "copy-keys"), filepath.Join(h.dir, "state/keys"), filepath.Join(h.dir, "dkim"),
		"Debian-exim").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
