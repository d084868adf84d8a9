package nameserver

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// domainPort is the port of name servers: whoever follows a delegation asks there.
const domainPort = "53"

// loopback is where whoever copies a zone comes from.
const loopback = "127.0.0.0/8"

// Key is a key of TSIG (RFC 8945) with HMAC-SHA256.
type Key struct {
	Name   string // as both sides call it
	Secret string // in base64
}

// NewKey makes a key of that name.
func NewKey(name string) Key {
	secret := make([]byte, 32)
	rand.Read(secret)
	return Key{name, base64.StdEncoding.EncodeToString(secret)}
}

// Dynamic says where a server with authority listens, and who may change and copy its zones. The zero value is a server
// as of [StartKnot].
//
// A zone that others copy or change brings its own SOA, and is not to be set again: its serial would go back.
type Dynamic struct {
	Addr        string   // as of [Loopback]: it listens there, at port 53. "": a port of 127.0.0.1 that was free
	Key         Key      // may change TXT records below _domainkey of each zone, and nothing else; zero: nobody may
	Secondaries []string // addresses of servers that copy its zones, and listen at port 53; none: nobody may
	Notify      bool     // they are told of changes at once (RFC 1996); else they do not know before they are to Refresh

	Copies map[string]string // zones that it copies, and the address of the server that has each, at port 53
}

// Primary is a server that others copy zones from.
type Primary interface {
	Serial(zone string) int // of the zone as it has it now

	// Put replaces the TXT records of a name by one, or removes them if the text is "", as somebody does who edits the
	// zone by hand: servers that copy the zone see that it has changed.
	Put(zone, name, text string)
}

// Secondary is a server that copies zones.
type Secondary interface {
	// Refresh has the server look whether a zone has changed, and copy it then, and waits until it has what the other
	// server has now.
	Refresh(zone string, from Primary)
	// Lose takes a zone from the server: names of it are refused from now on.
	Lose(zone string)
	// Copy gives the server a zone to copy, and waits until it is there.
	Copy(zone, from string)
}

// has tells whether a server serves zones that it copies.
func (s *Server) has(copies map[string]string) error {
	for zone := range copies {
		if _, err := s.Resolver().LookupNS(s.t.Context(), absolute(zone)); err != nil {
			return err
		}
	}
	return nil
}

// upToDate tells whether a server has as new a zone as another one had.
func upToDate(zone string, has, want int) error {
	if has < want {
		return fmt.Errorf("zone %s has serial %d, and %d at the primary", zone, has, want)
	}
	return nil
}

// serialLine is how knotc and rndc tell of serials.
var serialLine = regexp.MustCompile(`serial: (\d+)`)

// readSerial finds the serial in what a server says of a zone.
func readSerial(t testing.TB, said string) int {
	t.Helper()
	m := serialLine.FindStringSubmatch(said)
	if m == nil {
		t.Fatalf("no serial in %q", said)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Loopback gives a loopback address whose port 53 nobody has; another one each time, so that several tests can run on
// one machine. It wants root.
func Loopback(t testing.TB) string {
	t.Helper()
	var last error
	for range 20 {
		var n [2]byte
		rand.Read(n[:])
		addr := netip.AddrFrom4([4]byte{127, 53, n[0], n[1]}).String()
		if last = free(net.JoinHostPort(addr, domainPort)); last == nil {
			return addr
		}
	}
	lack(t, "a name server at port 53 of a loopback address wants root: "+last.Error())
	return ""
}

// listen moves a server that was not started to port 53 of an address; "" leaves it where it is.
func (s *Server) listen(addr string) {
	if addr != "" {
		s.addr = net.JoinHostPort(addr, domainPort)
	}
}

// TXT is what the server shows at a name: its TXT records, each put together from its strings.
func (s *Server) TXT(t testing.TB, name string) ([]string, error) {
	t.Helper()
	return s.Resolver().LookupTXT(t.Context(), absolute(name))
}

// maxString is how long a string of a TXT record can be: RFC 1035, section 3.3.
const maxString = 255

// quoted gives a text as strings of a TXT record, as zone files have them.
func quoted(text string) (all []string) {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	for len(text) > maxString {
		all = append(all, `"`+escape.Replace(text[:maxString])+`"`)
		text = text[maxString:]
	}
	return append(all, `"`+escape.Replace(text)+`"`)
}
