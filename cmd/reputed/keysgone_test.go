package main

import (
	"strings"
	"testing"
)

// A key that was revoked while its zone took no update has its record emptied later: what that was is still known,
// though the private key is gone.
func TestKeysPublishRevokedLater(t *testing.T) {
	w := newPublishWorld(t, strings.Replace(may, "c2Vj", "d2Vj", 1)) // a secret that is none
	w.add("s1")
	w.both("s1")
	if code, _, stderr := w.run("revoke", "s1", "--yes"); code != exitFailed {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	w.configure(may)
	code, stdout, stderr := w.run("publish", "s1")
	if code != exitOK || !strings.Contains(stdout, "the primary of its zone shows no key any more") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	if got := strings.Join(w.at("s1._domainkey.example.org"), "|"); got != "v=DKIM1; p=" {
		t.Errorf("the record is %q", got)
	}
}
