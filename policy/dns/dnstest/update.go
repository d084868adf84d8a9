package dnstest

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// Allow lets whoever has a key change the zones that have a SOA record, over TCP: RFC 2136. The secret is base64.
func (s *Server) Allow(name, secret string) error {
	octets, err := base64.StdEncoding.DecodeString(secret)
	if err != nil {
		return fmt.Errorf("dnstest: the secret of %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[key(dns.Fqdn(name))] = octets
	return nil
}

// acceptUpdates lets updates through, which miekg/dns would not.
func acceptUpdates(h dns.Header) dns.MsgAcceptAction {
	if opcode := int(h.Bits>>11) & 0xf; opcode == dns.OpcodeUpdate && h.Qdcount == 1 {
		return dns.MsgAccept
	}
	return dns.DefaultMsgAcceptFunc(h)
}

// keys signs and checks with the keys of a server.
type keys struct{ of *Server }

// Generate is dns.TsigProvider.
func (k keys) Generate(msg []byte, t *dns.TSIG) ([]byte, error) {
	k.of.mu.Lock()
	secret, known := k.of.keys[key(t.Hdr.Name)]
	k.of.mu.Unlock()
	if !known {
		return nil, dns.ErrSecret
	}
	hash := sha256.New
	switch dns.CanonicalName(t.Algorithm) {
	case dns.HmacSHA256:
	case dns.HmacSHA512:
		hash = sha512.New
	default:
		return nil, dns.ErrKeyAlg
	}
	mac := hmac.New(hash, secret)
	mac.Write(msg)
	return mac.Sum(nil), nil
}

// Verify is dns.TsigProvider.
func (k keys) Verify(msg []byte, t *dns.TSIG) error {
	want, err := k.Generate(msg, t)
	if err != nil {
		return err
	}
	if got, err := hex.DecodeString(t.MAC); err != nil || !hmac.Equal(want, got) {
		return dns.ErrSig
	}
	return nil
}

// update does what an update asks for, and fills in the reply.
func (s *Server) update(m, q *dns.Msg, signed error) {
	asked := q.IsTsig()
	if asked == nil {
		m.Rcode = dns.RcodeRefused
		return
	}
	now := time.Now().Unix()
	m.SetTsig(asked.Hdr.Name, asked.Algorithm, 300, now)
	t := m.IsTsig()
	switch { // RFC 8945, section 5.2
	case errors.Is(signed, dns.ErrTime):
		m.Rcode, t.Error, t.TimeSigned = dns.RcodeNotAuth, dns.RcodeBadTime, asked.TimeSigned
		t.OtherLen, t.OtherData = 6, fmt.Sprintf("%012x", now)
	case errors.Is(signed, dns.ErrSig):
		m.Rcode, t.Error = dns.RcodeNotAuth, dns.RcodeBadSig
	case signed != nil:
		m.Rcode, t.Error = dns.RcodeNotAuth, dns.RcodeBadKey
	default:
		s.mu.Lock()
		defer s.mu.Unlock()
		z := s.zone.Load()
		if m.Rcode = z.allows(q); m.Rcode == dns.RcodeSuccess {
			s.zone.Store(z.updated(q))
		}
	}
}

// allows checks zone and prerequisites: RFC 2136, sections 3.1 and 3.2. It gives the code of the reply.
func (z *zone) allows(q *dns.Msg) int {
	apex := key(q.Question[0].Name)
	if len(z.of(apex, dns.TypeSOA)) == 0 {
		return dns.RcodeNotAuth
	}
	for _, rr := range slices.Concat(q.Answer, q.Ns) {
		if !dns.IsSubDomain(apex, key(rr.Header().Name)) {
			return dns.RcodeNotZone
		}
	}
	for _, rr := range q.Answer {
		h := rr.Header()
		there := len(z.of(key(h.Name), h.Rrtype)) > 0
		if h.Rrtype == dns.TypeANY {
			there = len(z.names[key(h.Name)]) > 0
		}
		switch {
		case h.Class == dns.ClassANY && !there && h.Rrtype == dns.TypeANY:
			return dns.RcodeNameError
		case h.Class == dns.ClassANY && !there:
			return dns.RcodeNXRrset
		case h.Class == dns.ClassNONE && there && h.Rrtype == dns.TypeANY:
			return dns.RcodeYXDomain
		case h.Class == dns.ClassNONE && there:
			return dns.RcodeYXRrset
		case h.Class != dns.ClassANY && h.Class != dns.ClassNONE:
			return dns.RcodeNotImplemented // the values of records
		}
	}
	return dns.RcodeSuccess
}

// updated gives the zone after an update: RFC 2136, section 3.4.
func (z *zone) updated(q *dns.Msg) *zone {
	var records []dns.RR
	for _, at := range z.names {
		records = append(records, at...)
	}
	for _, u := range q.Ns {
		h, name := u.Header(), key(u.Header().Name)
		switch h.Class {
		case dns.ClassANY:
			records = slices.DeleteFunc(records, func(rr dns.RR) bool {
				return key(rr.Header().Name) == name && (h.Rrtype == dns.TypeANY || h.Rrtype == rr.Header().Rrtype)
			})
		case dns.ClassINET:
			alias := func(rr dns.RR) bool { return key(rr.Header().Name) == name && rr.Header().Rrtype == dns.TypeCNAME }
			if !slices.ContainsFunc(records, alias) { // section 3.4.2.2: else it is passed over in silence
				records = append(records, u)
			}
		}
	}
	next := &zone{names: map[string][]dns.RR{".": nil}}
	for _, rr := range records {
		if soa, ok := rr.(*dns.SOA); ok && key(soa.Hdr.Name) == key(q.Question[0].Name) {
			rr = dns.Copy(rr)
			rr.(*dns.SOA).Serial++
		}
		next.add(rr)
	}
	return next
}
