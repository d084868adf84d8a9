package status

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The kernel's refusal names who may ask: the group of the socket, or of the nearest that can be seen.
func TestForbidden(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	refusal := &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}
	err := explain(socket, refusal)
	if !errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), "only root and members of group ") {
		t.Error(err)
	}
}
