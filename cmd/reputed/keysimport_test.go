package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// block makes a PEM block.
func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// shortKey is RSA of 512 bits, made with: openssl genrsa -traditional 512. The Go library makes none any more.
const shortKey = `-----BEGIN RSA PRIVATE KEY-----
MIIBPAIBAAJBALw+4yJM5ej4ryG3F2RnW0t3Yl3OO91Y4N2e96EV9lrSXS2BcLXK
NWmU53w6R/AeIKOA5xde9YHE0idyn9fjftcCAwEAAQJBAJ0p9ABjK2CCn9UKQ+Fz
2Wj8V4fx81EuLy9Y1W4MJA5WPCcAmUfTIUBbLjctEEQAl2thPnNtBDLP5cwbYInz
xmECIQDsBB5p1PhMDOakCk2xRgYZuYQp8VhaLglgn2npUKudZQIhAMwvTBTIBVqD
pJg2TVjFAHL0bVGSl8xN97PM776RwNWLAiBHluw+v9nc/6DKK1HrrsjU7r/XFRzu
pb40b8Zpfg3APQIhAMHAL8WYd9wIBuuYu5R8e4yZfBJntDtd0KqA0Q5YaE85AiEA
1i5yxtGKxc46EYF95cTEzI2G9PJ2t4utJKCHbTZFIvg=
-----END RSA PRIVATE KEY-----
`

// A file that holds no usable key is refused, with what mends it, and nothing is written.
func TestKeysImportRefuses(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := x509.MarshalPKCS8PrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	good := block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
	for _, tt := range []struct{ why, text, want string }{
		{"an empty file", "", "the file is empty (put back the original"},
		{"cut off", good[:len(good)/2], "no PEM block in it; it may be cut off (put back the original"},
		{"two keys", good + good, "more than one PEM block in it; a key has a file of its own (write the private key"},
		{"encrypted", block("ENCRYPTED PRIVATE KEY", []byte("x")), "(decrypt it: openssl pkey -in FILE -out FILE.new)"},
		{"a public key", block("PUBLIC KEY", public), "a public key, where the private one is needed"},
		{"a certificate", block("CERTIFICATE", public), "a public key, where the private one is needed"},
		{"damaged", block("PRIVATE KEY", []byte("x")),
			"the key is damaged (put back the original from a backup, or make a new key: reputed keys new example.org)"},
		{"ECDSA", block("PRIVATE KEY", ec),
			"an ECDSA key, which DKIM does not know (make a new key: reputed keys new example.org)"},
		{"short", shortKey, "receivers ignore (make a new key: reputed keys new example.org)"},
	} {
		w := newKeysWorld(t)
		file := filepath.Join(t.TempDir(), "s1.private")
		w.must(os.WriteFile(file, []byte(tt.text), 0o600))
		code, stdout, stderr := w.run("import", file, "example.org", "--offline")
		if code != exitFailed || !strings.Contains(stderr, strings.ReplaceAll(tt.want, "FILE", file)) || stdout != "" {
			t.Errorf("%s: exit %d: %s%s", tt.why, code, stdout, stderr)
		}
		if _, err := os.Stat(w.dir); err == nil {
			t.Errorf("%s: something was written", tt.why)
		}
	}
}

// Before a key is taken over, the DNS has to show it under the selector that it is given.
func TestKeysImportLooks(t *testing.T) {
	for _, tt := range []struct {
		why  string
		set  func(w *keysWorld)
		args []string
		code int
		want string // part of what is said
	}{
		{"it is there", func(w *keysWorld) { w.both("s1") }, nil, exitOK, "it signs for example.org"},
		{"a server lags", func(w *keysWorld) { w.set(w.one, 8, "s1") }, nil, exitOK, "ns2.example.org does not"},
		{"another key is there", func(w *keysWorld) { w.both("s1 other") }, nil, exitFailed, `is "s1" the right selector?`},
		{"nothing is there", nil, nil, exitFailed, "not imported: no server of example.org shows the key"},
		{"nobody answers", func(w *keysWorld) { drop(w.resolver) }, nil, exitTemporary, "not imported: no server of"},
		{"nobody is asked", nil, []string{"--offline"}, exitOK, "wrote DIR/keys/example.org/s1.pem"},
		{"another selector", func(w *keysWorld) { w.both("s1") }, []string{"--selector=s2"}, exitFailed, `is "s2" the right`},
	} {
		w := newKeysWorld(t)
		if tt.set != nil {
			tt.set(w)
		}
		der, err := x509.MarshalPKCS8PrivateKey(w.generate("s1"))
		w.must(err)
		file := filepath.Join(t.TempDir(), "s1.private")
		w.must(os.WriteFile(file, []byte(block("PRIVATE KEY", der)), 0o600))
		code, _, stderr := w.run(append([]string{"import", file, "example.org"}, tt.args...)...)
		if code != tt.code || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: exit %d, want %d: %s", tt.why, code, tt.code, stderr)
		}
		_, stdout, _ := w.run("list", "--offline", "--json")
		if active := strings.Contains(stdout, `"state": "active"`); active != (tt.code == exitOK) {
			t.Errorf("%s: %s", tt.why, stdout)
		}
	}
}
