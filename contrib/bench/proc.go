package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// machine is where it was measured.
type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	OS     string `json:"os"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

func thisMachine() machine {
	m := machine{Cores: runtime.NumCPU(), Go: runtime.Version()}
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	release, _ := os.ReadFile("/etc/os-release")
	for line := range strings.Lines(string(release)) {
		if name, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			m.OS = strings.Trim(strings.TrimSpace(name), `"`)
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	m.Kernel = strings.TrimSpace(string(kernel))
	return m
}

// load1 gives the load of the machine over the last minute.
func load1() string {
	text, _ := os.ReadFile("/proc/loadavg")
	load, _, _ := strings.Cut(string(text), " ")
	return load
}

// tick is the unit of times in /proc: USER_HZ, which is 100 on every Linux.
const tick = 10 * time.Millisecond

// tree gives a process and all that descend from it.
func tree(pid int) []int {
	all := []int{pid}
	entries, _ := os.ReadDir("/proc")
	parents := map[int]int{}
	for _, e := range entries {
		if child, err := strconv.Atoi(e.Name()); err == nil {
			if fields := stat(child); len(fields) > 1 {
				parents[child], _ = strconv.Atoi(fields[1])
			}
		}
	}
	for i := 0; i < len(all); i++ {
		for child, parent := range parents {
			if parent == all[i] {
				all = append(all, child)
			}
		}
	}
	return all
}

// stat gives the fields of /proc/PID/stat after the name: state, parent, ...
func stat(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	_, rest, _ := bytes.Cut(text, []byte(") "))
	return strings.Fields(string(rest))
}

// cpu gives the time that a process and its descendants have used, those that ended too. Of those that run it is exact;
// of those that ended it is known in ticks.
func cpu(pid int) (used time.Duration) {
	for _, p := range tree(pid) {
		used += clock(p)
	}
	if fields := stat(pid); len(fields) > 14 {
		for _, f := range fields[13:15] { // cutime, cstime
			n, _ := strconv.ParseInt(f, 10, 64)
			used += time.Duration(n) * tick
		}
	}
	return used
}

// clock reads the CPU clock of a process, in which all its threads count, those that ended too: clock_getcpuclockid(3).
func clock(pid int) time.Duration {
	const scheduler = 2 // CPUCLOCK_SCHED: nanoseconds, not ticks
	var t syscall.Timespec
	id := uintptr(^pid<<3 | scheduler)
	if _, _, err := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, id, uintptr(unsafe.Pointer(&t)), 0); err != 0 {
		return 0 // it ended
	}
	return time.Duration(t.Nano())
}

// resident gives the memory of a process and its descendants in KiB, the most it was (VmHWM), or what it is (VmRSS).
func resident(pid int, name string) (kib int) {
	for _, p := range tree(pid) {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p))
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(line, name+":"); ok {
				n, _ := strconv.Atoi(strings.Fields(value)[0])
				kib += n
			}
		}
	}
	return kib
}

// urgent says whether the calling thread is. One that is not is in the scheduler's batch class: it goes on when a
// processor is free or its turn has come, and takes none from a thread in the middle of something, sched(7). A load with
// many connections that goes on at each answer interrupts at each the server that it measures, and has the switches of
// both to pay for. With one connection it would only answer later.
func urgent(is bool) error {
	const other, batch = 0, 3 // SCHED_OTHER, SCHED_BATCH
	class, priority := uintptr(batch), int32(0)
	if is {
		class = other
	}
	_, _, err := syscall.RawSyscall(syscall.SYS_SCHED_SETSCHEDULER, 0, class, uintptr(unsafe.Pointer(&priority)))
	if err != 0 {
		return fmt.Errorf("the load among what is not urgent: %w; -eager does without", err)
	}
	return nil
}
