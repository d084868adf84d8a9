//go:build integration && long

package mta

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A key is replaced, which the daemon finds by itself, and the old one lives on for the week in which mail that it has
// signed may be on its way. Then the daemon revokes it, by itself. It takes three minutes.
func TestRetirement(t *testing.T) {
	const week = 7 * 24 * time.Hour
	r := newRotating(t)
	r.before(t)
	r.rotate(t)
	r.catchUp()
	gaveWay(t, r.flow(t, "the new key signs", r.signedBy(r.selector)), "old", r.selector)
	began := time.Now()
	r.pace, r.patience = 500*time.Millisecond, 2*week/haste
	signed(t, r.flow(t, "the old key is revoked", func() bool {
		return r.shows(t, "old._domainkey.example.org")[0] == empty
	}), r.selector)
	if took := time.Since(began); took < week/haste-time.Second {
		t.Errorf("it is revoked after %v, which is less than a week", took*haste)
	}
	private := filepath.Join(filepath.Dir(r.daemon.config), "state", "keys", "example.org", "old.pem")
	for end := time.Now().Add(r.patience); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(private); os.IsNotExist(err) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the private key is still there")
		}
	}
	r.catchUp()
	signed(t, r.flow(t, "after the end of the old key", r.several()), r.selector)
	r.states(t, "old revoked", r.selector+" active")
	r.verify(t)
}
