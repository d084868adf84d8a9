package filter

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reputed/milter/wire"
)

func TestArgs(t *testing.T) {
	socket := wire.Endpoint{Network: "unix", Address: "/m"}
	tests := []struct {
		args string
		want Job
		err  string
	}{
		{"--milter unix:/m ID a@x", Job{socket, "ID", []string{"a@x"}, false, nil}, ""},
		{"--milter=unix:/m ID a@x b@x", Job{socket, "ID", []string{"a@x", "b@x"}, false, nil}, ""},
		{"--milter unix:/m -- ID a@x", Job{socket, "ID", []string{"a@x"}, false, nil}, ""},
		{"--milter unix:/m ID -- a@x", Job{socket, "ID", []string{"a@x"}, false, nil}, ""},
		{"--milter unix:/m ID -a@x --milter=b@x -- -@x", Job{socket, "ID", []string{"-a@x", "--milter=b@x", "--", "-@x"}, false, nil}, ""},
		{"--asked --milter unix:/m ID a@x", Job{socket, "ID", []string{"a@x"}, false, nil}, ""},
		{"--unasked --milter unix:/m ID a@x", Job{socket, "ID", []string{"a@x"}, true, nil}, ""},
		{"--milter unix:/m --unasked ID --asked", Job{socket, "ID", []string{"--asked"}, true, nil}, ""},
		{"--milter unix:/m --unasked", Job{Unasked: true}, "usage"},
		{"", Job{}, "usage"},
		{"--milter", Job{}, "usage"},
		{"--help", Job{}, "usage"},
		{"--milter unix:/m", Job{}, "usage"},
		{"--milter unix:/m ID", Job{ID: "ID"}, "usage"},
		{"--milter unix:/m ID --", Job{ID: "ID"}, "usage"},
		{"--milter unix:/m --verbose ID a@x", Job{}, "usage"},
		{"ID a@x", Job{ID: "ID"}, "usage"},
		{"--milter nonsense ID a@x", Job{ID: "ID"}, "not a milter socket"},
	}
	for _, tt := range tests {
		got, err := parseArgs(strings.Fields(tt.args))
		switch {
		case tt.err == "" && err != nil, tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%q: error %v, want %q", tt.args, err, tt.err)
		case err == nil && !cmp.Equal(got, tt.want, cmp.FilterPath(isDialer, cmp.Ignore())), got.ID != tt.want.ID:
			t.Errorf("%q: %+v, want %+v", tt.args, got, tt.want)
		}
	}
}

func isDialer(p cmp.Path) bool { return p.String() == "Dialer" }

// panicking is an input that nobody thought of.
type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("first\nsecond \x1b[31m") }

// Trouble is one line that names the message, and exit status 75.
func TestTrouble(t *testing.T) {
	tests := []struct {
		name string
		args []string
		in   io.Reader
		want string
	}{
		{"a panic", []string{"--milter", "unix:/m", "ID", "a@x"}, panicking{}, "ID is not sent on, Exim will try again: panic: first second  [31m"},
		{"no message", []string{"--milter", "unix:/m", "ID", "a@x"}, strings.NewReader(""), "ID is not sent on, Exim will try again: no message came"},
		{"no milter", []string{"--milter", "unix:/nowhere", "ID", "a@x"}, strings.NewReader(returnPath + "\n"), "milter unix:/nowhere: "},
		{"no arguments", nil, strings.NewReader(""), "unknown message is not sent on, Exim will try again: usage: "},
		{"an id with a line end", []string{"--milter", "unix:/m", "I\nD", "a@x"}, strings.NewReader(""), "I D is not sent on"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			var lines []string
			code := run(tt.args, tt.in, &out, func(line string) { lines = append(lines, line) })
			if code != exitTrouble || out.Len() > 0 || len(lines) != 1 {
				t.Fatalf("status %d, %d octets written, log %q", code, out.Len(), lines)
			}
			if !strings.Contains(lines[0], tt.want) || strings.ContainsAny(lines[0], "\n\x1b") || len(lines[0]) > 2*maxLine {
				t.Errorf("log %q, want %q", lines[0], tt.want)
			}
		})
	}
}

// program gives the filter as a process of its own, as Exim starts it.
func program(t *testing.T, socket string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, "--milter", "unix:"+socket, "1tExIm-0000-01", "bob@example.net")
	c.Env = []string{asProgram + "=1", "TMPDIR=" + t.TempDir()}
	return c
}

// A process succeeds with the message, and fails with 75 when anything hinders; standard error stays empty in any case.
func TestProgram(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full here")
	}
	defer full.Close()
	m := spaced(changes(insert(0, "DKIM-Signature", " x")))
	m.count = true
	socket := m.listen(t)
	gone := func(t *testing.T) *os.File { // a pipe that nobody reads
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		t.Cleanup(func() { w.Close() })
		return w
	}
	tests := []struct {
		name   string
		in     io.Reader
		socket string
		out    func(*testing.T) *os.File
		code   int
	}{
		{"signed", strings.NewReader(returnPath + "From: a\n\nhi\n"), socket, nil, 0},
		{"a large one", bigMessage(50 << 20), socket, nil, 0},
		{"no milter", strings.NewReader(returnPath + "From: a\n\nhi\n"), socket + "x", nil, exitTrouble},
		{"no input", strings.NewReader(""), socket, nil, exitTrouble},
		{"no room", strings.NewReader(returnPath + "From: a\n\nhi\n"), socket, func(*testing.T) *os.File { return full }, exitTrouble},
		{"Exim is gone", strings.NewReader(returnPath + "From: a\n\nhi\n"), socket, gone, exitTrouble},
		{"Exim is gone in the middle of a large one", bigMessage(50 << 20), socket, gone, exitTrouble},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := program(t, tt.socket)
			var out, errs bytes.Buffer
			c.Stdin, c.Stdout, c.Stderr = tt.in, &out, &errs
			if tt.out != nil {
				c.Stdout = tt.out(t)
			}
			c.Run()
			if got := c.ProcessState.ExitCode(); got != tt.code || errs.Len() > 0 {
				t.Errorf("%v, want status %d; standard error %q", c.ProcessState, tt.code, errs.String())
			}
			if out.Len() > 0 != (tt.code == 0) || tt.code == 0 && !strings.HasPrefix(out.String(), "DKIM-Signature: x\nFrom: a\n\n") {
				t.Errorf("%d octets written: %.80q", out.Len(), out.String())
			}
		})
	}
}
