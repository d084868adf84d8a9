package exim

import (
	"io"
	"net"
	"sync"
	"testing"
)

// From gives an address that leads to the instance: who connects there comes from that other loopback address, such as
// 127.0.0.2. So a test can be several clients.
func (e *Exim) From(local string) string {
	e.t.Helper()
	return passage(e.t, local, e.addr)
}

// passage hands connections on to an address, from another one.
func passage(t testing.TB, local, addr string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	out := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}
	wg.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			conn, err := out.Dial("tcp", addr)
			if err != nil {
				in.Close()
				continue
			}
			wg.Go(func() { join(in, conn) })
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return ln.Addr().String()
}

// join copies both ways until either side ends.
func join(a, b net.Conn) {
	var wg sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		wg.Go(func() {
			io.Copy(way[0], way[1])
			a.Close()
			b.Close()
		})
	}
	wg.Wait()
}
