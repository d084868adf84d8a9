package dns

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	miekg "github.com/miekg/dns"
)

// maxAliases bounds the aliases that one question leads through. A loop has more.
const maxAliases = 8

// withoutSOA is how long a negative answer holds that does not say so. RFC 2308, section 5, would not have it kept at
// all; a moment spares the servers a question for each recipient of one message.
const withoutSOA = 5 * time.Second

// question is what is asked of the servers.
type question struct {
	name    string // canonical
	t       Type
	aliases int  // that led here
	direct  bool // of a server of the zone itself, which need not ask others
}

// reading is what one message says about a question.
type reading struct {
	Answer          // TTL: of the aliases too
	next   question // the answer ends at an alias: ask this; name "": it does not
}

func failure(err error) reading { return reading{Answer: Answer{Err: err}} }

var errAliases = fmt.Errorf("%w: a loop of aliases, or more than %d", ErrMalformed, maxAliases)

// read finds the answer in a message. Only records on the way from the name asked for count, whatever else is said.
func read(m *miekg.Msg, q question) reading {
	switch m.Rcode {
	case miekg.RcodeSuccess, miekg.RcodeNameError:
	case miekg.RcodeRefused:
		return failure(ErrRefused)
	default:
		return failure(fmt.Errorf("%w (%s)", ErrServFail, rcode(m.Rcode)))
	}
	asked, ttl := q, time.Duration(math.MaxInt64)
	for {
		records, lasts, err := recordsAt(m, q)
		if err != nil {
			return failure(err)
		}
		if len(records) > 0 && m.Rcode == miekg.RcodeNameError {
			return failure(fmt.Errorf("%w: records of a name that does not exist", ErrMalformed))
		}
		if len(records) > 0 {
			return reading{Answer: Answer{Status: Found, Records: records, Name: plain(q.name), TTL: min(ttl, lasts)}}
		}
		alias := aliasAt(m, q.name)
		if alias == nil {
			return negative(m, asked, q, ttl)
		}
		if q.aliases++; q.aliases > maxAliases {
			return failure(errAliases)
		}
		q.name, ttl = strings.ToLower(alias.Target), min(ttl, seconds(alias.Hdr.Ttl))
	}
}

// negative reads a message that has no record at the end of its aliases, if there are any.
func negative(m *miekg.Msg, asked, q question, ttl time.Duration) reading {
	soa, referral := authority(m, q.name)
	switch {
	case m.Rcode == miekg.RcodeNameError: // RFC 6604, section 3: it is the last name that does not exist
	case soa == nil && q.name != asked.name: // RFC 1034, section 4.3.2: the rest is not this server's
		return reading{Answer: Answer{Status: Found, TTL: ttl}, next: q}
	case soa == nil && referral: // RFC 2308, section 2.2
		return failure(fmt.Errorf("%w: it refers to other servers, and does not ask them", ErrServFail))
	}
	status := NoData
	if m.Rcode == miekg.RcodeNameError {
		status = NXDomain
	}
	lasts := withoutSOA
	if soa != nil {
		lasts = startOf(soa).Negative()
	}
	return reading{Answer: Answer{Status: status, Name: plain(q.name), TTL: min(ttl, lasts)}}
}

// recordsAt gives the records asked for that stand at the name, and how long they hold.
func recordsAt(m *miekg.Msg, q question) ([]Record, time.Duration, error) {
	var records []Record
	ttl := time.Duration(math.MaxInt64)
	for _, rr := range m.Answer {
		h := rr.Header()
		if h.Rrtype != uint16(q.t) || h.Class != miekg.ClassINET || !strings.EqualFold(h.Name, q.name) {
			continue
		}
		r, err := record(rr)
		if err != nil {
			return nil, 0, err
		}
		records, ttl = append(records, r), min(ttl, seconds(h.Ttl))
	}
	return records, ttl, nil
}

var errRecord = errors.New("a record of no sense")

// record reads one record. Types that are not asked for are of no sense.
func record(rr miekg.RR) (Record, error) {
	malformed := fmt.Errorf("%w: %w", ErrMalformed, errRecord)
	if rr.Header().Rdlength == 0 { // miekg/dns lets it pass, for updates have such
		return Record{}, malformed
	}
	switch rr := rr.(type) {
	case *miekg.A:
		if a, ok := netip.AddrFromSlice(rr.A.To4()); ok {
			return Record{Addr: a}, nil
		}
	case *miekg.AAAA:
		if a, ok := netip.AddrFromSlice(rr.AAAA); ok && a.Is6() {
			return Record{Addr: a}, nil
		}
	case *miekg.MX:
		return Record{Name: plain(rr.Mx), Pref: rr.Preference}, nil
	case *miekg.NS:
		return Record{Name: plain(rr.Ns)}, nil
	case *miekg.PTR:
		return Record{Name: plain(rr.Ptr)}, nil
	case *miekg.SOA:
		return Record{SOA: startOf(rr)}, nil
	case *miekg.TXT:
		return Record{Text: unescape(strings.Join(rr.Txt, ""), "")}, nil
	case *miekg.DS:
		if digest, err := hex.DecodeString(rr.Digest); err == nil {
			d := Delegate{KeyTag: rr.KeyTag, Algorithm: rr.Algorithm, DigestType: rr.DigestType, Digest: digest}
			return Record{DS: &d}, nil
		}
	case *miekg.TLSA:
		if data, err := hex.DecodeString(rr.Certificate); err == nil {
			return Record{TLSA: &Pin{Usage: rr.Usage, Selector: rr.Selector, Matching: rr.MatchingType, Data: data}}, nil
		}
	}
	return Record{}, malformed
}

func startOf(rr *miekg.SOA) *Start {
	return &Start{
		Zone: plain(rr.Hdr.Name), Primary: plain(rr.Ns), Serial: rr.Serial, TTL: seconds(rr.Hdr.Ttl),
		Minimum: seconds(rr.Minttl),
	}
}

// aliasAt gives the alias that stands at a name, if one does. A DNAME record need not be looked at, for the server
// makes an alias of it: RFC 6672, section 3.1.
func aliasAt(m *miekg.Msg, name string) *miekg.CNAME {
	for _, rr := range m.Answer {
		c, ok := rr.(*miekg.CNAME)
		if ok && c.Hdr.Class == miekg.ClassINET && c.Hdr.Rdlength > 0 && strings.EqualFold(c.Hdr.Name, name) {
			return c
		}
	}
	return nil
}

// authority gives the start of authority of a zone that the name is in, and whether servers are named instead.
func authority(m *miekg.Msg, name string) (soa *miekg.SOA, referral bool) {
	for _, rr := range m.Ns {
		switch rr := rr.(type) {
		case *miekg.SOA:
			if rr.Hdr.Rdlength > 0 && miekg.IsSubDomain(rr.Hdr.Name, name) {
				return rr, false
			}
		case *miekg.NS:
			referral = true
		}
	}
	return nil, referral
}

// seconds reads a TTL. RFC 2181, section 8: with the first bit set it is zero.
func seconds(ttl uint32) time.Duration {
	if ttl > math.MaxInt32 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}

func rcode(code int) string {
	if s, ok := miekg.RcodeToString[code]; ok {
		return s
	}
	return fmt.Sprintf("code %d", code)
}
