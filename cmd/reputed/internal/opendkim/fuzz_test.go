package opendkim

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"reputed/policy/mail"
)

// FuzzImport reads any text as opendkim.conf and as the tables: no panic, and either a refusal or a configuration that
// our own reader takes. Nothing that is said holds a key, nor what a terminal would obey.
func FuzzImport(f *testing.F) {
	cases, _ := filepath.Glob("testdata/*.txtar")
	for _, name := range cases {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		var text [3]string
		for _, file := range archive.Files {
			switch {
			case file.Name == "etc/opendkim.conf":
				text[0] = string(file.Data)
			case strings.HasSuffix(file.Name, "/kt"):
				text[1] = string(file.Data)
			case strings.HasSuffix(file.Name, "/st"):
				text[2] = string(file.Data)
			}
		}
		f.Add(text[0], text[1], text[2], "ann@example.org")
	}
	key := withKeys(f, "KEY ed25519\n")
	f.Fuzz(func(t *testing.T, conf, keyTable, signingTable, sender string) {
		if len(conf)+len(keyTable)+len(signingTable) > 10_000 {
			return
		}
		o, err := importText(conf, mapFS(map[string]string{
			"etc/opendkim/kt": keyTable, "etc/opendkim/st": signingTable, "etc/opendkim/a.pem": key}))
		if refused := (Refusals)(nil); errors.As(err, &refused) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range o.Report {
			if s := n.String(); s != printable(s) {
				t.Errorf("not to be shown: %q", s)
			}
		}
		noKeys(t, string(o.TOML)+strings.Join(o.Commands(), ""))
		if a, err := mail.ParsePath(sender); err == nil && !a.IsZero() {
			o.Compare([]mail.Address{a})
		}
	})
}
