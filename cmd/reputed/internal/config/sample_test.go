package config_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reputed/cmd/reputed/internal/config"
	"reputed/contrib"
)

// In the sample a # before a setting has no blank behind it; before prose it has. What may be there several times, such
// as a [[domain]], has no default: its example stands as prose, indented.
var (
	setting = regexp.MustCompile(`(?m)^#([^ \n])`)
	example = regexp.MustCompile(`(?m)^#   (\[|[a-z_]+(\."[0-9.]+")? =)`)
)

func TestSample(t *testing.T) {
	want := config.Default(host)
	tests := []struct {
		why  string
		text []byte
	}{
		{"as it is shipped", contrib.Sample},
		{"with every setting", setting.ReplaceAll(contrib.Sample, []byte("$1"))},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			if diff := cmp.Diff(want, load(t, string(tt.text)), same); diff != "" {
				t.Errorf("the sample changes the defaults (-default +sample):\n%s", diff)
			}
		})
	}
	t.Run("with its examples", func(t *testing.T) {
		c := load(t, string(example.ReplaceAll(contrib.Sample, []byte("$1"))))
		if len(c.Domains) == 0 || len(c.Egress) == 0 || len(c.Rewrite) == 0 || len(c.Policy.DNSBL.Lists) == 0 ||
			len(c.Signing.Publish) == 0 || len(c.Login.May) == 0 {
			t.Error("no example of a domain, an egress, a rewriting, a list, a zone or a login")
		}
	})
}

// The sample has every key, in the order in which the configuration is written.
func TestSampleComplete(t *testing.T) {
	var b bytes.Buffer
	if err := load(t, everything).Write(&b); err != nil {
		t.Fatal(err)
	}
	text := string(example.ReplaceAll(setting.ReplaceAll(contrib.Sample, []byte("$1")), []byte("$1")))
	at, section, seen := 0, "", map[string]bool{}
	for line := range strings.Lines(b.String()) {
		key, _, ok := strings.Cut(line, " = ")
		key, _, _ = strings.Cut(key, `."`) // a code of a list, any other will do
		wanted := regexp.MustCompile(`\n` + regexp.QuoteMeta(key) + `( = |\.)`)
		if strings.HasPrefix(line, "[") {
			section = strings.TrimSpace(line)
			key, ok = section, true
			wanted = regexp.MustCompile(`\n` + regexp.QuoteMeta(section) + `\n`)
		}
		if !ok || seen[section+key] {
			continue
		}
		seen[section+key] = true
		next := wanted.FindStringIndex(text[at:])
		if next == nil {
			t.Errorf("%q is not in the sample, or not in this place", key)
			continue
		}
		at += next[0]
	}
	for i, line := range strings.Split(string(contrib.Sample), "\n") {
		if len(line) > 120 || strings.TrimRight(line, " \t") != line {
			t.Errorf("line %d is too long, or ends in blanks", i+1)
		}
	}
}
