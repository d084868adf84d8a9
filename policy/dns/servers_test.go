package dns_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reputed/policy/dns"
	"reputed/policy/dns/dnstest"
)

// closed gives the address of a server that is not there.
func closed(t *testing.T) netip.AddrPort {
	t.Helper()
	s := start(t, "")
	s.Close()
	return s.AddrPort()
}

func TestServers(t *testing.T) {
	faulty := func(k dnstest.Kind) netip.AddrPort {
		s := start(t, zone)
		s.Fault(".", dnstest.Fault{Kind: k})
		return s.AddrPort()
	}
	good := start(t, zone)
	for _, tt := range []struct {
		name   string
		before []netip.AddrPort
	}{
		{"closed", []netip.AddrPort{closed(t)}},
		{"servfail", []netip.AddrPort{faulty(dnstest.ServFail)}},
		{"refused", []netip.AddrPort{faulty(dnstest.Refused)}},
		{"broken", []netip.AddrPort{faulty(dnstest.Broken)}},
		{"silent", []netip.AddrPort{faulty(dnstest.Drop)}},
		{"two silent", []netip.AddrPort{faulty(dnstest.Drop), faulty(dnstest.Drop)}},
		{"all sorts", []netip.AddrPort{faulty(dnstest.Drop), closed(t), faulty(dnstest.Garbage)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := client(append(tt.before, good.AddrPort())...)
			for _, round := range []string{"first", "second"} {
				began := time.Now()
				a := c.Resolve(context.Background(), "mail.example.org", dns.A)
				took := time.Since(began)
				wantNoGoroutines(t)
				if a.Status != dns.Found || took > beforeTimeout {
					t.Errorf("%s: %+v after %v", round, a, took)
				}
			}
			wantBalance(t, c.Stats())
		})
	}
	c := client(faulty(dnstest.ServFail), closed(t), faulty(dnstest.Drop))
	a := c.Resolve(context.Background(), "mail.example.org", dns.A)
	for _, err := range []error{dns.ErrServFail, dns.ErrNetwork, dns.ErrTimeout} {
		if !errors.Is(a.Err, err) {
			t.Errorf("all fail, each its way: %v", a.Err)
		}
	}
}

// A silent server is asked last for a while, and then has another chance.
func TestSilentServer(t *testing.T) {
	silent, good := start(t, zone), start(t, zone)
	silent.Fault(".", dnstest.Fault{Kind: dnstest.Drop})
	now := time.Now()
	c := dns.NewClient(dns.Options{
		Servers: []netip.AddrPort{silent.AddrPort(), good.AddrPort()}, Timeout: timeout, Now: func() time.Time { return now },
	})
	ask := func() {
		t.Helper()
		if a := c.Resolve(context.Background(), "mail.example.org", dns.A); a.Status != dns.Found {
			t.Errorf("%+v", a)
		}
	}
	for range 5 {
		ask()
	}
	if n := silent.Total(); n != 1 {
		t.Errorf("a silent server was asked %d times in a row", n)
	}
	silent.Heal()
	now = now.Add(time.Minute)
	ask()
	if n := silent.Total(); n != 2 || good.Total() != 5 {
		t.Errorf("the server that answers again was asked %d times, the other %d", n, good.Total())
	}
}

func TestResolvConf(t *testing.T) {
	one := netip.MustParseAddrPort("127.0.0.1:53")
	path := filepath.Join(t.TempDir(), "resolv.conf")
	now := time.Now()
	var asked []string
	c := dns.NewClient(dns.Options{
		ResolvConf: path, Timeout: timeout, Now: func() time.Time { return now },
		Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			asked = append(asked, address)
			return nil, errors.New("no network here")
		},
	})
	for _, tt := range []struct {
		text string // "-": no file
		want string
		why  string
	}{
		{"-", one.String(), "resolv.conf(5): the local machine"},
		{"nameserver 192.0.2.1\nnameserver 2001:db8::1\n", "192.0.2.1:53 [2001:db8::1]:53", "in order"},
		{"", "192.0.2.1:53 [2001:db8::1]:53", "an emptied file changes nothing"},
		{"-", "192.0.2.1:53 [2001:db8::1]:53", "nor does one that is gone"},
		{"nameserver rubbish\n", "192.0.2.1:53 [2001:db8::1]:53", "nor one without an address"},
		{"nameserver fe80::1%lo\noptions timeout:1\n", "[fe80::1%lo]:53", "a zone"},
		{
			"nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n",
			"192.0.2.1:53 192.0.2.2:53 192.0.2.3:53", "at most three",
		},
	} {
		os.Remove(path)
		if tt.text != "-" {
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		now = now.Add(2 * time.Second)
		asked = nil
		if a := c.Resolve(context.Background(), "example.org", dns.A); !errors.Is(a.Err, dns.ErrNetwork) {
			t.Errorf("%s: %+v", tt.why, a)
		}
		if got := strings.Join(asked, " "); got != tt.want {
			t.Errorf("%s: asked %s, not %s", tt.why, got, tt.want)
		}
	}
}

// Who runs the client is told once that resolv.conf is of no use any more, and once that it is again; not at the first
// look that finds it so, nor before it has ever been.
func TestResolvConfTold(t *testing.T) {
	const good, other = "nameserver 192.0.2.1\n", "nameserver 192.0.2.2\n"
	for _, tt := range []struct {
		why   string
		texts []string // one for each look; "-": no file
		want  string   // what is told at each look, "-" for nothing
	}{
		{"it is as it was", []string{good, good, other}, "- - -"},
		{"it was never there", []string{"-", "-", "-", good}, "- - - -"},
		{"it never named one", []string{"", "", "", good}, "- - - -"},
		{"caught while it was written", []string{good, "", good, "", good}, "- - - - -"},
		{"emptied", []string{good, "", "", "", "", good, good}, "- - empty - - good -"},
		{"gone, and back", []string{good, "-", "-", "-", good, good}, "- - gone - good -"},
		{"gone, then empty", []string{good, "-", "", ""}, "- - empty -"},
		{"without an address", []string{good, "nameserver x\n", "nameserver x\n", other}, "- - empty good"},
		{"lost twice", []string{good, "", "", good, "-", "-", other}, "- - empty good - gone good"},
	} {
		t.Run(tt.why, func(t *testing.T) {
			path, now, told := filepath.Join(t.TempDir(), "resolv.conf"), time.Now(), "-"
			c := dns.NewClient(dns.Options{
				ResolvConf: path, Timeout: timeout, Now: func() time.Time { return now },
				Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no network here") },
				Conf: func(err error) {
					switch {
					case told != "-":
						t.Error("told twice")
					case err == nil:
						told = "good"
					case errors.Is(err, fs.ErrNotExist):
						told = "gone"
					case err.Error() == "it names no name server":
						told = "empty"
					default:
						t.Error(err)
					}
				},
			})
			var all []string
			for _, text := range tt.texts {
				if text == "-" {
					os.Rename(path, path+".away")
				} else if os.Rename(path+".away", path) != nil || !sameText(path, text) {
					if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				now, told = now.Add(2*time.Second), "-"
				for range 3 { // within a second it is not looked at again
					c.Resolve(context.Background(), "example.org", dns.A)
				}
				all = append(all, told)
			}
			if got := strings.Join(all, " "); got != tt.want {
				t.Errorf("told %s, want %s", got, tt.want)
			}
		})
	}
}

func sameText(path, text string) bool {
	got, err := os.ReadFile(path)
	return err == nil && string(got) == text
}
