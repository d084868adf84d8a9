package opendkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"
)

// What is wrong with the text of a private key. None of these errors quotes it.
var (
	errKeyEncrypted = errors.New("the key is encrypted")
	errKeyPublic    = errors.New("a public key, where the private one is needed")
	errKeyDamaged   = errors.New("the key is damaged, or of a kind that DKIM does not know")
	errKeyUnknown   = errors.New("not a private key in PEM, nor in base64")
	errKeyType      = errors.New("not an RSA or Ed25519 key")
)

// parsePrivate reads a private key: PEM, DER in base64, or an Ed25519 seed in base64. One tells whether it is PEM and
// nothing else.
func parsePrivate(text []byte, seed bool) (private crypto.Signer, one bool, err error) {
	block, rest := pem.Decode(text)
	if block == nil {
		private, err = parseBase64(string(text), seed)
		return private, false, err
	}
	switch {
	case strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"), block.Type == "ENCRYPTED PRIVATE KEY":
		return nil, false, errKeyEncrypted
	case strings.HasSuffix(block.Type, "PUBLIC KEY"), block.Type == "CERTIFICATE":
		return nil, false, errKeyPublic
	}
	more, _ := pem.Decode(rest)
	private, err = parseDER(block.Bytes)
	if err == errKeyUnknown {
		err = errKeyDamaged
	}
	return private, more == nil, err
}

func parseBase64(text string, seed bool) (crypto.Signer, error) {
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	switch {
	case err != nil:
		return nil, errKeyUnknown
	case seed && len(der) == ed25519.SeedSize:
		return ed25519.NewKeyFromSeed(der), nil
	}
	return parseDER(der)
}

func parseDER(der []byte) (crypto.Signer, error) {
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errKeyUnknown
	}
	if private, ok := key.(crypto.Signer); ok {
		return private, nil
	}
	return nil, errKeyType
}
