package config_test

import (
	"strings"
	"testing"
	"time"

	"reputed/cmd/reputed/internal/config"
)

// How keys live is what the section says; a record stays for two days after the last mail can arrive, and a week at
// least.
func TestPlan(t *testing.T) {
	const day = 24 * time.Hour
	tests := []struct {
		why, text      string
		rotate, retire time.Duration
	}{
		{"nothing rotates by default", "", 0, 7 * day},
		{"a queue that keeps mail for long", "queue_lifetime = '10d'", 0, 12 * day},
		{"a queue that keeps nothing", "rotate = '7d'\nqueue_lifetime = '0s'", 7 * day, 7 * day},
		{"hours", "rotate = '4320h'\nqueue_lifetime = '5d12h'", 180 * day, 7*day + 12*time.Hour},
	}
	for _, tt := range tests {
		c := load(t, "[signing]\n"+tt.text)
		if p := c.Signing.Plan(); p.Rotate != tt.rotate || p.Retire != tt.retire || p.Asked {
			t.Errorf("%s: %+v", tt.why, p)
		}
	}
}

// The names of new keys.
func TestTemplate(t *testing.T) {
	winter := time.Date(2027, time.January, 1, 0, 30, 0, 0, time.FixedZone("", 3600))
	tests := []struct{ why, hostname, template, want string }{
		{"by default", "", "s{date}-{random}", "s202612-abc234"},
		{"nothing is the default", "", "", "s202612-abc234"},
		{"the month alone", "", "{date}", "202612"},
		{"nothing but chance", "", "{random}", "abc234"},
		{"each host has its own", "MX1.example.org", "{host}-{date}", "mx1-202612"},
		{"a host without a domain", "localhost", "{host}{random}", "localhostabc234"},
		{"several labels, in any case", "", "{Random}.{random}", ""},
		{"several labels", "", "S{date}.{random}.Mail", "s202612.abc234.mail"},
		{"twice", "", "{random}-{random}", "abc234-abc234"},
		{"a label that a domain may have, and a selector not", "", "_{random}", ""},
		{"nothing between two dots", "", "{date}..{random}", ""},
		{"a dot at the end", "", "{random}.", ""},
		{"a path", "", "../{random}", ""},
		{"letters that are none in the dns", "", "schlüssel-{random}", ""},
		{"a host's name that leaves no room", strings.Repeat("a", 57) + ".example", "{host}-{random}", ""},
	}
	for _, tt := range tests {
		text := "signing.selector = '" + tt.template + "'"
		if tt.hostname != "" {
			text = "hostname = '" + tt.hostname + "'\n" + text
		}
		c, err := config.Load("f", []byte(text), host)
		if err != nil || tt.want == "" {
			if (err != nil) != (tt.want == "") {
				t.Errorf("%s: %q, error %v", tt.why, tt.template, err)
			}
			continue
		}
		got, err := c.Signing.Selector.Selector(winter, "abc234", c.Hostname)
		if err != nil || got.String() != tt.want {
			t.Errorf("%s: %v, want %s (%v)", tt.why, got, tt.want, err)
		}
	}
}

// A month is 31 days at most: then also a name of the month alone is new each time.
func TestTemplateRotates(t *testing.T) {
	load(t, "[signing]\nrotate = '31d'\nselector = '{date}'")
	load(t, "[signing]\nrotate = '7d'\nselector = '{random}'")
	if _, err := config.Load("f", []byte("[signing]\nrotate = '743h'\nselector = '{date}'"), host); err == nil {
		t.Error("two keys of a month get the same name")
	}
}
