//go:build integration

package faults

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"reputed/contrib/test/postfix"
	"reputed/milter/wire"
)

// storm sends streams of packets that are malformed, out of order, or both.
type storm struct {
	socket  string
	packets int // in all
	seed    uint64
	sent    atomic.Int64
	streams atomic.Int64
}

// newStorm makes one that is the same with every change, and another one each time in the long form.
func newStorm(socket string, packets int) *storm {
	s := &storm{socket: socket, packets: packets, seed: 1}
	if long {
		s.seed = uint64(time.Now().UnixNano())
	}
	return s
}

// run sends from several connections at once, and wants each of them to end.
func (s *storm) run(t *testing.T) {
	t.Helper()
	const connections = 8
	var running sync.WaitGroup
	for i := range connections {
		running.Go(func() {
			r := rand.New(rand.NewPCG(s.seed, uint64(i)))
			for s.sent.Load() < int64(s.packets) && !t.Failed() {
				stream, n := stream(r)
				s.sent.Add(int64(n))
				s.streams.Add(1)
				if err := s.play(stream); err != nil {
					t.Errorf("seed %d: %v; after %.200q", s.seed, err, stream)
				}
			}
		})
	}
	running.Wait()
}

// play sends a stream, and reads until the server closes.
func (s *storm) play(stream []byte) error {
	conn, err := net.Dial("unix", s.socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(60 * time.Second))
	if _, err := conn.Write(stream); err == nil { // the server may let go before the end
		conn.(*net.UnixConn).CloseWrite()
	}
	_, err = io.Copy(io.Discard, conn)
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// stream gives some packets.
func stream(r *rand.Rand) (all []byte, n int) {
	if r.IntN(20) > 0 {
		offer := wire.Negotiation{Version: 6, Actions: 0x1ff, Protocol: 0x1fffff}
		if r.IntN(4) == 0 {
			offer = wire.Negotiation{Version: r.Uint32N(9), Actions: r.Uint32() | 1, Protocol: r.Uint32()}
		}
		all = offer.Append(all)
		n++
	}
	usual := "CHMRRLLLNBE"
	for range 1 + r.IntN(24) {
		code := "ABCDEHKLMNOQRTUZ\x00\xff"[r.IntN(18)]
		if r.IntN(8) > 0 { // mostly as an MTA would
			code = usual[min(n%12, len(usual)-1)]
		}
		all = append(all, damaged(r, wire.Append(nil, code, payload(r, code)))...)
		n++
	}
	return all, n
}

// payload gives data that suit a packet, or nearly so.
func payload(r *rand.Rand, code byte) []byte {
	texts := [...]string{
		"", "x", "<ann@example.org>", "<>", "From\x00 ann@example.org\x00", "Subject\x00\n\ty\x00",
		"<b@world.example>\x00SIZE=1", "h\x004\x10\x00127.0.0.1\x00", "h\x006\x10\x00IPv6:::1\x00",
		"h\x00L\x00\x00/s\x00", "h\x00U", "M{auth_authen}\x00bob\x00", "R{rcpt_mailer}\x00smtp\x00", "Ei\x00Q\x00",
		strings.Repeat("x\r\n", 1+r.IntN(500)), strings.Repeat("\x00", r.IntN(100)),
	}
	suits := map[byte][]int{
		'C': {7, 8, 9, 10}, 'M': {2, 3}, 'R': {6, 2}, 'L': {4, 5}, 'D': {11, 12, 13}, 'B': {14}, 'N': {0}, 'E': {0},
	}
	if all := suits[code]; all != nil && r.IntN(6) > 0 {
		return []byte(texts[all[r.IntN(len(all))]])
	}
	if r.IntN(50) == 0 { // at the limits
		size := []int{wire.MaxCommand, wire.MaxCommand + 1, wire.MaxPacket - 1, wire.MaxPacket, wire.MaxPacket + 1}
		return make([]byte, size[r.IntN(len(size))])
	}
	return []byte(texts[r.IntN(len(texts))])
}

// damaged does harm to some packets.
func damaged(r *rand.Rand, packet []byte) []byte {
	switch r.IntN(100) {
	case 0:
		packet[r.IntN(len(packet))] ^= 1 << r.IntN(8)
	case 1:
		packet[3]++ // its length takes from the next one
	case 2:
		return packet[:1+r.IntN(len(packet))]
	case 3:
		return []byte{0, 0, 0, 0}
	case 4:
		for i := 4; i < len(packet); i++ {
			packet[i] = byte(r.Uint32())
		}
	}
	return packet
}

// Whatever packets come, a server in this process neither panics nor keeps a goroutine or a descriptor, and then signs.
func TestPacketsInside(t *testing.T) {
	goroutines, files := runtime.NumGoroutine(), ownFiles(t)
	s := newInside(t, nil)
	stop := s.start(t)
	storm := newStorm(s.socket, packetsInside)
	storm.run(t)
	after := load{socket: s.socket, keys: s.keys}.count(t.Context(), 10)
	after.whole(t, "after the storm")
	stop()
	if n, last := s.log.count(); n > 0 {
		t.Errorf("%d panics: %s", n, last)
	}
	postfix.Eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
	postfix.Eventually(t, "no descriptor is left", func() bool { return ownFiles(t) <= files })
	figure(t, "malformed packets, in the process", "%d in %d connections: 0 panics, %d goroutines before and %d after, "+
		"%d descriptors before and %d after", storm.sent.Load(), storm.streams.Load(), goroutines, runtime.NumGoroutine(),
		files, ownFiles(t))
}

func ownFiles(t testing.TB) int {
	t.Helper()
	u, err := usageOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	return u.files
}

// The same to the program: it lives on, small, and signs.
func TestPacketsOutside(t *testing.T) {
	for _, b := range []struct{ name, program string }{{"reputed", plain}, {"reputed with the race detector", raced}} {
		if b.program == "" {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			d := newDaemon(t, t.TempDir(), "", "example.org")
			d.program = b.program
			d.start()
			before := d.usage()
			storm := newStorm(d.socket, packetsOutside)
			storm.run(t)
			d.alive()
			after := load{socket: d.socket, keys: d.keys}.count(t.Context(), 10)
			after.whole(t, "after the storm")
			postfix.Eventually(t, "no descriptor is left", func() bool { return d.usage().files <= before.files+1 })
			if line := lineWith(d.since(0), "msg=panic"); line != "" {
				t.Error(line)
			}
			u := d.small("after the storm")
			figure(t, "malformed packets, "+b.name, "%d in %d connections: 0 exits, 0 panics; before %v; after %v",
				storm.sent.Load(), storm.streams.Load(), before, u)
			d.stop()
		})
	}
}
