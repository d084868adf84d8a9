package milter_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"reputed/milter"
	"reputed/milter/wire"
)

// chanListener hands out connections made in the process.
type chanListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *chanListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *chanListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *chanListener) Addr() net.Addr { return &net.UnixAddr{Name: "fuzz", Net: "unix"} }

// Whatever packets come after the negotiation, in whatever order: no panic, and the connection ends when it should.
func FuzzServer(f *testing.F) {
	message := func(packets ...[]byte) (all []byte) {
		for _, p := range packets {
			all = append(all, p...)
		}
		return all
	}
	f.Add(message(
		wire.Append(nil, 'C', []byte("h\x004\x10\x00127.0.0.1\x00")), wire.AppendStrings(nil, 'M', "<a@example.org>"),
		wire.AppendStrings(nil, 'R', "<b@c>"), wire.AppendStrings(nil, 'L', "From", " a@example.org"),
		wire.Append(nil, 'N'), wire.Append(nil, 'B', []byte("body\r\n")), wire.Append(nil, 'E'), wire.Append(nil, 'A'),
		wire.Append(nil, 'K'), wire.Append(nil, 'D', []byte("Mi\x00x\x00")), wire.AppendStrings(nil, 'M', ""), wire.Append(nil, 'E'),
	))
	for _, c := range []byte("ABCDEHKLMNOQRTUZ") {
		f.Add(message(wire.Append(nil, c), wire.Append(nil, 'E')))
	}
	f.Fuzz(func(t *testing.T, packets []byte) {
		r := newRig(t, milter.Limits{PacketTimeout: time.Second, IdleTimeout: time.Second}, nil)
		ln := &chanListener{conns: make(chan net.Conn), done: make(chan struct{})}
		go r.server.Serve(ln)
		ours, theirs := net.Pipe()
		ln.conns <- theirs
		ours.SetDeadline(time.Now().Add(10 * time.Second))
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			io.Copy(io.Discard, ours)
		}()
		ours.Write(wire.Negotiation{Version: 6, Actions: postfixActions, Protocol: postfixProtocol}.Append(nil))
		ours.Write(packets)
		ours.Write(wire.Append(nil, wire.CmdQuit))
		ours.Close()
		<-drained
		if log := r.log.String(); strings.Contains(log, "panic") {
			t.Fatalf("%q: %s", packets, log)
		}
	})
}
