package main

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
)

// A signature is good for the domain and the body of the message it was made for, and for no other.
func TestVerify(t *testing.T) {
	st := &stage{dir: t.TempDir()}
	if err := st.makeKey(); err != nil {
		t.Fatal(err)
	}
	two := cell{body: prose4K, signatures: 2}
	const three, four = "d3.example", "d4.example"
	other := prose4K
	other.bytes = append(bytes.Clone(prose4K.bytes), "more\r\n"...)
	ofThree, ofFour := st.sign(t, three, three, prose4K), st.sign(t, four, four, prose4K)
	for _, tt := range []struct {
		why    string
		fields []byte
		from   string
		cell   cell
		good   bool
	}{
		{"the message it was made for", ofThree, three, cell{body: prose4K}, true},
		{"two, one of which is good", slices.Concat(ofFour, ofThree), three, cell{body: prose4K}, true},
		{"another domain's message", ofThree, four, cell{body: prose4K}, false},
		{"another body", ofThree, three, cell{body: other}, false},
		{"a good one, of another domain than the author's", st.sign(t, three, four, prose4K), four, cell{body: prose4K}, false},
		{"one, where there are to be two", ofThree, three, two, false},
		{"two, as there are to be", slices.Concat(ofThree, ofThree), three, two, true},
		{"two, where there is to be one", slices.Concat(ofThree, ofThree), three, cell{body: prose4K}, false},
		{"none", nil, three, cell{body: prose4K}, false},
	} {
		if err := st.verify(tt.fields, tt.from, tt.cell); (err == nil) != tt.good {
			t.Errorf("%s: %v", tt.why, err)
		}
	}
}

// What is measured is what signs by whom it is meant to, as it says itself.
func TestTold(t *testing.T) {
	const line = `level=INFO msg=serving config=x keys="example.org/bench" rsa=%s egress=default` + "\n"
	for rsa, want := range map[string]string{
		`"libcrypto, OpenSSL 3.0.19 27 Jan 2026"`: "libcrypto, OpenSSL 3.0.19 27 Jan 2026", "crypto/rsa": "", `""`: "",
	} {
		s := server{signs: libcrypto}
		if got, err := s.told("a line\n" + fmt.Sprintf(line, rsa)); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", rsa, got, err)
		}
	}
	if got, err := (&server{signs: "crypto/rsa"}).told(fmt.Sprintf(line, "crypto/rsa")); got != "crypto/rsa" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := (&server{signs: "crypto/rsa"}).told("level=INFO msg=listening\n"); err == nil {
		t.Error("it has not said it yet")
	}
}

// sign gives a signature field of a domain for a message from another.
func (st *stage) sign(t *testing.T, by, from string, b body) []byte {
	t.Helper()
	text, err := os.ReadFile(st.key)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	msg := slices.Concat(b.header("ann@"+from).Raw(), []byte("\r\n"), b.bytes)
	var out bytes.Buffer
	err = dkim.Sign(&out, bytes.NewReader(msg), &dkim.SignOptions{
		Domain: by, Selector: selector, Signer: crypto.Signer(key),
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
	})
	if err != nil {
		t.Fatal(err)
	}
	fields, whole := strings.CutSuffix(out.String(), string(msg))
	if !whole {
		t.Fatal("the signed message is another one")
	}
	return []byte(fields)
}
