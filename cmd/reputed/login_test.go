package main

import (
	"slices"
	"testing"

	"reputed/cmd/reputed/internal/config"
	"reputed/policy"
)

// What is found of logins leads to what the configuration says; where nobody is asked there is no rule, so that what was
// held by one is free again.
func TestLoginRule(t *testing.T) {
	for text, want := range map[string]policy.Action{
		"[login]\nown = 'domain'": policy.Reject, "[login]\nown = 'address'\nforeign = 'hold'": policy.Hold,
		"[login]\nforeign = 'hold'": policy.Log,
	} {
		cfg, err := config.Load("x.toml", []byte(text), config.Host{FullName: demoHost})
		if err != nil {
			t.Fatal(err)
		}
		rules := siteRules(cfg)
		at := slices.IndexFunc(rules, func(r policy.Rule) bool { return r.Name == "login" })
		if (at >= 0) != (want != policy.Log) || at >= 0 && rules[at].On["foreign"] != want {
			t.Errorf("%q: %+v", text, rules)
		}
	}
}
