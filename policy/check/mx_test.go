package check_test

import (
	"strings"
	"testing"

	"reputed/policy"
	"reputed/policy/dns"
	"reputed/policy/dns/dnstest"
	"reputed/policy/mail"
)

const mxZone = `
here.example.       MX 10 mail.here.example.
mail.here.example.  A  203.0.113.25
there.example.      MX 10 in.provider.example.
there.example.      MX 5  in6.provider.example.
in.provider.example.  A 198.51.100.7
in6.provider.example. AAAA 2001:db8:1::7
implicit.example.   A  203.0.113.25
shop.example.       A  198.51.100.9
stands.example.     CNAME shop.example.
bare.example.       TXT "nothing to see"
null.example.       MX 0 .
mixed.example.      MX 0 .
mixed.example.      MX 10 in.provider.example.
alias.example.      MX 7 cname.alias.example.
cname.alias.example. CNAME in.provider.example.
toward.example.     MX 7 cname.toward.example.
cname.toward.example. CNAME bare.example.
literal.example.    MX 10 203.0.113.25.
gone.example.       MX 10 gone.provider.example.
private.example.    MX 10 inside.example.
inside.example.     A  192.168.1.2
partly.example.     MX 10 in.provider.example.
partly.example.     MX 20 gone.provider.example.
wild.example.       MX 10 any.wild.example.
*.wild.example.     A 198.51.100.8
moved.example.      CNAME here.example.
`

func TestMX(t *testing.T) {
	_, r := zone(t, mxZone)
	for _, tt := range []struct {
		domain, result string
		grade          policy.Grade
		reason, fix    string
		why            string
	}{
		{"here.example", "egress", policy.Pass, "from where mail leaves, too", "", "one host for all"},
		{"there.example", "elsewhere", policy.Pass, "in6.provider.example, in.provider.example, and leaves from elsewhere", "", "mail comes in at a provider"},
		{"wild.example", "elsewhere", policy.Pass, "any.wild.example", "", "a wildcard is as good as a record"},
		{"moved.example", "egress", policy.Pass, "", "", "the domain may be an alias"},
		{"implicit.example", "implicit", policy.Warn, "no MX record", "implicit.example. IN MX 10 implicit.example.", "its own address stands in"},
		{"shop.example", "implicit", policy.Warn, "no MX record", "shop.example. IN MX 10 shop.example.", "mail arrives at another host, and goes on doing so"},
		{"stands.example", "implicit", policy.Warn, "no MX record", "", "nothing may stand beside an alias"},
		{"mixed.example", "mixed", policy.Warn, "takes no mail", "", "RFC 7505, section 3"},
		{"partly.example", "partly", policy.Warn, "gone.provider.example", "", "the second host is gone"},
		{"null.example", "null", policy.Fail, "null MX", "", "RFC 7505, section 4.2"},
		{"nowhere.example", "nxdomain", policy.Fail, "does not exist", "", "no such domain"},
		{"bare.example", "none", policy.Fail, "neither", "", "nowhere to go"},
		{"alias.example", "alias", policy.Fail, "an alias of in.provider.example", "alias.example. IN MX 7 in.provider.example.", "RFC 2181, section 10.3"},
		{"toward.example", "alias", policy.Fail, "an alias of bare.example", "", "where it leads there is no address"},
		{"literal.example", "address", policy.Fail, "the address 203.0.113.25", "", "no name"},
		{"gone.example", "unresolved", policy.Fail, "gone.provider.example", "", "the host does not exist"},
		{"private.example", "unresolved", policy.Fail, "inside.example", "", "only this network reaches it"},
	} {
		h := sender(t, r, tt.domain, egress(t, "", "203.0.113.25"))
		h.Name = domain(t, "mx.here.example")
		f := one(t, "mx", h)
		if f.Result != tt.result || f.Grade != tt.grade || !strings.Contains(f.Reason, tt.reason) || f.Fix != tt.fix || f.Subject != tt.domain {
			t.Errorf("%s: %s: %+v", tt.domain, tt.why, f)
		}
		if len(f.Evidence) == 0 {
			t.Errorf("%s: no evidence", tt.domain)
		}
	}
}

// Domains that only this network knows are not looked at: nobody else can.
func TestMXOfPrivateNames(t *testing.T) {
	_, r := zone(t, mxZone)
	h := sender(t, r, "mail.localdomain", egress(t, "", "203.0.113.25"))
	for _, id := range []string{"mx", "dmarc", "align", "mtasts", "tlsrpt", "dane", "dnssec"} {
		if found := ask(t, t.Context(), id, h); len(found) > 0 {
			t.Errorf("%s: %+v", id, found)
		}
	}
}

