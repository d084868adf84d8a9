package signer

import (
	"bytes"
	"math/rand/v2"
	"regexp"
	"testing"

	"reputed/policy/mail"
)

// What RFC 6376, section 3.4.2 speaks of.
var (
	upper      = regexp.MustCompile(`[A-Z]`)
	blanksIn   = regexp.MustCompile(`[ \t]+`)
	blanksEnd  = regexp.MustCompile(`[ \t]+$`)
	blanksHead = regexp.MustCompile(`^[ \t]+`)
)

// referenceRelaxed is that section, step by step.
func referenceRelaxed(name, value []byte) []byte {
	name = upper.ReplaceAllFunc(name, bytes.ToLower)
	value = bytes.ReplaceAll(value, []byte("\r\n"), nil) // unfold
	value = blanksIn.ReplaceAll(value, []byte(" "))
	value = blanksEnd.ReplaceAll(value, nil)
	value = blanksHead.ReplaceAll(value, nil) // after the colon
	name = blanksEnd.ReplaceAll(name, nil)    // before it
	return append(append(append(bytes.Clone(name), ':'), value...), "\r\n"...)
}

// checkField holds both canonical forms of a field against the reference.
func checkField(t *testing.T, name, value []byte) {
	t.Helper()
	var h mail.Header
	h.Add(name, value)
	f := h.At(0)
	want := append([]byte("x"), referenceRelaxed(name, f.Value())...)
	if got := appendField([]byte("x"), Relaxed, f); !bytes.Equal(got, want) {
		t.Fatalf("%q: %q is %q, want %q", name, value, got, want)
	}
	if got := appendField(nil, Simple, f); !bytes.Equal(got, f.Raw()) {
		t.Fatalf("%q: %q is %q in simple form", name, value, got)
	}
}

var awkwardValues = []string{
	"", " ", "\t", " x", "x ", " x\ty  z ", " a\r\n b", " a\r\n\tb\r\n  c", " a \r\n b", "\r\n x", " \r\n \r\n x",
	" x\r\n ",
	" x\r\n \r\n", "a\r\nb", " a\rb", "\r", " \r x", "x\r\r\n y", " \x00 \x00", " \xff\u00a0\u2003x\v\f", "\n x", "a:b",
}

// Many fields out of the few octets that matter.
func TestHeaderCanon(t *testing.T) {
	for _, v := range awkwardValues {
		checkField(t, []byte("Subject"), []byte(v))
		checkField(t, []byte("SUBJECT \t"), []byte(v))
	}
	r := rand.New(rand.NewPCG(3, 4))
	alphabet := []byte(" \t\r\naB")
	for range 20_000 {
		value := make([]byte, r.IntN(16))
		for i := range value {
			value[i] = alphabet[r.IntN(len(alphabet))]
		}
		checkField(t, []byte("X-y"), value)
	}
}

func FuzzHeaderCanon(f *testing.F) {
	for _, v := range awkwardValues {
		f.Add([]byte("Subject"), []byte(v))
	}
	f.Fuzz(func(t *testing.T, name, value []byte) { checkField(t, name, value) })
}

// What it costs to pick the fields to sign, and to bring them into canonical form.
func BenchmarkHeader(b *testing.B) {
	h := new(mail.Header)
	for _, name := range append(DefaultSign(), "Received", "X-Mailer", "User-Agent") {
		h.Add([]byte(name), []byte(" some words, as they\r\n\tstand in a field"))
	}
	c := newFieldChoice(DefaultSign(), DefaultOversign())
	d := newDesk()
	b.Run("pick", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.pick(h, d)
		}
	})
	b.Run("relaxed", func(b *testing.B) {
		var to []byte
		b.SetBytes(int64(h.Size()))
		b.ReportAllocs()
		for b.Loop() {
			to = to[:0]
			for i := range h.Len() {
				to = appendField(to, Relaxed, h.At(i))
			}
		}
	})
}
