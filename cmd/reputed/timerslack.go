//go:build linux && cgo && (amd64 || arm64)

package main

// #include <sys/prctl.h>
//
// // Before Go's runtime begins: a thread has the slack of the one that made it, and the runtime's watch over the others
// // (sysmon) is among the first it makes.
// __attribute__((constructor)) static void wait_less_exactly(void) {
// 	if (prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0) == 50000) // Linux's default; what a unit says (TimerSlackNSec=) stands.
// 		prctl(PR_SET_TIMERSLACK, 1000000, 0, 0, 0);
// }
import "C"

// Each thread may be woken up to 1 ms after its time (timerslack, prctl(2)), from 50 µs, in the builds where libcrypto
// signs. What is awaited here takes seconds; but sysmon, which looks each 20 µs while there is work, takes a signature of
// 0.3 ms for a system call that blocks, and gives its place to another thread: two switches for each message and some
// 10,000 looks a second, which were a twentieth of a busy daemon's CPU time.
