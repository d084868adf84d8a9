package watch

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"reputed/policy/mail"
	"reputed/policy/statefile"
	"reputed/signer"
)

// memory is what is kept over a restart, and of keys that are not watched any more, for a while.
type memory struct {
	path    string
	keys    map[signer.ID]*keyMemory // of what is not watched
	dirty   bool                     // there is something to write
	urgent  bool                     // it was told, and is not to be told again
	written time.Time
	failing bool // it could not be written last time
}

// stateFile is the form of the state file.
type stateFile struct {
	Version int                                        `json:"version"`
	Keys    map[mail.Domain]map[mail.Domain]*keyMemory `json:"keys"` // by domain, by selector
}

const (
	stateVersion = 1
	maxText      = 4096                // octets of a text that is believed
	keepFor      = 30 * 24 * time.Hour // a key that is not there may come back
	longestTTL   = 7 * 24 * time.Hour  // what is believed of an answer
)

// keyMemory is what is kept of a key.
type keyMemory struct {
	Record   string        `json:"record,omitempty"`
	Sighting sighting      `json:"sighting,omitzero"`
	Since    time.Time     `json:"since,omitzero"`
	Old      time.Duration `json:"old_negative,omitzero"` // nanoseconds, as all of them
	Lagging  bool          `json:"lagging,omitempty"`
	Result   string        `json:"result,omitempty"`
	Via      string        `json:"via,omitempty"`
	Reason   string        `json:"reason,omitempty"`
	Advice   string        `json:"advice,omitempty"`
	TTL      time.Duration `json:"ttl,omitzero"`
	Negative time.Duration `json:"negative,omitzero"`
	Looked   time.Time     `json:"looked,omitzero"`
	Asked    time.Time     `json:"asked,omitzero"`
	Next     time.Time     `json:"next,omitzero"`
	Told     sighting      `json:"told,omitzero"`
	ToldWhat string        `json:"told_result,omitempty"`
	Maybe    sighting      `json:"maybe,omitzero"`
	First    time.Time     `json:"first,omitzero"`
	Unseen   bool          `json:"unseen,omitempty"`
	Doubt    time.Time     `json:"doubt,omitzero"`
	Shown    bool          `json:"shown,omitempty"`
	State    signer.State  `json:"state,omitzero"`
	Wrote    signer.State  `json:"wrote,omitzero"`
	Wanted   signer.State  `json:"wanted,omitzero"`
	Lost     time.Time     `json:"lost,omitzero"` // since when it is not watched
}

// sighting is a [signer.Sighting] that can be read back.
type sighting signer.Sighting

// MarshalText writes the word of [signer.Sighting.String].
func (s sighting) MarshalText() ([]byte, error) { return []byte(signer.Sighting(s).String()), nil }

// UnmarshalText reads it.
func (s *sighting) UnmarshalText(text []byte) error {
	for _, known := range []signer.Sighting{signer.Unknown, signer.Nowhere, signer.Partly, signer.Everywhere} {
		if known.String() == string(text) {
			*s = sighting(known)
			return nil
		}
	}
	return fmt.Errorf("%q is not a sighting", text)
}

// recall reads the state file. The memory can be used in any case; the error says why it is empty.
func recall(path string) (*memory, error) {
	m := &memory{path: path, keys: map[signer.ID]*keyMemory{}}
	return m, statefile.Load(path, m.parse)
}

// parse reads what a state file holds.
func (m *memory) parse(text []byte) error {
	var file stateFile
	if err := json.Unmarshal(text, &file); err != nil {
		return err
	}
	if file.Version != stateVersion {
		return fmt.Errorf("version %d is not known", file.Version)
	}
	for domain, keys := range file.Keys {
		for selector, k := range keys {
			if k != nil {
				m.keys[signer.ID{Domain: domain, Selector: selector}] = k
			}
		}
	}
	return nil
}

// keep takes what is known of a key that is not watched any more.
func (m *memory) keep(id signer.ID, e *entry, now time.Time) {
	k := e.remembered()
	k.Lost = now
	m.keys[id] = k
}

