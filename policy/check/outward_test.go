package check_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dns"
	"reputed/policy/dns/dnstest"
	"reputed/policy/mail"
)

// client asks a name server that may be silent: it does not wait for long, and remembers nothing.
func client(server *dnstest.Server) dns.Resolver {
	return dns.NewClient(dns.Options{Servers: []netip.AddrPort{server.AddrPort()}, Timeout: 100 * time.Millisecond})
}

func contextOf(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

// tells sees that a finding says all this, somewhere.
func tells(t testing.TB, f policy.Finding, told ...string) {
	t.Helper()
	all := strings.Join([]string{f.Subject, f.Reason, f.Advice, f.Fix}, "\n")
	for _, e := range f.Evidence {
		all += "\n" + e.Name + ": " + e.Value
	}
	for _, want := range told {
		if !strings.Contains(all, want) {
			t.Errorf("it does not say %q:\n%s", want, all)
		}
	}
}

const nameZone = `
mail.example.org.           A    203.0.113.25
mail.example.org.           AAAA 2001:db8::25
25.113.0.203.in-addr.arpa.  PTR  mail.example.org.
5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR mail.example.org.

26.113.0.203.in-addr.arpa.  PTR  other.example.org.
other.example.org.          A    203.0.113.26
27.113.0.203.in-addr.arpa.  PTR  www.example.org.
www.example.org.            A    198.51.100.1
28.113.0.203.in-addr.arpa.  PTR  mail.example.org.
29.113.0.203.in-addr.arpa.  PTR  a.example.org.
29.113.0.203.in-addr.arpa.  PTR  b.example.org.
a.example.org.              A    203.0.113.29
b.example.org.              A    198.51.100.1
30.113.0.203.in-addr.arpa.  PTR  nowhere.example.org.
6.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR www.example.org.
32.113.0.203.in-addr.arpa.  CNAME 32.32/28.113.0.203.in-addr.arpa.
32.32/28.113.0.203.in-addr.arpa. PTR www.example.org.
33.113.0.203.in-addr.arpa.  CNAME 33.32/28.113.0.203.in-addr.arpa.
31.113.0.203.in-addr.arpa.  PTR  evil\;reboot.example.org.
evil\;reboot.example.org.  A    203.0.113.31
four.example.org.           A    203.0.113.25
away.example.org.           A    198.51.100.1
txt.example.org.            TXT  "no address"
dead.example.org.           CNAME gone.example.org.
web.example.org.            CNAME four.example.org.
six.example.org.            CNAME only6.example.org.
only6.example.org.          AAAA 2001:db8::6
*.wild.example.org.         A    198.51.100.1
good.example.               A    203.0.113.25
`

func TestPTR(t *testing.T) {
	_, resolver := zone(t, nameZone)
	tests := []struct {
		why   string
		addrs []string
		want  string
		told  []string // in the first finding
	}{
		{"its name leads back, of both families", []string{"203.0.113.25", "2001:db8::25"}, "confirmed/pass confirmed/pass",
			[]string{"203.0.113.25 is mail.example.org, which leads back to it",
				"PTR 25.113.0.203.in-addr.arpa: mail.example.org", "A mail.example.org: 203.0.113.25", "expected"}},
		{"no name", []string{"203.0.113.99"}, "none/fail",
			[]string{"99.113.0.203.in-addr.arpa. IN PTR mail.example.org.", "provider", "PTR 99.113.0.203.in-addr.arpa: nxdomain"}},
		{"no name of IPv6, which Gmail refuses", []string{"2001:db8::99"}, "none/fail",
			[]string{"9.9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. IN PTR mail.example.org.",
				"postconf -e inet_protocols=ipv4"}},
		{"IPv4 is well, IPv6 is not", []string{"203.0.113.25", "2001:db8::26"}, "confirmed/pass unconfirmed/fail", nil},
		{"the name leads elsewhere", []string{"203.0.113.27"}, "unconfirmed/fail",
			[]string{"27.113.0.203.in-addr.arpa. IN PTR mail.example.org.", "called www.example.org"}},
		{"the name does not exist", []string{"203.0.113.30"}, "unconfirmed/fail", nil},
		{"the name is right, but its address is missing", []string{"203.0.113.28"}, "unconfirmed/fail",
			[]string{"mail.example.org. IN A 203.0.113.28", "publish the address"}},
		{"two names, one of which leads back", []string{"203.0.113.29"}, "ambiguous/warn",
			[]string{"a.example.org, b.example.org; of these, a.example.org leads back", "keep one"}},
		{"the record stands in a part of the zone", []string{"203.0.113.32"}, "unconfirmed/fail",
			[]string{"\n32.32/28.113.0.203.in-addr.arpa. IN PTR mail.example.org."}},
		{"it is missing there", []string{"203.0.113.33"}, "none/fail",
			[]string{"\n33.32/28.113.0.203.in-addr.arpa. IN PTR mail.example.org."}},
		{"no address is known", nil, "unknown/unknown", []string{"[[egress]]"}},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			h := sending(t, tt.addrs...)
			h.Resolver = resolver
			found := ask(t, t.Context(), "ptr", h)
			if got := summary(found); got != tt.want {
				t.Fatalf("%s: %+v", got, found)
			}
			tells(t, found[0], tt.told...)
		})
	}
}

