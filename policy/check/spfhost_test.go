package check_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dns"
	"reputed/policy/dns/dnstest"
	"reputed/policy/mail"
)

// item gives one of the checklist.
func item(t testing.TB, id string) check.Item {
	t.Helper()
	for _, i := range check.Items() {
		if i.ID == id {
			return i
		}
	}
	t.Fatalf("no item %s", id)
	return check.Item{}
}

// ask asks one item, and sees that its findings are such as every reader expects.
func ask(t testing.TB, ctx context.Context, id string, h *check.Host) []policy.Finding {
	t.Helper()
	i := item(t, id)
	found := i.Ask(ctx, h)
	check.NoteAsked(id, found)
	for _, f := range found {
		if f.Rule != id || f.Result == "" || f.Reason == "" {
			t.Errorf("%s: a finding without rule, result or reason: %+v", id, f)
		}
		if (f.Grade == policy.Fail || f.Grade == policy.Warn) && f.Advice == "" && f.Fix == "" {
			t.Errorf("%s: nothing is advised: %+v", id, f)
		}
		if f.Grade == policy.Unknown && f.Fix != "" {
			t.Errorf("%s: a fix, though nothing is known: %+v", id, f)
		}
	}
	return found
}

// one asks an item that has one thing to look at.
func one(t testing.TB, id string, h *check.Host) policy.Finding {
	t.Helper()
	found := ask(t, t.Context(), id, h)
	if len(found) != 1 {
		t.Fatalf("%s: %d findings: %+v", id, len(found), found)
	}
	return found[0]
}

// zone is a name server, and a resolver that asks it. It is patient, for the machine may have other things to do; where
// a server is to be silent, see [client].
func zone(t testing.TB, text string) (*dnstest.Server, dns.Resolver) {
	t.Helper()
	server, err := dnstest.Start(text)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return server, dns.NewClient(dns.Options{
		Servers: []netip.AddrPort{server.AddrPort()}, Timeout: 2 * time.Second,
	})
}

// sender is a host that sends mail of one domain from one egress, which has no name of its own.
func sender(t testing.TB, r dns.Resolver, name string, e *mail.Egress) *check.Host {
	t.Helper()
	e.Hostname = mail.Domain{}
	return &check.Host{Resolver: r, Domains: []mail.Domain{domain(t, name)}, Routes: policy.Routes{{Egress: e}}}
}

