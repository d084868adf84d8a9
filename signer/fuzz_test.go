package signer_test

import (
	"bufio"
	"bytes"
	"crypto/rsa"
	"io"
	"testing"

	"github.com/emersion/go-msgauth/dkim"

	"reputed/policy/mail"
	"reputed/signer"
)

// fuzzRing has a key of each algorithm.
func fuzzRing(t testing.TB) *signer.Ring {
	t.Helper()
	r, err := rsa.GenerateKey(chacha(2), 1024) // signs fast
	if err != nil {
		t.Fatal(err)
	}
	keys := []*signer.Key{newKey(t, "example.org", "e1", edKey(1)), newKey(t, "example.org", "r1", r)}
	ring, err := signer.NewRing(nil, nil, keys)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// FuzzSign signs any header and body, with keys of both kinds, in all canonicalizations. What is signed verifies by
// go-msgauth, but for what that is known to get wrong.
func FuzzSign(f *testing.F) {
	f.Add([]byte("From: a@example.org\r\nSubject: x\r\n y\r\n\r\nbody \r\n"), byte(0))
	f.Add([]byte("From: a@example.org\r\nDKIM-Signature: v=1; d=example.org; s=e1; a=ed25519-sha256; b=; bh=x; h=from\r\n"+
		"\r\n"), byte(1))
	f.Add([]byte("FROM : a@example.org\r\nTo:\r\nto: \t\r\n\tx\r\n \r\n\r\n\r\n\tx \ty\r\n\r\n"), byte(2))
	f.Add([]byte("From:a@example.org\r\nX: \x00\xff\r\n\r\n\x00 \xff"), byte(3))
	ring := fuzzRing(f)
	var signers []*signer.Signer
	for _, c := range []signer.Canonicalization{{}, {Body: signer.Simple}, {Header: signer.Simple},
		{Header: signer.Simple, Body: signer.Simple}} {
		signers = append(signers, signer.New(ring, signer.Options{Now: fixedTime, Canonicalization: c}))
	}
	f.Fuzz(func(t *testing.T, msg []byte, canon byte) {
		msg = crlf(msg)
		in := bufio.NewReader(bytes.NewReader(msg))
		h, err := mail.ReadHeader(in)
		if err != nil {
			return // no message
		}
		g, err := signers[int(canon)%len(signers)].Begin(&mail.Transaction{Header: h, Author: h.ReadAuthor()})
		if err != nil {
			return // of another domain
		}
		defer g.Release()
		body, _ := io.ReadAll(in)
		g.Write(body)
		fields, signed, err := g.Fields()
		if err != nil {
			t.Fatal(err)
		}
		if len(fields)+len(g.Existing()) != 2 || len(signed) != len(fields) {
			t.Fatalf("%d signatures on %d in %q", len(fields), len(g.Existing()), msg)
		}
		if bytes.Contains(bytes.ReplaceAll(msg, []byte("\r\n"), nil), []byte("\r")) {
			return // go-msgauth takes a lone CR for a line end
		}
		var out []byte
		for _, f := range fields {
			out = append(out, f.Raw()...)
		}
		out = append(append(append(out, h.Raw()...), "\r\n"...), body...)
		vs, err := dkim.VerifyWithOptions(bytes.NewReader(out), &dkim.VerifyOptions{LookupTXT: records(ring)})
		if err != nil || len(vs) < len(fields) {
			t.Fatalf("%d verified, %v: %q", len(vs), err, out)
		}
		for i := range fields {
			if vs[i].Err != nil {
				t.Fatalf("%s: %v in %q", signed[i].Selector, vs[i].Err, out)
			}
		}
	})
}
