package main

import (
	"net/netip"
	"strings"
	"testing"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/mail"
)

// settings reads lines of a name, an equals sign and a value.
func settings(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, "=")
		all[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return all
}

// What is said of an egress, by the settings of a Postfix. Those that are not named are empty, or the defaults.
func TestEgressAdvice(t *testing.T) {
	addr := netip.MustParseAddr
	relay, err := mail.ParseDomain("spf.relay.example")
	if err != nil {
		t.Fatal(err)
	}
	written := policy.Routes{{Egress: &mail.Egress{Addresses: []netip.Addr{addr("203.0.113.25"), addr("2001:db8::25")}}}}
	via := policy.Routes{{Egress: &mail.Egress{Via: relay}}}
	both := policy.Routes{{Egress: &mail.Egress{Addresses: []netip.Addr{addr("203.0.113.25")}}, Mailers: []string{"smtp"}},
		{Egress: &mail.Egress{Addresses: []netip.Addr{addr("203.0.113.26")}}}}
	guessed := policy.Routes{{Egress: &mail.Egress{Addresses: []netip.Addr{addr("203.0.113.25")}, Guessed: true}}}
	blind := policy.Routes{{Egress: &mail.Egress{Guessed: true}}}
	rewrites := policy.Rewrites{{}}

	for _, tt := range []struct {
		why      string
		settings string // of main.cf
		routes   policy.Routes
		rewrites policy.Rewrites
		want     []string // the beginning of each advice
	}{
		{"nothing to say", "default_transport = smtp", written, nil, nil},
		{"no Postfix", "", written, nil, nil},
		{"a guess", "", guessed, nil, []string{"the addresses that mail leaves from are guessed (203.0.113.25)"}},
		{"not even a guess", "", blind, nil, []string{"this host has no address that the world sees"}},
		{"a smarthost", "relayhost = [relay.example]", written, nil,
			[]string{"Postfix sends through another host (relayhost = [relay.example])"}},
		{"the smarthost is known", "relayhost = [relay.example]", via, nil, nil},
		{"a smarthost for some senders", "sender_dependent_relayhost_maps = hash:/x", written, nil,
			[]string{"Postfix sends through another host (sender_dependent_relayhost_maps"}},
		{"a smarthost, as a transport", "default_transport = smtp:[relay.example]", written, nil,
			[]string{"Postfix sends through another host (default_transport"}},
		{"that is known", "default_transport = smtp:[relay.example]", via, nil, nil},
		{"another transport", "default_transport = slow", written, nil,
			[]string{"Postfix sends by a transport of its own (default_transport = slow)"}},
		{"another transport without a next hop", "default_transport = slow:", written, nil,
			[]string{"Postfix sends by a transport of its own"}},
		{"no mail leaves", "default_transport = error:mail to remote sites is off", written, nil, nil},
		{"transports for some destinations", "transport_maps = hash:/etc/postfix/transport", written, nil,
			[]string{"Postfix may send some mail by other ways (transport_maps"}},
		{"which are written", "transport_maps = hash:/etc/postfix/transport", both, nil, nil},

		{"the same address, written otherwise", "smtp_bind_address6 = 2001:DB8:0::25", written, nil, nil},
		{"in brackets", "smtp_bind_address6 = [2001:db8::25]", written, nil, nil},
		{"the same address", "smtp_bind_address = 203.0.113.25", written, nil, nil},
		{"another one", "smtp_bind_address = 203.0.113.2", written, nil,
			[]string{"Postfix sends from 203.0.113.2 (smtp_bind_address), which no [[egress]] has"}},
		{"part of one that is there", "smtp_bind_address6 = 2001:db8::2", written, nil,
			[]string{"Postfix sends from 2001:db8::2 (smtp_bind_address6)"}},
		{"a private one, behind NAT", "smtp_bind_address = 10.0.0.5\nsmtp_bind_address6 = fd00::5", written, nil, nil},
		{"any", "smtp_bind_address = 0.0.0.0\nsmtp_bind_address6 = ::", written, nil, nil},
		{"nothing to correct in a guess", "smtp_bind_address = 203.0.113.2", guessed, nil,
			[]string{"the addresses that mail leaves from are guessed"}},

		{"senders are rewritten", "canonical_maps = hash:/x\n" +
			"canonical_classes = envelope_sender, header_sender", written, nil,
			[]string{"Postfix rewrites senders after reputed saw them (canonical_maps"}},
		{"generic(5) has no classes", "smtp_generic_maps = hash:/x", written, nil,
			[]string{"Postfix rewrites senders after reputed saw them (smtp_generic_maps"}},
		{"hosts are hidden", "masquerade_domains = example.org\n" +
			"masquerade_classes = envelope_sender, header_sender, header_recipient", written, nil,
			[]string{"Postfix rewrites senders after reputed saw them (masquerade_domains = example.org)"}},
		{"in the header only", "masquerade_domains = example.org\nmasquerade_classes = header_sender", written, nil, nil},
		{"it is known how", "masquerade_domains = example.org\nsmtp_generic_maps = hash:/x", written, rewrites, nil},
	} {
		got := egressAdvice(&check.Postfix{Settings: settings(tt.settings)}, tt.routes, tt.rewrites)
		ok := len(got) == len(tt.want)
		for i := 0; ok && i < len(got); i++ {
			ok = strings.HasPrefix(got[i].text, tt.want[i]) && got[i].remedy != ""
		}
		if !ok {
			t.Errorf("%s: %q, want %q", tt.why, got, tt.want)
		}
	}
}
