package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestFullName(t *testing.T) {
	known := map[string]string{"mail": "mail.example.org.", "alone": "alone."}
	lookup := func(_ context.Context, name string) (string, error) {
		if full, ok := known[name]; ok {
			return full, nil
		}
		return "", errors.New("no such host")
	}
	for name, want := range map[string]string{
		"mail":             "mail.example.org", // what /etc/hosts says of a host that Debian set up
		"mail.example.net": "mail.example.net", // nobody is asked
		"alone":            "alone",
		"unknown":          "unknown",
		"":                 "",
	} {
		if got := fullName(name, lookup); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// A name server that does not answer holds a start up for two seconds, and no longer.
func TestFullNameTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		got := fullName("mail", func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		})
		if took := time.Since(begin); got != "mail" || took != 2*time.Second {
			t.Errorf("%q after %v", got, took)
		}
	})
}
