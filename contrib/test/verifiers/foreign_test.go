package verifiers_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"maps"
	"testing"

	"github.com/emersion/go-msgauth/dkim"

	"reputed/contrib/test/verifiers"
)

// signAs puts a signature of go-msgauth's on a message.
func signAs(t *testing.T, msg []byte, domain string, key crypto.Signer) []byte {
	t.Helper()
	var out bytes.Buffer
	err := dkim.Sign(&out, bytes.NewReader(msg), &dkim.SignOptions{
		Domain: domain, Selector: "s", Signer: key, HeaderKeys: []string{"From", "Subject"},
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// The verifiers judge each signature by itself. These are not of our making, so that no mistake of our signer's hides
// one of the verifiers' scripts.
func TestEachSignature(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	record := "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(public)
	records := map[string]string{"s._domainkey.one.example": record, "s._domainkey.two.example": record}

	plain := []byte("From: ann@one.example\r\nSubject: hello\r\nTo: friend@elsewhere.example\r\n\r\nsome text\r\n")
	one := signAs(t, plain, "one.example", key)
	replace := func(msg []byte, old, new string) []byte {
		if bytes.Count(msg, []byte(old)) != 1 {
			t.Fatalf("%q is not in the message once", old)
		}
		return bytes.Replace(msg, []byte(old), []byte(new), 1)
	}
	again := func(msg []byte, domain string) []byte { return signAs(t, msg, domain, key) }
	tests := []struct {
		why  string
		msg  []byte
		want map[string]bool // by domain: whether its signature passes
	}{
		{"no signature", plain, map[string]bool{}},
		{"one signature", one, map[string]bool{"one.example": true}},
		{"the second does not hide the first", again(one, "two.example"),
			map[string]bool{"one.example": true, "two.example": true}},
		{"a signature without a key in DNS", again(one, "none.example"),
			map[string]bool{"one.example": true, "none.example": false}},
		{"a signed field changed between two signatures",
			again(replace(one, "Subject: hello", "Subject: bye"), "two.example"),
			map[string]bool{"one.example": false, "two.example": true}},
		{"a field changed that is not signed", replace(one, "To: friend", "To: enemy"), map[string]bool{"one.example": true}},
		{"the body changed", replace(one, "some text", "some other text"), map[string]bool{"one.example": false}},
	}
	var batch [][]byte
	for _, tt := range tests {
		batch = append(batch, tt.msg)
	}
	for _, v := range verifiers.All(t) {
		results, err := v.Verify(batch, records)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		for i, tt := range tests {
			got := map[string]bool{}
			for _, r := range results[i] {
				got[r.Domain] = r.Pass
			}
			if len(results[i]) != len(tt.want) || !maps.Equal(got, tt.want) {
				t.Errorf("%s: %s: %+v, want %v", v.Name, tt.why, results[i], tt.want)
			}
		}
	}
}
