package status

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
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

// path is all there is.
const path = "/status"

// Server answers with reports.
type Server struct {
	Report func() *Report // makes one; called for each request, perhaps several at once
	Log    *slog.Logger   // troubles of connections
}

// Serve answers on a listener until ctx ends, and closes it. It is a unix socket whose mode says who may ask: see
// milter.Listen. The error is that the listener failed.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	web := &http.Server{
		Handler:           http.HandlerFunc(s.answer),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       headerTime,
		WriteTimeout:      answerTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}
	web.SetKeepAlivesEnabled(false)
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(&fewListener{ln, make(chan struct{}, maxConnections)}) }()
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

func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path != path:
		http.Error(w, "there is only "+path, http.StatusNotFound)
		return
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "there is only GET", http.StatusMethodNotAllowed)
		return
	}
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
