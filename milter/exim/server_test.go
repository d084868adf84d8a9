package exim_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"reputed/milter"
	"reputed/milter/exim"
	"reputed/policy/mail"
)

const fine = "stage=mail\nclient=127.0.0.1\nsender=a@example.org\n\n"

// want reads the answer.
func want(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	got, err := io.ReadAll(conn)
	if err != nil || string(got) != text {
		t.Errorf("%q, %v, want %q", got, err, text)
	}
}

// What is wrong with a question is logged, for it is our own snippet's that somebody changed.
func TestNonsense(t *testing.T) {
	r := newRig(t, "pass", nil)
	for ask, want := range map[string]string{
		"stage=mail\nsender=\n\n":           "451 4.3.0 ",
		"GET / HTTP/1.1\r\n\r\n":            "451 4.3.0 ",
		"stage=local\nsender=\n\n":          "OK unasked\n",
		strings.Repeat("stage=mail\n", 100): "451 4.3.0 ", // more than is read before the answer
	} {
		if got := r.ask(ask); !strings.HasPrefix(got, want) {
			t.Errorf("%.40q: %q, want %q", ask, got, want)
		}
	}
	if log := r.log.String(); strings.Count(log, "exim asks what cannot be answered") != 4 || !strings.Contains(log, "client= is missing") {
		t.Errorf("log %s", log)
	}
	conn := r.dial() // who looks whether somebody is there
	conn.CloseWrite()
	want(t, conn, "")
	if done, _ := r.records(); len(done) != 0 || strings.Count(r.log.String(), "\n") != 4 {
		t.Errorf("%d records, log %s", len(done), r.log.String())
	}
}

// An answer does not wait for the asker to end its side, and arrives although more was sent than is read.
func TestUnread(t *testing.T) {
	r := newRig(t, "pass", nil)
	conn := r.dial()
	io.WriteString(conn, fine+strings.Repeat("x", 100<<10))
	want(t, conn, "OK ours\n")
}

// The largest question that an MTA can have is taken, and no larger one.
func TestLargeQuestion(t *testing.T) {
	r := newRig(t, "pass", nil)
	begin := "stage=mail\nclient=127.0.0.1\nsender=a@example.org\nfuture="
	if got := r.ask(begin + strings.Repeat("x", 1<<20-len(begin)-2) + "\n\n"); got != "OK ours\n" {
		t.Errorf("1 MiB: %q", got)
	}
	if got := r.ask(begin + strings.Repeat("x", 1<<20-len(begin)-1) + "\n\n"); !strings.HasPrefix(got, "451 4.3.0 ") {
		t.Errorf("one more: %q", got)
	}
}

// Who says nothing, or half a question, is let go; others are served all the while.
func TestStalled(t *testing.T) {
	r := newRig(t, "pass", func(o *exim.Options, _ *milter.Site) { o.Limits.Timeout = 50 * time.Millisecond })
	for _, half := range []string{"", "stage=mail\nclient=", "selector example"} {
		conn := r.dial()
		io.WriteString(conn, half)
		got, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(got), "451 4.3.0 ") {
			t.Errorf("%q: %q, %v", half, got, err)
		}
	}
	if got := r.ask(fine); got != "OK ours\n" {
		t.Errorf("the next one: %q", got)
	}
}

// failingListener fails as a process without file descriptors does, then works.
type failingListener struct {
	net.Listener
	fails atomic.Int32
}

func (l *failingListener) Accept() (net.Conn, error) {
	if l.fails.Add(-1) >= 0 {
		return nil, syscall.EMFILE
	}
	return l.Listener.Accept()
}

func TestAcceptErrors(t *testing.T) {
	r := newRig(t, "pass", nil)
	r.path += "2"
	ln, err := net.Listen("unix", r.path)
	if err != nil {
		t.Fatal(err)
	}
	failing := &failingListener{Listener: ln}
	failing.fails.Store(3)
	r.serve(failing)
	if got := r.ask(fine); got != "OK ours\n" {
		t.Errorf("%q", got)
	}
	if log := r.log.String(); strings.Count(log, "cannot accept a connection") != 3 {
		t.Errorf("log %s", log)
	}
}

// At the limit a connection waits until another ends.
func TestConnectionLimit(t *testing.T) {
	r := newRig(t, "pass", func(o *exim.Options, _ *milter.Site) { o.Limits.Connections = 1 })
	first, second := r.dial(), r.dial()
	io.WriteString(first, "stage=mail\n")
	io.WriteString(second, fine)
	second.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := second.Read(make([]byte, 1)); err == nil {
		t.Fatalf("%d octets of an answer at the limit", n)
	}
	second.SetReadDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(first, "client=127.0.0.1\nsender=\n\n")
	want(t, first, "OK ours\n")
	first.Close()
	want(t, second, "OK ours\n")
}

// slow is a way about which nothing is known for long.
type slow struct{ let chan struct{} }

func (s slow) inquiry() milter.Inquiry { return &inquiry{"pass", 0, func() { <-s.let }} }

// At MAIL the answer does not wait for name servers. Too many that are asked ahead are not asked ahead any more.
func TestAskedAhead(t *testing.T) {
	let, begun, ended := slow{make(chan struct{})}, atomic.Int32{}, atomic.Int32{}
	r := newRig(t, "", func(o *exim.Options, s *milter.Site) {
		o.Limits.Connections = 2
		s.Inquire = func(ctx context.Context, _ *mail.Transaction) milter.Inquiry {
			begun.Add(1)
			context.AfterFunc(ctx, func() { ended.Add(1) })
			return let.inquiry()
		}
	})
	for range 3 {
		if got := r.ask(fine); got != "OK ours\n" {
			t.Fatalf("%q", got)
		}
	}
	eventually(t, "the third one ends", func() bool { return begun.Load() == 3 && ended.Load() == 1 })
	close(let.let)
	r.stop()
	eventually(t, "all end", func() bool { return ended.Load() == 3 })
}

