package config_test

import (
	"net/netip"
	"testing"

	"reputed/policy/mail"
)

// The rule that tells whose mail is ours has what the section says.
func TestRule(t *testing.T) {
	c := load(t, "[outbound]\nnetworks = ['192.0.2.0/24', '!192.0.2.7', '!198.51.100.0/24']")
	rule := c.Outbound.Rule()
	for addr, want := range map[string]bool{
		"192.0.2.1": true, "192.0.2.7": false, "198.51.100.1": false, "127.0.0.1": false, "::ffff:192.0.2.1": true,
	} {
		if _, got := rule.Networks.Contains(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s in the networks: %t", addr, got)
		}
	}
	if !rule.Authenticated || len(rule.Daemons) != 1 {
		t.Errorf("%+v", rule)
	}
	// Both smtp clients of Postfix's stock master.cf make mail leave: without a key it must not go unsigned.
	for mailer, want := range map[string]mail.Stay{
		"smtp": mail.Leaves, "relay": mail.Leaves, "RELAY": mail.Leaves, "local": mail.Stays, "virtual": mail.Stays,
		"lmtp": mail.Stays, "discard": mail.Stays, "error": mail.StayUnknown, "": mail.StayUnknown,
	} {
		if got := rule.Stay(&mail.Recipient{Mailer: mailer}); got != want {
			t.Errorf("mail by %q: %v, want %v", mailer, got, want)
		}
	}
}
