package nameserver

import "syscall"

// dieWithTest makes the kernel kill a server whose test is gone, for a test that is killed cleans nothing up.
func dieWithTest(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }

// capNetBindService is CAP_NET_BIND_SERVICE of capabilities(7).
const capNetBindService = 10

// mayTakePort lets a server that is not root listen at a port below 1024.
func mayTakePort(a *syscall.SysProcAttr) { a.AmbientCaps = []uintptr{capNetBindService} }