// Shutdown answers the questions that are there, and lets in no more.
func TestShutdown(t *testing.T) {
	let := slow{make(chan struct{})}
	asked := make(chan struct{})
	r := newRig(t, "", func(o *exim.Options, s *milter.Site) {
		s.Inquire = func(context.Context, *mail.Transaction) milter.Inquiry { close(asked); return let.inquiry() }
	})
	conn := r.dial()
	io.WriteString(conn, "stage=rcpt\nrcpt=b@x.example\nleaves=yes\nclient=127.0.0.1\nsender=a@example.org\n\n")
	<-asked
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		ended <- r.server.Shutdown(ctx)
	}()
	eventually(t, "nobody is let in", func() bool {
		c, err := net.Dial("unix", r.path)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	close(let.let)
	want(t, conn, "OK ours\n")
	conn.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// When the time to drain is over, what is left is cut off.
func TestShutdownDeadline(t *testing.T) {
	r := newRig(t, "pass", nil)
	conn := r.dial()
	io.WriteString(conn, "stage=mail\n")
	if got := r.ask(fine); got != "OK ours\n" { // so the first one was let in
		t.Fatalf("%q", got)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != context.DeadlineExceeded {
		t.Errorf("shutdown: %v", err)
	}
	want(t, conn, "")
}

// eventually polls until the condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("not within 10 s: %s", what)
}

// Questions that take too much together wait in Exim's queue, or for the filter; those that are as questions are get on.
func TestCrowded(t *testing.T) {
	r := newRig(t, "pass", func(o *exim.Options, _ *milter.Site) { o.Limits.Kept = 200 << 10 })
	medium := "stage=mail\nclient=127.0.0.1\nsender=a@example.org\nhelo=" + strings.Repeat("x", 30<<10) + "\n\n"
	large := "helo=" + strings.Repeat("x", 100<<10) + "\n"
	if got := r.ask(medium); got != "OK ours\n" {
		t.Errorf("a large question: %q", got)
	}
	for stage, want := range map[string]string{"mail": "451 4.3.0 ", "local": "OK unasked\n"} {
		if got := r.ask("stage=" + stage + "\nclient=127.0.0.1\nsender=a@example.org\n" + large + "\n"); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", stage, got, want)
		}
	}
	hoard := func() net.Conn {
		conn := r.dial()
		io.WriteString(conn, "stage=mail\n"+large[:45<<10])
		return conn
	}
	hoarder := hoard()
	eventually(t, "what the hoarder said is read", func() bool {
		hoarder.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := hoarder.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			hoarder = hoard() // it was refused, for what was answered before gives its room back a moment later
		}
		return strings.HasPrefix(r.ask(medium), "451 4.3.0 ")
	})
	if got := r.ask(fine); got != "OK ours\n" {
		t.Errorf("an ordinary question: %q", got)
	}
	hoarder.Close()
	eventually(t, "there is room again", func() bool { return r.ask(medium) == "OK ours\n" })
	if log := r.log.String(); !strings.Contains(log, "exim's question must wait") {
		t.Error(log)
	}
}

// Where there is no room for the rest of a quoted value, that is told, and not that Exim's ACLs cannot quote.
func TestCrowdedInValue(t *testing.T) {
	r := newRig(t, "pass", func(o *exim.Options, _ *milter.Site) { o.Limits.Kept = 1 })
	if got := r.ask("stage=mail\nhelo=\"" + strings.Repeat("x", 100<<10) + "\"\n\n"); !strings.HasPrefix(got, "451 4.3.0 ") {
		t.Errorf("%q", got)
	}
	if log := r.log.String(); !strings.Contains(log, "exim's question must wait") || strings.Contains(log, "cannot be answered") {
		t.Error(log)
	}
}

// What is answered takes no room from others, even if the other side does not leave.
func TestAnsweredKeepsNothing(t *testing.T) {
	r := newRig(t, "pass", func(o *exim.Options, _ *milter.Site) { o.Limits.Kept = 200 << 10 })
	medium := "stage=mail\nclient=127.0.0.1\nsender=a@example.org\nhelo=" + strings.Repeat("x", 30<<10) + "\n\n"
	for range 5 {
		conn := r.dial() // until the test ends
		io.WriteString(conn, medium)
		want(t, conn, "OK ours\n")
	}
}

// An envelope is not asked about ahead where the question is larger than what every connection may keep.
func TestLargeIsNotAskedAhead(t *testing.T) {
	let, ended := slow{make(chan struct{})}, atomic.Int32{}
	r := newRig(t, "", func(o *exim.Options, s *milter.Site) {
		s.Inquire = func(ctx context.Context, _ *mail.Transaction) milter.Inquiry {
			context.AfterFunc(ctx, func() { ended.Add(1) })
			return let.inquiry()
		}
	})
	t.Cleanup(func() { close(let.let) })
	for _, size := range []int{3 << 10, 5 << 10} {
		if got := r.ask("helo=" + strings.Repeat("x", size) + "\n" + fine); got != "OK ours\n" {
			t.Fatalf("%q", got)
		}
	}
	eventually(t, "the large one ends", func() bool { return ended.Load() == 1 })
}
