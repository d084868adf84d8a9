package milter_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"reputed/milter"
	"reputed/milter/wire"
)

// aloneAt names the socket where this program, started again, is a server and nothing else, so that its memory can be
// looked at.
const aloneAt = "REPUTED_TEST_SERVE_AT"

// serveAlone is that server, with the limit to garbage that reputed serve has. It ends with its standard input.
func serveAlone(path string) {
	debug.SetMemoryLimit(40 << 20)
	r := &rig{t: new(testing.B), log: new(syncBuffer)}
	site := r.newSite()
	server := milter.New(milter.Options{
		Site: func() *milter.Site { return &site },
		Log:  slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	ln, err := milter.Listen(wire.Endpoint{Network: "unix", Address: path}, milter.Access{})
	if err != nil {
		panic(err)
	}
	go server.Serve(ln)
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
}

// alone is such a server, seen from outside.
type alone struct {
	t    *testing.T
	path string
	cmd  *exec.Cmd
	log  bytes.Buffer
}

func startAlone(t *testing.T) *alone {
	t.Helper()
	a := &alone{t: t, path: filepath.Join(t.TempDir(), "s")}
	a.cmd = exec.Command(os.Args[0])
	a.cmd.Env = append(os.Environ(), aloneAt+"="+a.path)
	a.cmd.Stderr = &a.log
	in, err := a.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := a.cmd.Wait(); err != nil {
			t.Errorf("the server: %v", err)
		}
		if t.Failed() {
			t.Log(a.log.String())
		}
	})
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	return a
}

// peak gives the most memory that it ever had, in MiB.
func (a *alone) peak() (mib float64) {
	a.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	if err != nil {
		a.t.Skip(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	if _, err := fmt.Sscan(rest, &mib); err != nil {
		a.t.Skip("no VmHWM")
	}
	return mib / 1024
}

// postfix dials and negotiates.
func (a *alone) postfix() *mta {
	a.t.Helper()
	conn, err := net.Dial("unix", a.path)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { conn.Close() })
	m := &mta{t: a.t, conn: conn, in: wire.NewReader(conn)}
	m.negotiate(6, postfixActions, postfixProtocol)
	return m
}

// hoards are what a peer can have the server keep, at most, as it says it all at once. Each has more to say, and does not.
var hoards = map[string]func() []byte{
	"a header of 1 MiB": func() []byte { return hoardFields(10, 100<<10) },
	"2,000 fields":      func() []byte { return hoardFields(2000, 500) },
	"100 recipients of 8 KiB": func() (text []byte) {
		rcpt := "<" + strings.Repeat("x", wire.MaxCommand-30) + "@elsewhere.example>"
		for range 100 {
			text = wire.AppendStrings(text, wire.CmdMacro, "R{rcpt_mailer}", rcpt[:6<<10])
			text = wire.AppendStrings(text, wire.CmdRcpt, rcpt)
		}
		return text
	},
	"256 macros of 8 KiB": func() (text []byte) {
		for _, step := range "CHMRTN" {
			for i := range 256 {
				text = wire.AppendStrings(text, wire.CmdMacro, fmt.Sprintf("%c{x%d}", step, i), strings.Repeat("x", wire.MaxCommand-30))
			}
		}
		return text
	},
	"names of 8 KiB": func() (text []byte) {
		long := strings.Repeat("x", wire.MaxCommand-100)
		text = wire.Peer{Name: long, Family: wire.FamilyInet, Port: 9, Addr: netip.MustParseAddr("127.0.0.1")}.Append(nil)
		text = wire.AppendStrings(text, wire.CmdHelo, long)
		return wire.AppendStrings(text, wire.CmdMail, "<"+long+"@example.org>")
	},
	"most of a field of 128 KiB": func() []byte {
		text := wire.AppendStrings(nil, wire.CmdHeader, "X-Much", strings.Repeat("x", 127<<10))
		return text[:len(text)-1]
	},
	"headers of 60 KiB, and then nothing": func() []byte {
		text := wire.Append(hoardFields(6, 10<<10), wire.CmdEndHeader)
		return wire.Append(text, wire.CmdEnd) // Postfix sends no ABORT then
	},
}

func hoardFields(n, size int) (text []byte) {
	for range n {
		text = wire.AppendStrings(text, wire.CmdHeader, "X-Much", strings.Repeat("x", size))
	}
	return text
}

// However much 500 peers say, the server stays small; and mail of another one, as mail is, is signed all the while.
func TestHoards(t *testing.T) {
	const peers = 500
	for name, text := range hoards {
		t.Run(name, func(t *testing.T) {
			a := startAlone(t)
			start, said := a.peak(), text()
			other := a.postfix()
			var group sync.WaitGroup
			turns := make(chan struct{}, 16)
			for range peers {
				m := a.postfix()
				m.connect("127.0.0.1", 4000)
				m.send(wire.CmdMail, "<a@example.org>")
				group.Go(func() {
					turns <- struct{}{}
					defer func() { <-turns }()
					go io.Copy(io.Discard, m.conn) // what it is answered
					m.conn.SetWriteDeadline(time.Now().Add(time.Minute))
					m.conn.Write(said) // or as much of it as it may
				})
			}
			for range 20 {
				begin(other)
				if ps := other.content([]string{"From: a@example.org", "X-Ordinary: " + strings.Repeat("x", 8<<10)}, "x"); len(ps) != 2 {
					t.Errorf("another one's message: %v", ps)
				}
			}
			group.Wait()
			other.conn.Close()
			other = a.postfix() // and when all is said
			begin(other)
			if ps := other.content(plain, "x"); len(ps) != 2 {
				t.Errorf("another one's message: %v", ps)
			}
			peak := a.peak()
			if t.Logf("%.0f MiB, %.0f before", peak, start); peak > mostMiB {
				t.Errorf("it takes more than %d MiB", mostMiB)
			}
		})
	}
}
