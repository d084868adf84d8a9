package dnstest

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Fault is what goes wrong with the answers to some questions.
type Fault struct {
	Kind  Kind
	Delay time.Duration // before the answer, of whatever kind
	Addr  netip.Addr    // of Lie
	Times int           // heals after so many queries; 0: does not
}

// Kind is a way to go wrong.
type Kind uint8

const (
	None          Kind = iota // only late
	Drop                      // no answer
	ServFail                  // SERVFAIL
	Refused                   // REFUSED
	NoEDNS                    // FORMERR to whoever speaks EDNS
	Truncate                  // truncated over UDP, whole over TCP
	TruncateAll               // truncated over TCP as well
	WrongID                   // the answer with another id
	WrongQuestion             // the answer, to another question
	Forged                    // false answers with a wrong id or a wrong question, then the true one
	Garbage                   // octets that are no message
	Broken                    // a right head, then octets that are no records
	Huge                      // an answer of nearly 64 KB
	Short                     // answers end at the first alias, as from a server of another zone
	Loop                      // two aliases that lead to each other
	Lie                       // names that do not exist have the address Addr
	NoAA                      // the answer as from a cache: not authoritative
	Validated                 // the answer as from a resolver that has validated it, for whoever asks for that
)

// Fault makes the server go wrong for a name; for ".example.org", for that name and all below it; for ".", for all. The
// longest name that fits decides, and an exact one before all others. A later fault for the same name replaces it.
func (s *Server) Fault(name string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[strings.ToLower(name)] = &f
}

// Heal ends all faults.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.faults)
}

// Queries says how many queries came for a name, of the types given ("TXT"), or of all.
func (s *Server) Queries(name string, types ...string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for q, times := range s.queries {
		if q.name == strings.ToLower(name) && (len(types) == 0 || slices.Contains(types, q.qtype)) {
			n += times
		}
	}
	return n
}

// Total says how many queries came.
func (s *Server) Total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, times := range s.queries {
		n += times
	}
	return n
}

// asked is a kind of query.
type asked struct{ name, qtype string }

// note counts a query, and finds what is to go wrong with it.
func (s *Server) note(q dns.Question) Fault {
	name := strings.ToLower(strings.TrimSuffix(q.Name, "."))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queries[asked{name, dns.Type(q.Qtype).String()}]++
	if f := s.faults[name]; f != nil {
		return s.use(name, f)
	}
	for up := name; up != ""; up = parent(up) {
		if f := s.faults["."+up]; f != nil {
			return s.use("."+up, f)
		}
	}
	if f := s.faults["."]; f != nil {
		return s.use(".", f)
	}
	return Fault{}
}

// use counts a fault that is not for ever.
func (s *Server) use(name string, f *Fault) Fault {
	if f.Times == 1 {
		delete(s.faults, name)
	} else if f.Times > 1 {
		f.Times--
	}
	return *f
}

// spoil does to the answer what the fault says, and sends what is left of it.
func (s *Server) spoil(w dns.ResponseWriter, m *dns.Msg, f Fault) {
	q := m.Question[0]
	switch f.Kind {
	case ServFail:
		m.Answer, m.Ns, m.Rcode = nil, nil, dns.RcodeServerFailure
	case Refused:
		m.Answer, m.Ns, m.Rcode = nil, nil, dns.RcodeRefused
	case NoEDNS:
		m.Answer, m.Ns, m.Rcode = nil, nil, dns.RcodeFormatError
	case Truncate, TruncateAll:
		if f.Kind == TruncateAll || w.LocalAddr().Network() == "udp" {
			m.Truncated, m.Answer, m.Ns = true, nil, nil
		}
	case WrongID:
		m.Id++
	case WrongQuestion:
		m.Question = []dns.Question{{Name: "other.invalid.", Qtype: q.Qtype, Qclass: q.Qclass}}
	case Forged:
		s.forge(w, m)
	case Garbage:
		w.Write(slices.Repeat([]byte{0xff}, 80))
		return
	case Broken:
		w.Write(broken(m))
		return
	case Short:
		if len(m.Answer) > 0 && m.Answer[0].Header().Rrtype == dns.TypeCNAME && q.Qtype != dns.TypeCNAME {
			m.Answer, m.Ns, m.Rcode = m.Answer[:1], nil, dns.RcodeSuccess
		}
	case Loop:
		other := "loop." + q.Name
		m.Answer, m.Ns, m.Rcode = []dns.RR{alias(q.Name, other), alias(other, q.Name)}, nil, dns.RcodeSuccess
	case NoAA:
		m.Authoritative = false
	case Lie:
		if m.Rcode == dns.RcodeNameError {
			m.Answer, m.Ns, m.Rcode = addresses(q, f.Addr), nil, dns.RcodeSuccess
		}
	}
	w.WriteMsg(m)
}

// forge sends what somebody would who has to guess the id, or cannot know the question.
func (s *Server) forge(w dns.ResponseWriter, m *dns.Msg) {
	q := m.Question[0]
	lie := new(dns.Msg)
	lie.MsgHdr, lie.Question = m.MsgHdr, slices.Clone(m.Question)
	lie.Rcode, lie.Answer = dns.RcodeSuccess, addresses(q, netip.MustParseAddr("192.0.2.66"))
	lie.Id = m.Id + 1
	w.WriteMsg(lie)
	lie.Id, lie.Question[0].Name = m.Id, "other.invalid."
	w.WriteMsg(lie)
	lie.Question, lie.Response = m.Question, false
	w.WriteMsg(lie)
}

// broken gives a message whose question is right, and whose answer ends in the middle of a name.
func broken(m *dns.Msg) []byte {
	head := &dns.Msg{MsgHdr: m.MsgHdr, Question: m.Question}
	wire, err := head.Pack()
	if err != nil {
		return nil
	}
	binary.BigEndian.PutUint16(wire[6:], 1) // RFC 1035, section 4.1.1: ANCOUNT
	return append(wire, 63, 'x', 'x')
}

func alias(from, to string) dns.RR {
	h := dns.RR_Header{Name: from, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: 300}
	return &dns.CNAME{Hdr: h, Target: to}
}

// addresses answers a question for addresses, and no other.
func addresses(q dns.Question, a netip.Addr) []dns.RR {
	h := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: 300}
	switch {
	case q.Qtype == dns.TypeA && a.Is4():
		return []dns.RR{&dns.A{Hdr: h, A: a.AsSlice()}}
	case q.Qtype == dns.TypeAAAA && a.Is6():
		return []dns.RR{&dns.AAAA{Hdr: h, AAAA: a.AsSlice()}}
	}
	return nil
}

// pad adds texts to an answer until it fills a TCP message.
func pad(m *dns.Msg) {
	h := dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 300}
	text := strings.Repeat("x", 255)
	m.Compress = true
	for room := dns.MaxMsgSize - m.Len() - 300; room > 0; room -= len(text) + 13 {
		m.Answer = append(m.Answer, &dns.TXT{Hdr: h, Txt: []string{text}})
	}
}