const spfZone = `
good.example.       TXT "v=spf1 ip4:203.0.113.25 ip6:2001:db8::25 -all"
good.example.       TXT "other text"
fouronly.example.   TXT "v=spf1 ip4:203.0.113.25 -all"
softly.example.     TXT "v=spf1 ip4:203.0.113.25 ~all"
soft.example.       TXT "v=spf1 ~all"
neutral.example.    TXT "v=spf1 ?all"
endless.example.    TXT "v=spf1 ip4:203.0.113.25"
world.example.      TXT "v=spf1 +all"
bareall.example.    TXT "v=spf1 mx all exp=x.example"
strict.example.     TXT "v=spf1 -all"
twice.example.      TXT "v=spf1 ip4:203.0.113.25 -all"
twice.example.      TXT "v=spf1 ip6:2001:db8::25 -all"
none.example.       TXT "hello"
syntax.example.     TXT "v=spf1 ipv4:203.0.113.25 -all"
redirected.example. TXT "v=spf1 redirect=_spf.redirected.example"
_spf.redirected.example. TXT "v=spf1 ip4:203.0.113.25 ?all"
away.example.       TXT "v=spf1 redirect=provider.example"
provider.example.   TXT "v=spf1 ip4:203.0.113.25"
half.example.       TXT "v=spf1 ip4:203.0.113.25 include:gone.half.example include:dead.half.example -all"
gone.half.example.  TXT "no record of SPF"
dead.half.example.  TXT "v=spf1 -all"
late.example.       TXT "v=spf1 ip4:203.0.113.25 include:faulty.example -all"
toredirect.example. TXT "v=spf1 redirect=faulty.example"
nine.example.       TXT "v=spf1 a:a.e.example a:b.e.example a:c.e.example a:d.e.example a:e.e.example a:f.e.example a:g.e.example a:h.e.example a:i.e.example ip4:203.0.113.25 -all"
eleven.example.     TXT "v=spf1 ip4:203.0.113.25 include:nine.example a:k.e.example -all"
voids.example.      TXT "v=spf1 ip4:203.0.113.25 a:x.voids.example a:y.voids.example a:z.voids.example -all"
a.e.example. A 192.0.2.1
b.e.example. A 192.0.2.1
c.e.example. A 192.0.2.1
d.e.example. A 192.0.2.1
e.e.example. A 192.0.2.1
f.e.example. A 192.0.2.1
g.e.example. A 192.0.2.1
h.e.example. A 192.0.2.1
i.e.example. A 192.0.2.1
k.e.example. A 192.0.2.1
sixmx.example.      TXT "v=spf1 ip4:203.0.113.25 mx -all"
sixmx.example.      MX 1 a.e.example.
sixmx.example.      MX 2 b.e.example.
sixmx.example.      MX 3 c.e.example.
sixmx.example.      MX 4 d.e.example.
sixmx.example.      MX 5 e.e.example.
sixmx.example.      MX 6 f.e.example.
manymx.example.     TXT "v=spf1 ip4:203.0.113.25 mx:manyhosts.example -all"
manyhosts.example.  MX 1 a.e.example.
manyhosts.example.  MX 2 b.e.example.
manyhosts.example.  MX 3 c.e.example.
manyhosts.example.  MX 4 d.e.example.
manyhosts.example.  MX 5 e.e.example.
manyhosts.example.  MX 6 f.e.example.
manyhosts.example.  MX 7 g.e.example.
manyhosts.example.  MX 8 h.e.example.
manyhosts.example.  MX 9 i.e.example.
manyhosts.example.  MX 10 k.e.example.
manyhosts.example.  MX 11 l.e.example.
ptr.example.        TXT "v=spf1 ip4:203.0.113.25 ptr -all"
ptrmacro.example.   TXT "v=spf1 ip4:203.0.113.25 exists:%{p}.ptrmacro.example -all"
theirptr.example.   TXT "v=spf1 ip4:203.0.113.25 include:ptr.example -all"
alias.example.      CNAME record.alias.example.
record.alias.example. TXT "v=spf1 ?all"
loop.example.       TXT "v=spf1 ip4:203.0.113.25 include:loop.example -all"
via.example.        TXT "v=spf1 include:_spf.esp.example ~all"
_spf.esp.example.   TXT "v=spf1 ip4:198.51.100.0/24 -all"
mail.good.example.  TXT "v=spf1 a -all"
mail.good.example.  A   203.0.113.25
greets.example.     A   203.0.113.25
`

