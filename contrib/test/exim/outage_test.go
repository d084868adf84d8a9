//go:build integration

package exim_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"reputed/contrib/test/exim"
)

func TestOutage(t *testing.T) {
	t.Parallel()
	s := example(func(o *exim.Options) { o.Routers += forwarding })
	s.quick = true
	h := newHost(t, s)
	for _, sub := range []struct {
		name string
		run  func(*host, *testing.T)
	}{
		{"reputed is down", (*host).down},
		{"reputed hangs, and is killed while the filter waits", (*host).hang},
	} {
		t.Run(sub.name, func(t *testing.T) { sub.run(h, t) })
	}
	h.noPanics(t)
}

// While reputed is down, nothing of ours is taken that would have to be refused, nothing leaves unsigned, and all other
// mail goes on. What was taken leaves signed when it is back.
func (h *host) down(t *testing.T) {
	must(t, h.smtp("127.0.0.1").mail(t, "ann@example.org", "friend@later.example", "taken before"))
	h.daemon.stop()
	h.open(t)
	for name, send := range map[string]way{"a client": h.smtp("127.0.0.1"), "a login": h.smtp("127.0.0.2", plainLogin)} {
		reply := send.mail(t, "ann@example.org", "friend@world.example", "refused for now")
		if want := "451 4.3.0 mail system trouble, please try again later"; reply != want {
			t.Errorf("%s: reply %q, want %q", name, reply, want)
		}
	}
	stranger := h.smtp("127.0.0.2")
	must(t, stranger.mail(t, "someone@elsewhere.example", "user@local.example", "comes in"))
	exim.Eventually(t, "it is delivered", func() bool {
		return strings.Contains(h.exim.Mailbox(), "Subject: comes in\n")
	})
	must(t, stranger.mail(t, "someone@elsewhere.example", "alias@local.example", "is sent on"))
	h.signedBy(t, "is sent on", "")
	must(t, stranger.mail(t, "someone@elsewhere.example", "reject@inbound.example", "cannot be sent on"))
	must(t, way(h.sendmail).mail(t, "cron@example.org", "friend@world.example", "of a program"))
	for subject, sender := range map[string]string{
		"a redirect meanwhile": "someone@elsewhere.example", "a list meanwhile": "list@example.org",
	} {
		text := message("ann@example.org", subject, "Received: from elsewhere")
		must(t, h.sendmail(t, sender, "friend@world.example", text))
	}
	must(t, h.smtp("127.0.0.1").mail(t, "someone@elsewhere.example", "user@local.example", "comes in by a filter"))
	for _, to := range []string{"friend@later.example", "friend@world.example", "someone@elsewhere.example"} {
		h.exim.LogLine("== "+to, "transport filter process failed (75)")
	}
	if n := len(h.sink.Messages()); n != 1 {
		t.Errorf("%d messages left while reputed was down", n)
	}
	h.daemon.start()
	for _, subject := range []string{"taken before", "of a program", "Mail delivery failed"} {
		h.signedBy(t, subject, "example.org")
	}
	h.signedBy(t, "a list meanwhile", "example.org")
	h.signedBy(t, "a redirect meanwhile", "")
	h.daemon.logLine("class=relayed", "sender=<someone@elsewhere.example>")
	h.exim.Empty()
}

// A reputed that hangs makes clients try again later. When it is killed while a filter waits for it, the message waits
// for the next one, and leaves once.
func (h *host) hang(t *testing.T) {
	if err := os.Remove(filepath.Join(h.dir, "open")); err != nil {
		t.Fatal(err)
	}
	must(t, way(h.sendmail).mail(t, "ann@example.org", "friend@later.example", "under way"))
	h.daemon.signal(syscall.SIGSTOP)
	h.open(t)
	exim.Eventually(t, "the filter runs", func() bool { return len(h.filters(t)) > 0 })
	reply := h.smtp("127.0.0.1").mail(t, "ann@example.org", "friend@world.example", "refused for now")
	if want := "451 4.3.0 mail system trouble, please try again later"; reply != want {
		t.Errorf("reply %q, want %q", reply, want)
	}
	h.daemon.kill()
	h.exim.LogLine("== friend@later.example", "transport filter process failed (75)")
	h.daemon.start()
	h.signedBy(t, "under way", "example.org")
	h.exim.Empty()
	if n := h.count("under way"); n != 1 {
		t.Errorf("it left %d times", n)
	}
}

