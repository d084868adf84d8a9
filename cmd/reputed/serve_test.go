package main

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"net"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"reputed/cmd/reputed/internal/config"
	"reputed/policy/mail"
	"reputed/signer"
)

// A line of the log names a few keys, and counts the others: ten thousand names are 300 KB, which journald cuts up.
func TestSomeKeys(t *testing.T) {
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	selector, err := mail.ParseDomain("s1")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		keys  int
		named int
		end   string
	}{
		{0, 1, "none"},
		{1, 1, "d00000.example/s1/ed25519-sha256"},
		{20, 20, "d00019.example/s1/ed25519-sha256"}, // as many as are named
		{21, 20, "d00019.example/s1/ed25519-sha256, and 1 more"},
		{10000, 20, "d00019.example/s1/ed25519-sha256, and 9,980 more"},
	} {
		var keys []*signer.Key
		for i := range tt.keys {
			domain, err := mail.ParseDomain(fmt.Sprintf("d%05d.example", i))
			if err != nil {
				t.Fatal(err)
			}
			k, err := signer.NewKey(signer.ID{Domain: domain, Selector: selector}, private)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, k)
		}
		ring, err := signer.NewRing(nil, nil, keys)
		if err != nil {
			t.Fatal(err)
		}
		got := someKeys(ring)
		named, _, _ := strings.Cut(got, ", and ")
		if n := len(strings.Fields(named)); n != tt.named || !strings.HasSuffix(got, tt.end) {
			t.Errorf("%d keys: %d are named, and it ends in %q; want %d and %q",
				tt.keys, n, got[max(0, len(got)-60):], tt.named, tt.end)
		}
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 10020: "10,020", 1234567: "1,234,567"} {
		if got := grouped(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

// Who is on this host can reach a TCP socket, which somebody must know; a unix socket has a mode.
func TestAnnounceTCP(t *testing.T) {
	for network, at := range map[string]string{"unix": filepath.Join(t.TempDir(), "sock"), "tcp": "127.0.0.1:0"} {
		ln, err := net.Listen(network, at)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		ring, err := signer.NewRing(nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		announce(newLog(&log, config.Logfmt), new(config.Config), ring, sockets{milter: []net.Listener{ln}})
		const warning = `level=WARN msg="every user of this host can connect, and have any mail signed" at=tcp:127.0.0.1:`
		if got := strings.Contains(log.String(), warning); got != (network == "tcp") {
			t.Errorf("%s: %s", network, &log)
		}
	}
}

// Garbage is bounded by what there is to do, unless the environment says otherwise.
func TestSpareMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	t.Setenv("GOMEMLIMIT", "1GiB")
	spareMemory(100)
	if got := debug.SetMemoryLimit(-1); got != before {
		t.Errorf("the environment has said it, and the limit is %d", got)
	}
	t.Setenv("GOMEMLIMIT", "")
	spareMemory(100)
	if got := debug.SetMemoryLimit(-1); got != enough+100*keyTakes {
		t.Errorf("the limit is %d", got)
	}
}