// Every item about SPF with every verdict that it can come to, and the record to paste.
func TestSPFItems(t *testing.T) {
	const v4, v6, other = "203.0.113.25", "2001:db8::25", "203.0.113.99"
	server, resolver := zone(t, spfZone)
	server.Fault("faulty.example", dnstest.Fault{Kind: dnstest.ServFail})
	for _, tt := range []struct {
		why, id, domain string
		addrs           string
		result          string
		grade           policy.Grade
		reason          string // part of it
		fix             string // the whole of it
	}{
		{"both addresses are allowed", "spf", "good.example", v4 + " " + v6, "pass", policy.Pass,
			"SPF of good.example: pass for 203.0.113.25 and 2001:db8::25", ""},
		{"one of two is not: mail may leave by that one", "spf", "fouronly.example", v4 + " " + v6, "partial", policy.Fail,
			"fail by -all for 2001:db8::25", `fouronly.example. IN TXT "v=spf1 ip4:203.0.113.25 ip6:2001:db8::25 -all"`},
		{"one of two would rather not be had", "spf", "softly.example", v4 + " " + v6, "partial", policy.Warn,
			"softfail by ~all for 2001:db8::25", `softly.example. IN TXT "v=spf1 ip4:203.0.113.25 ip6:2001:db8::25 ~all"`},
		{"forbidden", "spf", "strict.example", v4, "fail", policy.Fail, "fail by -all",
			`strict.example. IN TXT "v=spf1 ip4:203.0.113.25 -all"`},
		{"softfail", "spf", "soft.example", v4, "softfail", policy.Warn, "softfail by ~all",
			`soft.example. IN TXT "v=spf1 ip4:203.0.113.25 ~all"`},
		{"neutral", "spf", "neutral.example", v4, "neutral", policy.Warn, "neutral by ?all",
			`neutral.example. IN TXT "v=spf1 ip4:203.0.113.25 ?all"`},
		{"no record", "spf", "none.example", v4, "none", policy.Warn, "none for 203.0.113.25",
			`none.example. IN TXT "v=spf1 ip4:203.0.113.25 ~all"`},
		{"a record that is wrong", "spf", "syntax.example", v4, "permerror", policy.Fail, `"ipv4:203.0.113.25"`,
			`syntax.example. IN TXT "v=spf1 ip4:203.0.113.25 -all"`},
		{"a part that is not known behind the match", "spf", "late.example", v4, "pass", policy.Pass, "", ""},
		{"a part that is not known before the match", "spf", "late.example", other, "temperror", policy.Unknown,
			"the server failed", ""},
		{"the server fails", "spf", "faulty.example", v4, "temperror", policy.Unknown, "the server failed", ""},
		{"no address is known", "spf", "good.example", "", "temperror", policy.Unknown, "no address is known", ""},

		{"one record, beside other texts", "spfsingle", "good.example", v4, "one", policy.Pass, "one SPF record", ""},
		{"none", "spfsingle", "none.example", v4, "none", policy.Fail, "no SPF record",
			`none.example. IN TXT "v=spf1 ip4:203.0.113.25 ~all"`},
		{"no such name", "spfsingle", "missing.example", v4, "none", policy.Fail, "no SPF record",
			`missing.example. IN TXT "v=spf1 ip4:203.0.113.25 ~all"`},
		{"two", "spfsingle", "twice.example", v4, "several", policy.Fail, "2 SPF records",
			`twice.example. IN TXT "v=spf1 ip4:203.0.113.25 ip6:2001:db8::25 -all"`},
		{"two, and no address is known", "spfsingle", "twice.example", "", "several", policy.Fail, "2 SPF records", ""},
		{"not known", "spfsingle", "faulty.example", v4, "unknown", policy.Unknown, "the server failed", ""},

		{"a cheap record", "spfcost", "good.example", v4, "within", policy.Pass, "at worst 0 of 10 look-ups, 0 of 2 void", ""},
		{"close to the limit", "spfcost", "nine.example", v4, "near", policy.Warn, "at worst 9 of 10", ""},
		{"beyond it, behind the term that matches", "spfcost", "eleven.example", v4, "over", policy.Fail, "at worst 11 of 10", ""},
		{"too many void ones", "spfcost", "voids.example", v4, "over", policy.Fail, "3 of 2 void", ""},
		{"many hosts of an mx", "spfcost", "sixmx.example", v4, "hosts", policy.Warn, "mx leads to 6 hosts", ""},
		{"too many hosts of an mx", "spfcost", "manymx.example", v4, "hosts", policy.Fail, "more than 10 hosts", ""},
		{"an include without a record", "spfcost", "half.example", v4, "broken", policy.Warn, "gone.half.example", ""},
		{"a record that leads to itself", "spfcost", "loop.example", v4, "over", policy.Fail, "11 of 10", ""},
		{"a part that is not known", "spfcost", "late.example", v4, "unknown", policy.Unknown, "the server failed", ""},
		{"nothing is known", "spfcost", "faulty.example", v4, "unknown", policy.Unknown, "the server failed", ""},
		{"no address is needed", "spfcost", "good.example", "", "within", policy.Pass, "at worst 0 of 10", ""},

		{"-all", "spfall", "good.example", v4, "-all", policy.Pass, "ends in -all", ""},
		{"~all is as good", "spfall", "softly.example", v4, "~all", policy.Pass, "ends in ~all", ""},
		{"neutral", "spfall", "neutral.example", v4, "?all", policy.Fail, "strangers", `neutral.example. IN TXT "v=spf1 ~all"`},
		{"the whole world", "spfall", "world.example", v4, "+all", policy.Fail, "whole world", `world.example. IN TXT "v=spf1 ~all"`},
		{"the same, in the short form, and what follows it", "spfall", "bareall.example", v4, "+all", policy.Fail, "whole world",
			`bareall.example. IN TXT "v=spf1 mx ~all exp=x.example"`},
		{"no end", "spfall", "endless.example", v4, "none", policy.Warn, "nothing of all others",
			`endless.example. IN TXT "v=spf1 ip4:203.0.113.25 ~all"`},
		{"at the end of a redirect of one's own", "spfall", "redirected.example", v4, "?all", policy.Fail,
			"_spf.redirected.example ends in ?all", `_spf.redirected.example. IN TXT "v=spf1 ip4:203.0.113.25 ~all"`},
		{"at the end of a redirect to another", "spfall", "away.example", v4, "none", policy.Warn, "provider.example says nothing", ""},
		{"of an alias", "spfall", "alias.example", v4, "?all", policy.Fail, "", `record.alias.example. IN TXT "v=spf1 ~all"`},
		{"a redirect that is not known", "spfall", "toredirect.example", v4, "unknown", policy.Unknown, "the server failed", ""},
		{"not known", "spfall", "faulty.example", v4, "unknown", policy.Unknown, "the server failed", ""},

		{"no ptr", "spfptr", "good.example", v4, "none", policy.Pass, "no ptr", ""},
		{"a ptr", "spfptr", "ptr.example", v4 + " " + v6, "ptr", policy.Warn, "ptr of ptr.example",
			`ptr.example. IN TXT "v=spf1 ip4:203.0.113.25 ip6:2001:db8::25 -all"`},
		{"the macro that asks the same", "spfptr", "ptrmacro.example", v4, "ptr", policy.Warn, "exists:%{p}",
			`ptrmacro.example. IN TXT "v=spf1 ip4:203.0.113.25 -all"`},
		{"another's ptr", "spfptr", "theirptr.example", v4, "ptr", policy.Warn, "ptr of ptr.example", ""},
		{"a part that is not known", "spfptr", "late.example", v4, "unknown", policy.Unknown, "the server failed", ""},
		{"not known", "spfptr", "faulty.example", v4, "unknown", policy.Unknown, "the server failed", ""},
	} {
		t.Run(tt.id+"/"+tt.why, func(t *testing.T) {
			h := sender(t, resolver, tt.domain, egress(t, "", strings.Fields(tt.addrs)...))
			f := one(t, tt.id, h)
			if f.Result != tt.result || f.Grade != tt.grade || !strings.Contains(f.Reason, tt.reason) || f.Fix != tt.fix {
				t.Errorf("%s (%v): %s\nfix %s", f.Result, f.Grade, f.Reason, f.Fix)
			}
			if f.Subject != tt.domain {
				t.Errorf("subject %q", f.Subject)
			}
		})
	}
}

