"""confine.py PROGRAM ARGUMENTS...: runs a program as the unit would have systemd run it, as far as that goes by hand.

The calls that SystemCallFilter= leaves come on standard input, one a line, as systemd-analyze resolves them. libseccomp
makes the filters of them, and those that systemd makes of the unit's other lines.
"""
import ctypes
import errno
import os
import sys

seccomp = ctypes.CDLL("libseccomp.so.2")
libc = ctypes.CDLL(None, use_errno=True)
seccomp.seccomp_init.restype = ctypes.c_void_p
KILL, ALLOW = 0x80000000, 0x7FFF0000
NE, EQ, MASKED = 1, 4, 7


class Compare(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def refuse(number):
    return 0x00050000 | number


def load(default, rules):
    ctx = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(default)))
    for action, name, *compared in rules:
        call = seccomp.seccomp_syscall_resolve_name(name.encode())
        if call == -1:
            continue  # of a newer kernel than the library knows
        compare = (Compare * len(compared))(*[Compare(*c) for c in compared])
        if seccomp.seccomp_rule_add_array(ctx, ctypes.c_uint32(action), call, len(compared), compare) != 0 and call >= 0:
            sys.exit(f"no rule for {name}")
    if seccomp.seccomp_load(ctx) != 0:
        sys.exit("the kernel takes no filter")


calls = sys.stdin.read().split()
os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
if libc.prctl(38, 1, 0, 0, 0) != 0:  # NoNewPrivileges=
    sys.exit("PR_SET_NO_NEW_PRIVS")
mdwe = libc.prctl(65, 1, 0, 0, 0) == 0  # MemoryDenyWriteExecute=, as kernels from 6.3 on have it
EPERM, WRITE, EXEC = errno.EPERM, 2, 4
refused = [
    (refuse(EPERM), "mmap", (2, MASKED, WRITE | EXEC, WRITE | EXEC)),
    (refuse(EPERM), "mprotect", (2, MASKED, EXEC, EXEC)),
    (refuse(EPERM), "pkey_mprotect", (2, MASKED, EXEC, EXEC)),
    (refuse(EPERM), "shmat", (2, MASKED, 0o100000, 0o100000)),
    (refuse(EPERM), "personality", (0, NE, 0, 0)),  # LockPersonality=
    (refuse(errno.ENOSYS), "clone3"),  # RestrictNamespaces=
    (refuse(EPERM), "unshare"),
    (refuse(EPERM), "setns"),
]
refused += [(refuse(EPERM), "clone", (0, MASKED, flag, flag)) for flag in
            (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)]
refused += [(refuse(EPERM), "sched_setscheduler", (1, EQ, policy, 0)) for policy in (1, 2, 6)]  # RestrictRealtime=
# RestrictSUIDSGID=, with fchmodat2 as newer systemd has it
for bit in (0o4000, 0o2000):
    refused += [(refuse(EPERM), name, (at, MASKED, bit, bit)) for name, at in (
        ("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("fchmodat2", 2), ("mkdir", 1), ("mkdirat", 2), ("mknod", 1),
        ("mknodat", 2), ("creat", 1))]
    refused += [(refuse(EPERM), name, (at, MASKED, os.O_CREAT, os.O_CREAT), (at + 1, MASKED, bit, bit)) for name, at in (
        ("open", 1), ("openat", 2))]
refused += [(refuse(errno.ENOSYS), "openat2")]  # whose mode no filter sees
# RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
refused += [(refuse(errno.EAFNOSUPPORT), "socket", (0, EQ, family, 0)) for family in range(64) if family not in (1, 2, 10, 16)]
load(ALLOW, refused)
load(KILL, [(ALLOW, name) for name in calls + ["execve"]])
print(f"confined: {len(calls)} calls, MDWE {mdwe}", file=sys.stderr, flush=True)
os.execv(sys.argv[1], sys.argv[1:])
