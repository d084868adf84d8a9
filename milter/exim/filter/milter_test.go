package filter

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"reputed/milter/wire"
)

// asProgram makes the test binary the filter.
const asProgram = "RUN_THE_FILTER"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout))
	}
	goleak.VerifyTestMain(m)
}

// milter answers as its script says, and keeps what it saw. Where the script has nothing it answers continue.
type milter struct {
	want   wire.Negotiation // its part of the negotiation; version 0 is 6
	script map[byte][]byte  // whole packets for a command; an empty answer cuts the connection
	silent byte             // the command that it never answers

	seen   []string // connection, envelope and macros
	header strings.Builder
	body   strings.Builder
	octets int           // of body
	count  bool          // keep no body
	done   chan struct{} // closed when it has seen all
}

var errCut = errors.New("the script says so")

// job gives a job whose milter this is. The connection is a pipe in memory.
func (m *milter) job(t testing.TB) *Job {
	here, there := net.Pipe()
	m.done = make(chan struct{})
	go func() {
		defer close(m.done)
		m.serve(there)
	}()
	t.Cleanup(func() { here.Close(); <-m.done })
	return &Job{
		Milter: wire.Endpoint{Network: "unix", Address: "/run/milter.sock"}, ID: "1tExIm-0000-01",
		Recipients: []string{"bob@example.net"},
		Dialer:     func(context.Context, wire.Endpoint) (net.Conn, error) { return here, nil },
	}
}

// listen serves on a unix socket, one connection after the other, and gives its path.
func (m *milter) listen(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "milter.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			m.serve(conn)
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return path
}

func (m *milter) serve(conn net.Conn) {
	defer conn.Close()
	in := wire.NewReader(conn)
	for {
		code, _, err := in.Next()
		if err != nil {
			return
		}
		data, err := in.Payload()
		if err != nil {
			return
		}
		m.note(code, data)
		answer, err := m.answer(code)
		if err == nil && len(answer) > 0 {
			_, err = conn.Write(answer)
		}
		if err != nil {
			return
		}
	}
}

func (m *milter) note(code byte, data []byte) {
	switch code {
	case wire.CmdHeader:
		name, value, _ := wire.SplitHeader(data)
		fmt.Fprintf(&m.header, "%s:%s\n", name, value)
	case wire.CmdBody:
		if m.octets += len(data); !m.count {
			m.body.Write(data)
		}
	case wire.CmdNegotiate:
	default:
		m.seen = append(m.seen, strings.TrimRight(fmt.Sprintf("%c %s", code, strings.ReplaceAll(string(data), "\x00", " ")), " "))
	}
}

// mute says which command needs no answer if it was so agreed.
var mute = map[byte]uint32{
	wire.CmdConnect: wire.NoReplyConnect, wire.CmdHelo: wire.NoReplyHelo, wire.CmdData: wire.NoReplyData,
	wire.CmdHeader: wire.NoReplyHeader, wire.CmdEndHeader: wire.NoReplyEOH, wire.CmdBody: wire.NoReplyBody,
}

func (m *milter) answer(code byte) ([]byte, error) {
	if answer, ok := m.script[code]; ok {
		if len(answer) == 0 {
			return nil, errCut
		}
		return answer, nil
	}
	switch {
	case code == m.silent, code == wire.CmdMacro, code == wire.CmdAbort, code == wire.CmdQuit,
		m.want.Protocol&mute[code] != 0:
		return nil, nil
	case code == wire.CmdNegotiate:
		n := m.want
		if n.Version == 0 {
			n.Version = 6
		}
		return n.Append(nil), nil
	}
	return wire.Append(nil, wire.ReplyContinue), nil
}

// changes makes the answer to the end of a message: the changes, and that it is accepted.
func changes(packets ...[]byte) map[byte][]byte {
	var all []byte
	for _, p := range packets {
		all = append(all, p...)
	}
	return map[byte][]byte{wire.CmdEnd: wire.Append(all, wire.ReplyAccept)}
}

func at(code byte, index uint32, name, value string) []byte {
	return wire.Append(nil, code, binary.BigEndian.AppendUint32(nil, index), []byte(name+"\x00"+value+"\x00"))
}

func insert(index uint32, name, value string) []byte {
	return at(wire.ReplyInsertHeader, index, name, value)
}
func change(n uint32, name, value string) []byte { return at(wire.ReplyChangeHeader, n, name, value) }
func add(name, value string) []byte {
	return wire.AppendStrings(nil, wire.ReplyAddHeader, name, value)
}
func replace(body string) []byte { return wire.Append(nil, wire.ReplyReplaceBody, []byte(body)) }

// spaced is a milter whose header values travel with their leading space, as reputed's do.
func spaced(script map[byte][]byte) *milter {
	return &milter{want: wire.Negotiation{Actions: everything, Protocol: wire.LeadingSpace}, script: script}
}

const everything = wire.ActAddHeader | wire.ActChangeHeader | wire.ActChangeBody
