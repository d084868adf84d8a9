package main

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// filer is a socket that can be handed over.
type filer interface{ File() (*os.File, error) }

func file(t *testing.T, s filer, err error) *os.File {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.File()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// What systemd hands over must be what milter.listen may be: a stream socket that listens, out of reach for others.
func TestHandedOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	unix, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	good := file(t, unix, err)
	defer unix.Close()
	tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	alsoGood := file(t, tcp, err)
	defer tcp.Close()
	lns, err := handedOver([]*os.File{good, alsoGood}, false)
	if err != nil || len(lns) != 2 || lns[0].Addr().String() != path {
		t.Fatalf("%v, %v", lns, err)
	}
	closeAll(lns)

	datagrams, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path + ".gram", Net: "unixgram"})
	bad := map[string]*os.File{"datagrams": file(t, datagrams, err)}
	defer datagrams.Close()
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	bad["UDP"] = file(t, udp, err)
	defer udp.Close()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	bad["a connection, as with Accept=yes"] = file(t, conn, err)
	defer conn.Close()
	if bad["no socket"], err = os.Create(path + ".txt"); err != nil {
		t.Fatal(err)
	}
	for name, f := range bad {
		_, err := handedOver([]*os.File{file(t, unix, nil), f}, true)
		if err == nil || !strings.Contains(err.Error(), "ListenStream=") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A socket of systemd's that is named exim is Exim's.
func TestTakeOver(t *testing.T) {
	milter, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	one := file(t, milter, err)
	defer milter.Close()
	exim, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	other := file(t, exim, err)
	defer exim.Close()
	fd, err := syscall.Dup(int(other.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	other.Close()
	s, err := takeOver([]*os.File{os.NewFile(uintptr(fd), "exim"), one}, false)
	if err != nil || len(s.milter) != 1 || len(s.exim) != 1 || s.exim[0].Addr().String() != exim.Addr().String() ||
		!s.handed.milter || !s.handed.exim {
		t.Errorf("%+v, %v", s, err)
	}
	closeAll(append(s.milter, s.exim...))
}

// Who sets what systemd has settled is told that it does nothing, at the start and at a reload. None of that is promised
// for the next start, nor is what else cannot change before held back.
func TestSocketsSettled(t *testing.T) {
	dir := t.TempDir()
	open := func(name string) net.Listener {
		ln, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		return ln
	}
	milter, exim := open("milter"), open("exim")
	listen := func(section, name string) string {
		return section + ".listen = [\"unix:" + filepath.Join(dir, name) + "\"]\n"
	}
	const access = "milter.socket_mode = \"0600\"\nmilter.socket_group = \"mail\"\n"
	const ofAccess = "milter.socket_group milter.socket_mode"
	for name, tt := range map[string]struct {
		milter, exim bool // are handed over
		set          string
		unused       string
		later        string // settings that the next start is promised for
	}{
		"nothing is handed over": {set: listen("milter", "x") + access, later: "milter.listen " + ofAccess},
		"nothing is set":         {milter: true, exim: true},
		"all is":                 {milter: true, set: listen("milter", "x") + access, unused: "milter.listen " + ofAccess},
		"what is so":             {milter: true, exim: true, set: listen("milter", "milter") + listen("exim", "exim")},
		"exim's is opened as the configuration says": {milter: true, set: listen("exim", "x") + access,
			later: "exim.listen " + ofAccess},
		"exim's is handed over": {exim: true, set: listen("exim", "x") + access, unused: "exim.listen", later: ofAccess},
		"something else, too": {milter: true, set: listen("milter", "x") + "dns.timeout = \"2s\"\n",
			unused: "milter.listen", later: "dns.timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			r := startRunning(t, "", "example.org/s1")
			r.at.handed.milter, r.at.handed.exim = tt.milter, tt.exim
			r.at.milter = []net.Listener{milter}
			if tt.exim {
				r.at.exim = []net.Listener{exim}
			}
			r.configure(tt.set)
			r.must(r.reload())
			if got := settingsOf(r.log.String(), "some settings do nothing"); got != tt.unused {
				t.Errorf("what does nothing is %q, want %q", got, tt.unused)
			}
			if got := settingsOf(r.log.String(), "at the next start"); got != tt.later {
				t.Errorf("what the next start does is %q, want %q", got, tt.later)
			}
			r.log.Reset()
			d := r.daemon.current.Load()
			announce(r.daemon.log, d.cfg, d.keys.ring, r.at)
			if got := settingsOf(r.log.String(), "some settings do nothing"); got != tt.unused {
				t.Errorf("at the start, what does nothing is %q, want %q", got, tt.unused)
			}
		})
	}
}

// settingsOf gives the settings that the line with a text names.
func settingsOf(log, text string) string {
	for line := range strings.Lines(log) {
		if strings.Contains(line, text) {
			_, names, _ := strings.Cut(line, "settings=")
			names, _, _ = strings.Cut(names, " remedy=")
			return strings.Trim(names, `"`)
		}
	}
	return ""
}

// Whoever reaches the socket can have any mail signed.
func TestWithinReach(t *testing.T) {
	for addr, ok := range map[string]bool{
		"127.0.0.1": true, "127.0.0.53": true, "::1": true, "::ffff:127.0.0.1": true,
		"0.0.0.0": false, "::": false, "192.0.2.1": false, "10.0.0.1": false, "fe80::1": false,
	} {
		if err := withinReach(&net.TCPAddr{IP: net.ParseIP(addr), Port: 8891}); (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
		}
	}
	open, err := net.ListenTCP("tcp", nil)
	f := file(t, open, err)
	defer open.Close()
	if _, err := handedOver([]*os.File{f}, false); err == nil || !strings.Contains(err.Error(), "can be reached by other hosts") {
		t.Errorf("every address: %v", err)
	}
	lns, err := handedOver([]*os.File{file(t, open, nil)}, true)
	if err != nil || len(lns) != 1 {
		t.Errorf("every address, and those who may come are named: %v", err)
	}
	closeAll(lns)
	named := file(t, open, nil)
	fd, err := syscall.Dup(int(named.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	named.Close()
	if _, err := handedOver([]*os.File{os.NewFile(uintptr(fd), eximSocketName)}, true); err == nil {
		t.Error("milter.allow says nothing of exim's socket")
	}
}

// A socket of systemd's is everybody's unless the unit says otherwise: systemd.socket(5), SocketMode=.
func TestOfEverybody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for mode, ok := range map[os.FileMode]bool{0o666: false, 0o777: false, 0o662: false, 0o660: true, 0o600: true, 0o664: true} {
		unix, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		f := file(t, unix, err)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		lns, err := handedOver([]*os.File{f}, true)
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "SocketMode=0660") {
			t.Errorf("%o: %v", mode, err)
		}
		closeAll(lns)
		unix.Close()
	}
	abstract, err := net.ListenUnix("unix", &net.UnixAddr{Name: "@reputed-test-" + filepath.Base(path) + t.Name(), Net: "unix"})
	f := file(t, abstract, err)
	defer abstract.Close()
	if _, err := handedOver([]*os.File{f}, false); err == nil || !strings.Contains(err.Error(), "has no path") {
		t.Errorf("an abstract socket: %v", err)
	}
}

// Who may come is what the configuration in effect says: a host that is not named any more does not come any more.
func TestAllowed(t *testing.T) {
	const listen = "milter.listen = ['inet:0.0.0.0:8891']\n"
	r := startRunning(t, listen+"milter.allow = ['203.0.113.0/28']\n", "example.org/s1")
	addr := netip.MustParseAddr("203.0.113.9")
	if !r.daemon.allowed(addr) || r.daemon.allowed(netip.MustParseAddr("203.0.113.16")) {
		t.Error("not those who are named")
	}
	r.configure(listen + "milter.allow = ['203.0.113.0/28', '!203.0.113.9']\n")
	r.must(r.reload())
	if r.daemon.allowed(addr) {
		t.Error("a reload changes nothing")
	}
	r.configure(listen)
	if err := r.reload(); err == nil || !strings.Contains(err.Error(), "milter.allow") {
		t.Errorf("a socket in reach of everybody: %v", err)
	}
}

// What an MTA is told to connect to is something that it can connect to.
func TestPostfixLines(t *testing.T) {
	for listen, want := range map[string]string{
		"0.0.0.0:0": "inet:127.0.0.1:", "[::]:0": "inet:127.0.0.1:", ":0": "inet:127.0.0.1:", "127.0.0.1:0": "inet:127.0.0.1:",
		"[::1]:0": "inet:[::1]:",
	} {
		ln, err := net.Listen("tcp", listen)
		if err != nil {
			t.Logf("%s: %v", listen, err) // a host without IPv6
			continue
		}
		defer ln.Close()
		_, port, _ := net.SplitHostPort(ln.Addr().String())
		if text := postfixLines([]net.Listener{ln}); !strings.Contains(text, "  smtpd_milters = "+want+port+"\n") {
			t.Errorf("%s: %s", listen, text)
		}
		if got := eximSocket(ln.Addr()); strings.HasPrefix(want, "inet:127") && !strings.Contains(got, "127.0.0.1:"+port) {
			t.Errorf("%s: for exim %s", listen, got)
		}
		conn, err := net.Dial("tcp", endpoint(ln.Addr()).Address)
		if err != nil {
			t.Errorf("%s: %v", listen, err)
			continue
		}
		conn.Close()
	}
}
