package watch

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"reputed/policy/mail"
	"reputed/signer"
	"reputed/signer/keydir"
)

// domain is the keys of one domain, which are planned together.
type domain struct {
	name     mail.Domain
	lives    []signer.Life        // of all keys in its directory, by age
	entries  []*entry             // of those that are not removed
	attempts map[jobName]*attempt // nil: none
	steps    []signer.Step        // what is to happen, as it looked when it was planned last
	stale    bool                 // that is to be planned anew
	next     time.Time            // when there may be something to do
	place    int                  // in the agenda
}

func (d *domain) due() time.Time { return d.next }
func (d *domain) slot() *int     { return &d.place }

// touch has the keys of a domain planned anew, at once.
func (w *Watch) touch(name mail.Domain) {
	if d := w.domains[name]; d != nil {
		d.stale, d.next = true, time.Time{}
		w.plans.put(d)
	}
}

// poll looks whether files have changed.
func (w *Watch) poll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	names, all := w.files.changed(w.wishes.Dir)
	for _, name := range names {
		d, is := plain(name)
		if !is {
			all = true
			break
		}
		w.reread(d)
	}
	if all {
		w.read()
		w.news.keys = true
	}
}

// reread takes in at once what has changed in a domain, as when a step was taken.
func (w *Watch) reread(d mail.Domain) {
	name := d.String()
	before, is := w.files.known.each[name]
	if !is { // it has another spelling, or is new
		w.read()
		w.news.keys = true
		return
	}
	if now := printDomain(filepath.Join(w.wishes.Dir, name)); now != before {
		w.readDomain(d)
		w.files.noteDomain(name, now)
		w.news.keys = true
	}
}

// read takes in all keys of the directory. When that cannot be read, those that are known stay. It is noted when they
// are taken in: after a panic they are read again.
func (w *Watch) read() {
	then := fingerprint(w.wishes.Dir)
	found := keydir.Load(w.wishes.Dir, keydir.Options{UID: w.wishes.UID, Known: w.known(mail.Domain{}), Records: true})
	if found.Unreadable != nil {
		w.files.note(then)
		return
	}
	lives := map[mail.Domain][]signer.Life{}
	for name := range w.domains { // those that are gone, too
		lives[name] = nil
	}
	for all := found.Lives(); len(all) > 0; {
		name, n := all[0].ID.Domain, 1
		for n < len(all) && all[n].ID.Domain == name {
			n++
		}
		lives[name], all = all[:n:n], all[n:]
	}
	w.takeIn(lives, &found)
	w.files.note(then)
}

// readDomain takes in the keys of one domain.
func (w *Watch) readDomain(name mail.Domain) {
	found := keydir.Load(w.wishes.Dir, keydir.Options{
		UID: w.wishes.UID, Known: w.known(name), Domain: name, Records: true,
	})
	if found.Unreadable == nil {
		w.takeIn(map[mail.Domain][]signer.Life{name: found.Lives()}, &found)
	}
}

// known is what stands in for states that cannot be read, of one domain or (zero) of all. At the start, the memory is
// all that is known.
func (w *Watch) known(name mail.Domain) map[signer.ID]signer.Life {
	known := map[signer.ID]signer.Life{}
	for id, k := range w.memory.keys {
		if k.State != signer.None && (name.IsZero() || id.Domain == name) {
			known[id] = signer.Life{ID: id, State: k.State}
		}
	}
	of := w.domains
	if !name.IsZero() {
		of = map[mail.Domain]*domain{name: cmp.Or(w.domains[name], &domain{})}
	}
	for _, d := range of {
		for _, l := range d.lives {
			known[l.ID] = l
		}
	}
	return known
}

// takeIn takes in the keys of some domains.
func (w *Watch) takeIn(lives map[mail.Domain][]signer.Life, found *keydir.Found) {
	a := arranging{watch: w, records: map[signer.ID]string{}, now: w.clock.now()}
	for _, l := range found.Gone { // where the memory was lost, its state still has it
		if l.Record != "" {
			a.records[l.ID] = l.Record
		}
	}
	for i := range found.Records {
		a.records[found.Records[i].Life.ID] = found.Records[i].Text
	}
	for name, of := range lives {
		d := w.domains[name]
		if d == nil {
			if len(of) == 0 {
				continue
			}
			d = &domain{name: name}
			w.domains[name], w.unsorted = d, true
		}
		a.arrange(d, of)
		w.touch(name)
		if len(of) == 0 {
			w.plans.drop(d)
			delete(w.domains, name)
			w.unsorted = true
		}
	}
	if w.unsorted {
		w.names = slices.SortedFunc(maps.Keys(w.domains), func(a, b mail.Domain) int {
			return strings.Compare(a.String(), b.String())
		})
		w.unsorted = false
	}
	if len(w.memory.keys) == 0 {
		w.memory.keys = map[signer.ID]*keyMemory{} // the old one keeps the room that all took at the start
	}
	a.scatter(w.rand)
	w.news.changed, w.memory.dirty = true, true
}

