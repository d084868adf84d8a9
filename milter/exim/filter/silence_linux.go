package filter

import (
	"os"
	"syscall"
)

// silence closes standard error to all that writes there, which is the Go runtime when it ends the process for want of
// memory or a fault of its own. Exim discards that message in any case, for the status is 2.
func silence() {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return
	}
	defer null.Close()
	syscall.Dup3(int(null.Fd()), int(os.Stderr.Fd()), 0)
}
