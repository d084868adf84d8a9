//go:build linux && cgo && (amd64 || arm64)

package main

// #include <sys/prctl.h>
//
// // Before Go's runtime begins: a thread has the slack of the one that made it, and the runtime's watch over the others
// // (sysmon) is among the first it makes. Only Linux's default is changed: another was chosen, as by TimerSlackNSec= in a
// // unit.
// __attribute__((constructor)) static void wait_less_exactly(void) {
// 	if (prctl(PR_GET_TIMERSLACK, 0UL, 0UL, 0UL, 0UL) == 50000)
// 		prctl(PR_SET_TIMERSLACK, 1000000UL, 0UL, 0UL, 0UL);
// }
import "C"

// Each thread may be woken up to 1 ms after its time (timerslack, prctl(2)), from 50 µs, in the builds in which libcrypto
// can sign, and so may the programs that it runs: postconf, postsuper, sendmail. The shortest time that anything here
// waits is 10 ms. It is for sysmon: that looks each 20 µs, and those 50, while there is work, takes a signature of 0.3 ms
// for a system call that blocks, and gives its place to another thread, which is two switches for each message and some
// 10,000 looks a second: a twentieth of a busy daemon's CPU time. TimerSlackNSec=50001 in a unit has it so again.
