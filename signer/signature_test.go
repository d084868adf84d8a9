package signer_test

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"reputed/policy/mail"
	"reputed/signer"
)

func domain(t testing.TB, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// chacha makes keys that are the same in every run.
func chacha(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

func newKey(t testing.TB, d, selector string, private crypto.Signer) *signer.Key {
	t.Helper()
	k, err := signer.NewKey(signer.ID{Domain: domain(t, d), Selector: domain(t, selector)}, private)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func rsaKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(chacha(1), 2048)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func edKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))
}

// testRing signs for example.org with two keys, and for three more domains with one.
func testRing(t testing.TB) *signer.Ring {
	t.Helper()
	keys := []*signer.Key{
		newKey(t, "example.org", "r1", rsaKey(t)), newKey(t, "example.org", "e1", edKey(1)),
		newKey(t, "example.com", "e2", edKey(2)), newKey(t, "xn--bcher-kva.example", "e3", edKey(3)),
	}
	ring, err := signer.NewRing([]signer.Rule{{Domain: domain(t, "example.com"), Subdomains: true}}, nil, keys)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// records is the DNS of a ring.
func records(ring *signer.Ring) func(string) ([]string, error) {
	txt := map[string]string{}
	for _, k := range ring.Keys() {
		txt[k.ID().String()] = k.Record()
	}
	return func(name string) ([]string, error) {
		if r, ok := txt[strings.TrimSuffix(name, ".")]; ok {
			return []string{r}, nil
		}
		return nil, errors.New("no such name: " + name)
	}
}

// begin reads a message and begins to sign it; the body is what is left of the reader.
func begin(t testing.TB, s *signer.Signer, msg []byte) (*signer.Signature, *bufio.Reader, error) {
	t.Helper()
	in := bufio.NewReader(bytes.NewReader(msg))
	h, err := mail.ReadHeader(in)
	if err != nil {
		t.Fatal(err)
	}
	g, err := s.Begin(&mail.Transaction{Header: h, Author: h.ReadAuthor()})
	return g, in, err
}

// sign signs a message, and gives it with its signatures as it travels: in CRLF.
func sign(t testing.TB, s *signer.Signer, msg []byte) ([]byte, []mail.Signed) {
	t.Helper()
	g, in, err := begin(t, s, msg)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Release()
	body, _ := io.ReadAll(in)
	for rest := body; len(rest) > 0; {
		n := min(7, len(rest))
		g.Write(rest[:n])
		rest = rest[n:]
	}
	fields, signed, err := g.Fields()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, f := range fields {
		out.Write(f.Raw())
	}
	out.Write(crlf(msg))
	return out.Bytes(), signed
}

func crlf(msg []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(msg, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}

func fixedTime() time.Time { return time.Unix(1_795_000_000, 0) }

// verifyAll gives the verdict of go-msgauth on each signature.
func verifyAll(t testing.TB, ring *signer.Ring, msg []byte) []*dkim.Verification {
	t.Helper()
	if !bytes.Contains(msg, []byte("\r\n\r\n")) {
		msg = append(bytes.Clone(msg), "\r\n"...) // it wants the empty line that a message without body may lack
	}
	vs, err := dkim.VerifyWithOptions(bytes.NewReader(msg), &dkim.VerifyOptions{LookupTXT: records(ring)})
	if err != nil {
		t.Fatal(err)
	}
	return vs
}

// Every awkward message, in every canonicalization, verifies; and each file says why it is there.
func TestMessages(t *testing.T) {
	ring := testRing(t)
	files, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d messages, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, msg, _ := bytes.Cut(text, []byte("\n"))
		for _, c := range []string{"relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple"} {
			t.Run(filepath.Base(file)+"/"+c, func(t *testing.T) {
				canon, err := signer.ParseCanonicalization(c)
				if err != nil {
					t.Fatal(err)
				}
				out, signed := sign(t, signer.New(ring, signer.Options{Canonicalization: canon, Now: fixedTime}), msg)
				passed := 0
				for _, v := range verifyAll(t, ring, out) {
					if v.Err == nil {
						passed++
					} else if v.Domain != "" && ring.Holds(domain(t, v.Domain)) {
						t.Errorf("%s: %v", v.Domain, v.Err)
					}
				}
				if want := len(signed); passed != want || want == 0 {
					t.Errorf("%d of %d signatures pass in\n%s", passed, want, out)
				}
			})
		}
	}
}

// The form of a signature: tags in order, no line beyond 78 columns, no l=.
func TestForm(t *testing.T) {
	ring := testRing(t)
	s := signer.New(ring, signer.Options{Now: fixedTime, Expire: 24 * time.Hour})
	out, _ := sign(t, s, []byte("From: a@example.org\r\nSubject: x\r\n\r\nx\r\n"))
	header, _, _ := bytes.Cut(out, []byte("\r\nFrom:"))
	for line := range strings.SplitSeq(string(header), "\r\n") {
		if n := len(line) + 7*strings.Count(line, "\t"); n > 78 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	var order []string
	for part := range strings.SplitSeq(string(header[:bytes.Index(header, []byte("\r\nDKIM"))]), ";") {
		name, _, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(part, "DKIM-Signature:")), "=")
		order = append(order, name)
	}
	if got := strings.Join(order, " "); got != "v a c d s t x h bh b" {
		t.Errorf("tags %s", got)
	}
}

