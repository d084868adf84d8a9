package status_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"reputed/cmd/reputed/internal/status"
)

// serve answers on a socket until the test ends.
func serve(t *testing.T, source func() *status.Report) (socket string) {
	t.Helper()
	noLeaks(t)
	return serveUnix(t, source)
}

// noLeaks sees that all has ended when the test has.
func noLeaks(t *testing.T) {
	t.Helper()
	goleak.VerifyNone(t)
	t.Cleanup(func() { goleak.VerifyNone(t) })
}

func serveUnix(t *testing.T, source func() *status.Report) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &status.Server{Report: source, Log: slog.New(slog.DiscardHandler)}
	untilEnd(t, func(ctx context.Context) error { return s.Serve(ctx, ln) })
	return socket
}

// untilEnd runs something until the test ends.
func untilEnd(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("serve ended with %v", err)
		}
	})
}

func TestGet(t *testing.T) {
	want := report(leaveBy(egress("203.0.113.25", "203.0.113.29")))
	socket := serve(t, func() *status.Report { return want })
	for range 20 { // more than may be open at once
		got, err := status.Get(t.Context(), socket)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(fmt.Sprintf("%+v", want), fmt.Sprintf("%+v", got)); diff != "" {
			t.Fatal(diff)
		}
	}
}

// Only GET of reports and metrics is there.
func TestOnlyStatus(t *testing.T) {
	socket := serve(t, func() *status.Report { return report(nil) })
	for _, tt := range []struct {
		method, path string
		code         int
	}{
		{"GET", "/status", 200}, {"GET", "/status?x=1", 200}, {"HEAD", "/status", 405}, {"POST", "/status", 405}, {"DELETE", "/status", 405},
		{"GET", "/metrics", 200}, {"POST", "/metrics", 405}, {"GET", "/", 404}, {"GET", "/status/", 404}, {"GET", "/../status", 404}, {"POST", "/reload", 404},
	} {
		conn := dial(t, socket)
		fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: anything\r\nContent-Length: 3\r\n\r\nabc", tt.method, tt.path)
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != tt.code || !answer.Close {
			t.Errorf("%s %s: %s, close %v", tt.method, tt.path, answer.Status, answer.Close)
		}
		if allow := answer.Header.Get("Allow"); tt.code == 405 && allow != "GET" {
			t.Errorf("Allow: %q", allow)
		}
	}
}

func dial(t *testing.T, socket string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// Clients that say nothing are let go, however many there are, and those who ask are answered then.
func TestStalled(t *testing.T) {
	socket := serve(t, func() *status.Report { return report(nil) })
	var silent []net.Conn
	for range 12 {
		silent = append(silent, dial(t, socket))
	}
	if _, err := status.Get(t.Context(), socket); err != nil {
		t.Fatal(err)
	}
	for _, conn := range silent {
		if _, err := io.ReadAll(conn); err != nil {
			t.Fatalf("a silent client is kept: %v", err)
		}
	}
}

// A request that does not end is not read for long.
func TestLargeRequest(t *testing.T) {
	socket := serve(t, func() *status.Report { return report(nil) })
	conn := dial(t, socket)
	go io.Copy(conn, io.MultiReader(strings.NewReader("GET /status HTTP/1.1\r\nHost: x\r\nX: "), endless{}))
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil && answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Error(answer.Status)
	}
	if _, err := status.Get(t.Context(), socket); err != nil {
		t.Error(err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// A panic in the making of a report is the client's loss only.
func TestPanic(t *testing.T) {
	var once sync.Once
	socket := serve(t, func() *status.Report {
		once.Do(func() { panic("x") })
		return report(nil)
	})
	if _, err := status.Get(t.Context(), socket); err == nil {
		t.Error("an answer")
	}
	if _, err := status.Get(t.Context(), socket); err != nil {
		t.Error(err)
	}
}

// Who gets no answer is told what to do.
func TestGetErrors(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, "dead")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0o000); err != nil {
		t.Fatal(err)
	}
	for socket, want := range map[string]string{
		filepath.Join(dir, "absent"): "is reputed running? systemctl status reputed",
		dead:                         "is reputed running? systemctl status reputed",
	} {
		if _, err := status.Get(t.Context(), socket); !errors.Is(err, status.ErrNoDaemon) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", socket, err)
		}
	}
	if os.Geteuid() != 0 { // whom nothing is forbidden
		_, err := status.Get(t.Context(), filepath.Join(closed, "s"))
		if !errors.Is(err, status.ErrForbidden) || !strings.Contains(err.Error(), "only root and members of group ") {
			t.Error(err)
		}
	}
}

// What answers may be another program.
func TestNotADaemon(t *testing.T) {
	for answer, want := range map[string]string{
		"HTTP/1.0 404 Not Found\r\n\r\nno\n":           `no daemon of this version: "404 Not Found", "no"`,
		"HTTP/1.0 200 OK\r\n\r\n<html>":                "no daemon of this version: invalid character",
		"HTTP/1.0 200 OK\r\n\r\n{\"mode\": 1}":         "no daemon of this version: json",
		"220 mail.example.org ESMTP Postfix\r\n":       "no answer at ",
		"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n": "no daemon of this version: unexpected EOF",
	} {
		socket := filepath.Join(t.TempDir(), "s")
		ln, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			http.ReadRequest(bufio.NewReader(conn))
			io.WriteString(conn, answer)
		}()
		if _, err := status.Get(t.Context(), socket); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", answer, err)
		}
		ln.Close()
	}
}
