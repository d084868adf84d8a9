package publish

import (
	"strings"
	"testing"
)

// Records are strangers' words: whatever stands there is read, and no record that differs in its key is one's own.
func FuzzPublicKey(f *testing.F) {
	for _, text := range []string{
		"v=DKIM1; k=rsa; p=MIIB", "p=", "v=DKIM1; p=; p=MIIB", "v=spf1 -all", "p=MI IB\t; t=y", "; ;p", "P=MIIB", "p==", "",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, is := publicKey(text)
		if !is && key != "" || strings.ContainsAny(key, " \t\r\n;") {
			t.Errorf("%q: %q, %v", text, key, is)
		}
		if again, is := publicKey("v=DKIM1; p=" + key); !is || again != key {
			t.Errorf("%q: %q, %q", text, key, again)
		}
		there := present{texts: []string{text}}
		if there.revoked() && there.holds(text) || is && key != "" && !there.holds(text) {
			t.Errorf("%q: %q", text, key)
		}
		if there.holds("v=DKIM1; p=OTHER") != (is && key == "OTHER") {
			t.Errorf("%q", text)
		}
	})
}
