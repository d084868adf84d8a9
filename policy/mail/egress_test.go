package mail_test

import (
	"net/netip"
	"testing"

	"reputed/policy/mail"
)

func TestSeenByWorld(t *testing.T) {
	tests := []struct {
		addr string
		want bool
		why  string
	}{
		{"203.0.113.25", true, "an address like any other"},
		{"2001:db8::25", true, "IPv6"},
		{"::ffff:203.0.113.25", true, "IPv4 in IPv6 clothes"},
		{"::ffff:10.0.0.1", false, "and a private one in them"},
		{"10.0.0.1", false, "RFC 1918"},
		{"172.31.255.255", false, "RFC 1918"},
		{"172.32.0.1", true, "just beyond"},
		{"192.168.1.1", false, "RFC 1918"},
		{"100.64.0.1", false, "shared by providers: RFC 6598"},
		{"100.127.255.255", false, "the last of those"},
		{"100.128.0.1", true, "just beyond"},
		{"127.0.0.1", false, "loopback: how Postfix shows sendmail(1)"},
		{"169.254.1.1", false, "link-local"},
		{"fd00::1", false, "unique local: RFC 4193"},
		{"fe80::1", false, "link-local"},
		{"::1", false, "loopback"},
		{"0.0.0.0", false, "no address"},
		{"224.0.0.1", false, "multicast"},
		{"255.255.255.255", false, "broadcast"},
	}
	for _, tt := range tests {
		if got := mail.SeenByWorld(netip.MustParseAddr(tt.addr)); got != tt.want {
			t.Errorf("%s (%s): %v", tt.addr, tt.why, got)
		}
	}
	if mail.SeenByWorld(netip.Addr{}) {
		t.Error("no address at all is seen")
	}
}
