//go:build linux && cgo && (amd64 || arm64)

package main

import (
	"syscall"
	"testing"
)

// TestTimerSlack holds that threads may be woken 1 ms late: without it messages take a twentieth more CPU time, which no
// other test would see.
func TestTimerSlack(t *testing.T) {
	const get = 30 // PR_GET_TIMERSLACK, prctl(2)
	slack, _, err := syscall.RawSyscall(syscall.SYS_PRCTL, get, 0, 0)
	if err != 0 || slack != 1_000_000 {
		t.Errorf("a thread of the program has a timer slack of %d ns (%v), want 1 ms", slack, err)
	}
}
