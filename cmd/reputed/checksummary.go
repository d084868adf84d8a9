package main

import (
	"cmp"
	"slices"
	"time"

	live "reputed/cmd/reputed/internal/status"
	"reputed/policy"
	"reputed/policy/check"
)

// mostAlike is how many findings that are alike, but for what they are about, reports tell of. Where thousands of
// domains lack the same, the first show what it is, and the verb tells of all.
const mostAlike = 100

// summary gathers what reports tell of a walk: what is wrong, or not known, and how much there is of each.
type summary struct {
	place map[string]int // of each item, by id
	alike map[likeness]int
	live.Checklist
}

// likeness is what findings have in common that are mended in the same way.
type likeness struct {
	rule, result string
	grade        policy.Grade
}

func newSummary(items []check.Item) *summary {
	s := &summary{place: map[string]int{}, alike: map[likeness]int{}}
	for i := range items {
		s.place[items[i].ID] = i
	}
	s.Findings = []policy.Finding{}
	return s
}

// add adds what an item found.
func (s *summary) add(o check.Outcome) {
	item := itemAnswer{Info: o.Item.Info}
	for _, f := range o.Findings {
		if item.counts(f.Grade) {
			s.count(f)
		}
	}
}

func (s *summary) count(f policy.Finding) {
	switch f.Grade {
	case policy.Pass:
		s.Pass++
		return
	case policy.Warn:
		s.Warn++
	case policy.Fail:
		s.Fail++
	default:
		s.Unknown++
	}
	like := likeness{f.Rule, f.Result, f.Grade}
	if s.alike[like]++; s.alike[like] > mostAlike {
		s.More++
		return
	}
	f.Evidence = nil
	s.Findings = append(s.Findings, f)
}

// checklist gives it all, when the walk has ended.
func (s *summary) checklist(now time.Time) *live.Checklist {
	slices.SortStableFunc(s.Findings, func(x, y policy.Finding) int {
		return cmp.Or(cmp.Compare(badness(y.Grade), badness(x.Grade)), cmp.Compare(s.place[x.Rule], s.place[y.Rule]))
	})
	c := s.Checklist
	c.At, c.Findings = now.UTC().Truncate(time.Second), slices.Clip(c.Findings)
	return &c
}
