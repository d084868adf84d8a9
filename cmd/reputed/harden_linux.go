package main

import (
	"fmt"
	"syscall"
)

// harden keeps what a process holds from others and from the disk: it leaves no core, and no other process of its user
// may look into its memory. It is for serve, which holds every key for as long as it runs. Other verbs are run by hand,
// end soon, and can be looked into when they misbehave.
//
// The unit says the same (LimitCORE=0), but not every daemon is started by it.
func harden() error {
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("a crash may leave keys in a core: %w", err)
	}
	// prctl(2): PR_SET_DUMPABLE also closes /proc/PID to all but root, and ptrace(2) with it. Children get it back when
	// they are executed.
	if _, _, err := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0); err != 0 {
		return fmt.Errorf("other processes of this user can read keys from memory: %w", err)
	}
	return nil
}
