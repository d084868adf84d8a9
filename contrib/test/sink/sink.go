// Package sink is an SMTP server for tests that keeps what it is sent.
package sink

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// Message is a message received.
type Message struct {
	From string
	To   []string
	Data []byte // as it came, dots undone
}

// Subject gives the message's subject, which tests know messages by.
func (m *Message) Subject() string {
	header, _, _ := bytes.Cut(m.Data, []byte("\r\n\r\n"))
	for line := range bytes.SplitSeq(header, []byte("\r\n")) {
		if s, ok := bytes.CutPrefix(line, []byte("Subject: ")); ok {
			return string(s)
		}
	}
	return ""
}

// Sink is a running server.
type Sink struct {
	addr string
	mu   sync.Mutex
	all  []*Message
	then func(*Message) error
}

// Then makes the sink call f for each message before it answers; an error of f refuses the message for now.
func (s *Sink) Then(f func(*Message) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.then = f
}

// Start starts a server on loopback, and stops it when the test ends. It refuses recipients called reject@…
func Start(t testing.TB) *Sink {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Sink{addr: ln.Addr().String()}
	server := smtp.NewServer(s)
	server.Domain = "sink.example"
	server.MaxLineLength = 1 << 20
	ended := make(chan struct{})
	go func() { defer close(ended); server.Serve(ln) }()
	t.Cleanup(func() { server.Close(); <-ended })
	return s
}

// Addr is where the sink listens.
func (s *Sink) Addr() string { return s.addr }

// Subject waits for the message of a subject.
func (s *Sink) Subject(t testing.TB, subject string) *Message {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for _, m := range s.Messages() {
			if strings.Contains(m.Subject(), subject) {
				return m
			}
		}
	}
	t.Fatalf("no message of subject %q came within 2 minutes", subject)
	return nil
}

// Messages gives all messages so far.
func (s *Sink) Messages() []*Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Message(nil), s.all...)
}

// NewSession is smtp.Backend.
func (s *Sink) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{sink: s}, nil }

type session struct {
	sink *Sink
	m    Message
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.m = Message{From: from}
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "reject@") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	s.m.To = append(s.m.To, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m := s.m
	m.Data = data
	s.sink.mu.Lock()
	s.sink.all = append(s.sink.all, &m)
	then := s.sink.then
	s.sink.mu.Unlock()
	if then != nil {
		return then(&m)
	}
	return nil
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }
