//go:build integration

package exim_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"reputed/contrib/test/exim"
)

// Exim signs by itself, under the selector that reputed says, with keys that were copied for it.
func TestOwnSigner(t *testing.T) {
	t.Parallel()
	s := example(func(o *exim.Options) { o.Transport = include(t, "own-signer.conf") })
	h := newHost(t, s)
	h.copyKeys(t)
	const friend = "friend@world.example"
	send := func(subject string) {
		must(t, h.sendmail(t, "ann@example.org", friend, message("Ann <ann@EXAMPLE.org>", subject)))
	}
	send("signed by Exim")
	first := h.signedBy(t, "signed by Exim", "example.org")
	must(t, h.smtp("127.0.0.2").mail(t, "ann@example.org", "user@inbound.example", "a stranger's"))
	h.signedBy(t, "a stranger's", "")
	must(t, way(h.sendmail).mail(t, "ann@keyless.example", friend, "without a key"))
	h.signedBy(t, "without a key", "")

	h.daemon.stop()
	send("waits for the selector")
	h.exim.LogLine("failed to expand dkim_selector")
	h.daemon.start()
	h.signedBy(t, "waits for the selector", "example.org")

	// Another key takes over, whose copy comes late.
	old, _ := filepath.Glob(filepath.Join(h.dir, "state/keys/example.org/*.pem"))
	for name, text := range h.daemon.newKeys("example.org") {
		h.keys[name] = text
	}
	if err := os.Remove(old[0]); err != nil {
		t.Fatal(err)
	}
	h.daemon.signal(syscall.SIGHUP)
	h.daemon.logLine("msg=reloaded")
	send("waits for the key")
	h.exim.LogLine("failed to expand dkim_private_key")
	h.copyKeys(t)
	second := h.signedBy(t, "waits for the key", "example.org")
	if selector := strings.TrimSuffix(filepath.Base(old[0]), ".pem"); !bytes.Contains(first.Data, []byte("s="+selector)) ||
		bytes.Contains(second.Data, []byte(selector)) {
		t.Errorf("signed at first:\n%s\nthen:\n%s", first.Data, second.Data)
	}
	if left, _ := filepath.Glob(filepath.Join(h.dir, "dkim/example.org/*.pem")); len(left) != 1 {
		t.Errorf("copies: %v", left)
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