// Records that are not there have no cost and no end: spfsingle says that there is none.
func TestSPFItemsWithoutRecord(t *testing.T) {
	_, resolver := zone(t, spfZone)
	for _, id := range []string{"spfcost", "spfall", "spfptr"} {
		h := sender(t, resolver, "none.example", egress(t, "", "203.0.113.25"))
		if found := ask(t, t.Context(), id, h); len(found) != 0 {
			t.Errorf("%s: %+v", id, found)
		}
	}
}

// The names with which the host greets are asked too; they need no record, but it is missed.
func TestSPFOfNames(t *testing.T) {
	_, resolver := zone(t, spfZone)
	greets := egress(t, "", "203.0.113.25")
	greets.Hostname = domain(t, "greets.example")
	mailer := egress(t, "", "203.0.113.25")
	mailer.Hostname = domain(t, "mail.good.example")
	h := &check.Host{
		Resolver: resolver, Domains: []mail.Domain{domain(t, "good.example"), domain(t, "web1.internal")},
		Routes:   policy.Routes{{Egress: mailer, Mailers: []string{"x"}}, {Egress: greets}},
		Rewrites: policy.Rewrites{{From: policy.Senders{Domain: domain(t, "web1.internal")}, To: mail.Address{Domain: domain(t, "soft.example")}}},
	}
	var got []string
	for _, f := range ask(t, t.Context(), "spf", h) {
		got = append(got, f.Subject+" "+f.Result)
	}
	want := "good.example pass, soft.example softfail, mail.good.example pass, greets.example none"
	if text := strings.Join(got, ", "); text != want {
		t.Errorf("%s, want %s", text, want)
	}
	for _, f := range ask(t, t.Context(), "spfsingle", h) {
		if f.Subject == "greets.example" {
			t.Errorf("a name needs no record: %+v", f)
		}
	}
	if found := ask(t, t.Context(), "spf", &check.Host{Name: domain(t, "greets.example")}); len(found) != 1 || found[0].Grade != policy.Unknown {
		t.Errorf("a host of which nothing is known: %+v", found)
	}
	if found := ask(t, t.Context(), "spf", &check.Host{}); len(found) != 0 {
		t.Errorf("nothing to look at: %+v", found)
	}
}

