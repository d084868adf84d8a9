package signer_test

import (
	"crypto"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

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

// in gives a key in a state that it came to at an hour.
func in(k *signer.Key, s signer.State, hour int) *signer.Key {
	return k.In(signer.Life{}.Enter(s, fixedTime().Add(time.Duration(hour)*time.Hour), ""))
}

// Only active keys sign. A domain whose keys have never signed is as if there were none, unless something else says
// that it is to be signed for.
func TestChooseByState(t *testing.T) {
	states := map[string]signer.State{
		"c": signer.Created, "p": signer.Published, "a": signer.Active, "r": signer.Retiring, "x": signer.Revoked,
	}
	tests := []struct {
		keys     string // the first letters of their states
		rule     string // its selectors; "*": a rule that names none
		expected bool
		status   signer.Status
		signing  string
		waiting  string
	}{
		{"capr", "", false, signer.Usable, "a", ""},
		{"c", "", false, signer.Foreign, "", "c"},
		{"cp", "", false, signer.Foreign, "", "cp"},
		{"cp", "", true, signer.NoKey, "", "cp"},
		{"cp", "*", false, signer.NoKey, "", "cp"},
		{"cr", "", false, signer.Usable, "r", ""}, // the active one was revoked, or is broken
		{"r", "", false, signer.Usable, "r", ""},
		{"cx", "", false, signer.NoKey, "", "c"},
		{"ca", "c", false, signer.NoKey, "", "c"},
		{"ca", "ca", false, signer.Usable, "a", ""},
	}
	for _, tt := range tests {
		var keys []*signer.Key
		for i, c := range tt.keys {
			keys = append(keys, in(newKey(t, "example.org", string(c), edKey(byte(i))), states[string(c)], i))
		}
		var rules []signer.Rule
		if tt.rule != "" {
			r := signer.Rule{Domain: domain(t, "example.org")}
			for _, s := range strings.Trim(tt.rule, "*") {
				r.Selectors = append(r.Selectors, domain(t, string(s)))
			}
			rules = append(rules, r)
		}
		var expected []mail.Domain
		if tt.expected {
			expected = append(expected, domain(t, "example.org"))
		}
		ring, err := signer.NewRing(rules, expected, keys)
		if err != nil {
			t.Errorf("%s: %v", tt.keys, err)
		}
		c := ring.Choose(domain(t, "example.org"))
		if c.Status != tt.status || selectors(c.Keys) != tt.signing || selectors(c.Waiting) != tt.waiting {
			t.Errorf("keys %s, rule %q: status %v, signing %s, waiting %s", tt.keys, tt.rule, c.Status,
				selectors(c.Keys), selectors(c.Waiting))
		}
		if holds := ring.Holds(domain(t, "example.org")); holds != (tt.status != signer.Foreign) {
			t.Errorf("keys %s, rule %q: holds %v", tt.keys, tt.rule, holds)
		}
	}
}

func selectors(keys []*signer.Key) (s string) {
	for _, k := range keys {
		s += k.ID().Selector.String()
	}
	return s
}

// A new key below a domain that is signed for as a whole leaves its mail with the key that signs it now.
func TestChooseFreshBelow(t *testing.T) {
	keys := []*signer.Key{newKey(t, "example.org", "a", edKey(1)),
		in(newKey(t, "sub.example.org", "c", edKey(2)), signer.Created, 0)}
	rules := []signer.Rule{{Domain: domain(t, "example.org"), Subdomains: true}}
	ring, _ := signer.NewRing(rules, nil, keys)
	if c := ring.Choose(domain(t, "sub.example.org")); c.Status != signer.Usable || c.Domain != domain(t, "example.org") {
		t.Errorf("%+v", c)
	}
}

// Keys whose records are gone yield to those that can be seen, within their algorithm; when none can be seen, they sign
// on.
func TestWithout(t *testing.T) {
	tests := []struct {
		keys   string // selectors: e, f, g are Ed25519, s, t, u are RSA; in upper case they are retiring
		unseen string
		want   string
		why    string
	}{
		{"efs", "", "efs", "all can be seen"},
		{"efs", "e", "fs", "another active one of the algorithm is there"},
		{"eFs", "e", "fs", "the one before it is still there"},
		{"eFGs", "e", "gs", "of those before it, the newest"},
		{"eFGs", "eg", "fs", "of those that can be seen"},
		{"eFs", "ef", "s", "none of the algorithm can be seen, but one of another"},
		{"eFs", "f", "es", "retiring keys stand in only when they are needed"},
		{"eFsT", "es", "ft", "each algorithm for itself"},
		{"efG", "ef", "g", "one for two"},
		{"eF", "ef", "e", "a signature that cannot be verified is no worse than none"},
		{"es", "es", "es", "the same of all"},
		{"F", "", "f", "the active key was revoked, or is broken"},
		{"F", "f", "", "that one cannot be seen either"},
		{"eS", "", "es", "each algorithm for itself: the active key of one was revoked"},
	}
	for _, tt := range tests {
		var keys []*signer.Key
		unseen := map[signer.ID]bool{}
		for i, c := range tt.keys {
			state := signer.Active
			if c < 'a' {
				state = signer.Retiring
			}
			c = c | 0x20
			private := crypto.Signer(rsaKey(t))
			if c < 's' {
				private = edKey(byte(c))
			}
			k := in(newKey(t, "example.org", string(c), private), state, i)
			keys = append(keys, k)
			if strings.ContainsRune(tt.unseen, c) {
				unseen[k.ID()] = true
			}
		}
		every, _ := signer.NewRing(nil, nil, keys)
		rule := signer.Rule{Domain: domain(t, "example.org")}
		for _, k := range keys {
			rule.Selectors = append(rule.Selectors, k.ID().Selector)
		}
		named, _ := signer.NewRing([]signer.Rule{rule}, nil, keys)
		for _, ring := range []*signer.Ring{every, named} {
			got := selectors(ring.Without(unseen).Choose(domain(t, "example.org")).Keys)
			if got != tt.want {
				t.Errorf("keys %s without %s: %s sign, want %s: %s", tt.keys, tt.unseen, got, tt.want, tt.why)
			}
			if back := ring.Without(unseen).Without(nil).Choose(domain(t, "example.org")).Keys; selectors(back) !=
				selectors(ring.Choose(domain(t, "example.org")).Keys) {
				t.Errorf("keys %s: when %s came back, %s sign", tt.keys, tt.unseen, selectors(back))
			}
		}
	}
}

// The configuration may name the keys of a domain: then others never sign.
func TestBars(t *testing.T) {
	rules := []signer.Rule{
		{Domain: domain(t, "example.org"), Selectors: []mail.Domain{domain(t, "a")}},
		{Domain: domain(t, "example.net")},
		{Domain: domain(t, "below.example"), Below: true, SignAs: domain(t, "esp.example"),
			Selectors: []mail.Domain{domain(t, "b")}},
	}
	ring, _ := signer.NewRing(rules, nil, nil)
	for name, want := range map[string]bool{
		"a._domainkey.example.org": false, "b._domainkey.example.org": true, "a._domainkey.example.net": false,
		"b._domainkey.esp.example": false, "a._domainkey.esp.example": true, "a._domainkey.other.example": false,
	} {
		s, d, _ := strings.Cut(name, "._domainkey.")
		if got := ring.Bars(signer.ID{Domain: domain(t, d), Selector: domain(t, s)}); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if !ring.Bars(signer.ID{Domain: domain(t, "example.org")}) || ring.Bars(signer.ID{Domain: domain(t, "example.net")}) {
		t.Error("keys that are yet to be made")
	}
}

// A signature of a key counts as ours while the key signs or has signed.
func TestExistingByState(t *testing.T) {
	k, other := newKey(t, "example.org", "a", edKey(1)), newKey(t, "example.org", "b", edKey(2))
	ring, _ := signer.NewRing(nil, nil, []*signer.Key{k})
	msg := []byte("From: a@example.org\r\n\r\nbody\r\n")
	signed, _ := sign(t, signer.New(ring, signer.Options{Now: fixedTime}), msg)
	for s, want := range map[signer.State]int{
		signer.Created: 0, signer.Published: 0, signer.Active: 1, signer.Retiring: 1, signer.Revoked: 0,
	} {
		ring, _ := signer.NewRing(nil, nil, []*signer.Key{in(k, s, 0), other})
		g, body, err := begin(t, signer.New(ring, signer.Options{Now: fixedTime}), signed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(g, body); err != nil {
			t.Fatal(err)
		}
		if _, _, err := g.Fields(); err != nil || len(g.Existing()) != want {
			t.Errorf("%v: %d of ours, %v", s, len(g.Existing()), err)
		}
		g.Release()
	}
}