// Bounces go to the domain of the envelope sender, whatever the author's is: RFC 5321, section 4.4.
func TestMXOfRewrittenSenders(t *testing.T) {
	_, r := zone(t, mxZone)
	h := sender(t, r, "here.example", egress(t, "", "203.0.113.25"))
	h.Domains = append(h.Domains, domain(t, "there.example"))
	h.Rewrites = policy.Rewrites{
		{From: policy.Senders{Domain: domain(t, "here.example")}, To: mail.Address{Domain: domain(t, "nowhere.example")}},
		{From: policy.Senders{Domain: domain(t, "there.example")}, To: mail.Address{Domain: domain(t, "here.example")}},
	}
	var got []string
	for _, f := range ask(t, t.Context(), "mx", h) {
		got = append(got, f.Subject+" "+f.Result)
	}
	if want := "here.example egress, nowhere.example nxdomain, there.example elsewhere"; strings.Join(got, ", ") != want {
		t.Errorf("%q, want %s", got, want)
	}
}

// To make this host the MX is offered only where it is that of another domain: elsewhere it may take no mail at all, and
// what arrives today would not any more.
func TestMXFixNeedsAHostThatTakesMail(t *testing.T) {
	_, r := zone(t, mxZone)
	for _, tt := range []struct{ domain, other, host, fix, why string }{
		{"null.example", "here.example", "out.example", "null.example. IN MX 10 mail.here.example.", "by its name as an MX"},
		{"bare.example", "here.example", "localhost", "bare.example. IN MX 10 mail.here.example.", "whatever it calls itself"},
		{"literal.example", "here.example", "out.example", "literal.example. IN MX 10 mail.here.example.", "the preference stays"},
		{"bare.example", "there.example", "in.provider.example", "bare.example. IN MX 10 in.provider.example.", "known by its name"},
		{"bare.example", "there.example", "out.example", "", "a provider takes the mail of the other"},
		{"bare.example", "alias.example", "cname.alias.example", "", "an alias is no name for an MX"},
		{"bare.example", "private.example", "inside.example", "", "the world cannot reach it"},
		{"bare.example", "implicit.example", "out.example", "", "no record leads here"},
	} {
		h := sender(t, r, tt.domain, egress(t, "", "203.0.113.25"))
		h.Domains, h.Name = append(h.Domains, domain(t, tt.other)), domain(t, tt.host)
		if f := ask(t, t.Context(), "mx", h)[0]; f.Fix != tt.fix || f.Advice == "" {
			t.Errorf("%s, %s: %s: %+v", tt.domain, tt.other, tt.why, f)
		}
	}
}

// badDNS is every way in which the DNS keeps from us what it knows.
var badDNS = map[string]dnstest.Kind{
	"silent": dnstest.Drop, "SERVFAIL": dnstest.ServFail, "REFUSED": dnstest.Refused,
	"truncated over TCP too": dnstest.TruncateAll, "another id": dnstest.WrongID, "garbage": dnstest.Garbage,
	"records that are none": dnstest.Broken, "aliases in a loop": dnstest.Loop,
}

// neverWrong asks an item under every fault, at each of the names by itself. What is found is either unknown, with its
// reason, or what is found without a fault.
func neverWrong(t *testing.T, id, text string, look func(dns.Resolver) []policy.Finding, names ...string) {
	t.Helper()
	server, resolver := zone(t, text)
	good := look(resolver)
	resolver = client(server)
	for fault, kind := range badDNS {
		for _, name := range names {
			server.Heal()
			server.Fault(name, dnstest.Fault{Kind: kind})
			found := look(resolver)
			unknowns := 0
			for i, f := range found {
				switch {
				case f.Grade == policy.Unknown && f.Reason != "" && f.Advice != "":
					unknowns++
				case i >= len(good) || f.Result != good[i].Result || f.Grade != good[i].Grade:
					t.Errorf("%s: %s at %s: %+v", id, fault, name, f)
				}
			}
			if len(found) == 0 && len(good) > 0 && id != "dane" {
				t.Errorf("%s: %s at %s: nothing is said", id, fault, name)
			}
			if unknowns == 0 && name == names[0] && id != "dane" {
				t.Errorf("%s: %s at %s: known all the same: %+v", id, fault, name, found)
			}
		}
	}
}

func TestMXUnderFaults(t *testing.T) {
	t.Parallel()
	neverWrong(t, "mx", mxZone, func(r dns.Resolver) []policy.Finding {
		return ask(t, t.Context(), "mx", sender(t, r, "here.example", egress(t, "", "203.0.113.25")))
	}, "here.example", "mail.here.example", ".")
}

// A resolver that has an address for every name proves of none that it has one.
func TestMXOfInventedNames(t *testing.T) {
	server, r := zone(t, mxZone)
	server.Fault(".", dnstest.Fault{Kind: dnstest.Lie, Addr: egress(t, "", "198.51.100.66").Addresses[0]})
	for name, grade := range map[string]policy.Grade{
		"gone.example": policy.Unknown, "partly.example": policy.Unknown, "here.example": policy.Pass,
		"nowhere.example": policy.Unknown, "wild.example": policy.Pass,
	} {
		f := one(t, "mx", sender(t, r, name, egress(t, "", "203.0.113.25")))
		if f.Grade != grade {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
