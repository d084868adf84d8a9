package mail_test

import (
	"testing"

	"reputed/policy/mail"
)

func TestPrivate(t *testing.T) {
	for name, want := range map[string]bool{
		"box.lan": true, "a.b.internal": true, "web1.intranet": true, "x.private": true, "x.mail": true, "x.alt": true,
		"host.localdomain": true, "localhost": true, "printer.local": true, "x.corp": true, "x.home": true,
		"x.invalid": true, "x.test": true, "x.onion": true,
		"x.home.arpa": true, "home.arpa": true, "athome.arpa": false, "4.3.2.1.in-addr.arpa": false,
		"example.org": false, "x.example": false, "lan.example.org": false, "mail.example.org": false, "xlan.com": false,
	} {
		d, err := mail.ParseDomain(name)
		if err != nil {
			t.Fatal(err)
		}
		if d.Private() != want {
			t.Errorf("%s: %v, want %v", name, !want, want)
		}
	}
	if (mail.Domain{}).Private() {
		t.Error("no domain is private")
	}
	if !mail.PrivateName("Box.LAN") || !mail.PrivateName("x.Home.Arpa") || mail.PrivateName("") {
		t.Error("case matters, or the empty name is private")
	}
}
