package watch

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"reputed/signer"
)

// job is a step to be taken, or a record to be changed without one.
type job struct {
	hand   Hand
	step   signer.Step // To is None: the record is published. From is Revoked as To is: it is revoked
	record string      // of the key
	entry  *entry      // nil: the key is to be made
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
	case j.hand.Publisher == nil:
		a.done.ByHand = true
		return a
	}
	change := j.hand.Publisher.Publish
	if j.step.To == signer.Revoked {
		change = j.hand.Publisher.Revoke
	}
	ours, err := change(ctx, j.step.ID, j.record)
	a.done.ByHand, a.err = !ours, err
	return a
}

// next gives what is to be done now; nil: nothing. It tells when to look again.
//
// A step that cannot be taken yet holds up those that rest on it: what else is to become of the key, and that others
// give way to it.
func (w *Watch) next(now time.Time, soon func(time.Time)) *job {
	if w.busy {
		return nil
	}
	var held []*job
	waits := func(j *job) bool {
		return slices.ContainsFunc(held, func(h *job) bool {
			return h.step.ID == j.step.ID || h.step.ID.Domain == j.step.ID.Domain && j.step.To == signer.Retiring
		})
	}
	hand := Hand{
		Dir: w.wishes.Dir, UID: w.wishes.UID, Publisher: w.wishes.Publisher, Now: w.clock.now, Selector: w.o.Selector,
	}
	for _, j := range append(w.records(), w.steps(now, soon)...) {
		j.hand = hand
		a := w.attempts[j.name()]
		switch tried := a != nil && a.next.After(now); {
		case tried:
			soon(a.next)
		case !j.move():
			return j
		case !waits(j) && (j.entry == nil || w.ready(j, now)):
			return j
		}
		if j.move() {
			held = append(held, j)
		}
	}
	return nil
}

// plan is what is to happen to the keys, as it looks now.
func (w *Watch) plan(now time.Time) []signer.Step {
	o := signer.PlanOptions{Rotate: w.wishes.Rotate, Bars: w.wishes.Bars}
	if w.wishes.Queue > 0 {
		o.Retire = signer.RetireTime(w.wishes.Queue)
	}
	return signer.Plan(now, w.lives, w.seen(), o)
}

// seen is what the DNS shows of all keys. One that was gone does not count before it is sure that it is there again.
func (w *Watch) seen() map[signer.ID]signer.Seen {
	seen := map[signer.ID]signer.Seen{}
	for id, e := range w.entries {
		s := e.seen
		if e.unseen {
			s.Sighting = signer.Nowhere
		}
		seen[id] = s
	}
	return seen
}

// steps gives those of the plan that are due.
func (w *Watch) steps(now time.Time, soon func(time.Time)) (jobs []*job) {
	for _, s := range w.plan(now) {
		switch {
		case s.Due(now):
			j := &job{step: s, entry: w.entries[s.ID]}
			if j.entry != nil {
				j.record = j.entry.record
			}
			jobs = append(jobs, j)
		case s.Needs == signer.Nothing && !s.When.IsZero():
			soon(s.When)
		}
	}
	return jobs
}

// records gives the records that are not what they should be: of keys that are to sign, until all servers show them,
// and of those that are revoked, while any server shows them.
func (w *Watch) records() (jobs []*job) {
	for id, e := range w.entries {
		s := signer.Step{ID: id, Algorithm: e.life.Algorithm}
		switch {
		case e.record == "":
			continue
		case e.life.State.Fresh() && e.seen.Sighting < signer.Partly:
			if w.wishes.Publisher == nil && (e.wanted == signer.Published || e.seen.Sighting == signer.Unknown) {
				continue
			}
		case e.life.State == signer.Revoked && e.seen.Sighting > signer.Nowhere:
			if w.wishes.Publisher == nil && e.wanted == signer.Revoked {
				continue
			}
			s.From, s.To = signer.Revoked, signer.Revoked
		default:
			continue
		}
		jobs = append(jobs, &job{step: s, record: e.record, entry: e})
	}
	slices.SortFunc(jobs, func(a, b *job) int { return strings.Compare(a.step.ID.String(), b.step.ID.String()) })
	return jobs
}

// ready tells whether what a step depends on was seen just now; if not, it is looked for first. A key begins to sign
// because it is seen, and the last good one is given up because its successors are.
func (w *Watch) ready(j *job, now time.Time) bool {
	ready := true
	for id, e := range w.entries {
		switch j.step.To {
		case signer.Published, signer.Active:
			if id != j.step.ID {
				continue
			}
		case signer.Revoked:
			if id.Domain != j.step.ID.Domain || e.life.State != signer.Active {
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
		}
	}
	return ready
}

// finish takes what came of a job.
func (w *Watch) finish(a answer, now time.Time) {
	j, name := a.job, a.job.name()
	switch {
	case errors.Is(a.err, context.Canceled): // most likely the end
		w.attempts[name] = &attempt{next: now.Add(firstRetry)}
		return
	case moved(a.err) || errors.Is(a.err, fs.ErrNotExist): // look again
		w.attempts[name] = &attempt{next: now.Add(firstRetry)}
		w.reread()
		return
	case a.err != nil:
		w.fail(j, a.err, now)
	default:
		delete(w.attempts, name)
		if !j.move() || a.done.ByHand { // what is not seen then is tried again, but not soon
			w.attempts[name] = &attempt{next: now.Add(longestRetry)}
		}
		w.wrote(a, now)
	}
	if j.step.To == signer.None || !j.move() {
		return
	}
	w.reread() // a step that failed may have been taken in part
	if a.err == nil {
		w.tell(Event{Change: Stepped, ID: a.done.Life.ID, State: j.step.To, Record: cmp.Or(a.done.Record, j.record),
			Reason: j.step.Because})
	}
}

// fail keeps in mind that a job could not be done, and says so, once for each reason.
func (w *Watch) fail(j *job, err error, now time.Time) {
	a := w.attempts[j.name()]
	if a == nil {
		a = &attempt{}
		w.attempts[j.name()] = a
	}
	a.next = now.Add(spread(min(firstRetry<<min(a.fails, 8), longestRetry), w.rand))
	a.fails++
	if err.Error() != a.text {
		a.text = err.Error()
		w.tell(Event{Change: Failed, ID: j.step.ID, State: j.step.To, Record: j.record, Reason: a.text})
	}
}

// wrote tells, once, that the record was changed, or has to be.
func (w *Watch) wrote(a answer, now time.Time) {
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
	if a.done.ByHand && about == signer.Published && e.seen.Sighting == signer.Unknown { // it may be there already
		w.attempts[j.name()] = &attempt{next: now.Add(firstRetry)}
		return
	}
	told, change := &e.wrote, Wrote
	if a.done.ByHand {
		told, change = &e.wanted, Wanted
	} else {
		e.next = earlier(e.next, now.Add(time.Duration(w.rand.Int64N(int64(quickest)))))
	}
	if *told != about {
		*told = about
		w.tell(Event{Change: change, ID: j.step.ID, State: about, Record: text})
	}
}

// tell makes an event of what has changed.
func (w *Watch) tell(e Event) {
	e.At = w.clock.now()
	w.news.events = append(w.news.events, e)
}
