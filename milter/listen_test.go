package milter_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"reputed/milter"
	"reputed/milter/wire"
)

// unixSocket names a socket.
func unixSocket(path string) wire.Endpoint { return wire.Endpoint{Network: "unix", Address: path} }

// deadSocket leaves behind what a killed process does.
func deadSocket(t *testing.T, network, path string) {
	t.Helper()
	if network == "unixgram" {
		conn, err := net.ListenUnixgram(network, &net.UnixAddr{Name: path, Net: network})
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		return
	}
	ln, err := net.ListenUnix(network, &net.UnixAddr{Name: path, Net: network})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
}

func TestListenUnix(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "new", "milter.sock")
	old := syscall.Umask(0o077) // the directory that is made is for the MTA too
	ln, err := milter.Listen(unixSocket(path), milter.Access{Mode: 0o620})
	syscall.Umask(old)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o620 {
		t.Errorf("socket %v, %v", info, err)
	}
	if info, err := os.Lstat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("directory %v, %v", info.Mode(), err)
	}
	go func() {
		if conn, err := ln.Accept(); err == nil {
			conn.Close()
		}
	}()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// What the kernel, and so ss(8), knows it by is where it is.
	if ln.Addr().String() != path || conn.RemoteAddr().String() != path {
		t.Errorf("addresses %s and %s", ln.Addr(), conn.RemoteAddr())
	}
	_, err = milter.Listen(unixSocket(path), milter.Access{})
	if err == nil || !strings.Contains(err.Error(), "another process answers there") {
		t.Errorf("a second listener: %v", err)
	}
	ln.Close()
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}

// Only what a dead process left behind is replaced.
func TestListenUnixOccupied(t *testing.T) {
	full := func(t *testing.T, path string) {
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Close(fd) })
		if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Listen(fd, 0); err != nil {
			t.Fatal(err)
		}
		for {
			conn, err := net.Dial("unix", path)
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
		}
	}
	datagram := func(t *testing.T, path string) {
		conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
	}
	tests := []struct {
		why  string
		make func(*testing.T, string)
		want string // "": the socket is opened
	}{
		{"nothing", func(*testing.T, string) {}, ""},
		{"a dead socket", func(t *testing.T, path string) { deadSocket(t, "unix", path) }, ""},
		{"a dead socket of another type", func(t *testing.T, path string) { deadSocket(t, "unixgram", path) }, ""},
		{"a living socket whose queue is full", full, "another process may have that socket"},
		{"a living socket of another type", datagram, "another process may have that socket"},
		{"a file", func(t *testing.T, path string) { os.WriteFile(path, []byte("precious"), 0o600) }, "is no socket"},
		{"a directory", func(t *testing.T, path string) { os.Mkdir(path, 0o700) }, "is no socket"},
		{"a link", func(t *testing.T, path string) { os.Symlink("elsewhere", path) }, "is no socket"},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			tt.make(t, path)
			before, _ := os.Lstat(path)
			ln, err := milter.Listen(unixSocket(path), milter.Access{})
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o660 {
					t.Errorf("%v, %v", info, err)
				}
				ln.Close()
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
				t.Errorf("what was there is gone: %v", err)
			}
		})
	}
}

// Of several processes that find a dead socket at the same time, one gets it.
func TestListenUnixTogether(t *testing.T) {
	for range 20 {
		path := filepath.Join(t.TempDir(), "s")
		deadSocket(t, "unix", path)
		var all sync.WaitGroup
		var won atomic.Int32
		start := make(chan struct{})
		for range 8 {
			all.Go(func() {
				<-start
				if ln, err := milter.Listen(unixSocket(path), milter.Access{}); err == nil {
					won.Add(1)
					t.Cleanup(func() { ln.Close() })
				}
			})
		}
		close(start)
		all.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d have it", won.Load())
		}
	}
}

// A path may be as long as the kernel takes it, and nothing stays behind when the socket cannot be opened.
func TestListenUnixLength(t *testing.T) {
	t.Chdir(t.TempDir())
	longest := strings.Repeat("s", 107)
	ln, err := milter.Listen(unixSocket(longest), milter.Access{})
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	for path, a := range map[string]milter.Access{
		longest + "s": {}, "a": {Group: "no-such-group"}, "b": {Group: "-5"}, "c": {Group: "2000000000000"},
	} {
		if ln, err := milter.Listen(unixSocket(path), a); err == nil {
			ln.Close()
			t.Errorf("%s with %+v was opened", path, a)
		}
	}
	if entries, _ := os.ReadDir("."); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}

// A socket that another process made in the meantime is not removed.
func TestCloseLeavesOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := milter.Listen(unixSocket(path), milter.Access{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".old"); err != nil { // so that the number of the file is not used again
		t.Fatal(err)
	}
	deadSocket(t, "unix", path)
	ln.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Error("the other's socket was removed")
	}
}

// What keeps a port from opening says what to do.
func TestListenTCP(t *testing.T) {
	ln, err := milter.Listen(wire.Endpoint{Network: "tcp", Address: "127.0.0.1:0"}, milter.Access{})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, err = milter.Listen(wire.Endpoint{Network: "tcp", Address: ln.Addr().String()}, milter.Access{})
	if err == nil || !strings.Contains(err.Error(), "the port is in use; see who has it: ss -ltnp") {
		t.Errorf("a port in use: %v", err)
	}
	if _, err = milter.Listen(wire.Endpoint{Network: "tcp", Address: "192.0.2.1:0"}, milter.Access{}); err == nil {
		t.Error("an address of another host was opened")
	}
	low, err := milter.Listen(wire.Endpoint{Network: "tcp", Address: "127.0.0.1:1"}, milter.Access{})
	if err == nil { // this process may open every port
		low.Close()
	} else if !strings.Contains(err.Error(), "choose a port from 1024 on") {
		t.Errorf("a port of root's: %v", err)
	}
}
