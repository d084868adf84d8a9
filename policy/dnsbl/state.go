package dnsbl

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/netip"
	"strings"
	"time"

	"reputed/policy/statefile"
)

// memory is what is kept over a restart, and of what is not watched any more, until its time would have come.
type memory struct {
	path    string
	lists   map[string]*listMemory // of what is not watched
	busy    time.Time              // since when much is asked at once
	dirty   bool                   // there is something to write
	written time.Time
	failing bool // it could not be written last time
}

// stateFile is the form of the state file. It is written piece by piece: see [memory.encode].
type stateFile struct {
	Version int                    `json:"version"`
	Lists   map[string]*listMemory `json:"lists"`
}

const stateVersion = 1

// listMemory is what is kept of a list, by its id.
type listMemory struct {
	Zone     string                `json:"zone"` // what is kept is of no use for another zone
	Health   Health                `json:"health,omitzero"`
	Told     Health                `json:"told,omitzero"`
	Since    time.Time             `json:"since,omitzero"`
	Reason   string                `json:"reason,omitempty"`
	Remedy   string                `json:"remedy,omitempty"`
	Foreign  bool                  `json:"foreign,omitempty"`
	Coded    bool                  `json:"coded,omitempty"`
	Begun    time.Time             `json:"begun,omitzero"`
	Tested   time.Time             `json:"tested,omitzero"`
	Next     time.Time             `json:"next,omitzero"`
	Answered time.Time             `json:"answered,omitzero"`
	Cells    map[string]cellMemory `json:"subjects,omitempty"` // by address or domain
}

// cellMemory is what is kept of one subject at one list.
type cellMemory struct {
	Verdict   State         `json:"verdict,omitzero"`
	Until     time.Time     `json:"until,omitzero"`
	Codes     []netip.Addr  `json:"codes,omitempty"`
	Text      string        `json:"text,omitempty"`
	Explained bool          `json:"explained,omitempty"`
	Negatives int           `json:"negatives,omitempty"`
	First     time.Time     `json:"first,omitzero"`
	Gap       time.Duration `json:"gap,omitzero"` // nanoseconds
	Second    time.Time     `json:"second,omitzero"`
	Upheld    time.Time     `json:"upheld,omitzero"`
	Fresh     []netip.Addr  `json:"fresh,omitempty"`
	Told      State         `json:"told,omitzero"`
	Severity  Severity      `json:"severity,omitzero"`
	Since     time.Time     `json:"since,omitzero"`
	Asked     time.Time     `json:"asked,omitzero"`
	Every     time.Duration `json:"every,omitzero"` // nanoseconds
	Next      time.Time     `json:"next,omitzero"`
}

// openMemory reads the state file. The memory can be used in any case; the error says why it is empty.
func openMemory(path string) (*memory, error) {
	m := &memory{path: path, lists: map[string]*listMemory{}}
	err := statefile.Load(path, func(text []byte) error {
		lists, err := parseState(text)
		if err == nil {
			m.lists = lists
		}
		return err
	})
	return m, err
}

// readState reads a state file, and leaves it as it is.
func readState(path string) (map[string]*listMemory, error) {
	text, err := statefile.Read(path)
	if err != nil {
		return nil, err
	}
	return parseState(text)
}

// parseState reads what a state file holds.
func parseState(text []byte) (map[string]*listMemory, error) {
	var file stateFile
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	if file.Version != stateVersion {
		return nil, fmt.Errorf("version %d is not known", file.Version)
	}
	lists := map[string]*listMemory{}
	for id, l := range file.Lists {
		if l == nil {
			continue
		}
		if l.Cells == nil {
			l.Cells = map[string]cellMemory{}
		}
		lists[id] = l
	}
	return lists, nil
}

// keep takes what is known of a list, and of some of its subjects.
func (m *memory) keep(w *watch, cells []*cell) {
	kept := m.lists[w.list.ID]
	entry := w.remembered()
	if kept != nil && kept.Zone == entry.Zone {
		entry.Cells = kept.Cells
	}
	for _, c := range cells {
		entry.Cells[c.subject.String()] = c.remembered()
	}
	m.lists[w.list.ID] = entry
	m.dirty = true
}

func (w *watch) remembered() *listMemory {
	return &listMemory{
		Zone: w.list.Zone, Health: w.health, Told: w.told, Since: w.since, Reason: w.reason, Remedy: w.remedy,
		Foreign: w.foreign, Coded: w.coded, Begun: w.begun, Tested: w.tested, Next: w.next, Answered: w.answered,
		Cells: map[string]cellMemory{},
	}
}

