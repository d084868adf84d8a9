package signer

import (
	"bufio"
	"crypto"
	"crypto/ed25519"
	"io"
	"strings"
	"testing"
	"time"

	"reputed/policy/mail"
)

// touchy is a key that panics when it is told to.
type touchy struct {
	crypto.Signer
	angry bool
}

func (k *touchy) Sign(r io.Reader, hash []byte, o crypto.SignerOpts) ([]byte, error) {
	if k.angry {
		panic("the key is 0123456789")
	}
	return k.Signer.Sign(r, hash, o)
}

// Nothing of a message is in the signature of the next one: not of a longer header, of other fields, nor of one whose
// signature ended in a panic, which says nothing of the key.
func TestDeskIsCleared(t *testing.T) {
	key := &touchy{Signer: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}
	domain, _ := mail.ParseDomain("example.org")
	selector, _ := mail.ParseDomain("s")
	k, err := NewKey(ID{domain, selector}, key)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := NewRing(nil, nil, []*Key{k})
	if err != nil {
		t.Fatal(err)
	}
	fresh := func() *Signer { return New(ring, Options{Now: func() time.Time { return time.Unix(1800000000, 0) }}) }
	sign := func(s *Signer, header string) string {
		h, err := mail.ReadHeader(bufio.NewReader(strings.NewReader(header + "\r\n")))
		if err != nil {
			t.Fatal(err)
		}
		g, err := s.Begin(&mail.Transaction{Header: h, Author: h.ReadAuthor()})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Release()
		fields, _, err := g.Fields()
		if err != nil || len(fields) != 1 {
			t.Fatal(err)
		}
		return string(fields[0].Raw())
	}
	used := fresh()
	for i, header := range []string{
		"From: a@example.org\r\nSubject: " + strings.Repeat("long ", 100) + "\r\nTo: b@example.net\r\nTo: c@example.net\r\n",
		"From: a@example.org\r\n",
		"Date: x\r\nFrom: a@example.org\r\nX-Other: y\r\nMessage-ID: <z>\r\n",
	} {
		if got, want := sign(used, header), sign(fresh(), header); got != want {
			t.Errorf("message %d: %q, want %q", i, got, want)
		}
		key.angry = true
		func() {
			defer func() {
				if v := recover(); v == nil || strings.Contains(v.(string), "0123456789") {
					t.Errorf("the panic says %v", v)
				}
			}()
			sign(used, "From: a@example.org\r\nSubject: of the one that failed\r\n")
		}()
		key.angry = false
	}
}

// A desk keeps nothing of a message, and is not kept when that was large.
func TestDeskIsKept(t *testing.T) {
	choice := newFieldChoice(DefaultSign(), DefaultOversign())
	for _, tt := range []struct {
		why   string
		lines int
		text  string
		kept  bool
	}{
		{"an ordinary header", 20, "x", true},
		{"much text", 20, strings.Repeat("x", largeDesk), false},
		{"many fields", 2 * manyFields, "x", false},
	} {
		h := new(mail.Header)
		for range tt.lines {
			h.Add([]byte("Subject"), []byte(tt.text))
		}
		d := newDesk()
		d.cover(h, &choice, Relaxed)
		if kept := d.clear(); kept != tt.kept {
			t.Errorf("%s: kept: %v", tt.why, kept)
		}
		for _, f := range d.fields[:cap(d.fields)] {
			if f.Raw() != nil {
				t.Errorf("%s: %q is still there", tt.why, f.Raw())
			}
		}
	}
}
