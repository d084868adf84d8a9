//go:build integration

package nameserver

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Types of records, RFC 1035, section 3.2.2, and RFC 3596.
const (
	typeA    = 1
	typeMX   = 15
	typeTXT  = 16
	typeAAAA = 28
)

// reply is what the header of an answer says, such as "NOERROR 1" with the number of answers; or "no answer".
func reply(t *testing.T, network, addr, name string, rrtype uint16) string {
	t.Helper()
	// RFC 1035, section 4.1.1: an id, the RD bit, one question.
	query := []byte{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		query = append(append(query, byte(len(label))), label...)
	}
	query = append(query, 0)
	query = binary.BigEndian.AppendUint16(query, rrtype)
	query = binary.BigEndian.AppendUint16(query, 1)
	conn, err := net.DialTimeout(network, addr, 2*time.Second)
	if err != nil {
		return "no answer"
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Second))
	answer := make([]byte, 0xffff)
	if network == "tcp" { // RFC 1035, section 4.2.2: two octets of length
		query = append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)
		if _, err := conn.Write(query); err == nil {
			_, err = io.ReadFull(conn, answer[:2])
		}
	} else {
		_, err = conn.Write(query)
	}
	if err == nil {
		_, err = io.ReadAtLeast(conn, answer, 12)
	}
	if err != nil {
		return "no answer"
	}
	rcodes := []string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"}
	text := fmt.Sprintf("%s %d", rcodes[answer[3]&15], binary.BigEndian.Uint16(answer[6:8]))
	if answer[2]&2 != 0 {
		text += " truncated"
	}
	return text
}

// lookup is what Go's resolver finds: the texts of TXT, the addresses of A and AAAA, the hosts of MX.
func lookup(t *testing.T, s *Server, name string, rrtype uint16) string {
	t.Helper()
	r, name := s.Resolver(), absolute(name)
	var all []string
	var err error
	switch rrtype {
	case typeTXT:
		all, err = r.LookupTXT(t.Context(), name)
	case typeMX:
		var mx []*net.MX
		mx, err = r.LookupMX(t.Context(), name)
		for _, m := range mx {
			all = append(all, fmt.Sprint(m.Pref, " ", m.Host))
		}
	default:
		var ips []net.IP
		ips, err = r.LookupIP(t.Context(), map[uint16]string{typeA: "ip4", typeAAAA: "ip6"}[rrtype], name)
		for _, ip := range ips {
			all = append(all, ip.String())
		}
	}
	if err != nil {
		return err.Error()
	}
	return strings.Join(all, ", ")
}

// one starts one server of each kind, and gives a name that has a TXT record with it.
func one(t testing.TB) map[string]*Server {
	k := StartKnot(t, map[string]string{"example.org": `@ TXT "here"`})
	return map[string]*Server{
		"knot":    k.Server,
		"unbound": StartUnbound(t, UnboundOptions{LocalData: []string{`example.org. TXT "here"`}}).Server,
		"rbldnsd": StartRbldnsd(t, Dataset{"example.org", "generic", `@ TXT "here"`}).Server,
	}
}

// A server that is paused is silent, and one that is stopped is gone; both come back where they were.
func TestOutage(t *testing.T) {
	for name, s := range one(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			networks := []string{"udp", "tcp"}
			if name == "rbldnsd" {
				networks = networks[:1]
			}
			want := func(state, header string) {
				t.Helper()
				var wg sync.WaitGroup
				for _, network := range networks {
					wg.Go(func() {
						if got := reply(t, network, s.Addr(), "example.org", typeTXT); got != header {
							t.Errorf("%s, over %s: %s, want %s", state, network, got, header)
						}
					})
				}
				wg.Wait()
			}
			want("at first", "NOERROR 1")
			s.Pause()
			want("paused", "no answer")
			s.Resume()
			want("resumed", "NOERROR 1")
			s.Stop()
			want("stopped", "no answer")
			s.Start()
			want("started again", "NOERROR 1")
			s.Pause() // and ends, though it is paused
		})
	}
}

// Nothing is left of a server when its test has ended.
func TestEnd(t *testing.T) {
	var all map[string]*Server
	t.Run("test", func(t *testing.T) { all = one(t) })
	for name, s := range all {
		if got := reply(t, "udp", s.Addr(), "example.org", typeTXT); got != "no answer" {
			t.Errorf("%s answers: %s", name, got)
		}
		if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
			t.Errorf("%s leaves %s behind: %v", name, s.dir, err)
		}
	}
}

// spy is a test that may fail.
type spy struct {
	testing.TB
	said string
}

func (s *spy) Fatal(args ...any) { s.said = fmt.Sprint(args...); panic(s) }

func (s *spy) Fatalf(format string, args ...any) { s.Fatal(fmt.Sprintf(format, args...)) }

// What a server does not take fails the test, and says why.
func TestWrong(t *testing.T) {
	for _, tt := range []struct {
		what, want string
		start      func(t testing.TB)
	}{
		{"a record of no type", "example.org.zone', line 2 (unsupported record type)", func(t testing.TB) {
			StartKnot(t, map[string]string{"example.org": `@ TEXT "x"`})
		}},
		{"a record of no type, later", "example.org.zone', line 2 (unsupported record type)", func(t testing.TB) {
			StartKnot(t, map[string]string{"example.org": ""}).Set("example.org", `@ TEXT "x"`)
		}},
		{"no address", "bl.example.ip4set(1): invalid address", func(t testing.TB) {
			StartRbldnsd(t, Dataset{"bl.example", "ip4set", "nonsense"})
		}},
		{"no address, later", "bl.example.ip4set(1): invalid address", func(t testing.TB) {
			StartRbldnsd(t, Dataset{"bl.example", "ip4set", ""}).Set(Dataset{"bl.example", "ip4set", "nonsense"})
		}},
		{"a zone without servers", "has no NS records", func(t testing.TB) {
			StartBIND(t, BINDOptions{Zones: map[string]string{"example.org": "@ 60 SOA ns1 hostmaster 1 60 60 60 60"}})
		}},
		{"a dataset that was not there", "without a dataset ip6trie of bl.example", func(t testing.TB) {
			StartRbldnsd(t, Dataset{"bl.example", "ip4set", ""}).Set(Dataset{"bl.example", "ip6trie", "::1"})
		}},
		{"no option", "unknown keyword 'nonsense'", func(t testing.TB) {
			StartUnbound(t, UnboundOptions{Server: []string{"nonsense: yes"}})
		}},
		{"no option, later", "unknown keyword 'nonsense'", func(t testing.TB) {
			StartUnbound(t, UnboundOptions{}).Set(UnboundOptions{Server: []string{"nonsense: yes"}})
		}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			s := &spy{TB: t}
			defer func() {
				if r := recover(); r != nil && r != any(s) {
					panic(r)
				}
				if !strings.Contains(s.said, tt.want) {
					t.Errorf("it says %q, not %q", s.said, tt.want)
				}
			}()
			tt.start(s)
		})
	}
}
