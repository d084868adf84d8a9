package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"reputed/milter/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What is replayed is, to the octet, what package bridge sends for the same message, whatever the server negotiates;
// and each message is played once.
func TestReplay(t *testing.T) {
	choice := wire.MacroChoice(map[wire.Stage]string{wire.StageEnd: "i", wire.StageRcpt: "{rcpt_mailer}"})
	tests := []struct {
		name    string
		network string
		filter  filter
		body    body
		domains int
	}{
		{"one that answers all, and gets all macros", "unix", filter{}, prose4K, 0},
		{"the same by TCP", "tcp", filter{}, prose4K, 0},
		{"one that answers as little as can be, and chooses its macros", "unix",
			filter{agree: wire.Negotiation{Protocol: muteAll &^ wire.NoReplyRcpt, Macros: choice}}, html50K, 0},
		{"several domains", "unix", filter{agree: wire.Negotiation{Protocol: muteAll}}, prose4K, 5},
		{"one that takes its time", "tcp", filter{progress: true}, prose4K, 0},
		{"more than a socket holds", "unix", filter{agree: wire.Negotiation{Protocol: muteAll}}, attachment1M, 0},
		{"more than a TCP socket holds", "tcp", filter{agree: wire.Negotiation{Protocol: muteAll}}, attachment1M, 0},
		{"one that has seen enough of a body", "unix",
			filter{agree: wire.Negotiation{Protocol: wire.Skip}}, attachment1M, 2},
	}
	for i := range tests {
		tt := &tests[i]
		t.Run(tt.name, func(t *testing.T) {
			f := &tt.filter
			f.agree.Version = wire.Version
			l := f.start(t, tt.network)
			l.body, l.domains = tt.body, tt.domains
			if err := l.record(t.Context()); err != nil {
				t.Fatal(err)
			}
			f.take(t, max(1, tt.domains))
			f.compare(t, l)
		})
	}
}

// compare has a load played by package bridge, and by its scripts.
func (f *filter) compare(t *testing.T, l *load) {
	t.Helper()
	for n := range l.messages {
		if err := l.play(t.Context(), n+1, nil); err != nil {
			t.Fatal(err)
		}
	}
	want := f.take(t, l.messages)
	out, err := l.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := f.take(t, l.messages)
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%d octets, not the %d that package bridge sends:\n%.3000q\n%.3000q",
				len(got[i]), len(want[i]), got[i], want[i])
		}
	}
	check(t, l, out)
}

// check sees that each message of a load is accounted for.
func check(t *testing.T, l *load, out loaded) {
	t.Helper()
	if len(out.latencies) != l.messages || !slices.IsSorted(out.latencies) || out.latencies[0] <= 0 ||
		out.took < out.latencies[len(out.latencies)-1] {
		t.Errorf("latencies of %d messages in %v: %v", l.messages, out.took, out.latencies)
	}
	if len(out.samples) != samples {
		t.Errorf("%d samples, want %d", len(out.samples), samples)
	}
	of := map[int]bool{}
	for _, s := range out.samples {
		if want := "DKIM-Signature: v=1;\r\n\tb=x\r\n"; string(s.fields) != want {
			t.Errorf("sample %q, want %q", s.fields, want)
		}
		if s.n <= l.messages-samples || s.n > l.messages || of[s.n] {
			t.Errorf("a sample of message %d of %d", s.n, l.messages)
		}
		of[s.n] = true
	}
}

// A server whose queue of connections is full gets them when there is room.
func TestReplayFullQueue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 1)); err != nil {
		t.Fatal(err)
	}
	f := &filter{inTurn: true, agree: wire.Negotiation{Version: wire.Version, Protocol: muteAll}}
	if f.ln, err = net.FileListener(file); err != nil {
		t.Fatal(err)
	}
	l := f.start(t, "unix")
	l.at = 8
	if err := l.record(t.Context()); err != nil {
		t.Fatal(err)
	}
	out, err := l.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	check(t, l, out)
}

