// Package dnstest is an authoritative name server on loopback, from the text of a zone: for tests, and for the demo.
//
// It answers over UDP and TCP on one port, keeps names that do not exist apart from names without records of the type
// asked for, knows wildcards, and truncates what does not fit. It goes wrong on demand: see [Server.Fault].
//
// # Standards
//
// RFC 1035, RFC 2308 (negative answers), RFC 4592 (wildcards, but for what concerns delegations), RFC 8020 (names that
// only have names below them).
//
// # Security
//
// It listens on 127.0.0.1 only, and answers whoever asks.
package dnstest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// Server is a running name server. It is authoritative for every name.
type Server struct {
	addr    netip.AddrPort
	zone    atomic.Pointer[zone]
	udp     *dns.Server
	tcp     *dns.Server
	running sync.WaitGroup
	closing chan struct{}
	close   sync.Once

	mu      sync.Mutex
	faults  map[string]*Fault
	queries map[asked]int
}

// zone is the records by name, lower case, with the final dot. A name that only has names below it is there too.
type zone map[string][]dns.RR

// Start serves the records of a zone file's text. Names without a final dot are below the last $ORIGIN, which is the
// root if there is none.
func Start(text string) (*Server, error) {
	s := &Server{closing: make(chan struct{}), faults: map[string]*Fault{}, queries: map[asked]int{}}
	if err := s.Set(text); err != nil {
		return nil, err
	}
	tcp, udp, err := listenBoth()
	if err != nil {
		return nil, err
	}
	s.addr = tcp.Addr().(*net.TCPAddr).AddrPort()
	s.tcp = &dns.Server{Listener: tcp, Handler: dns.HandlerFunc(s.answer)}
	s.udp = &dns.Server{PacketConn: udp, Handler: dns.HandlerFunc(s.answer)}
	for _, server := range []*dns.Server{s.tcp, s.udp} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		s.running.Go(func() { server.ActivateAndServe() })
		<-started
	}
	return s, nil
}

// listenBoth finds a port that is free for TCP and UDP.
func listenBoth() (net.Listener, net.PacketConn, error) {
	var last error
	for range 20 {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, err
		}
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		if err == nil {
			return tcp, udp, nil
		}
		tcp.Close()
		last = err
	}
	return nil, nil, fmt.Errorf("dnstest: no port is free for both TCP and UDP: %w", last)
}

// Addr gives the server's address and port.
func (s *Server) Addr() string { return s.addr.String() }

// AddrPort gives the same for whoever takes no text.
func (s *Server) AddrPort() netip.AddrPort { return s.addr }

// Set replaces all records at once.
func (s *Server) Set(text string) error {
	z := zone{".": nil}
	parser := dns.NewZoneParser(strings.NewReader(text), ".", "")
	parser.SetDefaultTTL(300)
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		name := key(rr.Header().Name)
		z[name] = append(z[name], rr)
		for up := parent(name); up != ""; up = parent(up) {
			z[up] = append(z[up], nil...) // RFC 8020: it exists, though it may have no records
		}
	}
	if err := parser.Err(); err != nil {
		return fmt.Errorf("dnstest: %w", err)
	}
	s.zone.Store(&z)
	return nil
}

// key gives a name of the text as one of a query reads, since both may be escaped in several ways.
func key(name string) string {
	var wire [255]byte
	if _, err := dns.PackDomainName(name, wire[:], 0, nil, false); err == nil {
		name, _, _ = dns.UnpackDomainName(wire[:], 0)
	}
	return strings.ToLower(name)
}

func parent(name string) string {
	_, rest, _ := strings.Cut(name, ".")
	return rest
}

// answer answers one question.
func (s *Server) answer(w dns.ResponseWriter, q *dns.Msg) {
	f := s.note(q.Question[0])
	select {
	case <-time.After(f.Delay):
	case <-s.closing:
		return
	}
	if f.Kind == Drop {
		return
	}
	m := new(dns.Msg).SetReply(q)
	m.Authoritative = true
	size := dns.MinMsgSize
	if opt := q.IsEdns0(); opt != nil && f.Kind != NoEDNS {
		size = int(opt.UDPSize())
		m.SetEdns0(1232, false)
	} else if opt == nil && f.Kind == NoEDNS {
		f.Kind = None
	}
	s.fill(m)
	if f.Kind == Huge {
		pad(m)
	}
	if w.LocalAddr().Network() == "udp" {
		m.Truncate(size)
	}
	s.spoil(w, m, f)
}

// maxChain bounds the names looked at for one answer.
const maxChain = 9

// fill adds the records asked for, with the aliases that lead to them.
func (s *Server) fill(m *dns.Msg) {
	z := *s.zone.Load()
	name, qtype := strings.ToLower(m.Question[0].Name), m.Question[0].Qtype
	negative := true
	for range maxChain {
		records, exists := z.at(name)
		if !exists {
			m.Rcode = dns.RcodeNameError
			break
		}
		alias := ""
		for _, rr := range records {
			if c, ok := rr.(*dns.CNAME); ok && qtype != dns.TypeCNAME {
				alias = key(c.Target)
				m.Answer = append(m.Answer, rr)
			} else if rr.Header().Rrtype == qtype {
				m.Answer = append(m.Answer, rr)
				negative = false
			}
		}
		if alias == "" {
			break
		}
		name = alias
	}
	if negative {
		m.Ns = []dns.RR{soa()}
	}
}

// at gives the records of a name, and whether it exists. RFC 4592, section 3.3.1: without records of its own, it has
// those of the wildcard of its closest encloser.
func (z zone) at(name string) (records []dns.RR, exists bool) {
	if records, exists = z[name]; exists {
		return records, true
	}
	encloser := parent(name)
	for encloser != "" {
		if _, exists := z[encloser]; exists {
			break
		}
		encloser = parent(encloser)
	}
	wild, exists := z["*."+encloser]
	for _, rr := range wild {
		rr = dns.Copy(rr)
		rr.Header().Name = name
		records = append(records, rr)
	}
	return records, exists
}

// soa is the start of authority that negative answers carry, also those at the end of an alias (RFC 2308, section 2).
func soa() dns.RR {
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60},
		Ns:  "ns.invalid.", Mbox: "hostmaster.invalid.", Serial: 1, Refresh: 60, Retry: 60, Expire: 60, Minttl: 60,
	}
}

// Resolver asks this server only.
func (s *Server) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, s.Addr())
	}}
}

// Close stops the server. Answers that are late are dropped.
func (s *Server) Close() error {
	s.close.Do(func() { close(s.closing) })
	err := errors.Join(s.udp.Shutdown(), s.tcp.Shutdown())
	s.running.Wait()
	return err
}
