package status_test

import (
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reputed/cmd/reputed/internal/status"
	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dnsbl"
	"reputed/policy/mail"
)

var update = flag.Bool("update", false, "write testdata anew")

// A report calls an egress listed when the check of messages does.
func TestListedAsChecked(t *testing.T) {
	d := &check.DNSBL{Acts: acts, Listed: func(a netip.Addr) (on []dnsbl.Listing) {
		for _, l := range listingsOf(a) {
			if l.State == dnsbl.Listed {
				on = append(on, l)
			}
		}
		return on
	}}
	listed := 0
	for _, addresses := range [][]string{
		{"203.0.113.25"}, {"203.0.113.26"}, {"203.0.113.27"}, {"203.0.113.28"}, {"203.0.113.29"}, {"203.0.113.99"}, {},
		{"203.0.113.25", "2001:db8::25"}, {"203.0.113.25", "203.0.113.99"}, {"2001:db8::25", "203.0.113.26"},
	} {
		way := egress(addresses...)
		envelope := check.Envelope{Holds: func(mail.Domain) bool { return true }, DNSBL: d}
		found, _ := envelope.Begin(t.Context(), &mail.Transaction{Client: &mail.Client{}}).Findings(way)
		want := len(found) == 1 && found[0].Result == check.Listed
		got := status.Egresses(policy.Routes{{Egress: way}}, listingsOf, acts)[0]
		if got.Listed != want {
			t.Errorf("%v: listed %v, want %v", addresses, got.Listed, want)
		}
		if want {
			listed++
		}
	}
	if listed != 2 {
		t.Errorf("%d are listed", listed)
	}
}

// An egress that several routes lead to is told of once.
func TestEgressOnce(t *testing.T) {
	way := egress("203.0.113.99")
	routes := policy.Routes{{Egress: way, Mailers: []string{"smtp"}}, {Egress: egress("203.0.113.25")}, {Egress: way}}
	if got := status.Egresses(routes, listingsOf, acts); len(got) != 2 {
		t.Errorf("%d", len(got))
	}
}

// Of a domain, only the lists are told on which it is not known not to be.
func TestDomains(t *testing.T) {
	got := status.Domains([]mail.Domain{domain("a.example"), domain("b.example"), domain("c.example"), domain("a.example")},
		func(d mail.Domain) []dnsbl.Listing {
			switch d.String() {
			case "a.example":
				return []dnsbl.Listing{clearOf(domains), clearOf(minor)}
			case "b.example":
				return []dnsbl.Listing{on(domains, dnsbl.Block, "phishing"), clearOf(minor)}
			}
			return nil
		})
	if len(got) != 2 || got[0].Clear != 2 || len(got[0].Listings) != 0 || got[1].Clear != 1 || got[1].Listings[0].Meaning != "phishing" {
		t.Errorf("%+v", got)
	}
}

// What other programs rely on, to the letter: testdata/report.json. A name in it is never changed.
func TestJSON(t *testing.T) {
	r := report(leaveBy(egress("203.0.113.25", "203.0.113.29")))
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "report.json")
	if *update {
		if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(string(want)), string(text)); diff != "" {
		t.Error(diff)
	}
	var back status.Report
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if again, _ := json.MarshalIndent(back, "", "  "); string(again) != string(text) {
		t.Errorf("read back it is:\n%s", again)
	}
}

