package check_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dns"
	"reputed/policy/dnsbl"
	"reputed/policy/mail"
)

// Where the keys may not be read, nothing that rests on them passes, or fails.
func TestKeysThatAreNotKnown(t *testing.T) {
	_, resolver := zone(t, `example.org. TXT "v=spf1 ip4:203.0.113.25 -all"`)
	h := sending(t, "203.0.113.25")
	h.Resolver, h.Domains = resolver, []mail.Domain{domain(t, "example.org")}
	h.NoKeys = "open /var/lib/reputed/keys: permission denied"
	h.Local.Stat = func(string) (check.FileFact, error) { return check.FileFact{}, nil }
	h.Signs = func(mail.Domain) mail.Domain { return mail.Domain{} }
	for _, id := range []string{"dkim", "dkimstrength", "dkimflags", "dkimwildcard", "dkimfile"} {
		f := one(t, id, h)
		if f.Grade != policy.Unknown {
			t.Errorf("%+v", f)
		}
		tells(t, f, h.NoKeys, "--selector")
	}
	h.NoKeys = ""
	f := one(t, "dkim", h)
	if f.Grade != policy.Fail || f.Advice != "reputed keys new example.org" {
		t.Errorf("there are keys, and none signs: %+v", f)
	}
	h.Signs = func(mail.Domain) mail.Domain { return domain(t, "esp.example") }
	if found := ask(t, t.Context(), "dkim", h); found != nil {
		t.Errorf("another domain signs: %+v", found)
	}
}

// A host that greets as an address is refused by many, whatever else is known of it.
func TestHeloLiteral(t *testing.T) {
	for _, literal := range []string{"[203.0.113.25]", "[IPv6:2001:db8::25]"} {
		h := sending(t, "203.0.113.25")
		h.Name, h.Literal = mail.Domain{}, literal
		h.Routes[0].Egress.Hostname = mail.Domain{}
		f := one(t, "helo", h)
		if f.Result != "literal" || f.Grade != policy.Fail || f.Subject != literal {
			t.Errorf("%+v", f)
		}
	}
}

// What is known of lists already is not asked for again.
func TestListingsThatAreKnown(t *testing.T) {
	catalogue, err := dnsbl.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	h := sending(t, "203.0.113.25")
	h.Resolver = dns.ResolverFunc(func(_ context.Context, name string, _ dns.Type) dns.Answer {
		t.Errorf("%s was asked for", name)
		return dns.Answer{}
	})
	l := catalogue.Lists()[0]
	h.Listings = func(s dnsbl.Subject) []dnsbl.Result {
		return []dnsbl.Result{{List: l, Subject: s, State: dnsbl.Clear}}
	}
	if f := one(t, "listed", h); f.Result != check.Clear || f.Grade != policy.Pass {
		t.Errorf("%+v", f)
	}
}

// A walk ends when its time does, whatever the items wait for; and one that panics takes no other with it.
func TestWalk(t *testing.T) {
	waits := func(ctx context.Context, _ *check.Host) []policy.Finding {
		<-ctx.Done()
		return []policy.Finding{{Rule: "waits", Result: "unknown", Grade: policy.Unknown, Reason: "the time was up"}}
	}
	var items []check.Item
	for range 40 { // more than are asked at once
		items = append(items, check.Item{ID: "waits", Ask: waits})
	}
	items = append(items, check.Item{ID: "panics", Ask: func(context.Context, *check.Host) []policy.Finding { panic("oh") }})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	told := 0
	outcomes := new(check.Host).Walk(ctx, items, func(check.Outcome) { told++ })
	if len(outcomes) != len(items) || told != len(items) {
		t.Fatalf("%d outcomes, told of %d", len(outcomes), told)
	}
	for i, o := range outcomes {
		if o.Item != &items[i] || len(o.Findings) != 1 || o.Findings[0].Grade != policy.Unknown {
			t.Errorf("%+v", o)
		}
	}
	if f := outcomes[len(items)-1].Findings[0]; !strings.Contains(f.Reason, "oh") {
		t.Errorf("%+v", f)
	}
}
