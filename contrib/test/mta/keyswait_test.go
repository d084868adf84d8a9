//go:build integration

package mta

import (
	"strings"
	"testing"
	"time"

	"reputed/contrib/test/postfix"
)

// The primary takes the record, and the other server does not have it yet: with --wait the verb goes on looking until it
// has, and says which one does not when its time is up.
func TestKeysPublishWait(t *testing.T) {
	eachTwins(t, func(t *testing.T, w *twins) {
		d := newDaemon(t, t.TempDir(), w.settings(time.Second))
		const name = "s1._domainkey.example.org"
		record := records(d.run("keys", "new", "example.org", "--selector", "s1"))[name]
		says := func(stdout string, words ...string) {
			t.Helper()
			for _, word := range words {
				if !strings.Contains(stdout, word) {
					t.Errorf("it does not say %q:\n%s", word, stdout)
				}
			}
		}
		code, stdout, stderr := d.verb("keys", "publish", "s1", "--wait", "--timeout", "50ms")
		if at := w.shows(t, name); code != exitFailed || at != [2]string{record, ""} {
			t.Fatalf("exit %d, the servers show %.40q: %s%s", code, at, stdout, stderr)
		}
		says(stdout, "the primary of its zone shows the record", "not everywhere yet",
			"ns1.example.org shows the key; ns2.example.org does not: ")
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			code, stdout, stderr = d.verb("keys", "publish", "s1", "--wait")
		}()
		w.awaitQuestions(t)
		select {
		case <-ended:
			t.Fatalf("it did not wait: exit %d: %s%s", code, stdout, stderr)
		default:
		}
		w.catchUp()
		<-ended
		if at := w.shows(t, name); code != 0 || at != [2]string{record, record} {
			t.Errorf("exit %d, the servers show %.40q: %s%s", code, at, stdout, stderr)
		}
		says(stdout, "every server of example.org shows the key (ns1.example.org, ns2.example.org)")
	})
}

// exitFailed is the exit status of a verb whose answer is no.
const exitFailed = 1

// awaitQuestions waits until whoever looks for a key has looked more than once.
func (w *twins) awaitQuestions(t *testing.T) {
	t.Helper()
	const asked = " example.org. SOA IN NOERROR "
	before := strings.Count(w.unbound.Log(), asked)
	postfix.Eventually(t, "it looks again and again", func() bool {
		return strings.Count(w.unbound.Log(), asked) > before+3
	})
}
