package milter

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"reputed/milter/wire"
	"reputed/policy"
	"reputed/policy/mail"
)

// A session forgets all of a message but the memory of it: what stayed would be the next one's, who may be another
// peer's. Whatever fields there are.
func TestForgetsAll(t *testing.T) {
	s := newSession(New(Options{}))
	s.client = mail.Client{Helo: "client.example"}
	fill(t, reflect.ValueOf(&s.message).Elem(), "message")
	s.Tx.Header = new(mail.Header)
	s.Tx.Header.Add([]byte("Subject"), []byte(" x"))
	s.macros = wire.Macros{"i": "4X"}
	released := s.seal.(*held)
	s.reset()
	want := message{macros: wire.Macros{}}
	want.Tx.Client, want.Tx.Header = &s.client, s.Tx.Header
	want.Tx.Recipients, want.routed = s.Tx.Recipients[:0], s.routed[:0]
	if !reflect.DeepEqual(s.message, want) {
		t.Errorf("it still knows %+v", s.message)
	}
	if s.Tx.Header.Len() != 0 || len(s.Tx.Recipients) != 0 || len(s.routed) != 0 {
		t.Errorf("it still knows %d fields, %d recipients, %d verdicts", s.Tx.Header.Len(), len(s.Tx.Recipients), len(s.routed))
	}
	for _, r := range s.Tx.Recipients[:cap(s.Tx.Recipients)] {
		if !reflect.ValueOf(r).IsZero() {
			t.Errorf("its memory holds a recipient: %+v", r)
		}
	}
	if s.client.Helo == "" || released.n != 1 {
		t.Errorf("greeting %q, the seal was given back %d times", s.client.Helo, released.n)
	}
}

// held is a seal, and an inquiry, of which nothing is asked.
type held struct {
	Seal
	Inquiry
	n int // how often it was given back
}

func (h *held) Release()                    { h.n++ }
func (h *held) Write(p []byte) (int, error) { return len(p), nil }

// fill gives every field a value that is not zero, those that are not exported too.
func fill(t *testing.T, v reflect.Value, name string) {
	t.Helper()
	v = reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem()
	for _, of := range []any{new(held), errors.New("x"), func() {}, netip.IPv6Loopback(), new(Site), new(mail.Egress)} {
		if reflect.TypeOf(of).ConvertibleTo(v.Type()) {
			v.Set(reflect.ValueOf(of).Convert(v.Type()))
			return
		}
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint64:
		v.SetUint(1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0), name+"[0]")
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), name+"."+v.Type().Field(i).Name)
		}
	default:
		t.Fatalf("%s: a %v, which this test cannot fill", name, v.Kind())
	}
}

// What Exim took in is not asked about again; the next message, of anybody, is, on the same connection and on the one
// that has its memory.
func TestSettledOnce(t *testing.T) {
	s := newSession(New(Options{}))
	local := wire.Peer{Family: wire.FamilyUnix}
	site := &Site{Outbound: &policy.Outbound{Authenticated: true}, Own: func(mail.Address) bool { return true }}
	s.server.opt.Site = func() *Site { return site }
	for _, end := range []func(){s.reset, s.forget, s.quit} {
		s.connect(local)
		s.connMacros["{daemon_name}"] = unaskedDaemon
		s.mail("a@example.org")
		if !s.settled || !s.unasked {
			t.Fatal("what Exim took in is asked about")
		}
		end()
		s.connMacros["{daemon_name}"] = "smtpd"
		s.mail("b@example.org")
		if s.settled || s.unasked || strings.Contains(s.Why, "exim") {
			t.Errorf("the next is settled too: %q", s.Why)
		}
	}
}
