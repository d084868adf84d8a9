package spf_test

import (
	"fmt"
	"testing"

	"reputed/policy/spf"
)

// A name that has what any other would have, and no more, is one of a wildcard.
func TestWildcard(t *testing.T) {
	world := records{
		"A *.wild.example":       {"192.0.2.1", "192.0.2.2"},
		"MX *.wild.example":      {"mx.example"},
		"A x.wild.example":       {"192.0.2.2", "192.0.2.1"},
		"MX x.wild.example":      {"mx.example"},
		"A own.wild.example":     {"192.0.2.9"},
		"MX own.wild.example":    {"mx.example"},
		"TXT noted.wild.example": {"v=spf1 -all"},
		"A plain.example":        {"192.0.2.1"},
		"A *.dark.example":       {"fail"},
	}
	for _, tt := range []struct{ why, domain, want string }{
		{"a name that nobody made", "any.wild.example", "[A MX]"},
		{"in another order", "x.wild.example", "[A MX]"},
		{"below it", "a.b.wild.example", "[A MX]"},
		{"with an address of its own", "own.wild.example", "[]"},
		{"with a record of its own, and so nothing of the wildcard's", "noted.wild.example", "[]"},
		{"no wildcard", "plain.example", "[]"},
		{"no answer", "x.dark.example", "[]"},
		{"no domain", "lan", "[]"},
		{"no parent in the DNS", "x.example", "[]"},
	} {
		c := spf.Checker{Resolver: world}
		if got := c.Wildcard(t.Context(), tt.domain, "q7x2"); fmt.Sprint(got) != tt.want {
			t.Errorf("%s: %s: %v, want %s", tt.why, tt.domain, got, tt.want)
		}
	}
}
