//go:build integration

package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// The programs under test, built once.
var (
	plain  string // as it is installed
	filter string // Exim's
	hasty  string // what works beside the messages goes 36,000 times faster than time: an hour takes a tenth of a second
	raced  string // with the race detector; "" in the short form, for it takes long to build
	builds = []struct {
		path    *string
		command string
		args    []string
	}{
		{&plain, "reputed", nil},
		{&filter, "reputed-filter", nil},
		{&hasty, "reputed", []string{"-ldflags", "-X main.haste=36000"}},
		{&raced, "reputed", []string{"-race"}},
	}
)

func TestMain(m *testing.M) {
	os.Setenv("GORACE", "atexit_sleep_ms=0") // else each run of the program waits for a second when it is done
	dir, err := os.MkdirTemp("", "reputed-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := 1
	if os.Chmod(dir, 0o755) == nil && build(dir) { // Exim's user runs the filter
		status = m.Run()
	}
	os.RemoveAll(dir)
	printFigures()
	os.Exit(status)
}

func build(dir string) bool {
	for i, b := range builds {
		if b.path == &raced && !long {
			continue
		}
		*b.path = filepath.Join(dir, fmt.Sprintf("%s-%d", b.command, i))
		args := append([]string{"build", "-o", *b.path}, b.args...)
		cmd := exec.Command("go", append(args, "reputed/cmd/"+b.command)...)
		cmd.Stderr = os.Stderr
		if cmd.Run() != nil {
			return false
		}
	}
	return true
}

// figures are the lines of the table.
var figures struct {
	mu   sync.Mutex
	rows [][2]string
}

// figure puts a line into the table: what went wrong, and what came of it.
func figure(t testing.TB, fault, format string, args ...any) {
	t.Helper()
	text := fmt.Sprintf(format, args...)
	t.Logf("%s: %s", fault, text)
	figures.mu.Lock()
	defer figures.mu.Unlock()
	figures.rows = append(figures.rows, [2]string{fault, text})
}

func printFigures() {
	var b strings.Builder
	for _, r := range figures.rows {
		fmt.Fprintf(&b, "%-34s %s\n", r[0], r[1])
	}
	fmt.Print("\n", b.String(), "\n")
	if file := os.Getenv("REPUTED_FAULTS_REPORT"); file != "" {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}
