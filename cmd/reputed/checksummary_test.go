package main

import (
	"fmt"
	"runtime"
	"testing"

	"reputed/policy"
	"reputed/policy/check"
)

// However many domains lack the same, reports keep the first that do, count all, and are told what is worst first.
func TestSummaryOfMany(t *testing.T) {
	const n = 10_000
	items := []check.Item{{ID: "mx"}, {ID: "spf"}, {ID: "dmarc"}, {ID: "dnssec", Info: true}}
	found := func(i *check.Item, f policy.Finding) (o check.Outcome) {
		o.Item, f.Rule = i, i.ID
		for d := range n {
			f.Subject, f.Reason = fmt.Sprintf("d%d.example", d), fmt.Sprintf("of d%d.example much is to be said", d)
			f.Evidence = []policy.Evidence{{Name: "TXT " + f.Subject, Value: f.Reason}}
			o.Findings = append(o.Findings, f)
		}
		return o
	}
	before := heldOctets()
	s := newSummary(items)
	s.add(found(&items[3], policy.Finding{Result: "unsigned", Grade: policy.Warn})) // does not count
	s.add(found(&items[2], policy.Finding{Result: "no-rua", Grade: policy.Warn}))
	s.add(found(&items[1], policy.Finding{Result: "fail", Grade: policy.Fail}))
	s.add(found(&items[1], policy.Finding{Result: "temperror", Grade: policy.Unknown}))
	s.add(found(&items[0], policy.Finding{Result: "egress", Grade: policy.Pass}))
	s.add(check.Outcome{Item: &items[0], Findings: []policy.Finding{{Rule: "mx", Result: "null", Grade: policy.Fail}}})
	c := s.checklist(hour(3))
	s = nil
	took := int64(heldOctets()) - int64(before)
	if c.Pass != n || c.Warn != n || c.Fail != n+1 || c.Unknown != n || c.More != 3*(n-mostAlike) || !c.At.Equal(hour(3)) {
		t.Errorf("pass %d, warn %d, fail %d, unknown %d, %d more, at %v", c.Pass, c.Warn, c.Fail, c.Unknown, c.More, c.At)
	}
	at := 0
	for _, want := range []struct {
		rule string
		n    int
	}{{"mx", 1}, {"spf", mostAlike}, {"dmarc", mostAlike}, {"spf", mostAlike}} {
		for range want.n {
			if f := c.Findings[at]; f.Rule != want.rule || f.Evidence != nil {
				t.Fatalf("%d: %+v, want %s", at, f, want.rule)
			}
			at++
		}
	}
	if at != len(c.Findings) {
		t.Errorf("%d are told of", len(c.Findings))
	}
	if took > 20*n { // all that is wrong would be 700
		t.Errorf("%d octets are kept for %d domains", took, n)
	}
	runtime.KeepAlive(c)
}

// heldOctets gives the octets that live.
func heldOctets() uint64 {
	runtime.GC()
	runtime.GC() // what has a finalizer, and what pools keep, goes in the second
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