// A guess is no certain failure, and nothing to publish.
func TestPTRGuess(t *testing.T) {
	_, resolver := zone(t, nameZone)
	h := sending(t, "2001:db8::99")
	h.Resolver, h.Routes[0].Egress.Guessed = resolver, true
	f := one(t, "ptr", h)
	if f.Grade != policy.Warn || f.Fix != "" || !strings.HasPrefix(f.Advice, "these addresses are guessed") {
		t.Errorf("%+v", f)
	}
	tells(t, f, "guessed")
}

// A host that does not know its own name cannot say how to call the address.
func TestPTRWithoutName(t *testing.T) {
	_, resolver := zone(t, nameZone)
	h := sending(t, "203.0.113.99")
	h.Resolver = resolver
	for _, name := range []mail.Domain{{}, domain(t, "localhost"), domain(t, "mail")} {
		h := &check.Host{Resolver: resolver, Name: name, Routes: policy.Routes{{Egress: egress(t, "", "203.0.113.99")}}}
		h.Routes[0].Egress.Hostname = name
		if f := one(t, "ptr", h); f.Grade != policy.Fail || f.Fix != "" {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestHeloPTR(t *testing.T) {
	_, resolver := zone(t, nameZone)
	tests := []struct {
		why  string
		addr string
		want string
		told []string
	}{
		{"equal", "203.0.113.25", "equal/pass", nil},
		{"another, which leads back", "203.0.113.26", "differs/warn",
			[]string{"26.113.0.203.in-addr.arpa. IN PTR mail.example.org.", "postconf -e smtp_helo_name=other.example.org"}},
		{"another, which does not", "203.0.113.27", "differs/warn", nil},
		{"none: the item about names says so", "203.0.113.99", "", nil},
		{"what a stranger wrote is no command", "203.0.113.31", "differs/warn", []string{"called evil"}},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			h := sending(t, tt.addr)
			h.Resolver = resolver
			found := ask(t, t.Context(), "heloptr", h)
			if got := summary(found); got != tt.want {
				t.Fatalf("%s: %+v", got, found)
			}
			for _, f := range found {
				tells(t, f, tt.told...)
				if strings.Contains(f.Advice, "reboot") {
					t.Errorf("advice: %s", f.Advice)
				}
			}
		})
	}
}

func TestHelo(t *testing.T) {
	_, resolver := zone(t, nameZone)
	tests := []struct {
		why   string
		name  string
		addrs []string
		want  string
		told  []string
	}{
		{"it leads to all addresses", "mail.example.org", []string{"203.0.113.25", "2001:db8::25"}, "resolves/pass",
			[]string{"A mail.example.org: 203.0.113.25", "AAAA mail.example.org: 2001:db8::25"}},
		{"not to IPv6", "four.example.org", []string{"203.0.113.25", "2001:db8::25"}, "partly/warn",
			[]string{"four.example.org. IN AAAA 2001:db8::25"}},
		{"elsewhere only", "away.example.org", []string{"203.0.113.25", "2001:db8::25"}, "elsewhere/warn",
			[]string{"away.example.org. IN A 203.0.113.25\naway.example.org. IN AAAA 2001:db8::25", "is 198.51.100.1, and not"}},
		{"by a wildcard, which is a fact", "mx.wild.example.org", []string{"203.0.113.25"}, "elsewhere/warn", nil},
		{"nowhere", "nowhere.example.org", []string{"203.0.113.25"}, "no-address/fail",
			[]string{"nowhere.example.org. IN A 203.0.113.25", "A nowhere.example.org: nxdomain"}},
		{"an alias that leads nowhere", "dead.example.org", []string{"203.0.113.25"}, "no-address/fail",
			[]string{"dead.example.org. IN A 203.0.113.25", "dead.example.org is an alias of gone.example.org now, and nothing may stand"}},
		{"an alias that leads elsewhere, of which one is right", "web.example.org", []string{"203.0.113.25", "203.0.113.26"}, "partly/warn",
			[]string{"published at four.example.org, of which web.example.org is an alias; or greet by another name"}},
		{"an alias to a host of one family, and mail leaves over the other", "six.example.org", []string{"203.0.113.25"}, "elsewhere/warn",
			[]string{"published at only6.example.org, of which six.example.org is an alias"}},
		{"an alias that leads nowhere, and from where mail leaves is not known", "dead.example.org", nil, "no-address/fail",
			[]string{"publish the addresses"}},
		{"it has other records", "txt.example.org", []string{"203.0.113.25"}, "no-address/fail", nil},
		{"one label; the address has a better name", "mail", []string{"203.0.113.25"}, "short/fail",
			[]string{"postconf -e myhostname=mail.example.org"}},
		{"one label, and the address has no name", "mail", []string{"203.0.113.99"}, "short/fail", []string{"primary_hostname"}},
		{"the name of a stranger is no command", "mail", []string{"203.0.113.31"}, "short/fail", nil},
		{"localhost", "localhost", []string{"203.0.113.25"}, "localhost/fail", nil},
		{"an address", "203.0.113.25", []string{"203.0.113.25"}, "literal/fail", nil},
		{"a private name", "mail.lan", []string{"203.0.113.25"}, "private/fail", nil},
		{"an underscore", "mail_1.example.org", []string{"203.0.113.25"}, "invalid/warn", nil},
		{"a top-level domain that nobody knows", "good.example", []string{"203.0.113.25"}, "suffix/warn", nil},
		{"no address is known", "mail.example.org", nil, "unknown/unknown", []string{"[[egress]]"}},
		{"no name is known", "", []string{"203.0.113.25"}, "unknown/unknown", []string{"--helo"}},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			h := &check.Host{Resolver: resolver, Routes: policy.Routes{{Egress: egress(t, "", tt.addrs...)}}}
			h.Routes[0].Egress.Hostname = mail.Domain{}
			if tt.name != "" {
				h.Name = domain(t, tt.name)
			}
			f := one(t, "helo", h)
			if got := summary([]policy.Finding{f}); got != tt.want {
				t.Fatalf("%s: %+v", got, f)
			}
			tells(t, f, tt.told...)
			if strings.Contains(f.Fix, "reboot") {
				t.Errorf("fix: %s", f.Fix)
			}
			if strings.Contains(f.Advice, "put this in its place") && f.Fix == "" {
				t.Errorf("nothing to put there: %s", f.Advice)
			}
			if strings.Contains(f.Advice, "of which "+tt.name+" is an alias") && f.Fix != "" {
				t.Errorf("it takes away what the alias leads to: %s", f.Fix)
			}
		})
	}
}

