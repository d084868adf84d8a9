package keydir

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"reputed/signer"
)

// FuzzState reads any text as a state: no panic, no error that quotes it, and what is believed is of one piece, and is
// read back as it was written.
func FuzzState(f *testing.F) {
	for _, text := range []string{
		`{"version":1,"state":"published","algorithm":"ed25519-sha256","bits":256,` +
			`"times":{"created":"2026-11-02T10:00:00Z","published":"2026-11-02T12:00:00Z"},"why":"seen"}`,
		`{"version":1,"state":"active","times":{"active":"0001-01-01T00:00:00Z"}}`,
		`{"version":1,"state":"retiring","times":{"retiring":"9999-12-31T23:59:59.999999999-23:59"},"why":"\u00e9"}`,
		`{"version":1e3}`,
		`{"version":2}`,
		`null`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := parseState(testID(), text)
		if err != nil {
			if !errors.Is(err, errNotState) && !errors.Is(err, errNewer) || l != (signer.Life{}) {
				t.Fatalf("%+v, %v", l, err)
			}
			return
		}
		if l.State == signer.None || l.Since().IsZero() || l.ID != testID() {
			t.Fatalf("%+v", l)
		}
		again, err := marshalState(l)
		if err != nil {
			t.Fatal(err)
		}
		back, err := parseState(testID(), again)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		for s := range l.Times {
			if !back.Times[s].Equal(l.Times[s]) {
				t.Fatalf("%v: %v, was %v", signer.State(s), back.Times[s], l.Times[s])
			}
		}
		back.Times = l.Times
		if back != l {
			t.Fatalf("%+v, was %+v", back, l)
		}
	})
}

// FuzzParse reads any text as a key: it ends, and no error quotes the text.
func FuzzParse(f *testing.F) {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		f.Fatal(err)
	}
	block := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	f.Add(block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)))
	f.Add(block("PRIVATE KEY", []byte("secret words")))
	f.Add([]byte("-----BEGIN"))
	f.Fuzz(func(t *testing.T, text []byte) {
		key, private, err := Parse(testID(), "s1.pem", text)
		if (key == nil) != (err != nil) || (private == nil) != (err != nil) {
			t.Fatalf("%v, %v, %v", key, private, err)
		}
		if err != nil && len(text) > 40 && strings.Contains(err.Error(), string(text[20:40])) {
			t.Error("the error quotes the text")
		}
		if p := (*Problem)(nil); err != nil && (!errors.As(err, &p) || p.Line < 1 || p.Line > 1+strings.Count(string(text), "\n")) {
			t.Errorf("the line of %v", err)
		}
	})
}
