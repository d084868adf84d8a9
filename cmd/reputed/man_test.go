package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/cobra/doc"
)

var update = flag.Bool("update", false, "write contrib/man anew")

// The manual pages in contrib/man are the verbs' own help. After a change: go test ./cmd/reputed -run Manual -update
func TestManual(t *testing.T) {
	e, _, _ := testEnv("")
	root := rootCommand(e)
	root.InitDefaultHelpCmd()
	dir := t.TempDir()
	shipped := filepath.Join("..", "..", "contrib", "man")
	if *update {
		dir = shipped
	}
	date := time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)
	header := &doc.GenManHeader{Title: "REPUTED", Section: "1", Source: "reputed", Manual: "reputed", Date: &date}
	if err := doc.GenManTree(root, header, dir); err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil || len(pages) < 8 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, page := range pages {
		want, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(shipped, filepath.Base(page)))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the help says: go test ./cmd/reputed -run Manual -update", filepath.Base(page))
		}
	}
	if old, _ := filepath.Glob(filepath.Join(shipped, "*.1")); len(old) != len(pages) {
		t.Errorf("%d pages shipped, %d verbs", len(old), len(pages))
	}
}
