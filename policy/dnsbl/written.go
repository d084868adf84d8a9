package dnsbl

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// listWritten is a list as it is written: its subjects become text one by one, and are not in memory twice.
type listWritten struct {
	*listMemory
	Cells cellsWritten `json:"subjects,omitzero"` // in place of those of listMemory
}

// cellsWritten is the subjects of a list: those that are kept, and before them those that are watched.
type cellsWritten struct {
	kept    map[string]cellMemory
	watched []*cell
}

// IsZero tells that there are none.
func (s cellsWritten) IsZero() bool { return len(s.kept)+len(s.watched) == 0 }

// MarshalJSON writes them as a map of [cellMemory].
func (s cellsWritten) MarshalJSON() ([]byte, error) {
	watched := make(map[string]*cell, len(s.watched))
	for _, c := range s.watched {
		watched[c.subject.String()] = c
	}
	names := slices.AppendSeq(slices.Collect(maps.Keys(watched)), maps.Keys(s.kept))
	slices.Sort(names)
	var text bytes.Buffer
	text.Grow(320 * len(names)) // about what they take: a buffer that grows is in memory twice
	enc := json.NewEncoder(&text)
	text.WriteByte('{')
	for i, name := range slices.Compact(names) {
		c := s.kept[name]
		if w := watched[name]; w != nil {
			c = w.remembered()
		}
		if i > 0 {
			text.WriteByte(',')
		}
		if err := enc.Encode(name); err != nil {
			return nil, err
		}
		text.WriteByte(':')
		if err := enc.Encode(&c); err != nil {
			return nil, err
		}
	}
	text.WriteByte('}')
	return text.Bytes(), nil
}

// all gives what there is to write: what is watched, and what is kept. It forgets what is kept and has had its time.
func (m *memory) all(watches []*watch, now time.Time) map[string]listWritten {
	lists := map[string]listWritten{}
	for id, kept := range m.lists {
		for name, c := range kept.Cells {
			if c.Next.Before(now) {
				delete(kept.Cells, name)
			}
		}
		if len(kept.Cells) == 0 && kept.Next.Before(now) {
			delete(m.lists, id)
			continue
		}
		lists[id] = listWritten{kept, cellsWritten{kept: kept.Cells}}
	}
	for _, w := range watches {
		entry := listWritten{w.remembered(), cellsWritten{watched: w.cells}}
		if kept := m.lists[w.list.ID]; kept != nil && kept.Zone == entry.Zone {
			entry.Cells.kept = kept.Cells
		}
		lists[w.list.ID] = entry
	}
	return lists
}
