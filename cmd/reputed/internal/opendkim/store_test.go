package opendkim

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"reputed/signer/keydir"
)

// stored imports a case with a directory of keys, and copies its keys there.
func stored(t *testing.T, name, dir string) (done []Stored, errs []error) {
	t.Helper()
	archive, err := txtar.ParseFile("testdata/" + name + ".txtar")
	if err != nil {
		t.Fatal(err)
	}
	o, err := Import(Options{File: "/etc/opendkim.conf", Root: files(t, archive), Keys: dir})
	if err != nil {
		t.Fatal(err)
	}
	return o.Store()
}

// Keys in PEM, in base64 and as the seeds of dkimpy come to their places, and the daemon can read them there.
func TestStore(t *testing.T) {
	for name, want := range map[string]int{"05-wildcards": 3, "17-dkimpy": 4, "18-dkimpy-tables": 3, "19-inline": 2} {
		dir := filepath.Join(t.TempDir(), "keys")
		done, errs := stored(t, name, dir)
		if len(done) != want || len(errs) > 0 {
			t.Errorf("%s: %v, %v", name, done, errs)
		}
		found := keydir.Load(dir, keydir.Options{})
		if len(found.Keys) != want || len(found.Problems) > 0 {
			t.Errorf("%s: %d keys, %v", name, len(found.Keys), found.Problems)
		}
		again, errs := stored(t, name, dir)
		if len(again) != want || len(errs) > 0 || again[0].New {
			t.Errorf("%s, once more: %v, %v", name, again, errs)
		}
	}
}

// A key that is there already stays, whatever the import brings; the others come to their places all the same.
func TestStoreNeverReplaces(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	stored(t, "19-inline", dir) // s1 of example.org, and s2 of example.net
	path := filepath.Join(dir, "example.org", "mail.pem")
	if err := os.Rename(filepath.Join(dir, "example.net", "s2.pem"), path); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	done, errs := stored(t, "05-wildcards", dir)
	if len(done) != 2 || len(errs) != 1 || !strings.Contains(errs[0].Error(), path+": holds another key than") {
		t.Errorf("%v, %v", done, errs)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("the key was replaced")
	}
}

// Root copies keys into the daemon's directory: they belong to the daemon, and are known again.
func TestStoreOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir := t.TempDir()
	if err := os.Chown(dir, 4711, 4711); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		done, errs := stored(t, "05-wildcards", dir)
		if len(done) != 3 || len(errs) > 0 {
			t.Fatalf("%v, %v", done, errs)
		}
		info, err := os.Stat(done[0].Path)
		if err != nil || info.Sys().(*syscall.Stat_t).Uid != 4711 || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
	}
}
