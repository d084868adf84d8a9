package check_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/mail"
)

// outcomes makes what a walk found of lines "item subject result grade".
func outcomes(t testing.TB, text string) (all []check.Outcome) {
	t.Helper()
	grades := map[string]policy.Grade{"pass": policy.Pass, "warn": policy.Warn, "fail": policy.Fail, "unknown": policy.Unknown}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		at := slices.IndexFunc(all, func(o check.Outcome) bool { return o.Item.ID == fields[0] })
		if at < 0 {
			at = len(all)
			all = append(all, check.Outcome{Item: &check.Item{ID: fields[0]}})
		}
		if len(fields) == 4 {
			o := &all[at]
			o.Findings = append(o.Findings, policy.Finding{
				Rule: fields[0], Subject: fields[1], Result: fields[2], Grade: grades[fields[3]],
			})
		}
	}
	return all
}

const wellKept = `
ptr 203.0.113.25 confirmed pass
spf example.org pass pass
spf mail.example.org none warn
dkim example.org/s1 match pass
dkim example.org/old revoked fail
dkimstrength example.org/s1 good pass
dmarc example.org monitoring warn
dmarc example.org rua-unknown unknown
align example.org both pass
postfix - forwarding warn
`

func host(t testing.TB) *check.Host {
	return &check.Host{Domains: []mail.Domain{domain(t, "example.org")}, Keys: []check.Key{key(t, "example.org", "active", false)}}
}

// grades writes how it stands: "Gmail ptr fail", those that pass left out.
func grades(found []policy.Finding) string {
	var all []string
	for _, f := range found {
		if f.Grade != policy.Pass {
			all = append(all, fmt.Sprintf("%s %s %s", f.Subject, f.Result, f.Grade))
		}
	}
	return strings.Join(all, ", ")
}

func TestProviders(t *testing.T) {
	for _, tt := range []struct {
		without, with string // lines that begin so are replaced
		want          string
		why           string
	}{
		{"", "", "", "a host that is well kept: neither SPF of its own name, nor an old key, nor reports matter"},
		{"ptr", "ptr 203.0.113.25 none fail", "Gmail ptr fail, Yahoo ptr fail, Apple ptr fail", "no name: counts for all"},
		{"ptr", "ptr 203.0.113.25 none warn", "Gmail ptr unknown, Yahoo ptr unknown, Apple ptr unknown", "of a guessed address"},
		{"ptr", "ptr 203.0.113.25 ambiguous warn", "", "two names"},
		{"ptr", "ptr", "", "all mail goes by a smarthost"},
		{"ptr", "", "Gmail ptr unknown, Yahoo ptr unknown, Apple ptr unknown", "it was not looked at"},
		{
			"spf example.org", "spf example.org softfail warn",
			"Gmail spf warn, Yahoo spf warn, Microsoft spf warn, Apple spf warn", "only a pass passes; DKIM does for small senders",
		},
		{
			"spf example.org", "spf example.org fail warn",
			"Gmail spf unknown, Yahoo spf unknown, Microsoft spf unknown, Apple spf unknown", "of a guessed address",
		},
		{
			"dkim example.org/s1", "dkim example.org/s1 mismatch fail",
			"Gmail dkim warn, Yahoo dkim warn, Microsoft dkim warn, Apple dkim warn", "the key that signs",
		},
		{
			"dkim example.org/s1", "dkim example.org/s1 unknown unknown",
			"Gmail dkim unknown, Yahoo dkim unknown, Microsoft dkim unknown, Apple dkim unknown", "the DNS is silent",
		},
		{"dmarc", "dmarc example.org none warn", "Gmail dmarc warn, Yahoo dmarc warn, Microsoft dmarc warn, Apple dmarc warn", "none"},
		{"dmarc", "dmarc example.org several fail", "Gmail dmarc warn, Yahoo dmarc warn, Microsoft dmarc warn, Apple dmarc warn", "as good as none"},
		{"align", "align example.org spf warn", "", "the envelope is enough"},
		{"align", "align example.org neither fail", "Gmail align warn, Yahoo align warn, Microsoft align warn", "neither"},
		{"align", "align example.org disputed warn", "Gmail align unknown, Yahoo align unknown, Microsoft align unknown", "it depends"},
		{"dkimstrength", "dkimstrength example.org/s1 weak warn", "", "1024 bits do"},
		{"dkimstrength", "dkimstrength example.org/s1 too-short fail", "Gmail key fail, Yahoo key fail", "fewer do not"},
		{"postfix", "postfix - tls warn", "Gmail tls fail", "in the clear"},
		{"postfix", "exim - tls warn", "Gmail tls fail", "likewise"},
		{"postfix", "postfix - unreadable unknown", "Gmail tls unknown", "its settings cannot be read"},
		{"postfix", "postfix", "Gmail tls unknown", "no mail server is known"},
	} {
		var lines []string
		for line := range strings.Lines(wellKept) {
			if tt.without == "" || !strings.HasPrefix(line, tt.without) {
				lines = append(lines, line)
			}
		}
		text := strings.Join(lines, "") + tt.with
		if got := grades(host(t).Providers(outcomes(t, text))); got != tt.want {
			t.Errorf("%s: %s", tt.why, got)
		}
	}
}

func TestProvidersOfNothing(t *testing.T) {
	for _, f := range new(check.Host).Providers(nil) {
		if f.Grade != policy.Unknown {
			t.Errorf("%+v", f)
		}
	}
	both := strings.NewReplacer("spf example.org pass pass", "spf example.org none fail",
		"dkim example.org/s1 match pass", "dkim example.org/s1 nxdomain fail").Replace(wellKept)
	got := grades(host(t).Providers(outcomes(t, both)))
	if !strings.Contains(got, "Gmail spf-or-dkim fail") || !strings.Contains(got, "Yahoo spf-or-dkim fail") {
		t.Errorf("neither SPF nor DKIM: %s", got)
	}
}

// Each finding says with which codes the provider refuses, and which item says more.
func TestProvidersSayMore(t *testing.T) {
	for _, f := range host(t).Providers(outcomes(t, strings.Replace(wellKept, "confirmed pass", "none fail", 1))) {
		if f.Rule != "providers" || f.Reason == "" || !strings.HasPrefix(f.Advice, "see ") {
			t.Errorf("%+v", f)
		}
		if f.Subject != "Gmail" || f.Result != "ptr" {
			continue
		}
		if f.Advice != "see ptr" || !strings.Contains(f.Reason, "203.0.113.25") || f.Evidence[0].Value != "421 4.7.23, 550 5.7.25" {
			t.Errorf("%+v", f)
		}
	}
}

// What the function looks for is what the items are called.
func TestProvidersKnowTheItems(t *testing.T) {
	for _, id := range []string{"ptr", "spf", "dkim", "dkimstrength", "dmarc", "align"} {
		item(t, id)
	}
}
