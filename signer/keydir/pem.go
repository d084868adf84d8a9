package keydir

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"strings"

	"reputed/signer"
)

// What is wrong with the text of a key. None of these errors quotes it.
var (
	errEmpty     = errors.New("the file is empty")
	errNoPEM     = errors.New("no PEM block in it; it may be cut off")
	errTwo       = errors.New("more than one PEM block in it; a key has a file of its own")
	errEncrypted = errors.New("the key is encrypted, and nobody is there at night to type its passphrase")
	errPublic    = errors.New("a public key, where the private one is needed")
	errECDSA     = errors.New("an ECDSA key, which DKIM does not know")
	errDSA       = errors.New("a DSA key, which DKIM does not know")
	errBroken    = errors.New("the key is damaged")
)

// Parse reads the text of a key file at a path, wherever that is. The error is a [*Problem]; it quotes nothing of the
// text.
func Parse(id signer.ID, path string, text []byte) (*signer.Key, crypto.Signer, error) {
	return parseKey(id, file{path: path}, text)
}

// file is where the text of a key is from.
type file struct {
	path  string
	owner string // who is to own it; "": it lies elsewhere, and is not ours to change
}

func parseKey(id signer.ID, f file, text []byte) (*signer.Key, crypto.Signer, error) {
	private, err := parse(text)
	var key *signer.Key
	if err == nil {
		key, err = signer.NewKey(id, private)
	}
	if err != nil {
		return nil, nil, &Problem{f.path, lineOf(err, text), err.Error(), keyRemedy(err, f, id)}
	}
	return key, private, nil
}

func parse(text []byte) (crypto.Signer, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, errEmpty
	}
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, errNoPEM
	}
	defer clear(block.Bytes)
	if more, _ := pem.Decode(rest); more != nil {
		return nil, errTwo
	}
	return parseBlock(block)
}

// lineOf gives the line of a key file that an error is about: there a block begins, be it cut off; of several, the second
// is too much. Where there is none, it is the first line.
func lineOf(err error, text []byte) int {
	begin := []byte("-----BEGIN ")
	block, rest := pem.Decode(text)
	if errors.Is(err, errTwo) {
		_, rest = pem.Decode(rest)
	}
	at := bytes.LastIndex(text[:len(text)-len(rest)], begin)
	if block == nil {
		at = bytes.Index(text, begin)
	}
	return 1 + bytes.Count(text[:max(at, 0)], []byte("\n"))
}

func parseBlock(block *pem.Block) (crypto.Signer, error) {
	switch {
	case block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
		return nil, errEncrypted
	case strings.HasSuffix(block.Type, "PUBLIC KEY") || block.Type == "CERTIFICATE":
		return nil, errPublic
	case block.Type == "EC PRIVATE KEY":
		return nil, errECDSA
	case block.Type == "DSA PRIVATE KEY":
		return nil, errDSA
	case block.Type == "RSA PRIVATE KEY":
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			return nil, errBroken
		}
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, unknown(block.Bytes)
	}
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		return nil, errECDSA
	case crypto.Signer:
		return key, nil
	}
	return nil, signer.ErrKeyType
}

// Algorithms of keys, as PKCS#8 names them: RFC 3279, sections 2.3.1 and 2.3.2, and RFC 8410, section 3.
var (
	oidRSA     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidEd25519 = asn1.ObjectIdentifier{1, 3, 101, 112}
	oidDSA     = asn1.ObjectIdentifier{1, 2, 840, 10040, 4, 1}
)

// unknown tells what is wrong with a key in PKCS#8 that cannot be read: it is damaged, or of another algorithm.
func unknown(der []byte) error {
	var key struct { // RFC 5208, section 5
		Version    int
		Algorithm  pkix.AlgorithmIdentifier
		PrivateKey []byte
		More       asn1.RawValue `asn1:"optional"`
	}
	_, err := asn1.Unmarshal(der, &key)
	switch of := key.Algorithm.Algorithm; {
	case err != nil, of.Equal(oidRSA), of.Equal(oidEd25519):
		return errBroken
	case of.Equal(oidDSA):
		return errDSA
	}
	return signer.ErrKeyType
}

// keyRemedy says what to do about a key that cannot be used.
func keyRemedy(err error, f file, id signer.ID) string {
	another := "make a new key: reputed keys new " + id.Domain.String()
	switch {
	case errors.Is(err, errEncrypted):
		plain := shell(f.path + ".new")
		remedy := "decrypt it: openssl pkey -in " + shell(f.path) + " -out " + plain
		if f.owner != "" {
			remedy += " && chown " + f.owner + " " + plain + " && mv " + plain + " " + shell(f.path)
		}
		return remedy
	case errors.Is(err, errEmpty), errors.Is(err, errNoPEM), errors.Is(err, errBroken):
		return "put back the original from a backup, or " + another
	case errors.Is(err, errPublic):
		return "put the private key here"
	case errors.Is(err, errTwo):
		return "write the private key that is in use into a file of its own"
	}
	return another
}

// marshal gives the text of a key file.
func marshal(private crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, errors.New("the key cannot be written as PKCS#8")
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
