package nameserver

import "syscall"

// dieWithTest makes the kernel kill a server whose test is gone, for a test that is killed cleans nothing up.
func dieWithTest(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
