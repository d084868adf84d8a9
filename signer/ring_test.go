package signer_test

import (
	"errors"
	"strings"
	"testing"

	"reputed/policy/mail"
	"reputed/signer"
)

// Who signs for whom.
func TestChoose(t *testing.T) {
	keys := []*signer.Key{
		newKey(t, "example.org", "a", edKey(1)), newKey(t, "example.org", "b", edKey(2)),
		newKey(t, "esp.example", "c", edKey(3)), newKey(t, "deep.example.net", "d", edKey(4)),
	}
	rules := []signer.Rule{
		{Domain: domain(t, "example.org"), Selectors: []mail.Domain{domain(t, "b")}, Subdomains: true},
		{Domain: domain(t, "example.net"), Below: true, SignAs: domain(t, "esp.example")},
		{Domain: domain(t, "empty.example")},
	}
	every := append(rules[:3:3], signer.Rule{SignAs: domain(t, "esp.example")})
	tests := []struct {
		from   string
		status signer.Status
		as     string
		keys   int
		holds  bool
		every  signer.Status // with a rule for every domain
	}{
		{"example.org", signer.Usable, "example.org", 1, true, signer.Usable},
		{"a.b.example.org", signer.Usable, "example.org", 1, true, signer.Usable},
		{"notexample.org", signer.Foreign, "", 0, false, signer.Usable},
		{"example.net", signer.Foreign, "", 0, false, signer.Usable},
		{"x.example.net", signer.Usable, "esp.example", 1, true, signer.Usable},
		{"deep.example.net", signer.Usable, "deep.example.net", 1, true, signer.Usable},
		{"x.deep.example.net", signer.Usable, "esp.example", 1, true, signer.Usable},
		{"esp.example", signer.Usable, "esp.example", 1, true, signer.Usable},
		{"x.esp.example", signer.Foreign, "", 0, false, signer.Usable},
		{"empty.example", signer.NoKey, "empty.example", 0, true, signer.NoKey},
		{"dir.example", signer.NoKey, "dir.example", 0, true, signer.NoKey},
	}
	expected := []mail.Domain{domain(t, "dir.example"), domain(t, "example.org")}
	ring, err := signer.NewRing(rules, expected, keys)
	if err != nil {
		t.Fatal(err)
	}
	catchAll, err := signer.NewRing(every, expected, keys)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		d := domain(t, tt.from)
		c := ring.Choose(d)
		if c.Status != tt.status || c.Domain.String() != tt.as || len(c.Keys) != tt.keys || ring.Holds(d) != tt.holds {
			t.Errorf("%s: %+v, holds %v", tt.from, c, ring.Holds(d))
		}
		if c := catchAll.Choose(d); c.Status != tt.every || catchAll.Holds(d) != tt.holds {
			t.Errorf("%s with a rule for every domain: %+v, holds %v", tt.from, c, catchAll.Holds(d))
		}
	}
	none := mail.Domain{}
	if ring.Choose(none).Status != signer.Foreign || ring.Holds(none) || catchAll.Choose(none).Status != signer.Foreign {
		t.Error("the zero domain is signed for")
	}
	in := []signer.Rule{{Domain: domain(t, "example.org"), Selectors: []mail.Domain{domain(t, "zz")}}}
	_, err = signer.NewRing(in, nil, keys)
	if err == nil || !strings.Contains(err.Error(), "selector zz") {
		t.Errorf("a selector without key: %v", err)
	}
}

// Whom nobody signs for is an error that says which.
func TestBeginErrors(t *testing.T) {
	keys := []*signer.Key{newKey(t, "example.org", "a", edKey(1))}
	ring, _ := signer.NewRing([]signer.Rule{{Domain: domain(t, "empty.example")}}, nil, keys)
	s := signer.New(ring, signer.Options{})
	for header, want := range map[string]error{
		"Subject: x":                                   signer.ErrNoAuthor,
		"From: undisclosed:;":                          signer.ErrNoAuthor,
		"From: a@example.net":                          signer.ErrForeign,
		"From: a@empty.example":                        signer.ErrNoKey,
		"From: a@example.net, b@empty.example":         signer.ErrNoKey,
		"From: a@example.org, b@empty.example":         nil,
		"From: =?utf-8?q?a=40example.org?= <x@y.test>": signer.ErrForeign,
	} {
		g, _, err := begin(t, s, []byte(header+"\r\n\r\n"))
		if !errors.Is(err, want) || (g == nil) != (want != nil) {
			t.Errorf("%s: %v, want %v", header, err, want)
		}
		if g != nil {
			g.Release()
			g.Release()
		}
	}
}
