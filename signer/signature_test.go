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
	msg := []byte("Received: x\r\nSubject: one\r\nFROM: a@example.org\r\nX-Other: y\r\nSubject: two\r\nList-Unsubscribe: <x>\r\nList-Unsubscribe-Post: y\r\nBcc: z\r\n\r\n")
	tests := []struct {
		name           string
		sign, oversign []string
		want           string
	}{
		{"default", nil, nil, "From:From:Reply-To:Subject:Subject:Subject:Date:Message-ID:To:Cc:MIME-Version:Content-Type:Content-Transfer-Encoding:List-Unsubscribe:List-Unsubscribe-Post"},
		{"no oversigning", []string{"from", "X-Other"}, []string{}, "from:X-Other"},
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

// A message that bears our own valid signature is not signed by that key again; a broken or partial one does not count.
func TestExisting(t *testing.T) {
	ring := testRing(t)
	now := fixedTime()
	s := signer.New(ring, signer.Options{Now: func() time.Time { return now }})
	simple := signer.New(ring, signer.Options{Now: fixedTime, Expire: time.Hour, Canonicalization: signer.Canonicalization{Header: signer.Simple, Body: signer.Simple}})
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

// Who signs for whom.
func TestChoose(t *testing.T) {
	keys := []*signer.Key{
		newKey(t, "example.org", "a", edKey(1)), newKey(t, "example.org", "b", edKey(2)),
		newKey(t, "esp.example", "c", edKey(3)), newKey(t, "deep.example.net", "d", edKey(4)),
	}
	rules := []signer.Rule{
		{Domain: domain(t, "example.org"), Selectors: []mail.Domain{domain(t, "b")}, Subdomains: true},
		{Domain: domain(t, "example.net"), Below: true, SignAs: domain(t, "esp.example")},
		{Domain: domain(t, "empty.example")},
	}
	every := append(rules[:3:3], signer.Rule{SignAs: domain(t, "esp.example")})
	tests := []struct {
		from   string
		status signer.Status
		as     string
		keys   int
		holds  bool
		every  signer.Status // with a rule for every domain
	}{
		{"example.org", signer.Usable, "example.org", 1, true, signer.Usable},
		{"a.b.example.org", signer.Usable, "example.org", 1, true, signer.Usable},
		{"notexample.org", signer.Foreign, "", 0, false, signer.Usable},
		{"example.net", signer.Foreign, "", 0, false, signer.Usable},
		{"x.example.net", signer.Usable, "esp.example", 1, true, signer.Usable},
		{"deep.example.net", signer.Usable, "deep.example.net", 1, true, signer.Usable},
		{"x.deep.example.net", signer.Usable, "esp.example", 1, true, signer.Usable},
		{"esp.example", signer.Usable, "esp.example", 1, true, signer.Usable},
		{"x.esp.example", signer.Foreign, "", 0, false, signer.Usable},
		{"empty.example", signer.NoKey, "empty.example", 0, true, signer.NoKey},
		{"dir.example", signer.NoKey, "dir.example", 0, true, signer.NoKey},
	}
	expected := []mail.Domain{domain(t, "dir.example"), domain(t, "example.org")}
	ring, err := signer.NewRing(rules, expected, keys)
	if err != nil {
		t.Fatal(err)
	}
	catchAll, err := signer.NewRing(every, expected, keys)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		d := domain(t, tt.from)
		if c := ring.Choose(d); c.Status != tt.status || c.Domain.String() != tt.as || len(c.Keys) != tt.keys || ring.Holds(d) != tt.holds {
			t.Errorf("%s: %+v, holds %v", tt.from, c, ring.Holds(d))
		}
		if c := catchAll.Choose(d); c.Status != tt.every || catchAll.Holds(d) != tt.holds {
			t.Errorf("%s with a rule for every domain: %+v, holds %v", tt.from, c, catchAll.Holds(d))
		}
	}
	if ring.Choose(mail.Domain{}).Status != signer.Foreign || ring.Holds(mail.Domain{}) || catchAll.Choose(mail.Domain{}).Status != signer.Foreign {
		t.Error("the zero domain is signed for")
	}
	_, err = signer.NewRing([]signer.Rule{{Domain: domain(t, "example.org"), Selectors: []mail.Domain{domain(t, "zz")}}}, nil, keys)
	if err == nil || !strings.Contains(err.Error(), "selector zz") {
		t.Errorf("a selector without key: %v", err)
	}
}

// Whom nobody signs for is an error that says which.
func TestBeginErrors(t *testing.T) {
	ring, _ := signer.NewRing([]signer.Rule{{Domain: domain(t, "empty.example")}}, nil, []*signer.Key{newKey(t, "example.org", "a", edKey(1))})
	s := signer.New(ring, signer.Options{})
	for header, want := range map[string]error{
		"Subject: x":                                   signer.ErrNoAuthor,
		"From: undisclosed:;":                          signer.ErrNoAuthor,
		"From: a@example.net":                          signer.ErrForeign,
		"From: a@empty.example":                        signer.ErrNoKey,
		"From: a@example.net, b@empty.example":         signer.ErrNoKey,
		"From: a@example.org, b@empty.example":         nil,
		"From: =?utf-8?q?a=40example.org?= <x@y.test>": signer.ErrForeign,
	} {
		g, _, err := begin(t, s, []byte(header+"\r\n\r\n"))
		if !errors.Is(err, want) || (g == nil) != (want != nil) {
			t.Errorf("%s: %v, want %v", header, err, want)
		}
		if g != nil {
			g.Release()
			g.Release()
		}
	}
}

// badSigner is a key in other hands.
type badSigner struct {
	crypto.Signer
	panics bool
}

func (b badSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	if b.panics {
		panic("in another's code")
	}
	return nil, errors.New("the token is gone")
}

func TestBadKeys(t *testing.T) {
	for _, panics := range []bool{true, false} {
		ring, _ := signer.NewRing(nil, nil, []*signer.Key{newKey(t, "example.org", "a", badSigner{edKey(1), panics})})
		g, _, err := begin(t, signer.New(ring, signer.Options{}), []byte("From: a@example.org\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		if fields, _, err := g.Fields(); err == nil || fields != nil {
			t.Errorf("panics %v: %v", panics, err)
		}
		g.Release()
	}
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
		if strings.Join(got, " ") != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: %q, %v", tt.list, got, err)
		}
	}
	for _, name := range append(signer.DefaultSign(), signer.DefaultOversign()...) {
		if _, err := signer.ParseHeaders(nil, []string{name}); err != nil {
			t.Errorf("default: %v", err)
		}
	}
}

