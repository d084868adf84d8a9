package signer_test

import (
	"errors"
	"strings"
	"testing"

	"reputed/signer"
)

// Selectors are what RFC 6376, section 3.1 says and no more: with others receivers differ.
func TestParseSelector(t *testing.T) {
	for _, good := range []string{"s1", "S1", "s202611-k7f3q9", "a.b-c.9", "2026", strings.Repeat("x", 63)} {
		if s, err := signer.ParseSelector(good); err != nil || s.String() != strings.ToLower(good) {
			t.Errorf("%q: %v, %v", good, s, err)
		}
	}
	bad := []string{"", ".", "-a", "a-", "a.-b", "a-.b", ".a", "a.", "a..b", "a_b", "s1._domainkey", "a b", "ü", "a/b",
		"*", strings.Repeat("x", 64)}
	for _, s := range bad {
		if d, err := signer.ParseSelector(s); !errors.Is(err, signer.ErrSelector) || !d.IsZero() {
			t.Errorf("%q: %v, %v", s, d, err)
		}
	}
}
