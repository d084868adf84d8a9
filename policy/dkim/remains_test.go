package dkim_test

import (
	"strings"
	"testing"

	"reputed/policy/dkim"
)

// What is left of a key that was revoked, of which the public half is not known any more, and what to do about it.
func TestRemains(t *testing.T) {
	key, revoked := txt(name, want(edKey).Text()), txt(name, "v=DKIM1; p=")
	const put, wait = "publish the record of a revoked key", "wait until ns2.example.org has the zone as ns1.example.org has it"
	for _, tt := range []struct {
		one, two string
		serial   int // of the second; the first has 3
		sighting dkim.Sighting
		advice   string // how it begins
		publish  string
		reason   string
		why      string
	}{
		{revoked, revoked, 3, dkim.None, "", "", "no key stands at", "it is done"},
		{"", "", 3, dkim.None, "", "", "no key stands at", "the same, without a record"},
		{key, key, 3, dkim.All, put, "v=DKIM1; p=", "(ns1.example.org, ns2.example.org)", "nothing is done"},
		{revoked, key, 2, dkim.Partly, wait, "", "it has serial 2, ns1.example.org has 3", "one server lags"},
		{"", key, 2, dkim.Partly, wait, "", "it has serial 2, ns1.example.org has 3", "the same, without a record"},
		{revoked, key, 3, dkim.Partly, put, "v=DKIM1; p=", "(ns2.example.org)", "the same serial: it does not come by itself"},
		{revoked, key, 4, dkim.Partly, put, "v=DKIM1; p=", "(ns2.example.org)", "it was put back"},
	} {
		w := newWorld(t)
		w.set(w.one, 3, tt.one)
		w.set(w.two, tt.serial, tt.two)
		lost := want(edKey)
		lost.Public = nil
		s := w.looker().Look(t.Context(), lost).Remains()
		if s.Sighting != tt.sighting || !strings.HasPrefix(s.Advice, tt.advice) || (s.Advice == "") != (tt.advice == "") ||
			s.Publish != tt.publish || !strings.Contains(s.Reason, tt.reason) {
			t.Errorf("%s: %s, %s (%s), publish %q", tt.why, s.Sighting, s.Reason, s.Advice, s.Publish)
		}
	}
}
