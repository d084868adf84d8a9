package keydir_test

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"reputed/policy/mail"
	"reputed/signer"
	"reputed/signer/keydir"
)

// One domain is read as it is among all others, whatever is wrong with these.
func TestLoadDomain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	var names []mail.Domain
	for _, name := range []string{"example.net", "example.org"} {
		d, err := mail.ParseDomain(name)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, d)
		s, err := signer.ParseSelector("s1")
		if err != nil {
			t.Fatal(err)
		}
		_, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := keydir.Store(dir, signer.ID{Domain: d, Selector: s}, private); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a b", "example.net/s2.pem"} { // neither a domain nor a key
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(filepath.Join(dir, "example.org"), filepath.Join(dir, "Example.org")); err != nil {
		t.Fatal(err)
	}
	if f := keydir.Load(dir, keydir.Options{}); len(f.Keys) != 2 || len(f.Problems) != 2 {
		t.Fatalf("%+v", f)
	}
	f := keydir.Load(dir, keydir.Options{Domain: names[1]})
	if len(f.Keys) != 1 || f.Keys[0].ID().Domain != names[1] || len(f.Problems) != 0 || len(f.Domains) != 1 {
		t.Errorf("%+v", f)
	}
	if f := keydir.Load(dir, keydir.Options{Domain: names[0]}); len(f.Keys) != 1 || len(f.Problems) != 1 {
		t.Errorf("%+v", f)
	}
}

// Who wants records gets what the keys would tell, and no key.
func TestLoadRecords(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	for _, name := range []string{"example.net", "example.org"} {
		of := id(t, name, "s1")
		_, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := keydir.Store(dir, of, private); err != nil {
			t.Fatal(err)
		}
	}
	want, got := keydir.Load(dir, keydir.Options{}), keydir.Load(dir, keydir.Options{Records: true})
	if len(got.Keys) != 0 || len(got.Records) != 2 || !slices.Equal(got.Lives(), want.Lives()) {
		t.Fatalf("%+v", got)
	}
	for i, r := range got.Records {
		if k := want.Keys[i]; r.Life != k.Life() || r.Text != k.Record() {
			t.Errorf("%+v", r)
		}
	}
}