// Each egress may have a name of its own, and each name must lead to the addresses of its egress.
func TestHeloOfEachEgress(t *testing.T) {
	_, resolver := zone(t, nameZone)
	first, second := egress(t, "", "203.0.113.25"), egress(t, "", "203.0.113.26")
	second.Hostname = domain(t, "other.example.org")
	h := &check.Host{Resolver: resolver, Routes: policy.Routes{{Egress: first}, {Egress: second}, {Egress: egress(t, "spf.esp.example")}}}
	if got := summary(ask(t, t.Context(), "helo", h)); got != "resolves/pass resolves/pass" {
		t.Error(got)
	}
	guess := egress(t, "", "203.0.113.99")
	guess.Guessed = true
	h = &check.Host{Resolver: resolver, Routes: policy.Routes{{Egress: guess}}}
	f := one(t, "helo", h)
	if f.Result != check.Elsewhere || f.Fix != "" {
		t.Errorf("%+v", f)
	}
	tells(t, f, "guessed")
}

// Whatever goes wrong in the DNS: what is well never fails, what is not never passes, and nobody waits for ever. A
// resolver that answers with an address where there is none makes no name of it.
func TestNamesUnderFaults(t *testing.T) {
	t.Parallel()
	kinds := map[string]dnstest.Kind{
		"silent": dnstest.Drop, "SERVFAIL": dnstest.ServFail, "REFUSED": dnstest.Refused, "no EDNS": dnstest.NoEDNS,
		"truncated over UDP": dnstest.Truncate, "truncated over TCP too": dnstest.TruncateAll,
		"another id": dnstest.WrongID, "another question": dnstest.WrongQuestion, "forged, then true": dnstest.Forged,
		"garbage": dnstest.Garbage, "records that are none": dnstest.Broken, "64 KB": dnstest.Huge,
		"it ends at an alias": dnstest.Short, "aliases in a loop": dnstest.Loop, "invented": dnstest.Lie,
		"lame": dnstest.NoAA,
	}
	for why, kind := range kinds {
		t.Run(why, func(t *testing.T) {
			t.Parallel()
			server, _ := zone(t, nameZone)
			resolver := client(server)
			for _, at := range []string{".", ".in-addr.arpa", "mail.example.org"} {
				server.Heal()
				server.Fault(at, dnstest.Fault{Kind: kind, Addr: netip.MustParseAddr("192.0.2.1")})
				good, bad := sending(t, "203.0.113.25"), sending(t, "203.0.113.30")
				good.Resolver, bad.Resolver = resolver, resolver
				bad.Routes[0].Egress.Hostname = domain(t, "nowhere.example.org")
				for _, id := range []string{"ptr", "helo", "heloptr"} {
					for _, f := range ask(t, t.Context(), id, good) {
						if f.Grade != policy.Pass && f.Grade != policy.Unknown {
							t.Errorf("at %s: %s of a good host: %s (%s): %s", at, id, f.Result, f.Grade, f.Reason)
						}
					}
					for _, f := range ask(t, t.Context(), id, bad) {
						if f.Grade != policy.Fail && f.Grade != policy.Unknown && id != "heloptr" {
							t.Errorf("at %s: %s of a bad host: %s (%s): %s", at, id, f.Result, f.Grade, f.Reason)
						}
					}
				}
			}
		})
	}
}