// filters gives the processes of the filter.
func (h *host) filters(t testing.TB) (pids []int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		line, err := os.ReadFile(file)
		if err == nil && bytes.HasPrefix(line, []byte(filter)) && bytes.Contains(line, []byte(h.dir)) {
			pid, _ := strconv.Atoi(strings.Split(file, "/")[2])
			pids = append(pids, pid)
		}
	}
	return pids
}

// valve stands between Exim and the sink. It lets so many octets of a connection through, and then none until it is
// opened.
type valve struct {
	ln   net.Listener
	most int64
	open chan struct{}
	shut sync.Once
	held atomic.Bool
}

func newValve(t *testing.T, to string, most int64) *valve {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v := &valve{ln: ln, most: most, open: make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conn.(*net.TCPConn).SetReadBuffer(64 << 10)
			wg.Go(func() { v.pass(conn, to) })
		}
	})
	t.Cleanup(func() { v.release(); ln.Close(); wg.Wait() })
	return v
}

func (v *valve) release() { v.shut.Do(func() { close(v.open) }) }

func (v *valve) pass(conn net.Conn, to string) {
	defer conn.Close()
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	go func() { io.Copy(conn, out); conn.Close() }()
	defer out.Close()
	if n, _ := io.CopyN(out, conn, v.most); n == v.most {
		v.held.Store(true)
		<-v.open
	}
	io.Copy(out, conn)
}

// A filter that is killed while its output is on the way to the next host: that host never sees the end of the message,
// and has it once, whole, later.
func TestFilterKilled(t *testing.T) {
	t.Parallel()
	var v *valve
	s := example(nil)
	s.quick = true
	s.via = func(sink string) string { v = newValve(t, sink, 1<<20); return v.ln.Addr().String() }
	h := newHost(t, s)
	body := lines(6 << 20) // more than sockets hold
	text := append(message("ann@example.org", "on its way"), body...)
	must(t, h.sendmail(t, "ann@example.org", "friend@world.example", text))
	exim.Eventually(t, "a part of it has left", v.held.Load)
	for _, pid := range h.filters(t) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	v.release()
	h.exim.LogLine("== friend@world.example", "transport filter process failed (-9)")
	h.exim.Empty()
	h.verifyLarge(t, "on its way", body)
}

// Programs are killed while mail flows: each message arrives once, signed.
func TestKills(t *testing.T) {
	t.Parallel()
	h := newHost(t, example(nil))
	const messages = 200
	var flow traffic
	done := make(chan struct{})
	go func() { flow.send(t, h, messages); close(done) }()
	kills := 0
	for more := true; more; {
		select {
		case <-done:
			more = false
		case <-time.After(100 * time.Millisecond): // kills at a pace: nobody gets anything done otherwise
		}
		for _, pid := range h.filters(t) {
			if syscall.Kill(pid, syscall.SIGKILL) == nil {
				kills++
			}
		}
		h.daemon.kill()
		h.daemon.start()
	}
	h.exim.Empty()
	seen := map[string]int{}
	for _, m := range h.sink.Messages() {
		seen[m.Subject()]++
	}
	if len(seen) != messages {
		t.Errorf("%d of %d messages arrived", len(seen), messages)
	}
	for subject, n := range seen {
		if n != 1 {
			t.Errorf("%s arrived %d times", subject, n)
		}
	}
	h.verify(t, "example.org", h.sink.Messages()...)
	t.Logf("%d filters killed; %d times tried again; %d runs failed", kills, flow.retried.Load(),
		strings.Count(h.exim.Log(), "transport filter process failed"))
}

// traffic is mail of several clients at once, who come again when they are refused for now.
type traffic struct{ retried atomic.Int32 }

func (f *traffic) send(t *testing.T, h *host, messages int) {
	const clients = 4
	var wg sync.WaitGroup
	for n := range clients {
		by := []way{h.smtp("127.0.0.1"), h.sendmail}[n%2]
		wg.Go(func() {
			for i := n; i < messages; i += clients {
				f.sendOne(t, by, fmt.Sprintf("number %d.", i))
			}
		})
	}
	wg.Wait()
}

func (f *traffic) sendOne(t *testing.T, by way, subject string) {
	for end := time.Now().Add(exim.Patience); ; f.retried.Add(1) {
		reply := by.mail(t, "ann@example.org", "friend@world.example", subject)
		if reply[0] == '2' {
			return
		}
		if reply[0] != '4' || time.Now().After(end) {
			t.Errorf("%s: %s", subject, reply)
			return
		}
		time.Sleep(20 * time.Millisecond) // as clients do, though they take longer
	}
}
