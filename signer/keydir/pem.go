package keydir

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
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
	private, err := parse(text)
	var key *signer.Key
	if err == nil {
		key, err = signer.NewKey(id, private)
	}
	if err != nil {
		return nil, nil, &Problem{path, err.Error(), keyRemedy(err, path, id)}
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
	if more, _ := pem.Decode(rest); more != nil {
		return nil, errTwo
	}
	return parseBlock(block)
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
		return nil, errBroken
	}
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		return nil, errECDSA
	case crypto.Signer:
		return key, nil
	}
	return nil, signer.ErrKeyType
}

// keyRemedy says what to do about a key that cannot be used.
func keyRemedy(err error, path string, id signer.ID) string {
	another := "make a new key: reputed keys new " + id.Domain.String()
	switch {
	case errors.Is(err, errEncrypted):
		return "decrypt it: openssl pkey -in " + shell(path) + " -out " + shell(path+".new")
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
