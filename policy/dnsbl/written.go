package dnsbl

import (
	"bytes"
	"encoding/json"
	"io"
	"time"
)

// forget gives up what is kept and has had its time.
func (m *memory) forget(now time.Time) {
	for id, kept := range m.lists {
		for name, c := range kept.Cells {
			if c.Next.Before(now) {
				delete(kept.Cells, name)
			}
		}
		if len(kept.Cells) == 0 && kept.Next.Before(now) {
			delete(m.lists, id)
		}
	}
}

// encode writes what is watched, and what is kept, as a stateFile. Subjects become text one by one: there are tens of
// thousands, and the text of all of them takes megabytes.
func (m *memory) encode(to io.Writer, watches []*watch) error {
	e := &encoder{to: to, json: json.NewEncoder(to)}
	e.raw(`{"version":`)
	e.value(stateVersion)
	e.raw(`,"lists":{`)
	watched := map[string]bool{}
	for _, w := range watches {
		entry, kept := w.remembered(), map[string]cellMemory(nil)
		if k := m.lists[w.list.ID]; k != nil && k.Zone == entry.Zone {
			kept = k.Cells
		}
		watched[w.list.ID] = true
		e.list(w.list.ID, entry, kept, w.cells)
	}
	for id, l := range m.lists {
		if !watched[id] {
			e.list(id, l, l.Cells, nil)
		}
	}
	e.raw("}}\n")
	return e.err
}

// encoder writes JSON piece by piece, until an error.
type encoder struct {
	to    io.Writer
	json  *json.Encoder
	cell  cellMemory // the one that is written
	again bool       // what comes next is not the first of its object
	err   error
}

func (e *encoder) raw(text string) {
	if e.err == nil {
		_, e.err = io.WriteString(e.to, text)
	}
}

func (e *encoder) value(v any) {
	if e.err == nil {
		e.err = e.json.Encode(v)
	}
}

// key begins a member of an object.
func (e *encoder) key(name string) {
	if e.again {
		e.raw(",")
	}
	e.again = true
	e.value(name)
	e.raw(":")
}

// list writes a list with its subjects.
func (e *encoder) list(id string, l *listMemory, kept map[string]cellMemory, cells []*cell) {
	e.key(id)
	head := *l
	head.Cells = nil
	text, err := json.Marshal(&head)
	if err != nil && e.err == nil {
		e.err = err
	}
	e.raw(string(bytes.TrimSuffix(text, []byte("}"))) + `,"subjects":{`) // a zone is before it in any case
	e.again = false
	for name, c := range kept {
		e.cell = c
		e.key(name)
		e.value(&e.cell)
	}
	for _, c := range cells {
		e.cell = c.remembered()
		e.key(c.subject.String())
		e.value(&e.cell)
	}
	e.raw("}}")
	e.again = true
}
