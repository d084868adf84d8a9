package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// machine is where it was measured.
type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
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
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	m.Kernel = strings.TrimSpace(string(kernel))
	return m
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

// cpu gives the time that a process and its descendants have used, those that ended too.
func cpu(pid int) (used time.Duration) {
	for i, p := range tree(pid) {
		fields := stat(p)
		if len(fields) < 15 {
			continue
		}
		last := 13 // utime, stime
		if i == 0 {
			last = 15 // cutime, cstime
		}
		for _, f := range fields[11:last] {
			n, _ := strconv.ParseInt(f, 10, 64)
			used += time.Duration(n) * tick
		}
	}
	return used
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
