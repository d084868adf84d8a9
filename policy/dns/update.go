package dns

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"strings"
	"time"

	miekg "github.com/miekg/dns"
)

// Update changes TXT records of one zone at its primary: RFC 2136, over TCP, signed with TSIG.
//
// Each change has a condition, so that what somebody else did in the meantime is not undone. It is made whole or not at
// all. When the error is [ErrTimeout] or [ErrNetwork] it may have been made all the same: look before trying again. Look
// after a success, too: servers also take records that they never show, since the name belongs to a zone further down.
type Update struct {
	Zone    string        // the name of its apex
	Server  string        // its primary: a host or an address, and a port if it is not 53
	TSIG    TSIG          // the key that the server lets change the zone
	Timeout time.Duration // for one change; 0: 5 s

	Now  func() time.Time                                                     // nil: time.Now
	Dial func(ctx context.Context, network, address string) (net.Conn, error) // nil: as net.Dialer does
}

// TSIG is a key for signing messages between two sides: RFC 8945.
type TSIG struct {
	Name      string    // as both sides call it
	Algorithm Algorithm // "": HMACSHA256
	Secret    Secret
}

// Algorithm is how TSIG signs.
type Algorithm string

const (
	HMACSHA256 Algorithm = "hmac-sha256"
	HMACSHA512 Algorithm = "hmac-sha512"
)

// TXTSet is all TXT records of a name: one.
type TXTSet struct {
	Name string
	TTL  time.Duration // in whole seconds
	Text string        // sent as strings of at most 255 octets
}

// Add publishes a record at a name that has neither TXT records nor an alias; else [ErrExists].
func (u *Update) Add(ctx context.Context, s TXTSet) error {
	return u.change(ctx, s, func(m *miekg.Msg, rr miekg.RR) {
		// RFC 2136, section 3.4.2.2: beside an alias, the record would be passed over in silence.
		alias := &miekg.CNAME{Hdr: miekg.RR_Header{Name: rr.Header().Name, Rrtype: miekg.TypeCNAME}}
		m.RRsetNotUsed([]miekg.RR{rr, alias})
		m.Insert([]miekg.RR{rr})
	})
}

// Replace publishes a record in place of all TXT records of a name that has some; else [ErrNotThere].
func (u *Update) Replace(ctx context.Context, s TXTSet) error {
	return u.change(ctx, s, func(m *miekg.Msg, rr miekg.RR) {
		m.RRsetUsed([]miekg.RR{rr})
		m.RemoveRRset([]miekg.RR{rr})
		m.Insert([]miekg.RR{rr})
	})
}

// Delete removes all TXT records of a name that has some; else [ErrNotThere].
func (u *Update) Delete(ctx context.Context, name string) error {
	return u.change(ctx, TXTSet{Name: name}, func(m *miekg.Msg, rr miekg.RR) {
		m.RRsetUsed([]miekg.RR{rr})
		m.RemoveRRset([]miekg.RR{rr})
	})
}

// change sends an update, and reads what came of it.
func (u *Update) change(ctx context.Context, s TXTSet, fill func(*miekg.Msg, miekg.RR)) error {
	timeout := u.Timeout
	if timeout <= 0 {
		timeout = 5 * time.Second
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, ErrTimeout)
	defer cancel()
	m, err := u.message(s, fill)
	if err == nil {
		err = u.send(ctx, m)
	}
	if err != nil {
		return fmt.Errorf("update of %s at %s: %w", s.Name, u.Server, err)
	}
	return nil
}

// message makes an update that is yet to be signed.
func (u *Update) message(s TXTSet, fill func(*miekg.Msg, miekg.RR)) (*miekg.Msg, error) {
	zone, err := canonical(u.Zone)
	if err != nil {
		return nil, err
	}
	name, err := canonical(s.Name)
	if err != nil {
		return nil, err
	}
	key, err := canonical(u.TSIG.Name)
	switch {
	case err != nil:
		return nil, err
	case u.Zone == "" || u.Server == "":
		return nil, fmt.Errorf("%w: it needs a zone and a server", ErrUpdate)
	case u.TSIG.Name == "" || u.TSIG.Secret.IsZero():
		return nil, fmt.Errorf("%w: it needs a key, with a name and a secret", ErrUpdate)
	case !slices.Contains([]Algorithm{"", HMACSHA256, HMACSHA512}, u.TSIG.Algorithm):
		return nil, fmt.Errorf("%w: no algorithm is called %q (%s, %s)", ErrUpdate, u.TSIG.Algorithm, HMACSHA256, HMACSHA512)
	case !miekg.IsSubDomain(zone, name):
		return nil, ErrNotZone
	case s.TTL < 0 || s.TTL/time.Second > math.MaxInt32: // RFC 2181, section 8
		return nil, fmt.Errorf("%w: a TTL of %v", ErrUpdate, s.TTL)
	}
	m := new(miekg.Msg).SetUpdate(zone)
	h := miekg.RR_Header{
		Name: name, Rrtype: miekg.TypeTXT, Class: miekg.ClassINET, Ttl: uint32(s.TTL / time.Second),
	}
	fill(m, &miekg.TXT{Hdr: h, Txt: stringsOf(s.Text)})
	now := time.Now
	if u.Now != nil {
		now = u.Now
	}
	algorithm := u.TSIG.Algorithm
	if algorithm == "" {
		algorithm = HMACSHA256
	}
	return m.SetTsig(key, string(algorithm)+".", 300, now().Unix()), nil // RFC 8945, section 10
}

// maxString is how long a string of a TXT record can be: RFC 1035, section 3.3.
const maxString = 255

// stringsOf divides a text into strings, escaped as miekg/dns wants them.
func stringsOf(text string) []string {
	all := []string{}
	for len(text) > maxString {
		all = append(all, text[:maxString])
		text = text[maxString:]
	}
	all = append(all, text)
	for i := range all {
		all[i] = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(all[i])
	}
	return all
}

// send signs and sends an update, and waits for the reply.
func (u *Update) send(ctx context.Context, m *miekg.Msg) error {
	wire, mac, err := miekg.TsigGenerate(m, *u.TSIG.Secret.text, "", false)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUpdate, err)
	}
	dial := u.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, "tcp", u.address())
	if err != nil {
		return trouble(ctx, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)); err != nil {
		return trouble(ctx, err)
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return trouble(ctx, err)
	}
	reply := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, reply); err != nil {
		return trouble(ctx, err)
	}
	return u.outcome(m, reply, mac)
}

// address gives the server with its port.
func (u *Update) address() string {
	if _, _, err := net.SplitHostPort(u.Server); err == nil {
		return u.Server
	}
	return net.JoinHostPort(strings.Trim(u.Server, "[]"), "53")
}