// arranging makes the entries of keys that were read.
type arranging struct {
	watch   *Watch
	records map[signer.ID]string
	now     time.Time
	fresh   []*entry // of which nothing was known
	overdue []*entry // that would all be looked for at once
}

// arrange makes the entries of the keys of a domain that are there. All are made before any is put in place: after a
// panic those that were watched still are.
func (a *arranging) arrange(d *domain, lives []signer.Life) {
	w := a.watch
	was := map[signer.ID]*entry{}
	for _, e := range d.entries {
		was[e.life.ID] = e
	}
	var entries []*entry
	for i := range lives {
		if e := a.entry(&lives[i], was[lives[i].ID]); e != nil {
			entries = append(entries, e)
		}
	}
	d.lives, d.entries = lives, entries
	for _, e := range entries {
		id := e.life.ID
		if old := was[id]; old != nil && old != e {
			w.retire(old)
		}
		delete(was, id)
		w.entries[id] = e
		w.schedule(e)
	}
	for _, l := range lives {
		w.memory.forget(l.ID)
	}
	for id, e := range was {
		if !slices.ContainsFunc(lives, func(l signer.Life) bool { return l.ID == id }) {
			w.memory.keep(id, e, a.now) // it may come back
		}
		w.news.unseen = w.news.unseen || e.unseen
		w.retire(e)
	}
	maps.DeleteFunc(d.attempts, func(n jobName, _ *attempt) bool {
		return !n.id.Selector.IsZero() && w.entries[n.id] == nil
	})
}

// retire ends that a key is watched.
func (w *Watch) retire(e *entry) {
	e.gone = true
	w.looks.drop(e)
	if w.entries[e.life.ID] == e {
		delete(w.entries, e.life.ID)
	}
}

// entry gives the entry of a key, which may have one; nil: it is not watched.
func (a *arranging) entry(l *signer.Life, e *entry) *entry {
	if l.State >= signer.Removed {
		return nil
	}
	restored := false
	if e == nil {
		e = a.watch.memory.restore(l.ID, a.now)
		if restored = e != nil; restored {
			e.last, e.result = a.watch.texts.share(e.last), a.watch.texts.same(e.result)
		}
	}
	record, there := a.records[l.ID]
	other := e != nil && there && e.record != "" && e.record != record // another key of the same name
	if e == nil || other {
		e = &entry{life: &signer.Life{}}
		a.fresh = append(a.fresh, e)
	}
	if there && e.record != record { // else what others hold too
		e.record = record
	}
	e.enter(l, a.now)
	if restored {
		// Nothing need wait for longer than the longest interval of its kind: the clock may have been wrong.
		if most := e.interval(a.now); e.next.After(a.now.Add(most + time.Duration(jitter*float64(most)))) {
			e.next = a.now.Add(most)
		}
		if !e.next.After(a.now) {
			a.overdue = append(a.overdue, e)
		}
	}
	return e
}

// scatter spreads the first looks, so that many keys do not come to name servers, and to others, in one burst.
func (a *arranging) scatter(r *rand.Rand) {
	spread := func(some []*entry, within time.Duration) {
		for _, e := range some {
			e.next = a.now.Add(time.Duration(r.Int64N(int64(within))))
			a.watch.schedule(e)
		}
	}
	spread(a.fresh, max(firstWithin, time.Duration(len(a.fresh))*lookPace))
	spread(a.overdue, time.Duration(max(len(a.overdue), 1))*lookPace)
}

// schedule takes in when a key is to be looked for, unless it is being looked for, or nobody knows what for.
func (w *Watch) schedule(e *entry) {
	if e.away || e.gone || e.record == "" {
		w.looks.drop(e)
		return
	}
	w.looks.put(e)
}
