package held

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reputed/policy"
	"reputed/policy/mail"
)

func domain(s string) mail.Domain {
	d, err := mail.ParseDomain(s)
	if err != nil {
		panic(err)
	}
	return d
}

var noon = time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC)

// routes are three ways by which mail leaves.
func routes() policy.Routes {
	a, b := netip.MustParseAddr("203.0.113.25"), netip.MustParseAddr("2001:db8::25")
	return policy.Routes{
		{Egress: &mail.Egress{Name: "bulk", Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.26")}}},
		{Egress: &mail.Egress{Name: "default", Addresses: []netip.Addr{a, b}}},
		{Egress: &mail.Egress{Name: "esp", Via: domain("spf.esp.example")}},
	}
}

func evidence(names ...string) (all []policy.Evidence) {
	for _, n := range names {
		all = append(all, policy.Evidence{Name: n, Value: "x"})
	}
	return all
}

// record is of a message that is held because the egress is listed.
func record() *policy.Record {
	return &policy.Record{
		Tx:    &mail.Transaction{QueueID: "4Xk2bS1Vz9", Path: "ann@example.org", RecipientCount: 3},
		Class: policy.Ours,
		Verdict: policy.Verdict{Action: policy.Hold, Rule: "dnsbl", Findings: []policy.Finding{
			{Rule: "from", Result: "known", Grade: policy.Pass},
			{Rule: "spf", Result: "softfail", Grade: policy.Warn, Subject: "example.org", Reason: "r1", Evidence: evidence("203.0.113.25", "2001:db8::25")},
			{Rule: "spf", Result: "temperror", Grade: policy.Unknown, Subject: "example.org", Reason: "r2"},
			{Rule: "dnsbl", Result: "listed", Grade: policy.Fail, Subject: "2001:db8::25", Reason: "r3", Evidence: evidence("2001:db8::25")},
			{Rule: "dnsbl", Result: "listed", Grade: policy.Fail, Subject: "2001:db8::25", Reason: "r3", Evidence: evidence("2001:db8::25")},
		}},
	}
}

// An entry has what is needed to find out whether the message must still be held.
func TestEntry(t *testing.T) {
	got := newEntry(record(), routes(), noon)
	want := Entry{
		Queue: "4Xk2bS1Vz9", Time: noon, Sender: "ann@example.org", Recipients: 3, Rule: "dnsbl",
		Causes: []Cause{
			{"dnsbl", "listed", "2001:db8::25", "default", "r3"},
			{"spf", "softfail", "example.org", "default", "r1"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The egress is the one that has all the addresses of the finding.
func TestEgressOf(t *testing.T) {
	for _, tt := range []struct {
		why   string
		names []string
		want  string
	}{
		{"its addresses", []string{"203.0.113.25", "2001:db8::25"}, "default"},
		{"one of them", []string{"203.0.113.26"}, "bulk"},
		{"a smarthost", []string{"mail via spf.esp.example"}, "esp"},
		{"addresses of two", []string{"203.0.113.25", "203.0.113.26"}, ""},
		{"another's address", []string{"192.0.2.1"}, ""},
		{"another smarthost", []string{"mail via spf.other.example"}, ""},
		{"nothing that names one", []string{"mail.example.org"}, ""},
		{"nothing at all", nil, ""},
	} {
		if got := egressOf(&policy.Finding{Evidence: evidence(tt.names...)}, routes()); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.why, got, tt.want)
		}
	}
}

// What strangers send cannot make an entry large.
func TestEntryBounds(t *testing.T) {
	r := record()
	r.Tx.Path = strings.Repeat("é", 40000)
	for i := range 100 {
		f := policy.Finding{Rule: "spf", Result: "fail", Grade: policy.Fail, Subject: strings.Repeat("a", i), Reason: strings.Repeat("é", 5000)}
		r.Verdict.Findings = append(r.Verdict.Findings, f)
	}
	e := newEntry(r, routes(), noon)
	if len(e.Causes) != maxCauses || len(e.Causes[5].Reason) > maxReason+50 || len(e.Sender) > maxSender+50 || e.Causes[0].Rule != "dnsbl" {
		t.Errorf("%d causes, reason of %d, sender of %d octets", len(e.Causes), len(e.Causes[5].Reason), len(e.Sender))
	}
	if !strings.HasSuffix(e.Sender, "é (and 79000 octets)") {
		t.Errorf("...%q", e.Sender[len(e.Sender)-40:])
	}
}

// Queue ids are used again: what was held before the message in the queue arrived was another one.
func TestFind(t *testing.T) {
	entries := []Entry{{Queue: "A", Time: noon, Rule: "old"}, {Queue: "B", Time: noon}, {Queue: "A", Time: noon.Add(time.Hour), Rule: "new"}}
	for _, tt := range []struct {
		queue   string
		arrived time.Time
		rule    string
		ours    bool
	}{
		{"A", noon.Add(time.Hour - time.Minute), "new", true},
		{"A", noon.Add(time.Hour + 2*time.Second), "new", true},
		{"A", noon.Add(2 * time.Hour), "", false},
		{"B", noon.Add(-time.Minute), "", true},
		{"B", noon.Add(time.Minute), "", false},
		{"C", noon, "", false},
	} {
		e, ours := Find(entries, tt.queue, tt.arrived)
		if ours != tt.ours || ours && e.Rule != tt.rule {
			t.Errorf("%s at %v: %v %q", tt.queue, tt.arrived, ours, e.Rule)
		}
	}
}
