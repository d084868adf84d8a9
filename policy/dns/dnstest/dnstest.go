// Package dnstest is an authoritative name server on loopback, from the text of a zone: for tests, and for the demo.
//
// It answers over UDP and TCP on one port, keeps names that do not exist apart from names without records of the type
// asked for, and truncates what does not fit.
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
	"strings"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"
)

// Server is a running name server. It is authoritative for every name.
type Server struct {
	addr    string
	zone    atomic.Pointer[zone]
	udp     *dns.Server
	tcp     *dns.Server
	running sync.WaitGroup
}

// zone is the records by name, lower case, with the final dot. A name that only has names below it is there too.
type zone map[string][]dns.RR

// Start serves the records of a zone file's text. Names without a final dot are below the last $ORIGIN, which is the
// root if there is none.
func Start(text string) (*Server, error) {
	s := &Server{}
	if err := s.Set(text); err != nil {
		return nil, err
	}
	tcp, udp, err := listenBoth()
	if err != nil {
		return nil, err
	}
	s.addr = tcp.Addr().String()
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
func (s *Server) Addr() string { return s.addr }

// Set replaces all records at once.
func (s *Server) Set(text string) error {
	z := zone{}
	parser := dns.NewZoneParser(strings.NewReader(text), ".", "")
	parser.SetDefaultTTL(300)
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		name := strings.ToLower(rr.Header().Name)
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

func parent(name string) string {
	_, rest, _ := strings.Cut(name, ".")
	return rest
}

// answer answers one question.
func (s *Server) answer(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg).SetReply(q)
	m.Authoritative = true
	size := dns.MinMsgSize
	if opt := q.IsEdns0(); opt != nil {
		size = int(opt.UDPSize())
		m.SetEdns0(1232, false)
	}
	s.fill(m)
	if w.LocalAddr().Network() == "udp" {
		m.Truncate(size)
	}
	w.WriteMsg(m)
}

// maxChain bounds the aliases followed for one answer.
const maxChain = 8

// fill adds the records asked for, with the aliases that lead to them.
func (s *Server) fill(m *dns.Msg) {
	z := *s.zone.Load()
	name, qtype := strings.ToLower(m.Question[0].Name), m.Question[0].Qtype
	negative := true
	for range maxChain {
		records, exists := z[name]
		if !exists {
			m.Rcode = dns.RcodeNameError
			break
		}
		alias := ""
		for _, rr := range records {
			if c, ok := rr.(*dns.CNAME); ok && qtype != dns.TypeCNAME {
				alias = strings.ToLower(c.Target)
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
		return d.DialContext(ctx, network, s.addr)
	}}
}

// Close stops the server.
func (s *Server) Close() error {
	err := errors.Join(s.udp.Shutdown(), s.tcp.Shutdown())
	s.running.Wait()
	return err
}
