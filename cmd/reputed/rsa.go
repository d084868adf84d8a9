package main

import (
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"reputed/cmd/reputed/internal/config"
	"reputed/signer"
	"reputed/signer/libcrypto"
)

// rsaMaker says who makes RSA signatures. The library is opened once, and stays open as long as the process.
type rsaMaker struct {
	log  *slog.Logger
	open func() (*libcrypto.Library, error)
}

func newRSAMaker(log *slog.Logger) *rsaMaker {
	return &rsaMaker{log: log, open: sync.OnceValues(libcrypto.Open)}
}

// rsaHands gives the hands that the private half of a key is put into.
type rsaHands func(signer.ID) func(*rsa.PrivateKey) crypto.Signer

// hands gives the hands that private keys are put into; nil: they stay with crypto/rsa.
func (m *rsaMaker) hands(want config.RSA) (rsaHands, error) {
	if want == config.Go {
		return nil, nil
	}
	library, err := m.open()
	switch {
	case err == nil:
		return func(id signer.ID) func(*rsa.PrivateKey) crypto.Signer {
			failed := func(err error) { m.failed(id, err) }
			return func(key *rsa.PrivateKey) crypto.Signer { return library.Signer(key, failed) }
		}, nil
	case want == config.Auto:
		if errors.Is(err, libcrypto.ErrFaulty) { // that there is none needs no word
			m.log.Error("libcrypto fails, so crypto/rsa signs", "err", err, "remedy", mend)
		}
		return nil, nil
	case errors.Is(err, libcrypto.ErrFaulty):
		return nil, fmt.Errorf("signing.rsa = %q: %w (%s, or let it be %q)", want, err, mend, config.Go)
	}
	return nil, fmt.Errorf("signing.rsa = %q: %w (install libssl3, or let it be %q, which does with what there is)",
		want, err, config.Auto)
}

// mend is what to do about a library that is damaged, or is not the system's.
const mend = "apt install --reinstall libssl3"

// failed logs that the library is of no use for a key. Its mail is signed all the same.
func (m *rsaMaker) failed(id signer.ID, err error) {
	m.log.Error("libcrypto fails, so crypto/rsa signs", "key", id.Domain.String()+"/"+id.Selector.String(), "err", err)
}

// name says who makes RSA signatures, for the log.
func (m *rsaMaker) name(want config.RSA) string {
	if want != config.Go {
		if library, err := m.open(); err == nil {
			return "libcrypto, " + library.Version()
		}
	}
	return "crypto/rsa"
}
