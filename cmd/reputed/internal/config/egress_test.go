package config_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reputed/policy/mail"
)

// What the sections say is what the rules do.
func TestRoutes(t *testing.T) {
	c := load(t, `
hostname = "mail.example.org"
[outbound]
mailers = ["smtp", "relay"]
[[egress]]
name = "bulk"
addresses = ["203.0.113.26"]
hostname = "bulk.example.org"
daemons = ["Bulk"]
senders = ["bulk.example.org", "*.list.example.org", "News@example.org"]
[[egress]]
name = "provider"
via = "spf.provider.example"
mailers = ["relay"]
[[egress]]
name = "rest"
addresses = ["203.0.113.25", "2001:db8::25"]
`)
	tests := []struct{ why, sender, daemon, mailer, want string }{
		{"a domain", "ann@bulk.example.org", "bulk", "smtp", "bulk"},
		{"below a domain", "ann@a.list.example.org", "bulk", "relay", "bulk"},
		{"that domain itself", "ann@list.example.org", "bulk", "smtp", "rest"},
		{"one sender", "news@example.org", "bulk", "smtp", "bulk"},
		{"another of the same domain", "ann@example.org", "bulk", "smtp", "rest"},
		{"each list must hold", "ann@bulk.example.org", "submission", "smtp", "rest"},
		{"by mailer", "ann@example.org", "submission", "Relay", "provider"},
		{"the mailer is not known, and would tell", "ann@example.org", "submission", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			sender, err := mail.ParsePath(tt.sender)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if e := c.Routes().For(sender, tt.daemon).Choose(&mail.Recipient{Mailer: tt.mailer}); e != nil {
				got = e.Name
			}
			if got != tt.want {
				t.Errorf("leaves by %q, want %q", got, tt.want)
			}
		})
	}
	want := &mail.Egress{Name: "rest", Hostname: name(t, "mail.example.org"),
		Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.25"), netip.MustParseAddr("2001:db8::25")}}
	if diff := cmp.Diff(want, c.Routes()[2].Egress, same); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if via := c.Routes()[1].Egress.Via; via != name(t, "spf.provider.example") {
		t.Errorf("via %q", via)
	}
	if routes := load(t, "").Routes(); routes != nil {
		t.Errorf("%+v without any section", routes)
	}
}

func TestRewrites(t *testing.T) {
	c := load(t, `
[[rewrite]]
from = "root@web1.internal"
to = "hostmaster@example.org"
[[rewrite]]
from = "@web1.internal"
to = "@example.org"
[[rewrite]]
from = "@web2"
to = "web@example.org"
[[rewrite]]
from = "\"ann b\"@example.com"
to = "@example.org"
`)
	for from, want := range map[string]string{
		"root@web1.internal":     "hostmaster@example.org",
		"Ann@web1.internal":      "Ann@example.org",
		"ann@a.web1.internal":    "ann@a.web1.internal",
		"ann@web2":               "web@example.org",
		"\"ann b\"@example.com":  "\"ann b\"@example.org",
		"ann@example.com":        "ann@example.com",
		"hostmaster@example.org": "hostmaster@example.org",
		"":                       "",
	} {
		sender, err := mail.ParsePath(from)
		if got := c.Rewrites().Apply(sender).String(); got != want || err != nil {
			t.Errorf("%s becomes %s, want %s (%v)", from, got, want, err)
		}
	}
	if rewrites := load(t, "").Rewrites(); len(rewrites) != 0 {
		t.Errorf("%+v without any section", rewrites)
	}
}
