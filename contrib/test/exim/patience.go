package exim

import (
	"testing"
	"time"
)

// Patience is how long tests wait for what must come, on a machine that may have other things to do.
const Patience = 2 * time.Minute

// Eventually waits until a condition holds.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("not within %v: %s", Patience, what)
}
