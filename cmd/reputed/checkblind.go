package main

import (
	"maps"
	"time"

	"reputed/policy"
)

// blindAfter is how long something is not known until that is told: longer than most faults of a network, and shorter
// than a listing should last.
const blindAfter = 3 * 24 * time.Hour

// blindness is since when something is not known.
type blindness struct {
	Since time.Time `json:"since"`
	Told  bool      `json:"told,omitempty"`
}

// ofAll is what the whole verdict has in the place of an item's id.
const ofAll = ""

// blind notes what is not known, and gives what has not been for so long that somebody must look. Where that is told of
// an item, it is not told again of the verdict. What was not asked this time stays as it was.
func (m *checkMemory) blind(a *checkAnswer) (told []checkChange) {
	unknown := map[string]*policy.Finding{}
	for i := range a.Items {
		item := &a.Items[i]
		for n := range item.Findings {
			f := &item.Findings[n]
			if f.Grade == policy.Unknown && unknown[item.ID] == nil && item.Group != groupProviders {
				unknown[item.ID] = f
			}
		}
	}
	maps.DeleteFunc(m.Unknown, func(id string, _ blindness) bool {
		return unknown[id] == nil && (a.walked[id] || id == ofAll && a.Verdict != policy.Unknown)
	})
	told = m.stillBlind(a, unknown)
	if whole, ok := m.Unknown[ofAll]; ok && !whole.Told {
		for id := range unknown {
			whole.Told = whole.Told || m.Unknown[id].Told
		}
		if !whole.Told && a.At.Sub(whole.Since) >= blindAfter {
			whole.Told = true
			told = append(told, checkChange{Change: changeUnknown, Since: whole.Since})
		}
		m.Unknown[ofAll] = whole
	}
	return told
}

// stillBlind remembers what is not known now, and gives the items of which that is to be told, in their order.
func (m *checkMemory) stillBlind(a *checkAnswer, unknown map[string]*policy.Finding) (told []checkChange) {
	if m.Unknown == nil {
		m.Unknown = map[string]blindness{}
	}
	if _, ok := m.Unknown[ofAll]; !ok && a.Verdict == policy.Unknown {
		m.Unknown[ofAll] = blindness{Since: a.At}
	}
	for i := range a.Items {
		id := a.Items[i].ID
		f := unknown[id]
		if f == nil {
			continue
		}
		b, ok := m.Unknown[id]
		if !ok {
			b.Since = a.At
		}
		if !b.Told && a.At.Sub(b.Since) >= blindAfter {
			b.Told = true
			told = append(told, checkChange{Change: changeUnknown, Item: id, Subject: f.Subject, Is: f, Since: b.Since})
		}
		m.Unknown[id] = b
	}
	return told
}