// A server that does otherwise than with the recorded message is an error, and nothing hangs.
func TestReplayOddities(t *testing.T) {
	word := func(code byte) []byte { return wire.Append(nil, code) }
	empty := field(signatureField, " v=1; bh=x; b=\r\n\t")
	otherwise := wire.Negotiation{Version: wire.Version, Protocol: wire.NoReplyMail}.Append(nil)
	tests := []struct {
		name string
		odd  func(byte) *oddity
		want string
	}{
		{"unsigned", at(wire.CmdEnd, false, goOn), "signed: false"},
		{"unsigned and accepted", at(wire.CmdEnd, false, word(wire.ReplyAccept)), `"a", not "c"`},
		{"another field", at(wire.CmdEnd, false, field("X", "b=x"), goOn), "signed: false"},
		{"a field without a signature", at(wire.CmdEnd, false, empty, goOn), "signed: false"},
		{"signed and refused", at(wire.CmdEnd, false, signed, word(wire.ReplyTempfail)), `"t", not "c"`},
		{"accepted at MAIL", at(wire.CmdMail, false, word(wire.ReplyAccept)), `"a", not "c"`},
		{"negotiated otherwise", at(wire.CmdNegotiate, false, otherwise), "as before"},
		{"two answers", at(wire.CmdRcpt, false, goOn, goOn), "more than it was asked"},
		{"no packet", at(wire.CmdRcpt, false, make([]byte, 4)), wire.ErrPacket.Error()},
		{"a huge packet", at(wire.CmdRcpt, false, []byte{0xff, 0xff, 0xff, 0xff}), wire.ErrPacket.Error()},
		{"gone at once", at(wire.CmdNegotiate, true), "message"},
		{"gone after an answer", at(wire.CmdMail, true, goOn), "message"},
		{"gone within an answer", at(wire.CmdEnd, true, signed[:20]), io.ErrUnexpectedEOF.Error()},
		{"gone within the body", at(wire.CmdBody, true), "message"},
		{"silent", at(wire.CmdRcpt, false), context.DeadlineExceeded.Error()},
	}
	for _, network := range []string{"unix", "tcp"} {
		for _, tt := range tests {
			t.Run(network+"/"+tt.name, func(t *testing.T) {
				f := &filter{odd: tt.odd, agree: wire.Negotiation{Version: wire.Version}}
				l := f.start(t, network)
				if err := l.record(t.Context()); err != nil {
					t.Fatal(err)
				}
				if tt.name == "silent" {
					l.patience = 20 * time.Millisecond
				}
				_, err := l.run(t.Context())
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want one with %q", err, tt.want)
				}
			})
		}
	}
}