func (c *cell) remembered() cellMemory {
	var d doubt
	if c.doubt != nil {
		d = *c.doubt
	}
	return cellMemory{
		Verdict: c.verdict, Until: c.until, Codes: answers(c.codes()), Text: c.text(), Explained: c.explained,
		Negatives: int(c.negatives), First: d.first, Gap: d.gap, Second: d.second, Upheld: d.upheld,
		Fresh: answers(d.codes), Told: c.told, Severity: c.severity, Since: c.since, Asked: c.asked, Every: c.every, Next: c.next,
	}
}

// restore gives a list what is kept of it. When something happened later than now, the clock was wrong or is: then what
// is kept counts, and is proved at once. Nothing waits for longer than the list wants.
func (m *memory) restore(w *watch, now time.Time) {
	kept := m.lists[w.list.ID]
	if kept == nil {
		return
	}
	if kept.Zone != w.list.Zone {
		delete(m.lists, w.list.ID)
		return
	}
	w.health, w.told, w.reason, w.remedy = kept.Health, kept.Told, cut(kept.Reason), cut(kept.Remedy)
	w.foreign, w.coded = kept.Foreign, kept.Coded
	if w.health == Faulty {
		w.doubts = believeAfter
	}
	w.since, w.begun, w.tested = kept.Since, past(kept.Begun, now), past(kept.Tested, now)
	w.answered = past(kept.Answered, now)
	w.next = past(kept.Next, w.begun.Add(spreadMost(testInterval(w.list, w.health))))
	if kept.Begun.After(now) || kept.Tested.After(now) {
		w.next = now
	}
}

// restoreCell does the same for a subject.
func (m *memory) restoreCell(c *cell, now time.Time) {
	l := c.watch.list
	list := m.lists[l.ID]
	if list == nil {
		return
	}
	kept, ok := list.Cells[c.subject.String()]
	if !ok {
		return
	}
	every := min(max(kept.Every, l.MinPoll), max(maxTTL, l.MinPoll))
	c.prove(nil, cut(kept.Text))
	c.explained, c.negatives = kept.Explained, uint16(min(max(0, kept.Negatives), math.MaxUint16))
	c.asked, c.every, c.since = past(kept.Asked, now), every, kept.Since
	c.until = past(kept.Until, c.asked.Add(staleAfter*every+patience))
	if c.next = past(kept.Next, c.asked.Add(spreadMost(every))); kept.Asked.After(now) {
		c.next = now
	}
	if kept.Verdict == Clear || kept.Verdict == Listed {
		c.verdict = kept.Verdict
	}
	if kept.Told == Clear || kept.Told == Listed {
		c.told, c.severity = kept.Told, kept.Severity
	}
	if !kept.First.IsZero() {
		gap := min(max(kept.Gap, confirmAfter), maxTTL)
		c.doubt = &doubt{
			first: past(kept.First, now), gap: gap, second: past(kept.Second, now), upheld: past(kept.Upheld, now),
		}
	}
	c.recode(kept.Codes, kept.Fresh)
}

// release gives up what is watched, and its room.
func (m *memory) release(w *watch) {
	kept := m.lists[w.list.ID]
	if kept == nil {
		return
	}
	for _, c := range w.cells {
		delete(kept.Cells, c.subject.String())
	}
	kept.Cells = maps.Clone(kept.Cells)
}

func cut(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxText)], "?")
}

// pace gives the time between two writings. At the start, and when a list can be asked again, nearly everything is
// asked within a minute, and would be once more if the daemon were killed then.
func (m *memory) pace(now time.Time) time.Duration {
	if now.Sub(m.busy) < tick {
		return pace
	}
	return tick
}

// writeSoon writes the state file if it is time to.
func (m *memory) writeSoon(watches []*watch, now time.Time, urgent bool) error {
	if !m.dirty || !urgent && now.Sub(m.written) < m.pace(now) {
		return nil
	}
	again := m.failing
	m.written, m.failing = now, true // also if it panics
	err := m.write(watches, now)
	m.failing = err != nil
	if again { // it was said already
		return nil
	}
	return err
}

// write writes the state file.
func (m *memory) write(watches []*watch, now time.Time) error {
	m.forget(now)
	err := statefile.Write(m.path, func(to io.Writer) error { return m.encode(to, watches) })
	m.dirty = m.dirty && err != nil
	return err
}
