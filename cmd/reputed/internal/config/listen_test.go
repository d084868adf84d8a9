package config_test

import (
	"strings"
	"testing"

	"reputed/cmd/reputed/internal/config"
)

// Metrics are told to this host only.
func TestStatusListen(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:9181":        "",
		"127.8.8.8:9181":        "", // all of 127/8 is this host
		"[::1]:9181":            "",
		"[::ffff:127.0.0.1]:91": "",
		"0.0.0.0:9181":          `can be reached by other hosts, and whoever reaches it reads how this host's mail does ("127.0.0.1:9181"`,
		"[::]:9181":             "can be reached by other hosts",
		"192.0.2.1:80":          `can be reached by other hosts, and whoever reaches it reads how this host's mail does ("127.0.0.1:80"`,
		"10.0.0.1:9181":         "can be reached by other hosts",
		"[fe80::1]:9181":        "can be reached by other hosts",
		"[::1%lo]:9181":         "is not an address with a port",
		":9181":                 "is not an address with a port",
		"9181":                  "is not an address with a port",
		"127.0.0.1":             "is not an address with a port",
		"localhost:9181":        `is not an address with a port (such as "127.0.0.1:9181"`, // what a name means is not ours to say
		"127.0.0.1:0":           "names no port",
		"0.0.0.0:0":             `("127.0.0.1:9181"`,
	} {
		_, err := config.Load("f", []byte("status.listen = '"+listen+"'"), host)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", listen, err)
		}
	}
}
