//go:build !linux

package maillog

import "time"

// writable does not know: a reader that stalls has its writer wait.
func writable(int, time.Duration) bool { return true }

func isTerminal(int) bool { return false }

// terminal is what poll(2) would be needed for.
type terminal int

func openTerminal(int) (terminal, bool) { return 0, false }

func (terminal) Write([]byte) (int, error) { return 0, errUnread }
