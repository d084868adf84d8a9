package status

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// What one client can make the server hold.
const (
	maxConnections = 8               // at once; further ones wait
	maxHeader      = 4 << 10         // octets of a request
	headerTime     = 2 * time.Second // for the request
	answerTime     = 10 * time.Second
	drainTime      = 2 * time.Second // for answers in hand at the end
)

// What there is.
const (
	path        = "/status"
	metricsPath = "/metrics"
)

// ErrReach is what [Server.ServeMetrics] returns for a listener that other hosts can reach.
var ErrReach = errors.New("metrics are told to this host only, and other hosts can reach this address")

// Server answers with reports and metrics.
type Server struct {
	Report func() *Report // makes one; called for each request, perhaps several at once
	Log    *slog.Logger   // troubles of connections

	// Caught is told of each panic while an answer is made, with what recover gave, where that was. It costs the
	// answer. Nil: nobody is told.
	Caught func(any)
}

// survive is to be deferred: it ends a panic, and tells of it.
func (s *Server) survive(lost func()) {
	v := recover()
	if v == nil {
		return
	}
	if s.Caught != nil {
		s.Caught(v)
	}
	lost()
}

var errPanic = errors.New("a fault of reputed itself, see msg=panic in the log")

// Serve answers with both on a listener until ctx ends, and closes it. It is a unix socket whose mode says who may ask:
// see milter.Listen. The error is that the listener failed.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	report := http.HandlerFunc(s.answer)
	return s.serve(ctx, ln, only(map[string]http.Handler{path: report, metricsPath: s.metrics()}))
}

// ServeMetrics is [Server.Serve] for a TCP socket on loopback, where anybody on this host may ask: it tells metrics only.
// A request that names another host is refused, for a page of the world in a browser of this host may have sent it: its
// name was made to lead here (DNS rebinding).
func (s *Server) ServeMetrics(ctx context.Context, ln net.Listener) error {
	if tcp, ok := ln.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		ln.Close()
		return ErrReach
	}
	return s.serve(ctx, ln, here(only(map[string]http.Handler{metricsPath: s.metrics()})))
}

func (s *Server) serve(ctx context.Context, ln net.Listener, handler http.Handler) error {
	web := &http.Server{
		Handler:           s.surviving(handler),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       headerTime,
		WriteTimeout:      answerTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}
	web.SetKeepAlivesEnabled(false)
	ended := make(chan error, 1)
	go func() {
		defer s.survive(func() { ended <- errPanic })
		ended <- web.Serve(&fewListener{ln, make(chan struct{}, maxConnections)})
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if web.Shutdown(drain) != nil {
		web.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// surviving answers that there was a panic, where there was one.
func (s *Server) surviving(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.survive(func() { http.Error(w, errPanic.Error(), http.StatusInternalServerError) })
		handler.ServeHTTP(w, r)
	})
}

// only answers GET of some paths.
func only(paths map[string]http.Handler) http.Handler {
	there := strings.Join(slices.Sorted(maps.Keys(paths)), " and ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler, ok := paths[r.URL.Path]
		switch {
		case !ok:
			http.Error(w, "there is only "+there, http.StatusNotFound)
		case r.Method != http.MethodGet:
			w.Header().Set("Allow", http.MethodGet)
			http.Error(w, "there is only GET", http.StatusMethodNotAllowed)
		default:
			handler.ServeHTTP(w, r)
		}
	})
}

// thisHost is how a Host field names this host: RFC 9110, section 7.2. No name of the world's DNS is among these.
var thisHost = regexp.MustCompile(`^((?i:localhost)|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$`)

// here refuses requests that name another host.
func here(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !thisHost.MatchString(r.Host) {
			http.Error(w, "the Host field names another host: ask for localhost, 127.0.0.1 or [::1]", http.StatusMisdirectedRequest)
			return
		}
		handler.ServeHTTP(w, r)
	})
}

func (s *Server) answer(w http.ResponseWriter, _ *http.Request) {
	text, err := json.Marshal(s.Report())
	if err != nil {
		s.Log.Error("the status report cannot be written", "err", err)
		http.Error(w, "the report cannot be written: the log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(text, '\n'))
}

// fewListener accepts a connection when there is room for it.
type fewListener struct {
	net.Listener
	room chan struct{}
}

func (l *fewListener) Accept() (net.Conn, error) {
	l.room <- struct{}{}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.room
		return nil, err
	}
	return &roomConn{Conn: conn, leave: sync.OnceFunc(func() { <-l.room })}, nil
}

// roomConn makes room when it is closed.
type roomConn struct {
	net.Conn
	leave func()
}

func (c *roomConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