// An egress whose servers fail for one family only: what is known of the other is told.
func TestNamesOneFamilyFails(t *testing.T) {
	server, resolver := zone(t, nameZone)
	server.Fault(".ip6.arpa", dnstest.Fault{Kind: dnstest.ServFail})
	h := sending(t, "203.0.113.25", "2001:db8::25")
	h.Resolver = resolver
	found := ask(t, t.Context(), "ptr", h)
	if got := summary(found); got != "confirmed/pass unknown/unknown" {
		t.Errorf("%s", got)
	}
	tells(t, found[1], "the name of 2001:db8::25 is not known: ")
}

// Ten names are followed; what the others say is not known.
func TestPTRManyNames(t *testing.T) {
	var text strings.Builder
	for i := range 30 {
		fmt.Fprintf(&text, "25.113.0.203.in-addr.arpa. PTR n%02d.example.org.\n", i)
	}
	_, resolver := zone(t, text.String())
	h := sending(t, "203.0.113.25")
	h.Resolver = resolver
	f := one(t, "ptr", h)
	if f.Grade != policy.Unknown {
		t.Errorf("%+v", f)
	}
	tells(t, f, "30 names")
}

// Without a resolver nothing is known of the DNS, and the rest is told nevertheless.
func TestNamesWithoutResolver(t *testing.T) {
	for id, want := range map[string]string{"ptr": "unknown/unknown", "helo": "unknown/unknown", "heloptr": "unknown/unknown"} {
		if got := summary(ask(t, t.Context(), id, sending(t, "203.0.113.25"))); got != want {
			t.Errorf("%s: %s", id, got)
		}
	}
	h := sending(t, "203.0.113.25")
	h.Routes[0].Egress.Hostname = domain(t, "localhost")
	if f := one(t, "helo", h); f.Grade != policy.Fail {
		t.Errorf("%+v", f)
	}
}

