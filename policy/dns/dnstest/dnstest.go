// Package dnstest is an authoritative name server on loopback, from the text of a zone: for tests, and for the demo.
//
// It answers over UDP and TCP on one port, keeps names that do not exist apart from names without records of the type
// asked for, knows wildcards, and truncates what does not fit. It goes wrong on demand: see [Server.Fault].
//
// Without a SOA record in the text, it is authoritative for every name. With some, it serves these zones, each down to
// the NS records that hand the rest to others, and refuses all other names. See [Server.Allow] for updates.
//
// # Standards
//
// RFC 1034 and RFC 1035, RFC 2136 (updates), RFC 2308 (negative answers), RFC 4592 (wildcards, but for what concerns
// delegations), RFC 8020 (names that only have names below them), RFC 8945 (TSIG).
//
// # Security
//
// It listens on 127.0.0.1 only, and answers whoever asks. Who has a key can change all of its zones.
package dnstest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// Server is a running name server.
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
	keys    map[string][]byte // of updates
}

// Start serves the records of a zone file's text. Names without a final dot are below the last $ORIGIN, which is the
// root if there is none.
func Start(text string) (*Server, error) {
	s := &Server{
		closing: make(chan struct{}), faults: map[string]*Fault{}, queries: map[asked]int{}, keys: map[string][]byte{},
	}
	if err := s.Set(text); err != nil {
		return nil, err
	}
	tcp, udp, err := listenBoth()
	if err != nil {
		return nil, err
	}
	s.addr = tcp.Addr().(*net.TCPAddr).AddrPort()
	s.tcp = &dns.Server{
		Listener: tcp, Handler: dns.HandlerFunc(s.answer), TsigProvider: keys{s}, MsgAcceptFunc: acceptUpdates,
	}
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
	z, err := parse(text)
	if err != nil {
		return err
	}
	s.zone.Store(z)
	return nil
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
	if q.Opcode == dns.OpcodeUpdate {
		if f.Kind != ServFail && f.Kind != Refused {
			s.update(m, q, w.TsigStatus())
		}
		s.spoil(w, m, f)
		return
	}
	m.Authoritative = true
	m.AuthenticatedData = f.Kind == Validated && q.AuthenticatedData // RFC 6840, section 5.8
	size := dns.MinMsgSize
	if opt := q.IsEdns0(); opt != nil && f.Kind != NoEDNS {
		size = int(opt.UDPSize())
		m.SetEdns0(1232, false)
	} else if opt == nil && f.Kind == NoEDNS {
		f.Kind = None
	}
	s.zone.Load().fill(m)
	if f.Kind == Huge {
		pad(m)
	}
	if w.LocalAddr().Network() == "udp" {
		m.Truncate(size)
	}
	s.spoil(w, m, f)
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
