package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"reputed/cmd/reputed/internal/config"
	"reputed/signer/libcrypto"
)

// What fails is named: which key it is, and why.
func TestRSAFailure(t *testing.T) {
	var log bytes.Buffer
	newRSAMaker(newLog(&log, config.Logfmt)).failed(testID(t, "s1"), errors.New("no engine"))
	if got := log.String(); !strings.Contains(got, "key=example.org/s1 ") || !strings.Contains(got, `err="no engine"`) {
		t.Error(got)
	}
}

// Who asks for the library by name wants to hear that it is not there; who leaves the choice to us does not. That one is
// there and signs wrongly both must hear.
func TestRSAMaker(t *testing.T) {
	var log bytes.Buffer
	there := newRSAMaker(newLog(&log, config.Logfmt))
	if _, err := there.open(); err != nil {
		t.Skip(err) // a build without cgo
	}
	without := func(err error) *rsaMaker {
		return &rsaMaker{log: there.log, open: func() (*libcrypto.Library, error) { return nil, err }}
	}
	gone, faulty := without(libcrypto.ErrUnavailable), without(libcrypto.ErrFaulty)
	for _, tt := range []struct {
		want   config.RSA
		maker  *rsaMaker
		hands  bool
		failed error
		logged string
		name   string
	}{
		{config.Auto, there, true, nil, "", "libcrypto, OpenSSL 3"},
		{config.Libcrypto, there, true, nil, "", "libcrypto, OpenSSL 3"},
		{config.Go, there, false, nil, "", "crypto/rsa"},
		{config.Auto, gone, false, nil, "", "crypto/rsa"},
		{config.Go, gone, false, nil, "", "crypto/rsa"},
		{config.Libcrypto, gone, false, libcrypto.ErrUnavailable, "", "crypto/rsa"},
		{config.Auto, faulty, false, nil, "libcrypto does not sign as it should", "crypto/rsa"},
		{config.Go, faulty, false, nil, "", "crypto/rsa"},
		{config.Libcrypto, faulty, false, libcrypto.ErrFaulty, "", "crypto/rsa"},
	} {
		log.Reset()
		hands, err := tt.maker.hands(tt.want)
		if (hands != nil) != tt.hands || !errors.Is(err, tt.failed) {
			t.Errorf("%s: hands %t, %v", tt.want, hands != nil, err)
		}
		if tt.failed != nil && !strings.Contains(err.Error(), "libssl3") {
			t.Errorf("no remedy: %v", err)
		}
		if got := log.String(); !strings.Contains(got, tt.logged) || (got == "") != (tt.logged == "") {
			t.Errorf("%s: log %q", tt.want, got)
		}
		if name := tt.maker.name(tt.want); !strings.HasPrefix(name, tt.name) {
			t.Errorf("%s: name %q", tt.want, name)
		}
	}
}
