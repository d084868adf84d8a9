package status_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"

	"reputed/cmd/reputed/internal/status"
)

// A panic while an answer is made costs that answer, and is told of once; the next request is answered.
func TestAnswerPanics(t *testing.T) {
	noLeaks(t)
	socket := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var armed atomic.Bool
	told := make(chan string, 10)
	s := &status.Server{
		Report: func() *status.Report {
			if armed.CompareAndSwap(true, false) {
				panic("bang")
			}
			return busyReport()
		},
		Log:    slog.New(slog.DiscardHandler),
		Caught: func(any) { told <- string(debug.Stack()) },
	}
	untilEnd(t, func(ctx context.Context) error { return s.Serve(ctx, ln) })
	for _, path := range []string{"/status", "/metrics"} {
		for _, code := range []int{500, 200} {
			armed.Store(code == 500)
			conn := dial(t, socket)
			io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || answer.StatusCode != code {
				t.Errorf("%s: %v, %v, want %d", path, answer, err, code)
			}
		}
		if stack := <-told; len(told) > 0 || !strings.Contains(stack, "TestAnswerPanics.func") {
			t.Errorf("%s: %d more, %s", path, len(told), stack)
		}
	}
}

// A panic over a listener ends what is served there, and not the process.
func TestListenerPanics(t *testing.T) {
	noLeaks(t)
	told := 0
	s := &status.Server{Report: busyReport, Log: slog.New(slog.DiscardHandler), Caught: func(any) { told++ }}
	if err := s.Serve(t.Context(), brokenListener{}); err == nil || errors.Is(err, http.ErrServerClosed) || told != 1 {
		t.Errorf("%v, told of %d panics", err, told)
	}
}

type brokenListener struct{}

func (brokenListener) Accept() (net.Conn, error) { panic("bang") }
func (brokenListener) Close() error              { return nil }
func (brokenListener) Addr() net.Addr            { return &net.UnixAddr{} }
