package config_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reputed/cmd/reputed/internal/config"
)

var update = flag.Bool("update", false, "write testdata/bad/*.want anew")

// host is the host of all tests.
var host = config.Host{FullName: "mail.example.org", PostfixSpool: true}

// Each testdata/bad/NN-name.toml is a mistake that an operator makes, with a line of why; NN-name.want is what the
// program says to it, word for word.
func TestBad(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d cases, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".toml")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = config.Load(filepath.Base(file), text, host)
			if errs := (config.Errors)(nil); !errors.As(err, &errs) {
				t.Fatalf("error %v of type %T", err, err)
			}
			want := strings.TrimSuffix(file, ".toml") + ".want"
			got := err.Error() + "\n"
			if *update {
				if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			expected, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(expected) {
				t.Errorf("got:\n%swant:\n%s", got, expected)
			}
			checkStyle(t, got)
		})
	}
}

// checkStyle holds the messages to the tone of the house.
func checkStyle(t *testing.T, messages string) {
	for line := range strings.Lines(messages) {
		switch {
		case strings.Contains(strings.ReplaceAll(line, `"!`, ""), "!"):
			t.Errorf("exclamation: %s", line)
		case strings.HasSuffix(line, ".\n"):
			t.Errorf("full stop: %s", line)
		}
	}
}
