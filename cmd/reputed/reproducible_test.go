//go:build long

package main

import (
	"bytes"
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Whoever builds a program from the same sources gets the same program, in another directory and with nothing left from
// an earlier build: so it can be seen that what is shipped was built from them. With cgo, a part of Go's runtime goes
// through the C compiler, so it takes the same one of these too.
func TestReproducible(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "some", "where")
	for _, name := range []string{"cmd", "milter", "policy", "signer", "contrib"} {
		if err := os.CopyFS(filepath.Join(elsewhere, name), os.DirFS(filepath.Join("..", "..", name))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join("..", "..", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(elsewhere, name), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	empty := "GOCACHE=" + t.TempDir()
	hashes := map[string]string{}
	for _, b := range []struct{ cgo, program string }{{"1", "reputed"}, {"0", "reputed"}, {"0", "reputed-filter"}} {
		name, cgo := b.program+" with CGO_ENABLED="+b.cgo, "CGO_ENABLED="+b.cgo
		here := built(t, filepath.Join("..", ".."), b.program, cgo)
		there := built(t, elsewhere, b.program, cgo, empty)
		if !bytes.Equal(here, there) {
			t.Errorf("%s is another: %x and %x", name, here, there)
		}
		if same, ok := hashes[string(here)]; ok {
			t.Errorf("%s is %s", name, same)
		}
		hashes[string(here)] = name
		t.Logf("%s has sha256 %x", name, here)
	}
}

// built builds a program in a directory of the sources, and gives the hash of it.
func built(t *testing.T, dir, program string, env ...string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), program)
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", out, "./cmd/"+program)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	return sum[:]
}
