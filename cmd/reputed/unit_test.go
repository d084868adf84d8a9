package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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

// The sockets of the units are ones that serve takes, for what they are, and nobody else's.
func TestSocketUnits(t *testing.T) {
	for unit, want := range map[string]struct{ at, name string }{
		"reputed.socket":      {postfixSpool, ""},
		"reputed-exim.socket": {"/run/reputed/", eximSocketName},
	} {
		u := directives(t, unit)
		at, name := strings.Join(u["ListenStream"], " "), strings.Join(u["FileDescriptorName"], " ")
		if !strings.HasPrefix(at, want.at) || name != want.name || u["Accept"] != nil {
			t.Errorf("%s: a socket at %q for %q", unit, at, name)
		}
		// systemd.socket(5): by default everybody may connect, and the service is that of the same name.
		if got := strings.Join(u["SocketMode"], " "); got != "0660" {
			t.Errorf("%s: SocketMode=%s", unit, got)
		}
		if got := strings.Join(u["Service"], " "); unit != "reputed.socket" && got != "reputed.service" {
			t.Errorf("%s: Service=%s", unit, got)
		}
	}
	// systemd.exec(5): a socket of systemd's would go away with the directory, and nobody find the way to it.
	service := directives(t, "reputed.service")
	if got := strings.Join(service["RuntimeDirectoryPreserve"], " "); got != "yes" {
		t.Errorf("RuntimeDirectoryPreserve=%s", got)
	}
}

// exposure is what systemd-analyze says at its end: "→ Overall exposure level for reputed.service: 1.4 OK".
var exposure = regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)

// How little the unit leaves open, by systemd's own measure, from 0 to 10. Other milters have 9.2 to 9.6.
func TestExposure(t *testing.T) {
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze")
	}
	unit := filepath.Join("..", "..", "contrib", "systemd", "reputed.service")
	out, err := exec.Command(program, "security", "--offline=true", "--no-pager", unit).CombinedOutput()
	m := exposure.FindSubmatch(out)
	if m == nil {
		t.Skipf("a systemd-analyze that cannot do it: %v\n%s", err, out)
	}
	t.Logf("%s", m[0])
	if got, err := strconv.ParseFloat(string(m[1]), 64); err != nil || got > 1.5 {
		t.Errorf("more than 1.5:\n%s", out)
	}
}
