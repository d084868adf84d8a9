//go:build integration

package exim_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"reputed/contrib/test/exim"
	"reputed/contrib/test/sink"
)

// question is what Exim asks, as it stands there.
type question map[string]string

// line is a server where Exim expects reputed: it keeps what it is asked, and answers what the test says.
type line struct {
	t      testing.TB
	path   string
	ln     net.Listener
	ended  chan struct{}
	mu     sync.Mutex
	asked  []question
	stage  string
	answer string
}

func newLine(t testing.TB, path string) *line {
	t.Helper()
	l := &line{t: t, path: path, answer: "OK ours"}
	l.up()
	t.Cleanup(l.down)
	return l
}

func (l *line) up() {
	l.t.Helper()
	var err error
	if l.ln, err = net.Listen("unix", l.path); err != nil {
		l.t.Fatal(err)
	}
	if err := os.Chmod(l.path, 0o666); err != nil {
		l.t.Fatal(err)
	}
	l.ended = make(chan struct{})
	go func() {
		defer close(l.ended)
		for {
			conn, err := l.ln.Accept()
			if err != nil {
				return
			}
			l.serve(conn)
		}
	}()
}

func (l *line) down() { l.ln.Close(); <-l.ended }

func (l *line) serve(conn net.Conn) {
	defer conn.Close()
	q := question{}
	for s := bufio.NewScanner(conn); s.Scan() && s.Text() != ""; {
		name, value, _ := strings.Cut(s.Text(), "=")
		if _, twice := q[name]; twice {
			l.t.Errorf("%s is there twice", name)
		}
		q[name] = value
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, q)
	if l.stage == "" || l.stage == q["stage"] {
		fmt.Fprint(conn, l.answer+"\n")
		return
	}
	fmt.Fprint(conn, "OK ours\n")
}

// says makes the line give that answer at a stage, "" for all, and OK ours at others. What was asked is forgotten.
func (l *line) says(stage, answer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked, l.stage, l.answer = nil, stage, answer
}

// stages gives the stages that were asked about, in order.
func (l *line) stages() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, q := range l.asked {
		all = append(all, q["stage"])
	}
	return strings.Join(all, " ")
}

// at gives the question of a stage.
func (l *line) at(t *testing.T, stage string) question {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, q := range l.asked {
		if q["stage"] == stage {
			return q
		}
	}
	t.Fatalf("nothing was asked at %s: %v", stage, l.asked)
	return nil
}

// asking is an Exim set up by contrib/exim that asks a line. A filter marks what passes it.
type asking struct {
	dir  string
	line *line
	sink *sink.Sink
	exim *exim.Exim
}

// marker is a filter that says what it was called with, in a field above the message.
const marker = "#!/bin/sh\necho \"Filtered: $*\"\nexec cat\n"

func newAsking(t *testing.T) *asking {
	t.Helper()
	exim.Require(t)
	dir := exim.NewDir(t)
	filter := filepath.Join(dir, "filter")
	if err := os.WriteFile(filter, []byte(marker), 0o755); err != nil {
		t.Fatal(err)
	}
	a := &asking{dir: dir, line: newLine(t, filepath.Join(dir, "exim.sock")), sink: sink.Start(t)}
	if err := os.Mkdir(filepath.Join(dir, "domains"), 0o755); err != nil {
		t.Fatal(err)
	}
	o := plain(t, dir, a.sink.Addr(), filter)
	o.RelayTo = " : dsearch;" + dir + "/domains"
	a.exim = exim.Start(t, dir, o)
	return a
}
