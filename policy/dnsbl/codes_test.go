package dnsbl_test

import (
	"errors"
	"net/netip"
	"testing"

	"reputed/policy/dnsbl"
)

func TestPattern(t *testing.T) {
	tests := []struct{ pattern, in, out string }{ // out: "" is none to try
		{"127.0.0.2", "127.0.0.2", "127.0.0.3"},
		{"127.0.0.1", "127.0.0.1", "127.0.0.2"},
		{"127.0.4.70-79", "127.0.4.70", "127.0.4.69"},
		{"127.0.4.70-79", "127.0.4.79", "127.0.4.80"},
		{"127.0.4.0-69", "127.0.4.0", "127.0.3.0"},
		{"127.0.*.3", "127.0.255.3", "127.0.255.2"},
		{"127.0.*.3", "127.0.0.3", "127.1.0.3"},
		{"127.*.*.1", "127.0.1.1", "127.0.0.1"}, // only where it is written
		{"127.0.0.0/24", "127.0.0.0", "127.0.1.0"},
		{"127.0.0.0/24", "127.0.0.255", "127.0.0.1"},
		{"127.0.0.0/8", "127.9.8.7", "126.255.255.255"},
		{"127.0.0.0/8", "127.255.255.0", "128.0.0.0"},
		{"127.0.16.0/20", "127.0.31.255", "127.0.32.0"},
		{"127.0.0.128/25", "127.0.0.128", "127.0.0.127"},
		{"bit:4", "127.0.0.4", "127.0.0.8"},
		{"bit:4", "127.0.0.255", "127.0.1.4"},
		{"bit:1", "127.0.0.1", "127.0.0.2"},
		{"bit:128", "127.0.0.128", "::ffff:127.0.0.128"},
	}
	for _, tt := range tests {
		p, err := dnsbl.ParsePattern(tt.pattern)
		if err != nil {
			t.Error(err)
			continue
		}
		if !p.Matches(netip.MustParseAddr(tt.in)) || p.Matches(netip.MustParseAddr(tt.out)) {
			t.Errorf("%s: holds %s: %t, holds %s: %t", tt.pattern, tt.in, p.Matches(netip.MustParseAddr(tt.in)),
				tt.out, p.Matches(netip.MustParseAddr(tt.out)))
		}
		if p.String() != tt.pattern {
			t.Errorf("%s is written %s", tt.pattern, p)
		}
	}
	if (dnsbl.Pattern{}).Matches(netip.MustParseAddr("0.0.0.0")) {
		t.Error("no pattern holds something")
	}
}

func TestPatternErrors(t *testing.T) {
	for _, s := range []string{
		"", "127", "127.0.0", "127.0.0.2.1", "127.0.0.256", "127.0.0.02", "127.0.0.+2", "127.0.0.", "127.0.0.x",
		"128.0.0.1", "*.0.0.1", "127.0-1.0.2", "127.0.0.9-2", "127.0.0.2-", "127.0.0.-2", "127.0.0.1/24", "127.0.0.0/7",
		"127.0.0.0/33", "10.0.0.0/8", "::1", "::ffff:127.0.0.2", "::/0",
		"bit:", "bit:0", "bit:3", "bit:256", "bit:-1", "bit:4 ",
	} {
		if p, err := dnsbl.ParsePattern(s); !errors.Is(err, dnsbl.ErrPattern) {
			t.Errorf("%q: %v, %v", s, p, err)
		}
	}
}

// What is taken for a pattern is written as it was, holds something, and holds nothing outside of 127.0.0.0/8.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{"127.0.0.2", "127.0.4.70-79", "127.0.*.1", "127.0.0.0/24", "bit:64", "127.*.*.*-9"} {
		f.Add(s, uint32(0x7f000002))
	}
	f.Fuzz(func(t *testing.T, s string, n uint32) {
		p, err := dnsbl.ParsePattern(s)
		if err != nil {
			return
		}
		again, err := dnsbl.ParsePattern(p.String())
		if err != nil || again != p {
			t.Errorf("%q: read again as %v, %v", s, again, err)
		}
		a := netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
		if p.Matches(a) && !netip.MustParsePrefix("127.0.0.0/8").Contains(a) {
			t.Errorf("%q holds %v", s, a)
		}
	})
}
