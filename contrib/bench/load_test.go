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
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"reputed/milter/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// filter is a milter that signs, after a fashion, and keeps what it is sent.
type filter struct {
	agree    wire.Negotiation
	progress bool // it says that it is at work before each answer, and answers by halves
	inTurn   bool // one connection at a time
	// odd gives what it does otherwise on all connections but the first, which is that of the recorded message; nil is
	// nothing.
	odd func(code byte) *oddity

	ln   net.Listener
	mu   sync.Mutex
	seen []string // octets of each connection that ended with QUIT
}

// oddity is what a filter does instead of answering well.
type oddity struct {
	answer []byte
	leaves bool // after that
}

// start has it listen, and gives a load for it.
func (f *filter) start(t *testing.T, network string) *load {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		dir, err := os.MkdirTemp("", "load") // a path that fits into a socket's name
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		address = filepath.Join(dir, "s")
	}
	if f.ln == nil {
		ln, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		f.ln = ln
	}
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { f.accept(ctx, &all) })
	t.Cleanup(func() { stop(); f.ln.Close(); all.Wait() })
	at := wire.Endpoint{Network: network, Address: f.ln.Addr().String()}
	return &load{socket: at, messages: 12, at: 5, body: prose4K, patience: 30 * time.Second}
}

func (f *filter) accept(ctx context.Context, all *sync.WaitGroup) {
	for n := 0; ; n++ {
		conn, err := f.ln.Accept()
		if err != nil {
			return
		}
		odd := f.odd
		if n == 0 || odd == nil {
			odd = func(byte) *oddity { return nil }
		}
		serve := func() {
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			f.serve(conn, odd)
		}
		if f.inTurn {
			serve()
		} else {
			all.Go(serve)
		}
	}
}

func (f *filter) serve(conn net.Conn, odd func(byte) *oddity) {
	var seen bytes.Buffer
	in := wire.NewReader(io.TeeReader(conn, &seen))
	for {
		code, _, err := in.Next()
		if err != nil {
			return
		}
		if code == wire.CmdQuit {
			f.mu.Lock()
			f.seen = append(f.seen, seen.String())
			f.mu.Unlock()
			return
		}
		answer := f.answer(code)
		o := odd(code)
		if o != nil {
			answer = o.answer
		}
		half := 0
		if f.progress {
			half = len(answer) / 2
		}
		conn.Write(answer[:half])
		conn.Write(answer[half:])
		if o != nil && o.leaves {
			return
		}
	}
}

// mute are the bits by which a filter says that it will not answer a command.
var mute = map[byte]uint32{
	wire.CmdConnect: wire.NoReplyConnect, wire.CmdHelo: wire.NoReplyHelo, wire.CmdMail: wire.NoReplyMail,
	wire.CmdRcpt: wire.NoReplyRcpt, wire.CmdData: wire.NoReplyData, wire.CmdHeader: wire.NoReplyHeader,
	wire.CmdEndHeader: wire.NoReplyEOH, wire.CmdBody: wire.NoReplyBody,
}

var (
	goOn   = wire.Append(nil, wire.ReplyContinue)
	signed = wire.AppendInsertHeader(nil, []byte(signatureField), []byte(" v=1;\r\n\tb=x"))
)

func (f *filter) answer(code byte) (out []byte) {
	bit, answers := mute[code]
	switch {
	case code == wire.CmdNegotiate:
		out = f.agree.Append(nil)
	case code == wire.CmdBody && f.agree.Protocol&wire.Skip != 0:
		out = wire.Append(nil, wire.ReplySkip)
	case code == wire.CmdEnd:
		out = slices.Concat(signed, wire.Append(nil, wire.ReplyQuarantine, []byte("why\x00")), goOn)
	case answers && f.agree.Protocol&bit == 0:
		out = goOn
	}
	if len(out) > 0 && f.progress {
		out = append(wire.Append(nil, wire.ReplyProgress), out...)
	}
	return out
}

const muteAll = wire.NoReplyConnect | wire.NoReplyHelo | wire.NoReplyMail | wire.NoReplyRcpt | wire.NoReplyData |
	wire.NoReplyHeader | wire.NoReplyEOH | wire.NoReplyBody

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
		{"one that has seen enough of a body", "unix", filter{agree: wire.Negotiation{Protocol: wire.Skip}}, attachment1M, 2},
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
		})
	}
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
	for _, s := range out.samples {
		if want := "DKIM-Signature: v=1;\r\n\tb=x\r\n"; string(s) != want {
			t.Errorf("sample %q, want %q", s, want)
		}
	}
}

// take waits until n connections have ended and gives what came over them, sorted.
func (f *filter) take(t *testing.T, n int) []string {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		f.mu.Lock()
		seen := f.seen
		f.mu.Unlock()
		if len(seen) == n {
			f.seen = nil
			slices.Sort(seen)
			return seen
		}
		if len(seen) > n || time.Now().After(end) {
			t.Fatalf("%d connections, want %d", len(seen), n)
		}
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
	at := func(command byte, leaves bool, answers ...[]byte) func(byte) *oddity {
		return func(code byte) *oddity {
			if code != command {
				return nil
			}
			return &oddity{slices.Concat(answers...), leaves}
		}
	}
	word := func(code byte) []byte { return wire.Append(nil, code) }
	other := wire.AppendInsertHeader(nil, []byte("X"), []byte("y"))
	otherwise := wire.Negotiation{Version: wire.Version, Protocol: wire.NoReplyMail}.Append(nil)
	tests := []struct {
		name string
		odd  func(byte) *oddity
		want string
	}{
		{"unsigned", at(wire.CmdEnd, false, goOn), "signed: false"},
		{"unsigned and accepted", at(wire.CmdEnd, false, word(wire.ReplyAccept)), `"a", not "c"`},
		{"another field", at(wire.CmdEnd, false, other, goOn), "signed: false"},
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

// What cannot be recorded is an error, and so is a server that is not there.
func TestRecordErrors(t *testing.T) {
	never := func(code byte) *oddity {
		if code == wire.CmdEnd {
			return &oddity{answer: goOn}
		}
		return nil
	}
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
	l.scripts = []*script{{steps: []step{{octets: []byte("x")}}}}
	if _, err := l.run(t.Context()); err == nil {
		t.Error("a message was replayed to nobody")
	}
}

// All ends when it is to end.
func TestReplayCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := fmt.Errorf("enough")
	f := &filter{agree: wire.Negotiation{Version: wire.Version}, odd: func(byte) *oddity { cancel(why); return &oddity{} }}
	l := f.start(t, "unix")
	if err := l.record(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.run(ctx); !errors.Is(err, why) {
		t.Errorf("error %v, want %v", err, why)
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