// A guess is never a certain failure, and nothing to publish. A smarthost counts by its name.
func TestSPFOfGuessesAndSmarthosts(t *testing.T) {
	_, resolver := zone(t, spfZone)
	guess := egress(t, "", "203.0.113.25")
	guess.Guessed = true
	f := one(t, "spf", sender(t, resolver, "strict.example", guess))
	if f.Result != "fail" || f.Grade != policy.Warn || f.Fix != "" ||
		!strings.HasPrefix(f.Advice, "these addresses are guessed") {
		t.Errorf("%+v", f)
	}
	if f := one(t, "spf", sender(t, resolver, "via.example", egress(t, "_spf.esp.example"))); f.Result != "pass" ||
		!strings.Contains(f.Reason, "mail via _spf.esp.example") {
		t.Errorf("%+v", f)
	}
	f = one(t, "spf", sender(t, resolver, "soft.example", egress(t, "_spf.esp.example")))
	if f.Result != "softfail" || f.Fix != `soft.example. IN TXT "v=spf1 include:_spf.esp.example ~all"` {
		t.Errorf("%+v", f)
	}
}

// What a cache kept for want of a newer answer is no knowledge of today.
func TestSPFItemsStale(t *testing.T) {
	w := world{"TXT good.example": "stale v=spf1 ip4:203.0.113.25 -all", "TXT bad.example": "stale v=spf1 +all"}
	for _, who := range []string{"good.example", "bad.example"} {
		for _, id := range []string{"spf", "spfsingle", "spfcost", "spfall", "spfptr"} {
			if f := one(t, id, sender(t, w, who, egress(t, "", "203.0.113.25"))); f.Grade != policy.Unknown {
				t.Errorf("%s of %s: %+v", id, who, f)
			}
		}
	}
}

// The tree of a record, with the cost of each term.
func TestSPFCostEvidence(t *testing.T) {
	_, resolver := zone(t, spfZone)
	f := one(t, "spfcost", sender(t, resolver, "half.example", egress(t, "", "203.0.113.25")))
	var lines []string
	for _, e := range f.Evidence {
		lines = append(lines, strings.TrimRight(e.Name+" = "+e.Value, " "))
	}
	want := `TXT half.example = v=spf1 ip4:203.0.113.25 include:gone.half.example include:dead.half.example -all
  ip4:203.0.113.25 =
  include:gone.half.example = 1 look-up: the record leads to a domain that has none
    TXT gone.half.example = no SPF record
  include:dead.half.example = 1 look-up
    TXT dead.half.example = v=spf1 -all
      -all =
  -all =
expected = at most 10 look-ups, of which 2 bring nothing`
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// Of a name that receivers cannot look up no record is asked: what is wrong with it, another item says.
func TestSPFOfPrivateName(t *testing.T) {
	server, r := zone(t, spfZone)
	for _, name := range []string{"box", "localhost", "mail.lan"} {
		h := sender(t, r, "good.example", egress(t, "", "203.0.113.25"))
		h.Routes[0].Egress.Hostname = domain(t, name)
		if f := one(t, "spf", h); f.Subject != "good.example" || server.Queries(name) != 0 {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// A record that is wrong in the middle is not read to its end.
func TestSPFAllOfBrokenRecord(t *testing.T) {
	_, r := zone(t, spfZone)
	f := one(t, "spfall", sender(t, r, "syntax.example", egress(t, "", "203.0.113.25")))
	if f.Result != "broken" || f.Grade != policy.Warn || !strings.Contains(f.Reason, "do not come to the end") {
		t.Errorf("%+v", f)
	}
}
