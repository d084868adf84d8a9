package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"reputed/milter/wire"
)

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
	signed = field(signatureField, " v=1;\r\n\tb=x")
)

// field inserts a header field.
func field(name, value string) []byte {
	return wire.AppendInsertHeader(nil, []byte(name), []byte(value))
}

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

// at is what a filter does after one command, which it does not answer otherwise.
func at(command byte, leaves bool, answers ...[]byte) func(byte) *oddity {
	return func(code byte) *oddity {
		if code != command {
			return nil
		}
		return &oddity{slices.Concat(answers...), leaves}
	}
}
