// Package nameserver runs real name servers for tests: Knot DNS and BIND, which have authority for zones; rbldnsd,
// which serves DNSBLs; and Unbound, a resolver that asks them.
//
// Each one is private: on a port of 127.0.0.1 that was free, as the user nobody where the test runs as root, with a
// directory of its own, beside any name server that the machine may have. It ends with the test, also with one that is
// killed, and its log is shown when the test fails. They need no root, only the programs: where one is not installed
// the test is skipped, or fails where REPUTED_REQUIRE_MTA is set, as contrib/test/run does, or CI=true.
//
// Servers that are found by delegations listen at port 53 of another loopback address, see [Dynamic]: they want root,
// as only root can give them the port.
//
// Debian's AppArmor profiles let Unbound read below /var/lib/unbound only, and BIND below /var/cache/bind, where only
// root can put something: while the profiles are in force, tests that start one want root.
//
// # Security
//
// No query leaves the machine: Unbound sends from 127.0.0.1, which the kernel lets reach loopback only. Whoever is on
// the machine may ask.
package nameserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nobody is the user that servers run as where the test is root's.
const nobody = 65534

// patience bounds every wait for a server. They need milliseconds.
const patience = 20 * time.Second

// Server is what all of them can. Its methods fail the test if something goes wrong; they are not for several
// goroutines at once.
type Server struct {
	t       testing.TB
	program string
	args    []string
	ready   func() error // whether it serves what it should
	dir     string
	addr    string
	log     *os.File
	process *os.Process
	ended   chan struct{}
}

// newServer prepares a server whose directory is in parent, "" for the usual place.
func newServer(t testing.TB, program, debian, parent string) *Server {
	t.Helper()
	s := &Server{t: t, program: find(t, program, debian), addr: freeAddr(t)}
	var err error
	if s.dir, err = os.MkdirTemp(parent, "reputed-"+program+"-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(s.dir) })
	if s.log, err = os.Create(filepath.Join(s.dir, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", program, s.tail())
		}
		s.log.Close()
	})
	if os.Geteuid() == 0 {
		for _, name := range []string{s.dir, s.log.Name()} {
			if err := os.Chown(name, nobody, nobody); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

// find gives the path of a program. It is not a test's fault if it is not there.
func find(t testing.TB, program, debian string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil { // users have no sbin in their PATH
		path, err = exec.LookPath("/usr/sbin/" + program)
	}
	if err != nil {
		lack(t, program+" is not installed: apt-get install --no-install-recommends "+debian)
	}
	return path
}

// lack ends a test that cannot be run here.
func lack(t testing.TB, missing string) {
	t.Helper()
	if os.Getenv("REPUTED_REQUIRE_MTA") != "" || os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip(missing)
}

// freeAddr gives a loopback address whose port nobody has, neither for UDP nor for TCP.
func freeAddr(t testing.TB) string {
	t.Helper()
	var last error
	for range 20 {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := tcp.Addr().String()
		tcp.Close()
		if last = free(addr); last == nil {
			return addr
		}
	}
	t.Fatalf("no port is free for both UDP and TCP: %v", last)
	return ""
}

// free tells whether nobody has an address, neither for UDP nor for TCP; the error is why not.
func free(addr string) error {
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", addr)
	if err != nil {
		return err
	}
	return udp.Close()
}

// Addr is where the server answers; it stays the same over Stop and Start.
func (s *Server) Addr() string { return s.addr }

// host is the address of Addr.
func (s *Server) host() string {
	host, _, _ := net.SplitHostPort(s.addr)
	return host
}

// port is the port of Addr.
func (s *Server) port() string {
	_, port, _ := net.SplitHostPort(s.addr)
	return port
}

// Resolver asks this server only, over UDP, and over TCP what was truncated.
func (s *Server) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, s.addr)
	}}
}

// Log gives what the server has logged.
func (s *Server) Log() string {
	text, _ := os.ReadFile(s.log.Name())
	return string(text)
}

func (s *Server) tail() string {
	lines := strings.SplitAfter(s.Log(), "\n")
	return strings.Join(lines[max(0, len(lines)-100):], "")
}

// Start starts the server after a Stop, and waits until it serves.
func (s *Server) Start() {
	s.t.Helper()
	if s.running() {
		s.t.Fatalf("%s is running already", s.program)
	}
	if err := s.run(); err != nil {
		s.t.Fatal(err)
	}
	s.await(s.ready)
}

// run starts the process.
func (s *Server) run() error {
	cmd := exec.Command(s.program, s.args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, s.log, s.log
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		if s.port() == domainPort {
			mayTakePort(cmd.SysProcAttr)
		}
	}
	dieWithTest(cmd.SysProcAttr)
	started, ended := make(chan error), make(chan struct{})
	go func() {
		defer close(ended)
		// What the server dies with is the thread that started it, so that one has to stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		<-ended
		return err
	}
	s.process, s.ended = cmd.Process, ended
	return nil
}

// await polls until there is no error, for as long as the server lives.
func (s *Server) await(holds func() error) {
	s.t.Helper()
	end := time.Now().Add(patience)
	for {
		err := holds()
		if err == nil {
			return
		}
		select {
		case <-s.ended:
			s.t.Fatalf("%s has ended: %s", s.program, s.tail())
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(end) {
			s.t.Fatalf("%s, not within %s: %v", s.program, patience, err)
		}
	}
}

// running tells whether the process was started, and not stopped.
func (s *Server) running() bool { return s.process != nil }

// Stop ends the server: its port is closed, as while the service or the machine is down. What it serves is kept.
func (s *Server) Stop() {
	if !s.running() {
		return
	}
	s.process.Signal(syscall.SIGTERM)
	s.process.Signal(syscall.SIGCONT)
	select {
	case <-s.ended:
	case <-time.After(5 * time.Second):
		s.process.Kill()
		<-s.ended
	}
	s.process = nil
}

// Pause makes the server silent: queries are taken and not answered, as with a network that loses them. After Resume
// it answers what came meanwhile, to whoever still listens. Nothing can be set in between.
func (s *Server) Pause() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
	s.await(func() error {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.process.Pid))
		for _, name := range threads {
			stat, _ := os.ReadFile(name)
			if state := stat[strings.LastIndexByte(string(stat), ')')+1:]; !strings.HasPrefix(string(state), " T") {
				return errors.New("a thread goes on")
			}
		}
		return nil
	})
}

// Resume ends a Pause.
func (s *Server) Resume() {
	s.t.Helper()
	s.signal(syscall.SIGCONT)
}

func (s *Server) signal(sig os.Signal) {
	s.t.Helper()
	if !s.running() {
		s.t.Fatalf("%s is stopped", s.program)
	}
	if err := s.process.Signal(sig); err != nil {
		s.t.Fatalf("%s: %v", s.program, err)
	}
}

// write puts a file into the server's directory, and gives its path.
func (s *Server) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(path, nobody, nobody); err != nil {
			s.t.Fatal(err)
		}
	}
	return path
}

// marker is a name whose TXT record tells how often the data of Unbound or rbldnsd were set: what it takes to know that
// a reload, which nobody reports, is over.
const marker = "generation.invalid."

// serves tells whether the server has come to this generation.
func (s *Server) serves(generation int) error {
	// Soon over, for a query that comes in the midst of a reload may be lost.
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	txt, err := s.Resolver().LookupTXT(ctx, marker)
	if err != nil {
		return err
	}
	if got := strings.Join(txt, ""); got != fmt.Sprint(generation) {
		return fmt.Errorf("it serves generation %s, not %d", got, generation)
	}
	return nil
}
