package nameserver

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// relay answers at an address as a server at another one does. BIND listens only at addresses that an interface has,
// and of 127.0.0.0/8 that is one.
type relay struct {
	to      string
	packets net.PacketConn
	streams net.Listener
	ended   chan struct{}
	running sync.WaitGroup
}

// startRelay relays until the test ends.
func startRelay(t testing.TB, from, to string) {
	t.Helper()
	r := &relay{to: to, ended: make(chan struct{})}
	var err error
	if r.packets, err = net.ListenPacket("udp", from); err != nil {
		t.Fatal(err)
	}
	if r.streams, err = net.Listen("tcp", from); err != nil {
		r.packets.Close()
		t.Fatal(err)
	}
	r.running.Go(r.udp)
	r.running.Go(r.tcp)
	t.Cleanup(func() {
		close(r.ended)
		r.packets.Close()
		r.streams.Close()
		r.running.Wait()
	})
}

func (r *relay) udp() {
	packet := make([]byte, 0xffff)
	for {
		n, client, err := r.packets.ReadFrom(packet)
		if err != nil {
			return
		}
		query := append([]byte(nil), packet[:n]...)
		r.running.Go(func() { r.ask(query, client) })
	}
}

// ask has a query answered, unless that takes too long for whoever asks.
func (r *relay) ask(query []byte, client net.Addr) {
	conn, err := net.Dial("udp", r.to)
	if err != nil {
		return
	}
	defer r.guard(conn)()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	answer := make([]byte, 0xffff)
	if _, err := conn.Write(query); err != nil {
		return
	}
	if n, err := conn.Read(answer); err == nil {
		r.packets.WriteTo(answer[:n], client)
	}
}

func (r *relay) tcp() {
	for {
		client, err := r.streams.Accept()
		if err != nil {
			return
		}
		r.running.Go(func() { r.join(client) })
	}
}

// join brings a connection to the server, until one side closes it.
func (r *relay) join(client net.Conn) {
	defer r.guard(client)()
	server, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer r.guard(server)()
	var back sync.WaitGroup
	back.Go(func() {
		io.Copy(client, server)
		client.Close()
	})
	io.Copy(server, client)
	server.Close()
	back.Wait()
}

// guard closes a connection when the relay ends, or when what it gives is called.
func (r *relay) guard(conn net.Conn) (done func()) {
	over := make(chan struct{})
	r.running.Go(func() {
		select {
		case <-over:
		case <-r.ended:
		}
		conn.Close()
	})
	return func() { close(over) }
}
