package config_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reputed/cmd/reputed/internal/config"
	"reputed/milter/wire"
)

func TestExim(t *testing.T) {
	socket := wire.Endpoint{Network: "unix", Address: "/run/reputed/exim.sock"}
	port := wire.Endpoint{Network: "tcp", Address: "127.0.0.1:8893"}
	for text, want := range map[string][]wire.Endpoint{
		"": {},
		"[exim]\nlisten = 'unix:/run/reputed/exim.sock'":                          {socket},
		"[exim]\nlisten = ['unix:/run//reputed/x/../exim.sock']":                  {socket},
		"[exim]\nlisten = ['unix:/run/reputed/exim.sock', 'inet:8893@127.0.0.1']": {socket, port},
		"exim.listen = []": {},
	} {
		c := load(t, text)
		if diff := cmp.Diff(want, c.Exim.Listen); diff != "" {
			t.Errorf("%s\n%s", text, diff)
		}
		var b bytes.Buffer
		if err := c.Write(&b); err != nil {
			t.Fatal(err)
		}
		again, err := config.Load("written", b.Bytes(), host)
		if err != nil || !cmp.Equal(want, again.Exim.Listen) {
			t.Errorf("%s\nwritten and read again: %v", text, err)
		}
	}
}
