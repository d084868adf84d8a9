package signer

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// referenceBody is RFC 6376, sections 3.4.3 and 3.4.4, word by word, on a body in memory.
func referenceBody(c Canon, body []byte) []byte {
	body = regexp.MustCompile(`(^|[^\r])\n`).ReplaceAll(body, []byte("$1\r\n")) // a lone LF is a line end
	body = regexp.MustCompile(`(^|[^\r])\n`).ReplaceAll(body, []byte("$1\r\n")) // and so is the one after it
	if c == Relaxed {
		body = regexp.MustCompile(`[ \t]+\r\n`).ReplaceAll(body, []byte("\r\n"))
		body = regexp.MustCompile(`[ \t]+$`).ReplaceAll(body, nil)
		body = regexp.MustCompile(`[ \t]+`).ReplaceAll(body, []byte(" "))
	}
	for bytes.HasSuffix(body, []byte("\r\n")) {
		body = body[:len(body)-2]
	}
	if len(body) > 0 || c == Simple {
		body = append(bytes.Clone(body), "\r\n"...)
	}
	return body
}

// hashIn hashes a body in the pieces that cut tells the sizes of.
func hashIn(c Canon, body []byte, cut func() int) []byte {
	b := newBodyHash()
	b.start(c)
	for len(body) > 0 {
		n := min(max(cut(), 1), len(body))
		b.write(bytes.Clone(body[:n]))
		body = body[n:]
	}
	return b.sum()
}

var awkwardBodies = []string{
	"", "\r\n", "\r\n\r\n\r\n", "x", "x\r\n", "x\r\n\r\n", " ", "\t\r\n", " x", "x ", "x \r\n", "x \t y  z\r\n",
	"a \rb\r\n", "a\r", "a \r", "\r\r\n", "x\r\r\n", " \r\r\n", "\r", "\r\n\r", "\n", "\n\nx\n", "x\n\r\n \n",
	"  indented\r\n\r\n   \r\n\t tail \r\n \r\n", "x\r\n ", "x\r\n \t", ".\r\n..\r\n", "\x00 \x00\r\n",
	"\xff\xfe  \xff\r\n",
	strings.Repeat("\r\n", 200) + "x" + strings.Repeat("\r\n", 200),
	strings.Repeat("y", 5000) + "  " + strings.Repeat("z", 5000),
}

func TestBodyHash(t *testing.T) {
	for _, c := range []Canon{Relaxed, Simple} {
		for _, body := range awkwardBodies {
			want := sha256.Sum256(referenceBody(c, []byte(body)))
			for size := 1; size <= 8; size++ {
				if got := hashIn(c, []byte(body), func() int { return size }); !bytes.Equal(got, want[:]) {
					t.Errorf("%v %.40q in pieces of %d: not the hash of %.60q", c, body, size, referenceBody(c, []byte(body)))
				}
			}
		}
	}
}

// Many bodies out of the few octets that matter, in random pieces.
func TestBodyHashRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	alphabet := []byte(" \t\r\nab")
	for range 20_000 {
		body := make([]byte, r.IntN(24))
		for i := range body {
			body[i] = alphabet[r.IntN(len(alphabet))]
		}
		for _, c := range []Canon{Relaxed, Simple} {
			want := sha256.Sum256(referenceBody(c, body))
			if got := hashIn(c, body, func() int { return r.IntN(6) }); !bytes.Equal(got, want[:]) {
				t.Fatalf("%v %q: not the hash of %q", c, body, referenceBody(c, body))
			}
		}
	}
}

func FuzzBodyHash(f *testing.F) {
	for _, b := range awkwardBodies {
		f.Add([]byte(b), uint8(3))
	}
	f.Fuzz(func(t *testing.T, body []byte, size uint8) {
		for _, c := range []Canon{Relaxed, Simple} {
			want := sha256.Sum256(referenceBody(c, body))
			if got := hashIn(c, body, func() int { return int(size) }); !bytes.Equal(got, want[:]) {
				t.Fatalf("%v %q in pieces of %d: not the hash of %q", c, body, size, referenceBody(c, body))
			}
		}
	})
}

// A lone CR at the very end, and white space before it, as other verifiers hash them.
func TestBareCR(t *testing.T) {
	for body, want := range map[string]string{
		"a \rb\r\n": "a \rb\r\n",
		"a\r":       "a\r\r\n",
		" \r\r\n":   " \r\r\n",
		"x \r\n\r":  "x\r\n\r\r\n",
	} {
		sum := sha256.Sum256([]byte(want))
		if got := hashIn(Relaxed, []byte(body), func() int { return 1 }); !bytes.Equal(got, sum[:]) {
			t.Errorf("%q is not hashed as %q", body, want)
		}
	}
}

func benchmarkBody(b *testing.B, line string) {
	body := []byte(strings.Repeat(line, 65535/len(line)))
	h := newBodyHash()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	h.start(Relaxed)
	for b.Loop() {
		h.write(body)
	}
}

func BenchmarkBody(b *testing.B) {
	lines := map[string]string{
		"base64": strings.Repeat("QUJD", 19) + "\r\n",
		"prose":  "The quick brown fox jumps over the lazy dog and goes on to the next line \r\n",
		"html":   "      <td class=\"cell\">some text in a table</td>\r\n",
	}
	for name, line := range lines {
		b.Run(name, func(b *testing.B) { benchmarkBody(b, line) })
	}
}

func ExampleCanonicalization() {
	fmt.Println(Canonicalization{}, Canonicalization{Header: Simple})
	// Output: relaxed/relaxed simple/relaxed
}