// What is covered: each instance, and one more of what is oversigned.
func TestCovered(t *testing.T) {
	ring := testRing(t)
	long := "X-" + strings.Repeat("Long-", 20) + "Name"
	msg := []byte("Received: x\r\nSubject: one\r\nFROM: a@example.org\r\nX-Other: y\r\nSubject: two\r\n" +
		strings.ToUpper(long) + ": x\r\nList-Unsubscribe: <x>\r\nList-Unsubscribe-Post: y\r\nBcc: z\r\n\r\n")
	tests := []struct {
		name           string
		sign, oversign []string
		want           string
	}{
		{"default", nil, nil, "From:From:Reply-To:Subject:Subject:Subject:Date:Message-ID:To:Cc:MIME-Version:" +
			"Content-Type:Content-Transfer-Encoding:List-Unsubscribe:List-Unsubscribe-Post"},
		{"no oversigning", []string{"from", "X-Other"}, []string{}, "from:X-Other"},
		{"a long name", []string{"From", long}, []string{}, "From:" + long},
		{"what is oversigned is signed", []string{"From"}, []string{"Subject"}, "From:Subject:Subject:Subject"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, _ := sign(t, signer.New(ring, signer.Options{Sign: tt.sign, Oversign: tt.oversign, Now: fixedTime}), msg)
			h, err := mail.ReadHeader(bufio.NewReader(bytes.NewReader(out)))
			if err != nil {
				t.Fatal(err)
			}
			tags, err := signer.Tags(h.At(0))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.NewReplacer("\r\n\t", "").Replace(tags["h"]); got != tt.want {
				t.Errorf("h=%s\nwant %s", got, tt.want)
			}
		})
	}
}

// A field added on the way breaks the signature where it is oversigned, and a changed body does always.
func TestTampering(t *testing.T) {
	ring := testRing(t)
	out, _ := sign(t, signer.New(ring, signer.Options{}), []byte("From: a@example.org\r\nSubject: x\r\n\r\nbody\r\n"))
	for name, tampered := range map[string][]byte{
		"second Subject": append([]byte("Subject: y\r\n"), out...),
		"second From":    append([]byte("From: y@example.net\r\n"), out...),
		"added Reply-To": append([]byte("Reply-To: y@example.net\r\n"), out...),
		"longer body":    append(bytes.Clone(out), "more\r\n"...),
		"changed body":   bytes.Replace(out, []byte("\r\n\r\nbody"), []byte("\r\n\r\nB0dy"), 1),
	} {
		for _, v := range verifyAll(t, ring, tampered) {
			if v.Err == nil {
				t.Errorf("%s: the signature of %s still passes", name, v.Domain)
			}
		}
	}
}

// badSigner is a key in other hands.
type badSigner struct{ crypto.Signer }

func (badSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("the token is gone")
}