// The checklist has each item once, and items of a group stand together.
func TestItems(t *testing.T) {
	seen := map[string]bool{}
	var groups []string
	for _, i := range check.Items() {
		if seen[i.ID] || i.ID == "" || i.About == "" || i.Ask == nil {
			t.Errorf("%+v", i)
		}
		seen[i.ID] = true
		if len(groups) == 0 || groups[len(groups)-1] != i.Group {
			if slices.Contains(groups, i.Group) {
				t.Errorf("%s: group %s begins twice", i.ID, i.Group)
			}
			groups = append(groups, i.Group)
		}
	}
}

// Receivers see the smarthost, and neither how this host greets nor from where it connects: what is said of that would
// be false, and its fix would name this host in the provider's zone.
func TestSmarthost(t *testing.T) {
	_, resolver := zone(t, nameZone+`mail.example.org. TXT "v=spf1 a -all"`+"\n")
	relaying := check.Postfix{Settings: map[string]string{"relayhost": "[relay.example]:587", "default_transport": "smtp"}}
	tests := []struct {
		why     string
		via     string
		addrs   []string
		postfix []check.Postfix
		exim    *check.Exim
		silent  bool
	}{
		{"by the name of its record", "spf.esp.example", nil, nil, nil, true},
		{"with its addresses", "spf.esp.example", []string{"203.0.113.27"}, nil, nil, true},
		{"with its addresses alone, and relayhost tells", "", []string{"203.0.113.27"}, []check.Postfix{relaying}, nil, true},
		{"nothing is configured", "", nil, []check.Postfix{relaying}, nil, true},
		{"the same of Exim", "", []string{"203.0.113.27"}, nil, goodExim("smarthost: route_list=* relay.example byname"), true},
		{"a second instance sends itself", "", []string{"203.0.113.27"}, []check.Postfix{relaying, *goodPostfix()}, nil, false},
		{"relayhost is a filter here", "", []string{"203.0.113.27"},
			[]check.Postfix{*goodPostfix("relayhost=[127.0.0.1]:10024")}, nil, false},
		{"no smarthost", "", []string{"203.0.113.27"}, nil, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			h := sending(t)
			h.Resolver, h.Routes = resolver, policy.Routes{{Egress: egress(t, tt.via, tt.addrs...)}}
			h.Postfix, h.Exim, h.Local.Source = tt.postfix, tt.exim, from("203.0.113.99", "")
			for _, id := range []string{"helo", "heloptr", "nat", "spf"} {
				if found := ask(t, t.Context(), id, h); (len(found) == 0) != tt.silent {
					t.Errorf("%s: %+v", id, found)
				}
			}
			for _, f := range ask(t, t.Context(), "ptr", h) {
				if tt.silent && len(tt.addrs) > 0 && !strings.HasPrefix(f.Advice, "tell whoever runs the smarthost") {
					t.Errorf("%+v", f)
				}
				if (f.Fix == "") != tt.silent || len(tt.addrs) > 0 && f.Grade != policy.Fail {
					t.Errorf("%+v", f)
				}
			}
		})
	}
}

// What is guessed is an address of this host, which is not the smarthost's, so that nobody there can mend it.
func TestSmarthostGuess(t *testing.T) {
	_, resolver := zone(t, nameZone)
	h := sending(t, "203.0.113.27")
	h.Resolver, h.Routes[0].Egress.Guessed = resolver, true
	h.Postfix = []check.Postfix{*goodPostfix("relayhost=[relay.example]:587")}
	f := one(t, "ptr", h)
	if f.Grade != policy.Warn || f.Fix != "" || !strings.HasPrefix(f.Advice, "these addresses are guessed") {
		t.Errorf("%+v", f)
	}
}