// What is a problem, how bad, and in which order.
func TestProblems(t *testing.T) {
	guessed := egress("203.0.113.99")
	guessed.Guessed = true
	via := egress()
	via.Via = domain("spf.esp.example")
	silence := func(r *status.Report) {
		r.Resolver.Health, r.Resolver.Since = dnsbl.Silent, at(10)
		for i := range r.Lists {
			r.Lists[i].Health = dnsbl.Silent
		}
	}
	on25 := "203.0.113.25 is on critical (spam source) since 2026-11-24T03:00:00Z"
	tests := []struct {
		why    string
		change func(*status.Report)
		worst  status.Level
		texts  []string
	}{
		{"all is well", nil, status.Well, nil},
		{"listed, and mail is deferred", leaveBy(egress("203.0.113.25")), status.Blocklisted,
			[]string{"egress default: every address is listed, so mail that leaves is deferred", on25}},
		{"one of two addresses: mail goes on, and the operator must know", leaveBy(egress("203.0.113.99", "203.0.113.25")),
			status.Blocklisted, []string{on25}},
		{"listed, and only logged", func(r *status.Report) {
			leaveBy(egress("203.0.113.25"))(r)
			r.Rules[0].On = map[string]policy.Action{"listed": policy.Log}
		}, status.Blocklisted, []string{"egress default: every address is listed, which is only logged", on25}},
		{"listed, and observed", func(r *status.Report) {
			leaveBy(egress("203.0.113.25"))(r)
			r.Rules[0].Observe = true
		}, status.Blocklisted, []string{"egress default: every address is listed, for which mail would be deferred", on25}},
		{"a list that only informs", leaveBy(egress("203.0.113.26")), status.Warning,
			[]string{"203.0.113.26 is on minor (bad neighbourhood) since 2026-11-24T03:00:00Z"}},
		{"what is only good to know", leaveBy(egress("203.0.113.28")), status.Well, nil},
		{"a list that matters does not answer", leaveBy(egress("203.0.113.29")), status.Unknown,
			[]string{"it is not known whether 203.0.113.29 is on critical: no answer within 5s"}},
		{"one that does not matter", leaveBy(egress("203.0.113.30")), status.Well, nil},
		{"a list that matters answers nobody: told once for all addresses", leaveBy(egress("203.0.113.29", "203.0.113.31", "203.0.113.99")),
			status.Unknown, []string{"it is not known whether 203.0.113.29, 203.0.113.31 are on critical: no answer within 5s"}},
		{"the resolver is the reason, and told once", func(r *status.Report) {
			leaveBy(egress("203.0.113.29"))(r)
			silence(r)
		}, status.Unknown, []string{
			"the resolver 127.0.0.1:53 answers nothing since 10:00Z: no list is known; no mail is refused for lists meanwhile"}},
		{"since yesterday, and there are several", func(r *status.Report) {
			silence(r)
			r.Resolver.Since, r.Resolver.Servers = at(-1), append(r.Resolver.Servers, netip.MustParseAddrPort("[2001:db8::1]:53"))
		}, status.Unknown, []string{"the resolvers 127.0.0.1:53, [2001:db8::1]:53 answer nothing since 2026-11-23 23:00Z: " +
			"no list is known; no mail is refused for lists meanwhile"}},
		{"what was known is not old yet", func(r *status.Report) {
			r.Resolver.Health = dnsbl.Silent
		}, status.Unknown, []string{"the resolver 127.0.0.1:53 answers nothing: what the lists said before counts until it is too old"}},
		{"a list refuses the resolver; another has a trouble of its own", func(r *status.Report) {
			leaveBy(egress("203.0.113.29"))(r)
			r.Lists[1].Health = dnsbl.Refusing
			r.Resolver.Health, r.Resolver.Reason, r.Resolver.Servers = dnsbl.Refusing, "list minor answers 127.255.255.254: no", nil
		}, status.Unknown, []string{"it is not known whether 203.0.113.29 is on critical: no answer within 5s",
			"the resolver of /etc/resolv.conf is refused (list minor answers 127.255.255.254: no): " +
				"1 of 2 lists not known; no mail is refused for those meanwhile"}},
		{"at the start", func(r *status.Report) { r.Resolver.Health = dnsbl.Untested }, status.Unknown,
			[]string{"the lists are being tested, so nothing is known of addresses yet"}},
		{"no list is watched", func(r *status.Report) { r.Lists, r.Resolver.Health = nil, dnsbl.Untested }, status.Well, nil},
		{"a guess", leaveBy(guessed), status.Warning,
			[]string{"the addresses that mail leaves from are guessed, so no mail is refused for them"}},
		{"a smarthost", leaveBy(via), status.Well, nil},
		{"nothing known of the egress", leaveBy(egress()), status.Warning,
			[]string{"no address that mail leaves from is known, so neither SPF nor lists are looked at"}},
		{"a refused reload", func(r *status.Report) { r.Reload.OK, r.Reload.Error = false, "line 3" }, status.Warning,
			[]string{"the last reload was refused, so all is as before: line 3"}},
		{"panics", func(r *status.Report) {
			r.Panics = status.Panics{"milter": {"mail": 2, "helo": 0}, "exim": {"rcpt": 1}}
		}, status.Warning,
			[]string{"reputed itself has failed since its start, panics: 3"}},
		{"nobody reads the log", func(r *status.Report) { r.LogLost = 312 }, status.Warning,
			[]string{"lines of the log are lost since the start: 312"}},
		{"no keys", func(r *status.Report) { r.Keys = nil }, status.Warning, []string{"there are no keys, so no mail is signed"}},
		{"a weak key", func(r *status.Report) { r.Keys[0].Weak, r.Keys[0].Bits = true, 1024 }, status.Warning,
			[]string{"the key example.org/s1 is weak: 1024 bits"}},
		{"a listed domain", func(r *status.Report) {
			r.Domains = status.Domains([]mail.Domain{domain("example.org")},
				func(mail.Domain) []dnsbl.Listing { return []dnsbl.Listing{on(domains, dnsbl.Block, "phishing")} })
		}, status.Warning, []string{"example.org is on names (phishing) since 2026-11-24T03:00:00Z"}},
		{"the worst comes first, and what is bad weighs more than what is not known", func(r *status.Report) {
			leaveBy(egress("203.0.113.29", "203.0.113.26", "203.0.113.25"))(r)
			r.Keys = nil
		}, status.Blocklisted, []string{on25, "203.0.113.26 is on minor (bad neighbourhood) since 2026-11-24T03:00:00Z",
			"there are no keys, so no mail is signed", "it is not known whether 203.0.113.29 is on critical: no answer within 5s"}},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			found, worst := report(tt.change).Problems()
			var texts []string
			for _, p := range found {
				texts = append(texts, p.Text)
			}
			if diff := cmp.Diff(tt.texts, texts); diff != "" || worst != tt.worst {
				t.Errorf("worst %v, want %v\n%s", worst, tt.worst, diff)
			}
		})
	}
}