// Commands that wait for nothing leave together, and no more at once than Postfix's buffer holds: what a server reads
// at a time depends on it.
func TestWrites(t *testing.T) {
	f := &filter{agree: wire.Negotiation{Version: wire.Version, Protocol: muteAll}}
	l := f.start(t, "unix")
	l.body = html50K
	if err := l.record(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := l.scripts[0]
	if s.most != 4<<10 {
		t.Errorf("%d octets at once", s.most)
	}
	for i := range s.steps[:len(s.steps)-1] { // the last one is QUIT
		if s.steps[i].answer == nil {
			t.Errorf("step %d of %d waits for nothing", i, len(s.steps))
		}
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fds[0])
	defer syscall.Close(fds[1])
	octets := s.steps[s.end].octets
	p, in, got := player{fd: fds[0]}, make([]byte, 64<<10), 0
	for p.sent < len(octets) {
		if err := p.write(octets, s.most); err != nil {
			t.Fatal(err)
		}
		for got < p.sent {
			n, err := syscall.Read(fds[1], in)
			if err != nil || n != min(s.most, len(octets)-got) || !bytes.Equal(in[:n], octets[got:got+n]) {
				t.Fatalf("%d octets after %d of %d: %v", n, got, len(octets), err)
			}
			got += n
		}
	}
}

// What cannot be recorded is an error, and so is a server that is not there.
func TestRecordErrors(t *testing.T) {
	never := at(wire.CmdEnd, false, field(signatureField, " b="), goOn)
	f := &filter{odd: never, agree: wire.Negotiation{Version: wire.Version}}
	l := f.start(t, "unix")
	l.domains = 2 // the second one is not signed
	if err := l.record(t.Context()); err == nil || !strings.Contains(err.Error(), "signed: false") {
		t.Errorf("error %v, want that there is no signature", err)
	}
	l.domains = 0
	f.ln.Close()
	if err := l.record(t.Context()); err == nil {
		t.Error("a message was played to nobody")
	}
	l.scripts = []*script{{steps: []step{{octets: []byte("x")}}, most: 1}}
	if _, err := l.run(t.Context()); err == nil {
		t.Error("a message was replayed to nobody")
	}
}

// All ends when it is to end.
func TestReplayCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := fmt.Errorf("enough")
	enough := func(byte) *oddity { cancel(why); return &oddity{} }
	f := &filter{agree: wire.Negotiation{Version: wire.Version}, odd: enough}
	l := f.start(t, "unix")
	if err := l.record(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.run(ctx); !errors.Is(err, why) {
		t.Errorf("error %v, want %v", err, why)
	}
}

// With many connections the thread of the load interrupts nobody, unless it is to; with one it does. When the load is
// over, no thread is left so, which would hand that on to servers.
func TestReplayClass(t *testing.T) {
	const polite = "3" // SCHED_BATCH, sched(7)
	inClass := func() (n int) {
		tasks, err := filepath.Glob("/proc/self/task/*")
		if err != nil || len(tasks) == 0 {
			t.Error("no thread is seen")
		}
		for _, task := range tasks {
			text, _ := os.ReadFile(filepath.Join(task, "stat")) // one may have ended
			_, rest, _ := strings.Cut(string(text), ") ")
			if fields := strings.Fields(rest); len(fields) > 38 && fields[38] == polite { // field 41, proc(5)
				n++
			}
		}
		return n
	}
	for _, tt := range []struct {
		at    int
		eager bool
		want  int64
	}{{5, false, 1}, {5, true, 0}, {1, false, 0}, {1, true, 0}} {
		var seen atomic.Int64
		look := func(byte) *oddity { seen.Store(int64(inClass())); return nil }
		f := &filter{agree: wire.Negotiation{Version: wire.Version}, odd: look}
		l := f.start(t, "unix")
		l.at, l.eager = tt.at, tt.eager
		if err := l.record(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := l.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if seen.Load() != tt.want {
			t.Errorf("%d connections, eager %t: %d threads, want %d", tt.at, tt.eager, seen.Load(), tt.want)
		}
		if n := inClass(); n != 0 {
			t.Errorf("%d connections, eager %t: %d threads are left", tt.at, tt.eager, n)
		}
	}
}

// Answers mean the same, however they are cut on their way.
func FuzzTake(f *testing.F) {
	progress := wire.Append(nil, wire.ReplyProgress)
	f.Add(slices.Concat(progress, signed, goOn))
	f.Add(slices.Concat(goOn, progress))
	f.Add(slices.Concat(signed, signed, wire.Append(nil, wire.ReplyReject)))
	f.Add([]byte{0, 0, 0, 0})
	s := &script{steps: []step{{answer: goOn[4:]}}}
	f.Fuzz(func(t *testing.T, data []byte) {
		whole, pieces := player{script: s}, player{script: s}
		answered, err := whole.take(&s.steps[0], data)
		for i := range data {
			a, e := pieces.take(&s.steps[0], data[i:i+1])
			if !a && e == nil {
				continue
			}
			if last := i == len(data)-1; a && (last != answered || last != (err == nil)) || e != nil && err == nil {
				t.Fatalf("%q: answered %t, %v; by octets, after %d: %t, %v", data, answered, err, i+1, a, e)
			}
			return
		}
		if answered || err != nil {
			t.Fatalf("%q: answered %t, %v; by octets: nothing", data, answered, err)
		}
	})
}
