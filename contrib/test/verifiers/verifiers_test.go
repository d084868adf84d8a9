package verifiers_test

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reputed/contrib/test/verifiers"
	"reputed/policy/mail"
	"reputed/signer"
)

func domain(t *testing.T, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// ring signs for the domains that the awkward messages come from, with RSA and Ed25519.
func ring(t *testing.T) (*signer.Ring, map[string]string) {
	t.Helper()
	var keys []*signer.Key
	records := map[string]string{}
	for _, d := range []string{"example.org", "sub.example.com", "xn--bcher-kva.example"} {
		r, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		_, e, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		kr, err := signer.NewKey(signer.ID{Domain: domain(t, d), Selector: domain(t, "rsa")}, r)
		if err != nil {
			t.Fatal(err)
		}
		ke, err := signer.NewKey(signer.ID{Domain: domain(t, d), Selector: domain(t, "ed")}, e)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, kr, ke)
	}
	for _, k := range keys {
		records[k.ID().String()] = k.Record()
	}
	out, err := signer.NewRing(nil, nil, keys)
	if err != nil {
		t.Fatal(err)
	}
	return out, records
}

// sign gives a message as it travels, with its signatures.
func sign(t *testing.T, s *signer.Signer, msg []byte) ([]byte, []mail.Signed) {
	t.Helper()
	in := bufio.NewReader(bytes.NewReader(msg))
	h, err := mail.ReadHeader(in)
	if err != nil {
		t.Fatal(err)
	}
	g, err := s.Begin(&mail.Transaction{Header: h, Author: h.ReadAuthor()})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Release()
	body, _ := io.ReadAll(in)
	g.Write(body)
	fields, signed, err := g.Fields()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, f := range fields {
		out.Write(f.Raw())
	}
	out.Write(h.Raw())
	out.WriteString("\r\n")
	out.Write(body)
	return out.Bytes(), signed
}

// What our signer signs, three strangers verify: awkward messages in every canonicalization, lone CRs and NULs among
// them. And none of the three passes what was changed.
func TestAwkwardMessages(t *testing.T) {
	keys, records := ring(t)
	names, messages := awkward(t)
	for _, c := range []string{"relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple"} {
		canon, err := signer.ParseCanonicalization(c)
		if err != nil {
			t.Fatal(err)
		}
		s := signer.New(keys, signer.Options{Canonicalization: canon})
		var signed, tampered [][]byte
		var by [][]mail.Signed
		for _, m := range messages {
			out, keys := sign(t, s, m)
			signed, by = append(signed, out), append(by, keys)
			tampered = append(tampered, append(bytes.Clone(out), "more\r\n"...))
		}
		for _, v := range verifiers.All(t) {
			t.Run(c+"/"+v.Name, func(t *testing.T) {
				results, err := v.Verify(signed, records)
				if err != nil {
					t.Fatal(err)
				}
				for i, rs := range results {
					if passed, want := passes(rs), expected(v, canon.Body, signed[i], by[i]); passed != want {
						t.Errorf("%s: %d of %d signatures pass: %+v", names[i], passed, want, rs)
					}
				}
				results, err = v.Verify(tampered, records)
				if err != nil {
					t.Fatal(err)
				}
				for i, rs := range results {
					if passes(rs) != 0 {
						t.Errorf("%s, changed: %+v", names[i], rs)
					}
				}
			})
		}
	}
}

func passes(rs []verifiers.Result) (n int) {
	for _, r := range rs {
		if r.Pass {
			n++
		}
	}
	return n
}

// expected is how many signatures the verifier must pass, for all that it can do.
func expected(v verifiers.Verifier, body signer.Canon, msg []byte, by []mail.Signed) int {
	loneCR := bytes.Contains(bytes.ReplaceAll(msg, []byte("\r\n"), nil), []byte("\r"))
	spaced := bytes.Contains(msg, []byte("Subject \t:"))
	if v.NoLoneCR && loneCR && body == signer.Relaxed || v.NoSpacedColon && spaced {
		return 0
	}
	n := 0
	for _, s := range by {
		if s.Algorithm != "ed25519-sha256" || !v.NoEd25519 {
			n++
		}
	}
	return n
}

// awkward gives the signer's awkward messages in CRLF, and some that no file can hold well.
func awkward(t *testing.T) (names []string, messages [][]byte) {
	t.Helper()
	files, err := filepath.Glob("../../../signer/testdata/*.eml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d messages, %v", len(files), err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		_, msg, _ := bytes.Cut(text, []byte("\n"))
		msg = bytes.ReplaceAll(bytes.ReplaceAll(msg, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
		if !bytes.HasSuffix(msg, []byte("\r\n")) {
			msg = append(msg, "\r\n"...) // SMTP ends every line
		}
		names, messages = append(names, filepath.Base(f)), append(messages, msg)
	}
	bodies := []string{
		"a \rb\r\n", "a\r\r\n", " \r\r\n", "x \t\r y\r\n\r\n", "nul \x00 \x00\r\n", "\r\n", " \r\n\r\n",
	}
	for i, body := range bodies {
		names = append(names, fmt.Sprintf("body %d %q", i, body))
		messages = append(messages, []byte("From: ann@example.org\r\nSubject: x\r\n\r\n"+body))
	}
	names = append(names, "large")
	messages = append(messages, []byte("From: ann@example.org\r\nSubject: x\r\n\r\n"+
		strings.Repeat("some words  in a line \r\n", 50_000)))
	return names, messages
}
