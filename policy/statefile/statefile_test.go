package statefile_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reputed/policy/statefile"
)

// What is saved is loaded, whole, by nobody else; and nothing is left beside it.
func TestSave(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "x.json")
	for _, want := range []string{"first", "second"} {
		if err := statefile.Save(path, want); err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := statefile.Load(path, func(text []byte) error { return json.Unmarshal(text, &got) }); err != nil || got != want {
			t.Errorf("%q, %v", got, err)
		}
	}
	info, err := os.Stat(path)
	dir, errDir := os.Stat(filepath.Dir(path))
	beside, _ := os.ReadDir(filepath.Dir(path))
	if err != nil || errDir != nil || info.Mode().Perm() != 0o600 || dir.Mode().Perm() != 0o700 || len(beside) != 1 {
		t.Errorf("%v, %v, %v", info, dir, beside)
	}
	if err := statefile.Save(path, func() {}); err == nil {
		t.Error("saved what is no JSON")
	}
	if got, _ := os.ReadFile(path); string(got) != "\"second\"\n" {
		t.Errorf("lost what was there: %q", got)
	}
}

// What is written piece by piece takes the place of the file when all of it is there.
func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "x.json")
	full := errors.New("no more")
	for _, tt := range []struct {
		pieces []string
		err    error
		want   string
	}{
		{[]string{`{"a":`, "1}\n"}, nil, "{\"a\":1}\n"},
		{[]string{`{"a":`, strings.Repeat(" ", 1<<20)}, full, "{\"a\":1}\n"},
		{[]string{strings.Repeat("x", 1<<20)}, nil, strings.Repeat("x", 1<<20)},
	} {
		err := statefile.Write(path, func(to io.Writer) error {
			for _, piece := range tt.pieces {
				if _, err := io.WriteString(to, piece); err != nil {
					return err
				}
			}
			return tt.err
		})
		got, _ := os.ReadFile(path)
		beside, _ := os.ReadDir(filepath.Dir(path))
		if !errors.Is(err, tt.err) || string(got) != tt.want || len(beside) != 1 {
			t.Errorf("%v; %d octets, and %v", err, len(got), beside)
		}
	}
	if err := statefile.Write("", func(io.Writer) error { t.Error("written"); return nil }); err != nil {
		t.Error(err)
	}
}

// What cannot be read is set aside, and said; where nothing can have been known, there is nothing to say.
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.json")
	never := func([]byte) error { t.Error("parsed"); return nil }
	for _, none := range []string{"", path, filepath.Join(dir, "no", "x.json")} {
		if err := statefile.Load(none, never); err != nil {
			t.Error(err)
		}
	}
	if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := statefile.Load(filepath.Join(path, "x.json"), never); err != nil {
		t.Errorf("below a file: %v", err)
	}
	bad := errors.New("it says nothing")
	err := statefile.Load(path, func([]byte) error { return bad })
	if !errors.Is(err, bad) || !strings.Contains(err.Error(), "it was set aside as "+path+".broken") {
		t.Error(err)
	}
	if kept, _ := os.ReadFile(path + ".broken"); string(kept) != "text" {
		t.Errorf("%q", kept)
	}
	if err := statefile.Load(path, never); err != nil {
		t.Error(err)
	}
	big, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(big.Truncate(64<<20+1), big.Close()); err != nil {
		t.Fatal(err)
	}
	if err := statefile.Load(path, never); err == nil || !strings.Contains(err.Error(), "far too large") {
		t.Error(err)
	}
}
