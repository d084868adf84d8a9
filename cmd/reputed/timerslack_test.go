//go:build linux && cgo && (amd64 || arm64)

package main

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// PR_SET_TIMERSLACK and PR_GET_TIMERSLACK, prctl(2).
const (
	setTimerSlack = 29
	getTimerSlack = 30
)

// TestTimerSlack holds that a process of this program has threads that may be woken 1 ms late, unless something else was
// chosen for it: without that messages take a twentieth more CPU time, which no other test would see.
func TestTimerSlack(t *testing.T) {
	const asked = "REPUTED_TEST_TIMERSLACK"
	slack := func() string {
		ns, _, _ := syscall.RawSyscall(syscall.SYS_PRCTL, getTimerSlack, 0, 0)
		return strconv.Itoa(int(ns))
	}
	if os.Getenv(asked) != "" {
		os.Stdout.WriteString("slack=" + slack() + "\n")
		return
	}
	runtime.LockOSThread() // for good: the thread ends with the test, and its slack
	for given, want := range map[uintptr]string{50_000: "1000000", 50_001: "50001", 2_000_000: "2000000"} {
		if _, _, err := syscall.RawSyscall(syscall.SYS_PRCTL, setTimerSlack, given, 0); err != 0 {
			t.Fatal(err)
		}
		child := exec.Command(os.Args[0], "-test.run=^TestTimerSlack$")
		child.Env = append(os.Environ(), asked+"=1")
		out, err := child.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "slack="+want+"\n") {
			t.Errorf("begun with %d ns: %v, %s, want %s", given, err, out, want)
		}
	}
}
