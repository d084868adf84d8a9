package watch

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"reputed/signer"
)

// job is a step to be taken, or a record to be changed without one.
type job struct {
	hand   Hand
	step   signer.Step // To is None: the record is published. From is Revoked as To is: it is revoked
	record string      // of the key
	entry  *entry      // nil: the key is to be made
	gone   bool        // the record was there: who took it away may have meant it, so it is not published again by us
}

// attempt is what came of a job that is not done.
type attempt struct {
	next  time.Time // when to try again
	fails int
	text  string // what was told
}

// Between two tries of the same.
const (
	firstRetry   = time.Minute
	longestRetry = time.Hour
)

// name is what attempts of the job are known by.
func (j *job) name() jobName { return jobName{j.step.ID, j.step.Algorithm, j.step.To} }

type jobName struct {
	id        signer.ID
	algorithm string
	to        signer.State
}

// move tells whether the job takes a key to another state.
func (j *job) move() bool { return j.step.From != j.step.To }

// do does the job.
func (j *job) do(ctx context.Context) answer {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	a := answer{job: j, entry: j.entry}
	switch {
	case j.step.To != signer.None && j.move():
		a.done, a.err = j.hand.Apply(ctx, j.step, j.record)
		return a
	case j.hand.Publisher == nil || j.gone: // somebody else does it
		return a
	}
	c := signer.RecordChange{ID: j.step.ID, Own: j.record, Want: j.record}
	if j.step.To == signer.Revoked {
		c.Want = signer.Revocation
	}
	a.done.Outcome, a.err = j.hand.Publisher.Bring(ctx, c)
	return a
}

// job gives what is to be done now; nil: nothing.
func (w *Watch) job(now time.Time) *job {
	for !w.busy {
		d, ok := w.plans.first()
		if !ok || d.next.After(now) {
			return nil
		}
		d.stale = true // something has changed, or time has passed
		d.next = now.Add(firstRetry)
		w.plans.put(d) // if what follows panics, others come first
		w.plan(d, now)
		j, next := w.work(d, now)
		d.next = next
		w.plans.put(d)
		if j != nil {
			j.hand = Hand{
				Dir: w.wishes.Dir, UID: w.wishes.UID, Publisher: w.wishes.Publisher, Now: w.clock.now, Selector: w.o.Selector,
			}
			if j.entry == nil {
				j.hand.Known = w.known(d.name)
			}
			return j
		}
	}
	return nil
}

// work gives what is to be done for a domain, if anything is, and when to come back.
//
// A step that cannot be taken yet holds up those that rest on it: what else is to become of the key, and that others
// give way to it.
func (w *Watch) work(d *domain, now time.Time) (_ *job, next time.Time) {
	next = now.Add(longestIdle)
	var held []*job
	waits := func(j *job) bool {
		return slices.ContainsFunc(held, func(h *job) bool { return h.step.ID == j.step.ID || j.step.To == signer.Retiring })
	}
	jobs := d.records(w.wishes.Publisher != nil)
	for _, s := range d.steps {
		switch {
		case s.Due(now):
			j := &job{step: s, entry: w.entries[s.ID]}
			if j.entry != nil {
				j.record = j.entry.record
			}
			jobs = append(jobs, j)
		case s.Needs == signer.Nothing && !s.When.IsZero():
			next = earlier(next, s.When)
		}
	}
	for _, j := range jobs {
		a := d.attempts[j.name()]
		switch tried := a != nil && a.next.After(now); {
		case tried:
			next = earlier(next, a.next)
		case !j.move():
			return j, now
		case !waits(j) && (j.entry == nil || w.ready(d, j, now)):
			return j, now
		}
		if j.move() {
			held = append(held, j)
		}
	}
	return nil, next
}

// plan plans what is to happen to the keys of a domain, if that may have changed.
func (w *Watch) plan(d *domain, now time.Time) {
	if !d.stale {
		return
	}
	d.stale = false
	o := signer.PlanOptions{Rotate: w.wishes.Rotate, Bars: w.wishes.Bars}
	if w.wishes.Queue > 0 {
		o.Retire = signer.RetireTime(w.wishes.Queue)
	}
	seen := map[signer.ID]signer.Seen{}
	for _, e := range d.entries {
		seen[e.life.ID] = e.shows()
	}
	d.steps = nil // if it panics
	w.survive(func() { d.steps = signer.Plan(now, d.lives, seen, o) })
}

// shows is what the DNS shows of the key. One that was gone does not count before it is sure that it is there again.
func (e *entry) shows() signer.Seen {
	s := e.seen
	if e.unseen {
		s.Sighting = signer.Nowhere
	}
	return s
}

