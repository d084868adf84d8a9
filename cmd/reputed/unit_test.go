package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// directives reads a unit: the values of each key, in their order.
func directives(t *testing.T, name string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "contrib", "systemd", name))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			all[key] = append(all[key], value)
		}
	}
	return all
}

// The unit lets serve do what serve does.
func TestUnit(t *testing.T) {
	unit := directives(t, "reputed.service")
	// systemd.exec(5): lines add up, in their order; those with ~ take away. Of the sets, only what they have of the
	// calls looked at here; `systemd-analyze syscall-filter` has the rest, and strace what serve calls.
	sets := map[string][]string{
		"@system-service": {"sendto", "openat", "fchownat", "execve", "prlimit64"},
		"@privileged":     {"fchownat"},
		"@resources":      {"sched_setaffinity"},
		"@chown":          {"fchownat"},
	}
	allowed := map[string]bool{}
	for _, line := range unit["SystemCallFilter"] {
		names, takesAway := strings.CutPrefix(line, "~")
		for set := range strings.FieldsSeq(names) {
			calls, known := sets[set]
			if !known {
				t.Errorf("SystemCallFilter has %s, of which this test knows nothing", set)
			}
			for _, c := range calls {
				allowed[c] = !takesAway
			}
		}
	}
	for call, why := range map[string]string{
		"sendto":    "asks name servers",
		"openat":    "reads keys",
		"fchownat":  "gives the socket to socket_group",
		"execve":    "runs postconf",
		"prlimit64": "the Go runtime raises the limit of open files",
	} {
		if !allowed[call] {
			t.Errorf("SystemCallFilter kills serve when it calls %s: it %s", call, why)
		}
	}
	families := strings.Fields(strings.Join(unit["RestrictAddressFamilies"], " "))
	for family, why := range map[string]string{
		"AF_UNIX": "listens", "AF_INET": "asks name servers", "AF_INET6": "asks name servers",
		"AF_NETLINK": "guesses the egress from the addresses of this host",
	} {
		if !slices.Contains(families, family) {
			t.Errorf("RestrictAddressFamilies has no %s: serve %s", family, why)
		}
	}
	if got := strings.Join(append(unit["Type"], unit["ExecReload"]...), " "); got != "notify /bin/kill -HUP $MAINPID" {
		t.Errorf("%q: systemd below 253 knows neither readiness nor reload otherwise", got)
	}
	if limit, err := time.ParseDuration(strings.Join(unit["TimeoutStopSec"], " ")); err != nil || limit <= drainTime {
		t.Errorf("TimeoutStopSec=%v kills serve while it drains, for at most %v", unit["TimeoutStopSec"], drainTime)
	}
}

// The socket of the unit is one that serve takes.
func TestSocketUnit(t *testing.T) {
	unit := directives(t, "reputed.socket")
	if at := unit["ListenStream"]; len(at) != 1 || !strings.HasPrefix(at[0], postfixSpool) || unit["Accept"] != nil {
		t.Errorf("%v", unit)
	}
}