func TestBadKeys(t *testing.T) {
	ring, _ := signer.NewRing(nil, nil, []*signer.Key{newKey(t, "example.org", "a", badSigner{edKey(1)})})
	g, _, err := begin(t, signer.New(ring, signer.Options{}), []byte("From: a@example.org\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if fields, _, err := g.Fields(); err == nil || fields != nil {
		t.Errorf("%v, %v", fields, err)
	}
	g.Release()
	short, err := rsa.GenerateKey(chacha(9), 1024)
	if err != nil {
		t.Fatal(err)
	}
	if k := newKey(t, "example.org", "a", short); !k.Weak() {
		t.Error("1024 bits are not weak")
	}
}

func TestParseHeaders(t *testing.T) {
	defaults := []string{"From", "To"}
	tests := []struct {
		list, want, err string
	}{
		{"", "", ""},
		{"Subject X-A subject", "Subject X-A", ""},
		{"+X-A -to", "From X-A", ""},
		{"+from", "From To", ""},
		{"+X-A Subject", "", "either every entry"},
		{"Received", "", "must not be signed"},
		{"+Resent-From", "", "must not be signed"},
		{"arc-seal", "", "must not be signed"},
		{"a:b", "", "not the name"},
		{"+", "", "is empty"},
	}
	for _, tt := range tests {
		got, err := signer.ParseHeaders(defaults, strings.Fields(tt.list))
		said := err == nil && tt.err == "" || err != nil && tt.err != "" && strings.Contains(err.Error(), tt.err)
		if strings.Join(got, " ") != tt.want || !said {
			t.Errorf("%q: %q, %v", tt.list, got, err)
		}
	}
	if got, _ := signer.ParseHeaders(defaults, []string{}); got == nil {
		t.Error("an empty list is none, which stands for the defaults")
	}
	for _, name := range append(signer.DefaultSign(), signer.DefaultOversign()...) {
		if _, err := signer.ParseHeaders(nil, []string{name}); err != nil {
			t.Errorf("default: %v", err)
		}
	}
}

func BenchmarkSign4K(b *testing.B) {
	msg := append([]byte("From: a@example.org\r\nTo: b@example.net\r\nSubject: a message of ordinary size\r\n"+
		"Date: Mon, 2 Nov 2026 10:00:00 +0000\r\nMessage-ID: <x@example.org>\r\n\r\n"),
		bytes.Repeat([]byte("some words in a line of text, as people write them\r\n"), 80)...)
	keys := map[string]crypto.Signer{"rsa2048": rsaKey(b), "ed25519": edKey(1), "none": constant{edKey(1)}}
	for name, private := range keys {
		b.Run(name, func(b *testing.B) {
			ring, _ := signer.NewRing(nil, nil, []*signer.Key{newKey(b, "example.org", "a", private)})
			s := signer.New(ring, signer.Options{})
			in := bufio.NewReader(bytes.NewReader(msg))
			h, _ := mail.ReadHeader(in)
			body, _ := io.ReadAll(in)
			tx := &mail.Transaction{Header: h, Author: h.ReadAuthor()}
			b.ReportAllocs()
			for b.Loop() {
				g, err := s.Begin(tx)
				if err != nil {
					b.Fatal(err)
				}
				g.Write(body)
				g.Fields()
				g.Release()
			}
		})
	}
}

// constant costs nothing: what is measured is all but the key.
type constant struct{ crypto.Signer }

func (constant) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return make([]byte, sha256.Size*8), nil
}

// What a signature costs besides the key does not grow with the body, and little with the header.
func TestAllocations(t *testing.T) {
	ring, _ := signer.NewRing(nil, nil, []*signer.Key{newKey(t, "example.org", "a", constant{edKey(1)})})
	s := signer.New(ring, signer.Options{})
	h, _ := mail.ReadHeader(bufio.NewReader(strings.NewReader("From: a@example.org\r\nTo: b@example.net\r\n" +
		"Subject: a message of ordinary size\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\n" +
		"Message-ID: <x@example.org>\r\n\r\n")))
	body := bytes.Repeat([]byte("some words \t in a line \r\n"), 400)
	tx := &mail.Transaction{Header: h, Author: h.ReadAuthor()}
	n := testing.AllocsPerRun(100, func() {
		g, err := s.Begin(tx)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			g.Write(body)
		}
		g.Fields()
		g.Release()
	})
	if n > mostAllocations {
		t.Errorf("%v allocations, at most %d", n, mostAllocations)
	}
}
