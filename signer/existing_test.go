package signer_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"reputed/policy/mail"
	"reputed/signer"
)

// handmade signs plain fields and a body as another program that has our key could: simple/simple, with tags of its
// own. The fields that are covered are given in the order of h=.
func handmade(tags string, covered []string, body string) string {
	bh := sha256.Sum256([]byte(body))
	text := "DKIM-Signature: v=1; a=ed25519-sha256; c=simple/simple; d=example.org; s=e1; " + tags +
		"; bh=" + base64.StdEncoding.EncodeToString(bh[:]) + "; b="
	hash := sha256.Sum256([]byte(strings.Join(covered, "") + text))
	return text + base64.StdEncoding.EncodeToString(ed25519.Sign(edKey(1), hash[:])) + "\r\n"
}

// Only a signature that receivers pass saves us from making one.
func TestExistingAsReceiversSeeIt(t *testing.T) {
	ring, _ := signer.NewRing(nil, nil, []*signer.Key{newKey(t, "example.org", "e1", edKey(1))})
	s := signer.New(ring, signer.Options{Now: fixedTime})
	const from, subject, body = "From: a@example.org\r\n", "Subject: x\r\n", "body\r\n"
	both, now := []string{from, subject}, fixedTime().Unix()
	names := func(n int) string { return "h=from" + strings.Repeat(":x-none", n-1) }
	tests := []struct {
		why     string
		tags    string
		covered []string
		counts  bool
	}{
		{"nothing wrong", "h=From : SUBJECT", both, true},
		{"From is not covered: RFC 6376, section 6.1.1", "h=subject", []string{subject}, false},
		{"nothing is covered", "h=", nil, false},
		{"the agent is the domain's", "i=@example.org; h=from", both[:1], true},
		{"the agent is somebody below it", "i=ann@a.example.ORG; h=from", both[:1], true},
		{"the agent is another's", "i=@example.net; h=from", both[:1], false},
		{"the agent only ends alike", "i=@notexample.org; h=from", both[:1], false},
		{"the agent is above it", "i=@org; h=from", both[:1], false},
		{"the agent is no identity", "i=example.org; h=from", both[:1], false},
		{"the agent is nobody", "i=; h=from", both[:1], false},
		{"valid until now", fmt.Sprintf("x=%d; h=from", now), both[:1], true},
		{"expired", fmt.Sprintf("x=%d; h=from", now-1), both[:1], false},
		{"valid for a while", fmt.Sprintf("t=%d; x=%d; h=from", now-9, now+9), both[:1], true},
		{"expired when it was made: section 3.5", fmt.Sprintf("t=%d; x=%d; h=from", now+9, now+9), both[:1], false},
		{"no time", "x=never; h=from", both[:1], false},
		{"another no time", fmt.Sprintf("t=once; x=%d; h=from", now+9), both[:1], false},
		{"as many names as are looked at", names(256), both[:1], true},
		{"one more", names(257), both[:1], false},
		{"of several fields the lowest is meant: section 5.4.2", "h=subject:from:subject",
			[]string{subject, from, "Subject: above\r\n"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			signature := handmade(tt.tags, tt.covered, body)
			above := ""
			if len(tt.covered) == 3 {
				above = tt.covered[2]
			}
			g, in, err := begin(t, s, []byte(signature+above+from+subject+"\r\n"+body))
			if err != nil {
				t.Fatal(err)
			}
			defer g.Release()
			io.Copy(g, in)
			fields, _, err := g.Fields()
			if err != nil {
				t.Fatal(err)
			}
			if counts := len(g.Existing()) == 1; counts != tt.counts || counts == (len(fields) == 1) {
				t.Errorf("counts %v, and %d signatures are made", counts, len(fields))
			}
		})
	}
}

// A message that bears our own valid signature is not signed by that key again; a broken or partial one does not count.
func TestExisting(t *testing.T) {
	ring := testRing(t)
	now := fixedTime()
	s := signer.New(ring, signer.Options{Now: func() time.Time { return now }})
	simple := signer.New(ring, signer.Options{Now: fixedTime, Expire: time.Hour,
		Canonicalization: signer.Canonicalization{Header: signer.Simple, Body: signer.Simple}})
	plain := []byte("From: a@example.org\r\nSubject: x\r\n\r\nbody  body\r\n")
	once, _ := sign(t, s, plain)
	twice, _ := sign(t, simple, plain)
	ed, _, _ := bytes.Cut(once, []byte("DKIM-Signature: v=1; a=rsa"))
	tests := []struct {
		name  string
		msg   []byte
		later time.Duration
		want  int // new signatures
	}{
		{"unsigned", plain, 0, 2},
		{"signed", once, 0, 0},
		{"signed in another canonicalization", twice, 0, 0},
		{"signed, and expired since", twice, 2 * time.Hour, 2},
		{"signed by one of two keys", append(bytes.Clone(ed), plain...), 0, 1},
		{"signed, body changed", bytes.Replace(once, []byte("body  body"), []byte("other"), 1), 0, 2},
		{"signed, header changed", bytes.Replace(once, []byte("Subject: x"), []byte("Subject: y"), 1), 0, 2},
		{"signed, with l=", bytes.ReplaceAll(once, []byte("v=1;"), []byte("v=1; l=0;")), 0, 2},
		{"signature cut off", bytes.ReplaceAll(once, []byte("\tb="), []byte("\tb=AAAA")), 0, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now = fixedTime().Add(tt.later)
			g, in, err := begin(t, s, tt.msg)
			if err != nil {
				t.Fatal(err)
			}
			defer g.Release()
			io.Copy(g, in)
			_, signed, err := g.Fields()
			if err != nil {
				t.Fatal(err)
			}
			if len(signed) != tt.want || len(g.Existing()) != 2-tt.want {
				t.Errorf("%d new, %d existing; want %d new", len(signed), len(g.Existing()), tt.want)
			}
		})
	}
}

// BenchmarkForged is the worst that a stranger can do with signature fields that name our key: as many as are looked
// at, with as many names as possible, over a header of as many fields as are kept.
func BenchmarkForged(b *testing.B) {
	ring, _ := signer.NewRing(nil, nil, []*signer.Key{newKey(b, "example.org", "e1", edKey(1))})
	s := signer.New(ring, signer.Options{})
	for _, names := range []int{256, 8000} {
		b.Run(fmt.Sprint(names), func(b *testing.B) {
			h := new(mail.Header)
			bh := sha256.Sum256(nil)
			value := " v=1; a=ed25519-sha256; c=simple/simple; d=example.org; s=e1; b=AAAA; bh=" +
				base64.StdEncoding.EncodeToString(bh[:]) + "; h=from" + strings.Repeat(":x", names-1)
			for range 8 {
				h.Add([]byte("DKIM-Signature"), []byte(value))
			}
			for range 1900 {
				h.Add([]byte("X-Much"), bytes.Repeat([]byte(" x"), 20))
			}
			h.Add([]byte("From"), []byte(" a@example.org"))
			tx := &mail.Transaction{Header: h, Author: h.ReadAuthor()}
			for b.Loop() {
				g, err := s.Begin(tx)
				if err != nil {
					b.Fatal(err)
				}
				g.Fields()
				g.Release()
			}
		})
	}
}
