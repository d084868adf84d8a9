package dns_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	miekg "github.com/miekg/dns"

	"reputed/policy/dns"
	"reputed/policy/dns/dnstest"
)

const (
	secretText = "c2VjcmV0IG9mIHRoZSBrZXkgb2YgdGVzdHM="
	otherText  = "YW5vdGhlciBzZWNyZXQgb2YgdGhlIHRlc3Rz"
)

func secret(t *testing.T, text string) dns.Secret {
	t.Helper()
	s, err := dns.ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// primary is a server that takes updates, and how to make them.
func primary(t *testing.T) (*dnstest.Server, *dns.Update) {
	t.Helper()
	s := start(t, fmt.Sprintf(org, 7))
	if err := s.Allow("reputed.", secretText); err != nil {
		t.Fatal(err)
	}
	return s, &dns.Update{
		Zone: "example.org", Server: s.Addr(), Timeout: timeout,
		TSIG: dns.TSIG{Name: "Reputed", Secret: secret(t, secretText)},
	}
}

// texts gives what stands at a name, and the serial of the zone.
func texts(t *testing.T, s *dnstest.Server, name string) ([]string, uint32) {
	t.Helper()
	c := client(s.AddrPort())
	var all []string
	for _, r := range c.Resolve(context.Background(), name, dns.TXT).Records {
		all = append(all, r.Text)
	}
	a := c.Resolve(context.Background(), "example.org", dns.SOA)
	if a.Status != dns.Found {
		t.Fatalf("%+v", a)
	}
	return all, a.Records[0].SOA.Serial
}

func TestUpdate(t *testing.T) {
	s, u := primary(t)
	ctx := context.Background()
	const name = "s7._domainkey.example.org"
	long := strings.Repeat(`v=DKIM1; p="\`, 50)
	set := func(text string) dns.TXTSet { return dns.TXTSet{Name: name, TTL: time.Hour, Text: text} }
	for _, tt := range []struct {
		do   func() error
		err  error
		want []string
		why  string
	}{
		{func() error { return u.Replace(ctx, set("x")) }, dns.ErrNotThere, nil, "nothing to replace"},
		{func() error { return u.Delete(ctx, name) }, dns.ErrNotThere, nil, "nothing to delete"},
		{func() error { return u.Add(ctx, set(long)) }, nil, []string{long}, "added"},
		{func() error { return u.Add(ctx, set("x")) }, dns.ErrExists, []string{long}, "there is one"},
		{func() error { return u.Replace(ctx, set("")) }, nil, []string{""}, "replaced, by an empty text"},
		{func() error { return u.Delete(ctx, strings.ToUpper(name)) }, nil, nil, "deleted; names have no case"},
		{
			func() error { return u.Add(ctx, dns.TXTSet{Name: "s2._domainkey.example.org", Text: "x"}) },
			dns.ErrExists, nil, "RFC 2136, section 3.4.2.2: beside an alias it would be passed over in silence",
		},
	} {
		_, before := texts(t, s, name)
		err := tt.do()
		got, serial := texts(t, s, name)
		if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) || !cmp.Equal(got, tt.want) {
			t.Errorf("%s: %v, %q", tt.why, err, got)
		}
		if (serial > before) != (err == nil) {
			t.Errorf("%s: the serial was %d and is %d", tt.why, before, serial)
		}
	}
	a := client(s.AddrPort()).Resolve(ctx, "s1._domainkey.example.org", dns.TXT)
	if a.Status != dns.Found || a.TTL != 300*time.Second {
		t.Errorf("other names were changed: %+v", a)
	}
	u.TSIG.Algorithm = dns.HMACSHA512
	if err := u.Add(ctx, dns.TXTSet{Name: name, TTL: 90 * time.Second, Text: "x"}); err != nil {
		t.Error(err)
	}
	if a := client(s.AddrPort()).Resolve(ctx, name, dns.TXT); a.TTL != 90*time.Second {
		t.Errorf("%+v", a)
	}
}

// Each way to fail has a name of its own, and changes nothing.
func TestUpdateRefused(t *testing.T) {
	for _, tt := range []struct {
		why   string
		spoil func(s *dnstest.Server, u *dns.Update)
		err   error
	}{
		{"another name of the key", func(_ *dnstest.Server, u *dns.Update) { u.TSIG.Name = "other" }, dns.ErrBadKey},
		{"another secret", func(_ *dnstest.Server, u *dns.Update) { u.TSIG.Secret = secret(t, otherText) }, dns.ErrBadSig},
		{"another time", func(_ *dnstest.Server, u *dns.Update) {
			u.Now = func() time.Time { return time.Now().Add(-time.Hour) }
		}, dns.ErrBadTime},
		{"another zone", func(_ *dnstest.Server, u *dns.Update) { u.Zone = "org" }, dns.ErrNotAuth},
		{"a name elsewhere", func(_ *dnstest.Server, u *dns.Update) { u.Zone = "example.net" }, dns.ErrNotZone},
		{"not allowed", func(s *dnstest.Server, _ *dns.Update) {
			s.Fault(".", dnstest.Fault{Kind: dnstest.Refused})
		}, dns.ErrDenied},
		{"it fails", func(s *dnstest.Server, _ *dns.Update) {
			s.Fault(".", dnstest.Fault{Kind: dnstest.ServFail})
		}, dns.ErrServFail},
		{"it is silent", func(s *dnstest.Server, u *dns.Update) {
			s.Fault(".", dnstest.Fault{Kind: dnstest.Drop})
			u.Timeout = timeout / 8
		}, dns.ErrTimeout},
		{"nobody is there", func(_ *dnstest.Server, u *dns.Update) { u.Server = closed(t).String() }, dns.ErrNetwork},
		{"another algorithm", func(_ *dnstest.Server, u *dns.Update) { u.TSIG.Algorithm = "hmac-md5" }, dns.ErrUpdate},
		{"no key", func(_ *dnstest.Server, u *dns.Update) { u.TSIG = dns.TSIG{} }, dns.ErrUpdate},
		{"no server", func(_ *dnstest.Server, u *dns.Update) { u.Server = "" }, dns.ErrUpdate},
		{"no zone", func(_ *dnstest.Server, u *dns.Update) { u.Zone = "" }, dns.ErrUpdate},
		{"a zone of no sense", func(_ *dnstest.Server, u *dns.Update) { u.Zone = "a..b" }, dns.ErrName},
	} {
		s, u := primary(t)
		tt.spoil(s, u)
		err := u.Add(context.Background(), dns.TXTSet{Name: "s8._domainkey.example.org", Text: "x"})
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: %v", tt.why, err)
		}
		if text := fmt.Sprint(err); strings.Contains(text, secretText) || strings.Contains(text, "\n") {
			t.Errorf("%s: %s", tt.why, text)
		}
		s.Heal()
		if got, serial := texts(t, s, "s8._domainkey.example.org"); len(got) > 0 || serial != 7 {
			t.Errorf("%s: %q was published, serial %d", tt.why, got, serial)
		}
	}
	_, u := primary(t)
	for _, name := range []string{"a..b", "example.net"} {
		if err := u.Delete(context.Background(), name); err == nil {
			t.Errorf("%s was deleted", name)
		}
	}
	err := u.Add(context.Background(), dns.TXTSet{Name: "s8._domainkey.example.org", TTL: -1, Text: "x"})
	if !errors.Is(err, dns.ErrUpdate) {
		t.Errorf("a negative TTL: %v", err)
	}
}

// Replies that nobody must believe.
func TestUpdateReplies(t *testing.T) {
	sign := func(m *miekg.Msg, text, mac string) []byte {
		m.SetTsig("reputed.", miekg.HmacSHA256, 300, time.Now().Unix())
		wire, _, err := miekg.TsigGenerate(m, text, mac, false)
		if err != nil {
			t.Error(err)
		}
		return wire
	}
	pack := func(m *miekg.Msg) []byte {
		wire, err := m.Pack()
		if err != nil {
			t.Error(err)
		}
		return wire
	}
	for _, tt := range []struct {
		why   string
		reply func(m *miekg.Msg, mac string) []byte
		err   error
	}{
		{"as it should be", func(m *miekg.Msg, mac string) []byte { return sign(m, secretText, mac) }, nil},
		{"not signed", func(m *miekg.Msg, _ string) []byte { return pack(m) }, dns.ErrUnsigned},
		{"signed by another", func(m *miekg.Msg, mac string) []byte {
			return sign(m, otherText, mac)
		}, dns.ErrUnsigned},
		{"signed for another update", func(m *miekg.Msg, mac string) []byte {
			return sign(m, secretText, strings.Repeat("0", len(mac)))
		}, dns.ErrUnsigned},
		{"another id", func(m *miekg.Msg, mac string) []byte {
			m.Id++
			return sign(m, secretText, mac)
		}, dns.ErrMalformed},
		{"no reply", func(m *miekg.Msg, mac string) []byte {
			m.Response = false
			return sign(m, secretText, mac)
		}, dns.ErrMalformed},
		{"a reply to a query", func(m *miekg.Msg, mac string) []byte {
			m.Opcode = 0
			return sign(m, secretText, mac)
		}, dns.ErrMalformed},
		{"rubbish", func(*miekg.Msg, string) []byte { return []byte("rubbish") }, dns.ErrMalformed},
		{"nothing", func(*miekg.Msg, string) []byte { return nil }, dns.ErrNetwork},
		{"not implemented", func(m *miekg.Msg, _ string) []byte {
			m.Rcode = miekg.RcodeNotImplemented
			return pack(m)
		}, dns.ErrNoUpdates},
		{"not of the zone", func(m *miekg.Msg, _ string) []byte {
			m.Rcode = miekg.RcodeNotZone
			return pack(m)
		}, dns.ErrNotZone},
		{"not the primary", func(m *miekg.Msg, _ string) []byte {
			m.Rcode = miekg.RcodeNotAuth
			return pack(m)
		}, dns.ErrNotAuth},
		{"bad time, without time", func(m *miekg.Msg, _ string) []byte {
			m.Rcode = miekg.RcodeNotAuth
			m.SetTsig("reputed.", miekg.HmacSHA256, 300, 0).IsTsig().Error = miekg.RcodeBadTime
			return pack(m)
		}, dns.ErrBadTime},
		{"a code of no sense", func(m *miekg.Msg, _ string) []byte { m.Rcode = 14; return pack(m) }, dns.ErrServFail},
	} {
		_, u := primary(t)
		u.Server = answerOnce(t, tt.reply)
		err := u.Delete(context.Background(), "s1._domainkey.example.org")
		if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
			t.Errorf("%s: %v", tt.why, err)
		}
	}
}

// answerOnce is a server that takes one update, and answers it with what reply makes.
func answerOnce(t *testing.T, reply func(m *miekg.Msg, mac string) []byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		var size [2]byte
		io.ReadFull(conn, size[:])
		wire := make([]byte, binary.BigEndian.Uint16(size[:]))
		io.ReadFull(conn, wire)
		q := new(miekg.Msg)
		if err := q.Unpack(wire); err != nil || q.IsTsig() == nil {
			t.Errorf("%v: %v", err, q)
			return
		}
		if out := reply(new(miekg.Msg).SetReply(q), q.IsTsig().MAC); out != nil {
			conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...))
		}
	}()
	return l.Addr().String()
}

// The port is 53 where none is given.
func TestUpdateAddress(t *testing.T) {
	for server, want := range map[string]string{
		"ns.example.org": "ns.example.org:53", "192.0.2.1": "192.0.2.1:53", "2001:db8::1": "[2001:db8::1]:53",
		"[2001:db8::1]": "[2001:db8::1]:53", "ns.example.org:5353": "ns.example.org:5353",
		netip.MustParseAddrPort("[2001:db8::1]:54").String(): "[2001:db8::1]:54",
	} {
		_, u := primary(t)
		dialed := ""
		u.Server, u.Dial = server, func(_ context.Context, network, address string) (net.Conn, error) {
			dialed = network + " " + address
			return nil, errors.New("no")
		}
		if err := u.Delete(context.Background(), "example.org"); !errors.Is(err, dns.ErrNetwork) || dialed != "tcp "+want {
			t.Errorf("%s: %s, %v", server, dialed, err)
		}
	}
}

func TestSecret(t *testing.T) {
	_, u := primary(t)
	holder := struct {
		hidden dns.TSIG
		Shown  *dns.Update
	}{u.TSIG, u}
	octets := strings.Trim(fmt.Sprint([]byte("secret of the key of tests")), "[]")
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		for _, v := range []any{u, *u, u.TSIG, &u.TSIG, u.TSIG.Secret, &u.TSIG.Secret, holder, []any{u.TSIG.Secret}} {
			text := fmt.Sprintf(format, v)
			for _, s := range []string{secretText, "secret of the key", octets, fmt.Sprintf("%x", "secret of the key")} {
				if strings.Contains(text, s) {
					t.Errorf("%s of %T: %s", format, v, text)
				}
			}
		}
	}
	if text, err := json.Marshal(u.TSIG); err != nil || strings.Contains(string(text), secretText) {
		t.Errorf("%s, %v", text, err)
	}
	for _, text := range []string{"", " ", "not base 64", secretText + "x", strings.TrimRight(secretText, "=")} {
		s, err := dns.ParseSecret(text)
		shown := len(text) > 1 && err != nil && strings.Contains(err.Error(), text)
		if !errors.Is(err, dns.ErrSecret) || !s.IsZero() || shown {
			t.Errorf("%q: %v", text, err)
		}
	}
	if s, err := dns.ParseSecret(" " + secretText + "\n"); err != nil || s.IsZero() {
		t.Error(err)
	}
}
