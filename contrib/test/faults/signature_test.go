//go:build integration

package faults

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"reputed/contrib/test/verifiers"
	"reputed/milter/bridge"
)

// signer gives the name of the record of the key that is to sign for a sender: his domain's, or that of the nearest
// one above it. It is "" where there is none.
func (l *load) signer(sender string) string {
	_, domain, _ := strings.Cut(sender, "@")
	for ; domain != ""; _, domain, _ = strings.Cut(domain, ".") {
		for name := range l.keys {
			if strings.HasSuffix(name, "._domainkey."+domain) {
				return name
			}
		}
	}
	return ""
}

// astray tells what is wrong with the signature of a message: there is to be one, by the sender's key. Whether it
// verifies is for a stranger to say.
func (l *load) astray(m mailing, r bridge.Result) error {
	var by []string
	for _, c := range r.Changes {
		if c.Kind == bridge.InsertHeader && c.Name == "DKIM-Signature" {
			by = append(by, tag(c.Value, "s")+"._domainkey."+tag(c.Value, "d"))
		}
	}
	if want := l.signer(m.sender); want == "" || len(by) != 1 || by[0] != want {
		return fmt.Errorf("mail of %s is signed by %q, not by %q", m.sender, by, want)
	}
	return nil
}

// tag gives the value of a tag of a signature, "" if it has none.
func tag(signature, name string) string {
	for part := range strings.SplitSeq(signature, ";") {
		if n, value, _ := strings.Cut(part, "="); strings.TrimSpace(n) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// passed is a message that was signed, and is kept for a stranger to verify.
type passed struct {
	n       int
	m       mailing
	changes []bridge.Change
	keys    map[string]string
}

// text gives the message as it leaves.
func (p *passed) text() []byte {
	m := p.m.bridge(p.n)
	out := bytes.NewBuffer(bridge.Apply(m.Header, p.changes).Raw())
	out.WriteString("\r\n")
	io.Copy(out, m.Body)
	return out.Bytes()
}

// kept tells which of a client's messages are verified, counted from 0. Clients whose senders come by turns have each of
// them among these.
func kept(n int) bool { return n%49 == 0 }

// verified has a stranger verify the messages that were kept, one by one, for they may be large.
func (a *tally) verified(t testing.TB, what string) {
	t.Helper()
	if len(a.kept) == 0 {
		t.Errorf("%s: no signature is verified", what)
		return
	}
	verifier, bad := stranger(t), 0
	for _, p := range a.kept {
		results, err := verifier.Verify([][]byte{p.text()}, p.keys)
		if err != nil {
			t.Fatal(err)
		}
		if all := results[0]; len(all) != 1 || !all[0].Pass {
			if bad++; bad == 1 {
				t.Errorf("%s: %s does not take number %d of %s: %+v", what, verifier.Name, p.n, p.m.sender, all)
			}
		}
	}
	if bad > 1 {
		t.Errorf("%s: nor %d others of %d", what, bad-1, len(a.kept))
	}
}

// strangers are those who were looked for once, which takes a moment.
var strangers struct {
	sync.Mutex
	all []verifiers.Verifier
}

// stranger is who verifies, within this process.
func stranger(t testing.TB) verifiers.Verifier {
	t.Helper()
	strangers.Lock()
	defer strangers.Unlock()
	if strangers.all == nil {
		strangers.all = verifiers.All(t)
	}
	return strangers.all[0]
}