func (e *entry) remembered() *keyMemory {
	return &keyMemory{
		Record: e.record, Sighting: sighting(e.seen.Sighting), Since: e.seen.Since, Old: e.seen.NegativeTTL,
		Lagging: e.last.Lagging, Result: e.last.Result, Via: e.last.Via, Reason: e.last.Reason, Advice: e.last.Advice,
		TTL: e.last.TTL, Negative: e.last.Negative, Looked: e.looked, Asked: e.asked, Next: e.next,
		Told: sighting(e.told), ToldWhat: e.result, Maybe: sighting(e.maybe), First: e.first, Unseen: e.unseen,
		Doubt: e.doubt, Shown: e.shown, State: e.life.State, Wrote: e.wrote, Wanted: e.wanted,
	}
}

// restore makes an entry of what is kept; nil: nothing is. Nothing can have happened later than now: the clock may have
// been wrong.
func (m *memory) restore(id signer.ID, now time.Time) *entry {
	k := m.keys[id]
	if k == nil {
		return nil
	}
	ttl := func(d time.Duration) time.Duration { return within(d, 0, longestTTL) }
	e := &entry{
		record: cut(k.Record), asked: past(k.Asked, now), looked: k.Looked, first: past(k.First, now), next: k.Next,
		told: signer.Sighting(k.Told), result: cut(k.ToldWhat),
		maybe: signer.Sighting(k.Maybe), unseen: k.Unseen, doubt: past(k.Doubt, now), shown: k.Shown,
		wrote: k.Wrote, wanted: k.Wanted,
	}
	e.seen = signer.Seen{Sighting: signer.Sighting(k.Sighting), Since: past(k.Since, now), NegativeTTL: ttl(k.Old)}
	e.last = Look{
		Sighting: e.seen.Sighting, Lagging: k.Lagging, Result: cut(k.Result), Via: cut(k.Via), Reason: cut(k.Reason),
		Advice: cut(k.Advice), TTL: ttl(k.TTL), Negative: ttl(k.Negative),
	}
	if k.Looked.After(now) { // nobody knows when it was: nothing is done because of it
		e.looked = time.Time{}
	}
	e.life = &signer.Life{State: k.State}
	return e
}

// forget gives up what is kept of a key.
func (m *memory) forget(id signer.ID) { delete(m.keys, id) }

// past gives a time, or the latest that it can be.
func past(t, latest time.Time) time.Time {
	if t.After(latest) {
		return latest
	}
	return t
}

func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxText)], "?") }

// writeOnce writes the state file. That it cannot be written is an error once.
func (m *memory) writeOnce(entries map[signer.ID]*entry, now time.Time) error {
	again := m.failing
	m.written, m.urgent, m.failing = now, false, true // also if it panics
	err := m.write(entries, now)
	m.failing = err != nil
	if again { // it was said already
		return nil
	}
	return err
}

// write writes the state file.
func (m *memory) write(entries map[signer.ID]*entry, now time.Time) error {
	m.age(now)
	err := statefile.Write(m.path, func(to io.Writer) error { return m.encode(to, entries) })
	m.dirty = m.dirty && err != nil
	return err
}

// age forgets what was kept for long enough.
func (m *memory) age(now time.Time) {
	for id, k := range m.keys {
		switch {
		case k.Lost.IsZero():
			k.Lost = now
		case now.Sub(k.Lost) > keepFor:
			delete(m.keys, id)
		}
	}
}

// encode writes what is watched, and what is kept, as a stateFile. Keys become text domain by domain: the text of ten
// thousand takes megabytes, and what it is made of more. What cannot be written, the buffer of package statefile tells.
func (m *memory) encode(to io.Writer, entries map[signer.ID]*entry) error {
	ids := slices.AppendSeq(make([]signer.ID, 0, len(entries)+len(m.keys)), maps.Keys(entries))
	for id := range m.keys {
		if entries[id] == nil {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b signer.ID) int { return strings.Compare(a.Domain.String(), b.Domain.String()) })
	fmt.Fprintf(to, `{"version":%d,"keys":{`, stateVersion)
	of, text := map[mail.Domain]*keyMemory{}, json.NewEncoder(to)
	for separator := ""; len(ids) > 0; separator = "," {
		clear(of)
		domain := ids[0].Domain
		for ; len(ids) > 0 && ids[0].Domain == domain; ids = ids[1:] {
			if e := entries[ids[0]]; e != nil {
				of[ids[0].Selector] = e.remembered()
			} else {
				of[ids[0].Selector] = m.keys[ids[0]]
			}
		}
		fmt.Fprintf(to, "%s%q:", separator, domain)
		if err := text.Encode(of); err != nil {
			return err
		}
	}
	_, err := io.WriteString(to, "}}\n")
	return err
}