// Each problem says what to do about it.
func TestRemedies(t *testing.T) {
	found, _ := report(leaveBy(egress("203.0.113.25", "203.0.113.26"))).Problems()
	if len(found) != 2 || found[0].Remedy != "find the cause, then ask for removal: https://critical.example/remove" ||
		found[1].Remedy != "see https://minor.example/" {
		t.Errorf("%+v", found)
	}
}

// Of a resolver that is silent, it is said how to look; otherwise what was found at the lists.
func TestResolverRemedy(t *testing.T) {
	for _, tt := range []struct {
		health dnsbl.Health
		server string
		want   string
	}{
		{dnsbl.Silent, "127.0.0.1:53", "see that it runs and reaches the world (systemctl status unbound), or set [dns] servers"},
		{dnsbl.Silent, "192.0.2.1:53", "see that it runs, answers this host and reaches the world, or set [dns] servers"},
		{dnsbl.Silent, "", "see that it runs, answers this host and reaches the world, or set [dns] servers"},
		{dnsbl.Refusing, "192.0.2.1:53", "as found"},
	} {
		r := report(nil)
		r.Resolver.Health, r.Resolver.Remedy, r.Resolver.Servers = tt.health, "as found", nil
		if tt.server != "" {
			r.Resolver.Servers = []netip.AddrPort{netip.MustParseAddrPort(tt.server)}
		}
		if found, _ := r.Problems(); len(found) != 1 || found[0].Remedy != tt.want {
			t.Errorf("%v %s: %+v", tt.health, tt.server, found)
		}
	}
}

func TestVersion(t *testing.T) {
	if status.Version() == "" {
		t.Error("no version")
	}
}

// A new key that silent servers hold back is for somebody to mend, or to activate.
func TestHeldKey(t *testing.T) {
	d, _ := mail.ParseDomain("example.org")
	s, _ := mail.ParseDomain("s2")
	r := &status.Report{Keys: []status.Key{{
		Domain: d, Selector: s, State: "created", Sighting: "partly", Held: true, Reason: "of ns2 nothing is known", Remedy: "mend it",
	}}}
	problems, worst := r.Problems()
	const want = "the new key example.org/s2 does not sign, as it is not seen everywhere: of ns2 nothing is known"
	if worst != status.Warning || len(problems) != 1 || problems[0].Text != want || problems[0].Remedy != "mend it" {
		t.Errorf("%v: %+v", worst, problems)
	}
}

// A key that nobody sees any more is for somebody to mend; one that is on its way is not.
func TestUnseenKey(t *testing.T) {
	d, _ := mail.ParseDomain("example.org")
	s, _ := mail.ParseDomain("s1")
	r := &status.Report{Keys: []status.Key{
		{Domain: d, Selector: s, State: "active", Sighting: "nowhere", Unseen: true, Reason: "no such name", Remedy: "publish it"},
		{Domain: d, Selector: s, State: "created", Sighting: "partly"},
	}}
	problems, worst := r.Problems()
	if worst != status.Warning || len(problems) != 1 || problems[0].Text != "nobody sees the key example.org/s1: no such name" {
		t.Errorf("%v: %+v", worst, problems)
	}
}
