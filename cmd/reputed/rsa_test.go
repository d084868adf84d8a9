package main

import (
	"bytes"
	"errors"
	"log/slog"
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

// Who asks for the library by name wants to hear that it is not there; who leaves the choice to us does not.
func TestRSAMaker(t *testing.T) {
	there := newRSAMaker(slog.New(slog.DiscardHandler))
	if _, err := there.open(); err != nil {
		t.Skip(err) // a build without cgo
	}
	gone := &rsaMaker{open: func() (*libcrypto.Library, error) { return nil, libcrypto.ErrUnavailable }}
	for _, tt := range []struct {
		want   config.RSA
		maker  *rsaMaker
		hands  bool
		failed bool
		name   string
	}{
		{config.Auto, there, true, false, "libcrypto, OpenSSL 3"},
		{config.Libcrypto, there, true, false, "libcrypto, OpenSSL 3"},
		{config.Go, there, false, false, "crypto/rsa"},
		{config.Auto, gone, false, false, "crypto/rsa"},
		{config.Go, gone, false, false, "crypto/rsa"},
		{config.Libcrypto, gone, false, true, "crypto/rsa"},
	} {
		hands, err := tt.maker.hands(tt.want)
		if (hands != nil) != tt.hands || errors.Is(err, libcrypto.ErrUnavailable) != tt.failed {
			t.Errorf("%s: hands %t, %v", tt.want, hands != nil, err)
		}
		if tt.failed && !strings.Contains(err.Error(), "libssl3") {
			t.Errorf("no remedy: %v", err)
		}
		if name := tt.maker.name(tt.want); !strings.HasPrefix(name, tt.name) {
			t.Errorf("%s: name %q", tt.want, name)
		}
	}
}
