package opendkim

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"reputed/cmd/reputed/internal/config"
)

var update = flag.Bool("update", false, "write the expectations in testdata anew")

// keyring makes the keys of the tests, each once.
var keyring = struct {
	sync.Mutex
	der map[string][]byte
}{der: map[string][]byte{}}

// pkcs8 gives a key by its name, "rsa a", "rsa b" or "ed25519", in DER.
func pkcs8(t testing.TB, name string) []byte {
	t.Helper()
	keyring.Lock()
	defer keyring.Unlock()
	if der := keyring.der[name]; der != nil {
		return der
	}
	var private any
	var err error
	if strings.HasPrefix(name, "rsa") {
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		_, private, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	keyring.der[name] = der
	return der
}

// withKeys puts keys in the place of the words that stand for them in testdata.
func withKeys(t testing.TB, text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		name, isKey := strings.CutPrefix(strings.TrimSpace(line), "KEY ")
		head, inline, isInline := strings.Cut(strings.TrimSpace(line), "DER ")
		switch {
		case isKey && name == "seed":
			der := pkcs8(t, "ed25519")
			line = base64.StdEncoding.EncodeToString(der[len(der)-ed25519.SeedSize:]) + "\n"
		case isKey:
			line = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8(t, name)}))
		case isInline:
			line = head + base64.StdEncoding.EncodeToString(pkcs8(t, inline)) + "\n"
		}
		out.WriteString(line)
	}
	return out.String()
}

// files gives the files of a case, from "/".
func files(t testing.TB, archive *txtar.Archive) fstest.MapFS {
	root := fstest.MapFS{}
	for _, f := range archive.Files {
		if strings.HasPrefix(f.Name, "etc/") {
			root[f.Name] = &fstest.MapFile{Data: []byte(withKeys(t, string(f.Data)))}
		}
	}
	return root
}

func section(archive *txtar.Archive, name string) *txtar.File {
	for i := range archive.Files {
		if archive.Files[i].Name == name {
			return &archive.Files[i]
		}
	}
	archive.Files = append(archive.Files, txtar.File{Name: name})
	return &archive.Files[len(archive.Files)-1]
}

// Each file of testdata is a set-up, with what comes out: our configuration, the report, and the commands for the keys.
// The integration tests of contrib/test/opendkim play mail of its senders to both programs.
func TestCases(t *testing.T) {
	cases, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(cases) < 20 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, name := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			host := config.Host{FullName: "mail.example.org"}
			o, err := Import(Options{File: "/etc/opendkim.conf", Root: files(t, archive), Host: host})
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{"want.toml": string(o.TOML), "want.report": "", "want.commands": ""}
			for _, n := range o.Report {
				got["want.report"] += n.String() + "\n"
			}
			for _, c := range o.Commands() {
				got["want.commands"] += c + "\n"
			}
			for _, what := range []string{"want.toml", "want.report", "want.commands"} {
				f := section(archive, what)
				if *update {
					f.Data = []byte(got[what])
				} else if diff := cmp.Diff(string(f.Data), got[what]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", what, diff)
				}
			}
			noKeys(t, fmt.Sprint(got, o.Report, o.Keys, o.Compare(o.Samples)))
			if *update {
				if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// noKeys fails if a text holds a part of a private key.
func noKeys(t testing.TB, text string) {
	t.Helper()
	keyring.Lock()
	defer keyring.Unlock()
	for name, der := range keyring.der {
		encoded := base64.StdEncoding.EncodeToString(der)
		for _, part := range []string{encoded[len(encoded)/2:][:20], encoded[len(encoded)-20:]} {
			if strings.Contains(text, part) {
				t.Errorf("the key %q shows", name)
			}
		}
	}
}
