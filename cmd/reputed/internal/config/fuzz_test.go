package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reputed/cmd/reputed/internal/config"
	"reputed/contrib"
)

// Whatever the text, Load gives a configuration that is read back as it is written, or errors with their lines.
func FuzzLoad(f *testing.F) {
	f.Add(contrib.Sample)
	f.Add(setting.ReplaceAll(contrib.Sample, []byte("$1")))
	f.Add([]byte(everything))
	files, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := config.Load("f", text, host)
		if err != nil {
			var errs config.Errors
			if !errors.As(err, &errs) || len(errs) == 0 {
				t.Fatalf("%T: %v", err, err)
			}
			for _, e := range errs {
				if e.Line < 1 || e.Text == "" {
					t.Fatalf("%+v", e)
				}
			}
			return
		}
		if diff := cmp.Diff(c, written(t, c), same); diff != "" {
			t.Errorf("(-loaded +written)\n%s", diff)
		}
	})
}
