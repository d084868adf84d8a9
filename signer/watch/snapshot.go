package watch

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"reputed/signer"
)

// Standing is what is known of one key.
type Standing struct {
	Life   *signer.Life
	Record string      // its text; "": it is not known any more
	Seen   signer.Seen // for [signer.Plan]
	Look   Look        // the last look that told something; if none did, the last
	Looked time.Time   // when one told something; zero: never
	Asked  time.Time   // when it was last looked for; zero: never
	Next   time.Time   // when it will be again
	Blind  string      // why the last look told nothing; "": it did
	Unseen bool        // nobody can see it, which is sure
	Held   bool        // it is new, and was not seen everywhere for long; Look says by whom it is held back
}

// Counts counts what happened since the start.
type Counts struct {
	Looks    uint64 // at the records of keys
	Blind    uint64 // of these, those that told nothing
	Steps    uint64 // that were taken
	Records  uint64 // that were changed
	Failures uint64 // of steps, and of changes of records; each try counts
}

// Snapshot is what is known at one moment: a little earlier than now, where there are many keys. It does not change;
// what it points to must not be changed either.
type Snapshot struct {
	Keys  []Standing    // by domain, then by age; without those that are removed
	Steps []signer.Step // what will happen to them, as it looks now: by domain
	Counts

	unseen map[signer.ID]bool
}

// Key gives what is known of a key; of one that is not watched nothing, with a Life that is empty.
func (s *Snapshot) Key(id signer.ID) (Standing, bool) {
	name := id.Domain.String()
	i, _ := slices.BinarySearchFunc(s.Keys, name, func(k Standing, name string) int {
		return strings.Compare(k.Life.ID.Domain.String(), name)
	})
	for ; i < len(s.Keys) && s.Keys[i].Life.ID.Domain == id.Domain; i++ {
		if s.Keys[i].Life.ID == id {
			return s.Keys[i], true
		}
	}
	return Standing{Life: &signer.Life{}}, false
}

// Unseen gives the keys that sign, or may have to, and that nobody can see: for [signer.Ring.Without].
func (s *Snapshot) Unseen() map[signer.ID]bool { return maps.Clone(s.unseen) }

// Seen gives what the DNS shows of all keys, for [signer.Plan].
func (s *Snapshot) Seen() map[signer.ID]signer.Seen {
	seen := make(map[signer.ID]signer.Seen, len(s.Keys))
	for _, k := range s.Keys {
		seen[k.Life.ID] = k.Seen
	}
	return seen
}

// show makes the snapshot.
func (w *Watch) show(now time.Time) {
	w.news.shown = now
	s := &Snapshot{
		Keys: make([]Standing, 0, len(w.entries)), unseen: map[signer.ID]bool{}, Counts: w.counts,
		Steps: make([]signer.Step, 0, len(w.snapshot.Load().Steps)),
	}
	for _, name := range w.names {
		d := w.domains[name]
		w.plan(d, now)
		s.Steps = append(s.Steps, d.steps...)
		for _, e := range d.entries {
			s.Keys = append(s.Keys, Standing{
				Life: e.life, Record: e.record, Seen: e.shows(), Look: e.last, Looked: e.looked, Asked: e.asked, Next: e.next,
				Blind: e.why, Unseen: e.unseen, Held: e.held(),
			})
			if e.unseen {
				s.unseen[e.life.ID] = true
			}
		}
	}
	w.snapshot.Store(s)
	w.news.changed = false
}

// spread makes a time span longer by up to a tenth: never shorter, for it is the least.
func spread(d time.Duration, r *rand.Rand) time.Duration {
	return d + time.Duration(jitter*r.Float64()*float64(d))
}