// records gives the records that are not what they should be: of keys that are to sign, until a server shows them, and
// of those that are revoked, while any server shows them. Ours tells that we may change records.
func (d *domain) records(ours bool) (jobs []*job) {
	for _, e := range d.entries { // by age
		s := signer.Step{ID: e.life.ID, Algorithm: e.life.Algorithm}
		gone := false
		switch {
		case e.record == "":
			continue
		case e.life.State.Fresh() && e.seen.Sighting < signer.Partly:
			gone = e.shown
			if (!ours || gone) && (e.wanted == signer.Published || e.seen.Sighting == signer.Unknown) {
				continue
			}
		case e.life.State == signer.Revoked && e.seen.Sighting > signer.Nowhere:
			if !ours && e.wanted == signer.Revoked {
				continue
			}
			s.From, s.To = signer.Revoked, signer.Revoked
		default:
			continue
		}
		jobs = append(jobs, &job{step: s, record: e.record, entry: e, gone: gone})
	}
	return jobs
}

// ready tells whether what a step depends on was seen just now; if not, it is looked for first. A key begins to sign
// because it is seen, and the last good one is given up because its successors are.
func (w *Watch) ready(d *domain, j *job, now time.Time) bool {
	ready := true
	for _, e := range d.entries {
		switch j.step.To {
		case signer.Published, signer.Active:
			if e != j.entry {
				continue
			}
		case signer.Revoked:
			if e.life.State != signer.Active {
				continue
			}
		default:
			continue
		}
		if now.Sub(e.looked) <= w.clock.brink() && e.blind == 0 {
			continue
		}
		ready = false
		if e.blind == 0 && !e.away { // else it is asked in its time
			e.next = now
			w.schedule(e)
		}
	}
	return ready
}

// finish takes what came of a job.
func (w *Watch) finish(a answer, now time.Time) {
	j, d := a.job, w.domains[a.job.step.ID.Domain]
	if d == nil { // its keys are gone meanwhile
		d = &domain{}
	}
	switch {
	case errors.Is(a.err, context.Canceled): // most likely the end
		d.tried(j, &attempt{next: now.Add(firstRetry)})
		return
	case moved(a.err) || errors.Is(a.err, fs.ErrNotExist): // look again
		d.tried(j, &attempt{next: now.Add(firstRetry)})
		w.reread(j.step.ID.Domain)
		return
	case a.err != nil:
		w.fail(d, j, a.err, now)
	default:
		delete(d.attempts, j.name())
		if !j.move() || a.byHand() { // what is not seen then is tried again, but not soon
			d.tried(j, &attempt{next: now.Add(longestRetry)})
		}
		w.wrote(d, a, now)
	}
	if j.step.To == signer.None || !j.move() {
		return
	}
	w.reread(j.step.ID.Domain) // a step that failed may have been taken in part
	if a.err == nil {
		w.counts.Steps++
		w.tell(Event{Change: Stepped, ID: a.done.Life.ID, State: j.step.To, Record: cmp.Or(a.done.Record, j.record),
			Reason: j.step.Because})
	}
}

// tried keeps in mind what came of a job.
func (d *domain) tried(j *job, a *attempt) {
	if d.attempts == nil {
		d.attempts = map[jobName]*attempt{}
	}
	d.attempts[j.name()] = a
}

// byHand tells of a step after which somebody has to change a record.
func (a *answer) byHand() bool {
	return a.done.Outcome == signer.Elsewhere && (!a.job.move() || a.job.step.To >= signer.Revoked)
}

// fail keeps in mind that a job could not be done, and says so, once for each reason.
func (w *Watch) fail(d *domain, j *job, err error, now time.Time) {
	w.counts.Failures++
	a := d.attempts[j.name()]
	if a == nil {
		a = &attempt{}
		d.tried(j, a)
	}
	a.next = now.Add(spread(min(firstRetry<<min(a.fails, 8), longestRetry), w.rand))
	a.fails++
	if err.Error() != a.text {
		a.text = err.Error()
		w.tell(Event{Change: Failed, ID: j.step.ID, State: j.step.To, Record: j.record, Reason: a.text})
	}
}

// wrote tells, once, that the record was changed, or has to be.
func (w *Watch) wrote(d *domain, a answer, now time.Time) {
	j, e := a.job, a.entry
	about, text := j.step.To, ""
	switch j.step.To {
	case signer.None:
		about, text = signer.Published, j.record
	case signer.Revoked:
		text = signer.Revocation
	case signer.Removed:
	default:
		return
	}
	if a.done.Outcome != signer.Elsewhere {
		e.next = earlier(e.next, now.Add(time.Duration(w.rand.Int64N(int64(quickest)))))
		w.schedule(e)
	}
	told, change := &e.wrote, Wrote
	switch {
	case a.done.Outcome == signer.AsItWas:
		return
	case a.done.Outcome == signer.Changed:
		w.counts.Records++
	case about == signer.Published && e.seen.Sighting == signer.Unknown: // it may be there already
		d.tried(j, &attempt{next: now.Add(firstRetry)})
		return
	default:
		told, change = &e.wanted, Wanted
	}
	if *told != about {
		*told = about
		reason := ""
		if j.gone {
			reason = "which was there and is gone, if the key is to sign"
		}
		w.tell(Event{Change: change, ID: j.step.ID, State: about, Record: text, Reason: reason})
	}
}

// tell makes an event of what has changed.
func (w *Watch) tell(e Event) {
	e.At = w.clock.now()
	w.news.events = append(w.news.events, e)
}
