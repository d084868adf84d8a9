//go:build !linux

package nameserver

import "syscall"

// dieWithTest does nothing: only Linux has a way.
func dieWithTest(*syscall.SysProcAttr) {}

// mayTakePort does nothing: what is not Linux has no ports of that kind, or no way.
func mayTakePort(*syscall.SysProcAttr) {}
