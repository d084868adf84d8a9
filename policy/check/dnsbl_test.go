package check_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dnsbl"
	"reputed/policy/mail"
)

var (
	critical = &dnsbl.List{
		ID: "critical", Name: "The Critical List", Zone: "bl.critical.example", Tier: dnsbl.Critical,
		LookupURL: "https://www.critical.example/look", RemovalURL: "https://remove.critical.co.uk/",
	}
	minor = &dnsbl.List{ID: "minor", Name: "A Minor List", Operator: "Some Body", Zone: "bl.minor.example", Tier: dnsbl.Informational}
)

// on makes the listing of an address on a list.
func on(l *dnsbl.List, severity dnsbl.Severity, meaning string) dnsbl.Listing {
	return dnsbl.Listing{
		List: l, State: dnsbl.Listed, Severity: severity, Codes: []dnsbl.Match{{Code: dnsbl.Code{Meaning: meaning, Severity: severity}}},
		Since: time.Date(2026, time.November, 24, 3, 0, 0, 0, time.UTC),
	}
}

// What listings come to: every address of the egress must be on a list that may act, for a code that makes receivers
// refuse, or it is only logged.
func TestDNSBL(t *testing.T) {
	const a, b, c = "203.0.113.25", "2001:db8::25", "203.0.113.26"
	listings := map[netip.Addr][]dnsbl.Listing{
		netip.MustParseAddr(a):              {on(critical, dnsbl.Block, "spam source")},
		netip.MustParseAddr(b):              {on(minor, dnsbl.Block, "in a bad neighbourhood"), on(critical, dnsbl.Block, "snowshoe")},
		netip.MustParseAddr(c):              {on(critical, dnsbl.Warn, "no reverse name"), on(minor, dnsbl.Info, "new")},
		netip.MustParseAddr("203.0.113.27"): {on(minor, dnsbl.Block, "in a bad neighbourhood")},
		netip.MustParseAddr("203.0.113.28"): {on(minor, dnsbl.Info, "new"), on(critical, dnsbl.Good, "known good")},
	}
	d := &check.DNSBL{
		Listed: func(a netip.Addr) []dnsbl.Listing { return listings[a] },
		Acts:   func(l *dnsbl.List) bool { return l.Tier == dnsbl.Critical },
	}
	tests := []struct {
		why    string
		egress *mail.Egress
		result string // "": nothing is said
		reason string
	}{
		{"on no list", egress(t, "", "203.0.113.99"), "", ""},
		{"the only address is listed", egress(t, "", a), check.Listed, "203.0.113.25 is on critical (spam source) since 2026-11-24T03:00:00Z"},
		{"both are: of each the list that acts counts", egress(t, "", a, b), check.Listed, "2001:db8::25 is on critical (snowshoe)"},
		{"one of two is", egress(t, "", a, "203.0.113.99"), check.Some, "203.0.113.25 is on critical"},
		{"for a lesser reason", egress(t, "", c), check.Some, "203.0.113.26 is on critical (no reverse name)"},
		{"one of two for a lesser reason", egress(t, "", a, c), check.Some, "203.0.113.26 is on critical (no reverse name)"},
		{"on a list that only informs", egress(t, "", "203.0.113.27"), check.Some, "203.0.113.27 is on minor"},
		{"for what is only good to know", egress(t, "", "203.0.113.28"), "", ""},
		{"a smarthost, whose addresses are not known", egress(t, "spf.esp.example"), "", ""},
	}
	rules := []policy.Rule{check.DNSBLRule(policy.Defer, false)}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			envelope := check.Envelope{Routes: policy.Routes{{Egress: tt.egress}}, Holds: func(mail.Domain) bool { return true }, DNSBL: d}
			found, _ := envelope.Begin(t.Context(), &mail.Transaction{Client: &mail.Client{}}).Findings(tt.egress)
			if tt.result == "" {
				if len(found) != 0 {
					t.Errorf("%+v", found)
				}
				return
			}
			if len(found) != 1 || found[0].Result != tt.result || !strings.Contains(found[0].Reason, tt.reason) {
				t.Fatalf("%+v", found)
			}
			v := policy.Decide(rules, found, 0)
			if acts := v.Action == policy.Defer; acts != (tt.result == check.Listed) {
				t.Errorf("%v", v.Action)
			}
		})
	}
	found, _ := (&check.Envelope{Holds: func(mail.Domain) bool { return true }, DNSBL: d}).
		Begin(t.Context(), &mail.Transaction{Client: &mail.Client{}}).Findings(egress(t, "", a))
	want := "451 4.7.1 this server's address 203.0.113.25 is on the list The Critical List (spam source), " +
		"see https://www.critical.example/look; its administrator must have it removed"
	if got := policy.Decide(rules, found, 0).Reply.String(); got != want {
		t.Errorf("reply %q\nwant  %q", got, want)
	}
	if want := "find the cause, then ask for removal: https://remove.critical.co.uk/"; found[0].Advice != want {
		t.Errorf("advice %q", found[0].Advice)
	}
}

