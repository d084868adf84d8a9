package iprev_test

import (
	"net/netip"
	"testing"

	"reputed/policy/dns/dnstest"
	"reputed/policy/iprev"
)

func TestFlawOf(t *testing.T) {
	tests := []struct {
		name string
		want iprev.Flaw
		why  string
	}{
		{"mail.example.org", "", "as it should be"},
		{"MAIL.Example.ORG", "", "case does not matter"},
		{"mail.example.co.uk", "", "below a suffix of two labels"},
		{"xn--bcher-kva.example.org", "", "an internationalised name, in A-labels"},
		{"example.org", "", "the name of the domain itself"},
		{"203.0.113.25", iprev.Literal, "an address"},
		{"[203.0.113.25]", iprev.Literal, "a literal"},
		{"[IPv6:2001:db8::25]", iprev.Literal, "a literal of IPv6"},
		{"localhost", iprev.Local, "every host is called so"},
		{"localhost.localdomain", iprev.Local, "the same, of old set-ups"},
		{"mail", iprev.Short, "one label"},
		{"mail.lan", iprev.Private, "nobody else knows it"},
		{"mail.internal", iprev.Private, "the same"},
		{"mail_1.example.org", iprev.Invalid, "an underscore"},
		{"-mail.example.org", iprev.Invalid, "a hyphen at the edge"},
		{"mail..example.org", iprev.Invalid, "an empty label"},
		{"1.2.3", iprev.Invalid, "no top-level domain is a number"},
		{"mail.example", iprev.NoSuffix, "no such top-level domain"},
	}
	for _, tt := range tests {
		if got := iprev.FlawOf(tt.name); got != tt.want {
			t.Errorf("%s: %s: %q, want %q", tt.why, tt.name, got, tt.want)
		}
	}
}

func TestAsk(t *testing.T) {
	server, resolver := start(t, zone)
	v4, v6 := netip.MustParseAddr("203.0.113.25"), netip.MustParseAddr("2001:db8::25")
	other := netip.MustParseAddr("203.0.113.99")
	f := iprev.Ask(t.Context(), resolver, "mail.example.org")
	if f.Holds(v4) != iprev.Yes || f.Holds(v6) != iprev.Yes || f.Holds(other) != iprev.No {
		t.Errorf("%+v", f)
	}
	if f.Any() != iprev.Yes || len(f.Addrs()) != 2 {
		t.Errorf("%+v", f)
	}
	f = iprev.Ask(t.Context(), resolver, "nowhere.example.org")
	if f.Holds(v4) != iprev.No || f.Any() != iprev.No {
		t.Errorf("%+v", f)
	}
	server.Fault("nowhere.example.org", dnstest.Fault{Kind: dnstest.ServFail})
	f = iprev.Ask(t.Context(), resolver, "nowhere.example.org")
	if f.Holds(v4) != iprev.Unknown || f.Any() != iprev.Unknown {
		t.Errorf("%+v", f)
	}
}