// FuzzSign signs any header and body; what is signed verifies by go-msgauth, where that is right.
func FuzzSign(f *testing.F) {
	f.Add([]byte("From: a@example.org\r\nSubject: x\r\n y\r\n\r\nbody \r\n"))
	f.Add([]byte("From: a@example.org\r\nDKIM-Signature: v=1; d=example.org; s=e1; a=ed25519-sha256; b=; bh=x; h=from\r\n\r\n"))
	k := newKey(f, "example.org", "e1", edKey(1))
	ring, _ := signer.NewRing(nil, nil, []*signer.Key{k})
	s := signer.New(ring, signer.Options{Now: fixedTime})
	f.Fuzz(func(t *testing.T, msg []byte) {
		msg = crlf(msg)
		in := bufio.NewReader(bytes.NewReader(msg))
		h, err := mail.ReadHeader(in)
		if err != nil {
			return
		}
		g, err := s.Begin(&mail.Transaction{Header: h, Author: h.ReadAuthor()})
		if err != nil {
			return
		}
		defer g.Release()
		body, _ := io.ReadAll(in)
		g.Write(body)
		fields, _, err := g.Fields()
		if err != nil {
			t.Fatal(err)
		}
		// go-msgauth takes a lone CR for a line end, and reads header lines with other rules than receivers.
		if bytes.ContainsAny(bytes.ReplaceAll(msg, []byte("\r\n"), nil), "\r\x00") || len(fields) == 0 {
			return
		}
		out := append(append(fields[0].Raw(), h.Raw()...), "\r\n"...)
		out = append(out, body...)
		vs, err := dkim.VerifyWithOptions(bytes.NewReader(out), &dkim.VerifyOptions{LookupTXT: records(ring)})
		if err != nil || len(vs) == 0 {
			return
		}
		if vs[0].Err != nil {
			t.Fatalf("%v in %q", vs[0].Err, out)
		}
	})
}

func BenchmarkSign4K(b *testing.B) {
	msg := append([]byte("From: a@example.org\r\nTo: b@example.net\r\nSubject: a message of ordinary size\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\nMessage-ID: <x@example.org>\r\n\r\n"),
		bytes.Repeat([]byte("some words in a line of text, as people write them\r\n"), 80)...)
	for name, private := range map[string]crypto.Signer{"rsa2048": rsaKey(b), "ed25519": edKey(1), "none": constant{edKey(1)}} {
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