// Who spares what: mail to those who can help goes out, listed or not.
func TestDNSBLSpares(t *testing.T) {
	local := &dnsbl.List{
		ID: "local", Zone: "{key}.dq.local.example", Tier: dnsbl.Critical,
		LookupURL: "https://github.io/", RemovalURL: "https://forms.google.com/d/e/1FAI",
	}
	acts := func(l *dnsbl.List) bool { return l.Tier == dnsbl.Critical }
	e := egress(t, "", "203.0.113.25")
	envelope := check.Envelope{
		Routes: policy.Routes{{Egress: e}},
		Holds:  func(mail.Domain) bool { return true },
		DNSBL: &check.DNSBL{
			Listed: func(netip.Addr) []dnsbl.Listing { return []dnsbl.Listing{on(critical, dnsbl.Block, "spam source")} },
			Acts:   acts,
			Reach:  check.NewReach([]*dnsbl.List{critical, minor, local}, acts),
		},
	}
	q := envelope.Begin(t.Context(), &mail.Transaction{Client: &mail.Client{}})
	found, _ := q.Findings(e)
	for to, spared := range map[string]bool{
		"friend@elsewhere.example":      false,
		"postmaster@elsewhere.example":  true,
		"Abuse@elsewhere.example":       true,
		"postmaster2@elsewhere.example": false,
		"delist@critical.example":       true, // of its look-up page and zone
		"help@remove.critical.co.uk":    true, // of its removal page
		"help@x.remove.critical.co.uk":  true,
		"help@mail.critical.co.uk":      false, // may be of somebody else
		"somebody@co.uk":                false,
		"help@minor.example":            false, // of a list that refuses nothing
		"help@local.example":            true,  // of its zone
		"help@mail.local.example":       true,
		"x@forms.google.com":            true,
		"somebody@google.com":           false, // which the removal page of a list is in
		"somebody@mail.google.com":      false,
		"somebody@theirs.github.io":     false, // which is a public suffix
	} {
		r := &mail.Recipient{Path: to}
		r.Addr, _ = mail.ParsePath(to)
		chosen, circumstances := q.Egress(r)
		if chosen != e {
			t.Fatalf("%s leaves by %v", to, chosen)
		}
		v := policy.Decide([]policy.Rule{check.DNSBLRule(policy.Reject, false)}, found, circumstances)
		if (v.Action == policy.Log) != spared {
			t.Errorf("%s: %v", to, v.Action)
		}
	}
	for name, x := range map[string]policy.Exemption{"a bounce": policy.NullSender, "it may stay": policy.MayStay, "it may be relayed": policy.MayRelay} {
		if v := policy.Decide([]policy.Rule{check.DNSBLRule(policy.Reject, false)}, found, x); v.Action != policy.Log {
			t.Errorf("%s: %v", name, v.Action)
		}
	}
	if v := policy.Decide([]policy.Rule{check.DNSBLRule(policy.Defer, false)}, found, policy.Person); v.Action != policy.Hold {
		t.Errorf("a person who would not try again: %v", v.Action)
	}
	if v := policy.Decide([]policy.Rule{check.DNSBLRule(policy.Defer, true)}, found, 0); v.Action != policy.Log || v.Would != policy.Defer {
		t.Errorf("observing: %+v", v)
	}
}

// Looking at what the monitor knows takes no memory when there is nothing to say.
func TestDNSBLAllocations(t *testing.T) {
	e := egress(t, "", "203.0.113.25", "2001:db8::25")
	d := &check.DNSBL{Listed: func(netip.Addr) []dnsbl.Listing { return nil }, Acts: func(*dnsbl.List) bool { return true }}
	envelope := check.Envelope{Routes: policy.Routes{{Egress: e}}, Holds: func(mail.Domain) bool { return true }, DNSBL: d}
	q := envelope.Begin(t.Context(), &mail.Transaction{Client: &mail.Client{}})
	if n := testing.AllocsPerRun(100, func() { q.Findings(e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
