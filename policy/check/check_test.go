package check_test

import (
	"context"
	"strings"
	"testing"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/mail"
)

// transaction makes one whose header has these lines.
func transaction(lines ...string) *mail.Transaction {
	h := new(mail.Header)
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ":")
		h.Add([]byte(name), []byte(value))
	}
	return &mail.Transaction{Client: &mail.Client{}, Path: "a@example.org", Header: h, Author: h.ReadAuthor()}
}

// holding knows two domains: one with a key, one without.
func holding(d mail.Domain) check.Holding {
	switch d.String() {
	case "example.org":
		return check.Usable
	case "broken.example":
		return check.NoKey
	}
	return check.NoDomain
}

// What each check finds, and what its rule makes of it for mail that leaves, for a bounce, and for mail that stays.
func TestMessageChecks(t *testing.T) {
	checks := []policy.Check{check.HeaderSize, check.From, check.Keys(holding)}
	rules := []policy.Rule{check.HeaderRule(), check.FromRule(), check.KeyRule(policy.Log, policy.Defer)}
	cut := transaction("From: a@example.org")
	cut.Cut = true
	tests := []struct {
		name   string
		tx     *mail.Transaction
		found  string // rule/result of each finding
		leaves string
		bounce string
		stays  string
	}{
		{"as it should be", transaction("From: a@example.org"), "", "log", "log", "log"},
		{"two From fields", transaction("From: a@example.org", "FROM: b@example.org"), "from/several", "reject", "log", "reject"},
		{"no From", transaction("Subject: x"), "from/none", "log", "log", "log"},
		{"an empty group", transaction("From: undisclosed:;"), "from/invalid", "log", "log", "log"},
		{"an address and rubbish", transaction("From: a@example.org, rubbish"), "from/invalid", "log", "log", "log"},
		{"another's domain", transaction("From: a@elsewhere.example"), "key/foreign", "log", "log", "log"},
		{"a domain whose keys are broken", transaction("From: a@broken.example"), "key/missing", "defer", "log", "log"},
		{"two authors, one of them ours", transaction("From: a@example.org, b@elsewhere.example"), "key/foreign", "log", "log", "log"},
		{"too large a header", cut, "header/too-large", "reject", "log", "reject"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var found []policy.Finding
			var words []string
			for _, c := range checks {
				found = append(found, c(context.Background(), tt.tx)...)
			}
			for _, f := range found {
				words = append(words, f.Rule+"/"+f.Result)
				if f.Reason == "" || f.Grade == policy.Pass {
					t.Errorf("finding without reason or grade: %+v", f)
				}
			}
			if got := strings.Join(words, " "); got != tt.found {
				t.Errorf("found %q, want %q", got, tt.found)
			}
			for exempt, want := range map[policy.Exemption]string{0: tt.leaves, policy.NullSender: tt.bounce, policy.AllStay: tt.stays} {
				if v := policy.Decide(rules, found, exempt); v.Action.String() != want {
					t.Errorf("exemption %d: %v, want %s", exempt, v.Action, want)
				}
			}
		})
	}
}

// A missing key waits in the maildrop of sendmail(1): held mail would leave unsigned when it is released.
func TestMissingKeyIsNeverHeld(t *testing.T) {
	found := check.Keys(holding)(context.Background(), transaction("From: a@broken.example"))
	v := policy.Decide([]policy.Rule{check.KeyRule(policy.Log, policy.Defer)}, found, policy.LocalPort)
	if v.Action != policy.Defer || v.Reply.Code != 451 || v.Reply.Enhanced != "4.3.0" {
		t.Errorf("%v, reply %v", v.Action, v.Reply)
	}
}
