package dnstest

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// zone is what a text holds: one zone of all names, or several in the sense of the DNS. It is replaced, never changed,
// once it is served.
type zone struct {
	// names has the records by name, lower case, with the final dot. A name that only has names below it is there too.
	names map[string][]dns.RR
	split bool // there are SOA records: only what they begin is served
}

// parse reads the text of a zone file.
func parse(text string) (*zone, error) {
	z := &zone{names: map[string][]dns.RR{".": nil}}
	parser := dns.NewZoneParser(strings.NewReader(text), ".", "")
	parser.SetDefaultTTL(300)
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		z.add(rr)
	}
	if err := parser.Err(); err != nil {
		return nil, fmt.Errorf("dnstest: %w", err)
	}
	return z, nil
}

func (z *zone) add(rr dns.RR) {
	name := key(rr.Header().Name)
	z.names[name] = append(z.names[name], rr)
	z.split = z.split || rr.Header().Rrtype == dns.TypeSOA
	for up := parent(name); up != ""; up = parent(up) {
		z.names[up] = append(z.names[up], nil...) // RFC 8020: it exists, though it may have no records
	}
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

// above is parent, up to the root.
func above(name string) string {
	if p := parent(name); p != "" || name == "." {
		return p
	}
	return "."
}

// maxChain bounds the names looked at for one answer.
const maxChain = 9

// fill adds the records asked for, with the aliases that lead to them.
func (z *zone) fill(m *dns.Msg) {
	name, qtype := strings.ToLower(m.Question[0].Name), m.Question[0].Qtype
	for i := range maxChain {
		apex, served := z.apex(name)
		cut := z.cut(name, apex)
		switch {
		case served && cut == "":
		case i > 0: // RFC 1034, section 4.3.2: the rest is for others to tell
			return
		case !served:
			m.Rcode, m.Authoritative = dns.RcodeRefused, false
			return
		default:
			z.refer(m, cut)
			return
		}
		records, exists := z.at(name)
		if !exists {
			m.Rcode = dns.RcodeNameError
			m.Ns = []dns.RR{z.soa(apex)}
			return
		}
		alias, found := "", false
		for _, rr := range records {
			if c, ok := rr.(*dns.CNAME); ok && qtype != dns.TypeCNAME {
				alias = key(c.Target)
				m.Answer = append(m.Answer, rr)
			} else if rr.Header().Rrtype == qtype {
				m.Answer = append(m.Answer, rr)
				found = true
			}
		}
		if found {
			return
		}
		if alias == "" || i == maxChain-1 {
			m.Ns = []dns.RR{z.soa(apex)}
			return
		}
		name = alias
	}
}

// apex finds the zone that a name is in, and whether it is served. "" is that of a text without any SOA record.
func (z *zone) apex(name string) (apex string, served bool) {
	for up := name; up != ""; up = above(up) {
		if len(z.of(up, dns.TypeSOA)) > 0 {
			return up, true
		}
	}
	return "", !z.split
}

// cut finds the delegation, below the apex of a zone, of the name or of one above it. "" is none.
func (z *zone) cut(name, apex string) string {
	cut := ""
	for up := name; apex != "" && up != apex && up != ""; up = above(up) {
		if len(z.of(up, dns.TypeNS)) > 0 {
			cut = up
		}
	}
	return cut
}

// refer answers with whom to ask, and where they are.
func (z *zone) refer(m *dns.Msg, cut string) {
	m.Authoritative, m.Ns = false, z.of(cut, dns.TypeNS)
	for _, rr := range m.Ns {
		host := key(rr.(*dns.NS).Ns)
		glue := append(z.of(host, dns.TypeA), z.of(host, dns.TypeAAAA)...)
		m.Extra = append(glue, m.Extra...)
	}
}

// of gives the records of a name that are of a type.
func (z *zone) of(name string, rrtype uint16) []dns.RR {
	var records []dns.RR
	for _, rr := range z.names[name] {
		if rr.Header().Rrtype == rrtype {
			records = append(records, rr)
		}
	}
	return records
}

// at gives the records of a name, and whether it exists. RFC 4592, section 3.3.1: without records of its own, it has
// those of the wildcard of its closest encloser.
func (z *zone) at(name string) (records []dns.RR, exists bool) {
	if records, exists = z.names[name]; exists {
		return records, true
	}
	encloser := parent(name)
	for encloser != "" {
		if _, exists := z.names[encloser]; exists {
			break
		}
		encloser = parent(encloser)
	}
	wild, exists := z.names["*."+encloser]
	for _, rr := range wild {
		rr = dns.Copy(rr)
		rr.Header().Name = name
		records = append(records, rr)
	}
	return records, exists
}

// soa is the start of authority that negative answers carry, also those at the end of an alias (RFC 2308, section 2):
// the zone's, or one of the root for want of any.
func (z *zone) soa(apex string) dns.RR {
	if own := z.of(apex, dns.TypeSOA); len(own) > 0 {
		return own[0]
	}
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60},
		Ns:  "ns.invalid.", Mbox: "hostmaster.invalid.", Serial: 1, Refresh: 60, Retry: 60, Expire: 60, Minttl: 60,
	}
}
