package config_test

import (
	"net/netip"
	"testing"
)

// Who may come to a milter socket over TCP.
func TestAllowed(t *testing.T) {
	c := load(t, "milter.allow = ['203.0.113.0/28', '!203.0.113.9', '2001:db8::/64']")
	for addr, want := range map[string]bool{
		"203.0.113.1": true, "203.0.113.9": false, "203.0.113.16": false, "::ffff:203.0.113.1": true,
		"2001:db8::25": true, "2001:db8:0:1::25": false, "127.0.0.1": false, // who is not asked about
	} {
		if got := c.Milter.Allowed(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	if load(t, "").Milter.Allowed(netip.MustParseAddr("203.0.113.1")) {
		t.Error("where nobody is named, somebody may come")
	}
}
