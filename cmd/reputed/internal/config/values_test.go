package config_test

import (
	"fmt"
	"testing"
	"time"

	"reputed/cmd/reputed/internal/config"
)

func TestDuration(t *testing.T) {
	for s, want := range map[string]string{
		"0s": "0s", "1s": "1s", "90s": "1m30s", "60s": "1m", "10m": "10m", "3600s": "1h", "336h": "336h", "1h1s": "1h0m1s",
		"1500ms": "1.5s", "20h10m": "20h10m",
	} {
		d, err := time.ParseDuration(s)
		if got := config.Duration(d).String(); got != want || err != nil {
			t.Errorf("%s: %s, want %s (%v)", s, got, want, err)
		}
	}
}

// Days may be written wherever there is a time span. They are written back where people plan with them, and elsewhere
// stay hours.
func TestDays(t *testing.T) {
	tests := []struct{ text, span, days string }{
		{"0s", "0s", "0s"},
		{"0d", "0s", "0s"},
		{"2h", "2h", "2h"},
		{"1d", "24h", "1d"},
		{"14d", "336h", "14d"},
		{"336h", "336h", "14d"},
		{"1d12h", "36h", "36h"},
		{"1d86400s", "48h", "2d"},
		{"036d", "864h", "36d"},
		{"d", "", ""},
		{"1D", "", ""},
		{"1.5d", "", ""},
		{"1d2d", "", ""},
		{"12h1d", "", ""},
		{"1d-1h", "", ""},
		{"1 d", "", ""},
		{"1days", "", ""},
		{"1d12", "", ""},
		{"-1d", "", ""},
		{"99999999999d", "", ""},
		{"2147483647d", "", ""},
	}
	for _, tt := range tests {
		text := fmt.Sprintf("[signing]\nexpire = %q\nqueue_lifetime = %[1]q", tt.text)
		c, err := config.Load("f", []byte(text), host)
		if tt.span == "" {
			if err == nil {
				t.Errorf("%s is a time span: %v", tt.text, c.Signing.Expire)
			}
			continue
		}
		if err != nil {
			t.Error(err)
			continue
		}
		if got := c.Signing.Expire.String(); got != tt.span {
			t.Errorf("%s: %s, want %s", tt.text, got, tt.span)
		}
		if got := c.Signing.QueueLifetime.String(); got != tt.days {
			t.Errorf("%s in days: %s, want %s", tt.text, got, tt.days)
		}
	}
}
