package dns

import (
	"fmt"
	"math"
	"strings"

	miekg "github.com/miekg/dns"
)

// direct is what a server of a zone says itself.
type direct struct {
	reading
	alias  string // canonical: the name is an alias of this one; "": it is not
	refers string // canonical: the name is in this zone, below the server's own; "": it is not
	start  *Start // of the zone that holds the name, when it was told
}

// readDirect finds in a message what a server of the zone at apex itself has at the name. Whatever it adds about names
// that an alias leads to is for the servers of those to say.
func readDirect(m *miekg.Msg, q question, apex string) direct {
	switch m.Rcode {
	case miekg.RcodeSuccess, miekg.RcodeNameError:
	case miekg.RcodeRefused, miekg.RcodeNotAuth:
		return direct{reading: failure(fmt.Errorf("%w: %w", ErrLame, ErrRefused))}
	default:
		return direct{reading: failure(fmt.Errorf("%w (%s)", ErrServFail, rcode(m.Rcode)))}
	}
	records, ttl, err := recordsAt(m, q)
	alias := aliasAt(m, q.name)
	cut := delegation(m, q.name, apex)
	switch soa, _ := authority(m, q.name); {
	case err != nil:
		return direct{reading: failure(err)}
	case len(records) == 0 && alias == nil && soa == nil && cut != "": // whatever its AA says, as some set it
		return direct{refers: cut}
	case !m.Authoritative:
		return direct{reading: failure(fmt.Errorf("%w: its answer is not authoritative", ErrLame))}
	case len(records) > 0 && m.Rcode == miekg.RcodeNameError:
		return direct{reading: failure(fmt.Errorf("%w: records of a name that does not exist", ErrMalformed))}
	case len(records) > 0:
		found := Answer{Status: Found, Records: records, Name: plain(q.name), TTL: ttl}
		return direct{reading: reading{Answer: found}, start: records[0].SOA}
	case alias != nil:
		return direct{
			reading: reading{Answer: Answer{Status: Found, TTL: seconds(alias.Hdr.Ttl)}},
			alias:   strings.ToLower(alias.Target),
		}
	case soa != nil:
		return direct{reading: negative(m, q, q, math.MaxInt64), start: startOf(soa)}
	}
	return direct{reading: negative(m, q, q, math.MaxInt64)}
}

// delegation gives the zone below apex that the name is in, if the message sends there: RFC 1034, section 4.3.2.
func delegation(m *miekg.Msg, name, apex string) string {
	for _, rr := range m.Ns {
		if h := rr.Header(); h.Rrtype == miekg.TypeNS && h.Class == miekg.ClassINET {
			if cut := strings.ToLower(h.Name); below(cut, apex) && miekg.IsSubDomain(cut, name) {
				return cut
			}
		}
	}
	return ""
}

// below tells whether a canonical name is below another.
func below(name, parent string) bool { return name != parent && miekg.IsSubDomain(parent, name) }

// escaped gives a name of a [Record] as names of messages are compared.
func escaped(name string) string {
	if c, err := canonical(name); err == nil {
		return c
	}
	return "."
}
