package watch

import (
	"maps"
	"math/rand/v2"
	"time"

	"reputed/signer"
)

// Standing is what is known of one key.
type Standing struct {
	Life   signer.Life
	Record string      // its text; "": it is not known any more
	Seen   signer.Seen // for [signer.Plan]
	Look   Look        // the last look that told something
	Looked time.Time   // when that was; zero: never
	Asked  time.Time   // when it was last looked for; zero: never
	Next   time.Time   // when it will be again
	Blind  string      // why the last look told nothing; "": it did
	Unseen bool        // nobody can see it, which is sure
}

// Snapshot is what is known at one moment. It does not change; its slices and maps must not be changed either.
type Snapshot struct {
	Keys  []Standing    // by domain, then by age; without those that are removed
	Steps []signer.Step // what will happen to them, as it looks now

	of     map[signer.ID]int
	unseen map[signer.ID]bool
}

// Key gives what is known of a key.
func (s *Snapshot) Key(id signer.ID) (Standing, bool) {
	i, ok := s.of[id]
	if !ok {
		return Standing{}, false
	}
	return s.Keys[i], true
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

// show makes the snapshot, if it has changed.
func (w *Watch) show() {
	if !w.news.changed {
		return
	}
	w.news.changed = false
	s := &Snapshot{of: map[signer.ID]int{}, unseen: map[signer.ID]bool{}, Steps: w.plan(w.clock.now())}
	seen := w.seen()
	for _, l := range w.lives {
		e := w.entries[l.ID]
		if e == nil {
			continue
		}
		s.of[l.ID] = len(s.Keys)
		s.Keys = append(s.Keys, Standing{
			Life: l, Record: e.record, Seen: seen[l.ID], Look: e.last, Looked: e.looked, Asked: e.asked, Next: e.next,
			Blind: e.why, Unseen: e.unseen,
		})
		if e.unseen {
			s.unseen[l.ID] = true
		}
	}
	w.snapshot.Store(s)
}

// spread makes a time span longer by up to a tenth: never shorter, for it is the least.
func spread(d time.Duration, r *rand.Rand) time.Duration {
	return d + time.Duration(jitter*r.Float64()*float64(d))
}
