package watch

import (
	"cmp"
	"time"

	"reputed/signer"
)

// Look is what one look at the DNS shows of a key.
type Look struct {
	Sighting signer.Sighting
	Lagging  bool          // Partly, since a server shows something else; else only as some could not be asked
	Result   string        // what it comes to, in one word of those of package dkim, as "match" or "nxdomain"
	Via      string        // who was believed: "authority", the servers of the zone; [ViaResolver]; "": nobody
	Reason   string        // what was found
	Advice   string        // what to do; "": nothing
	TTL      time.Duration // how long others remember the record; 0: not known
	Negative time.Duration // how long others remember that it was not there; 0: not known
}

// ViaResolver is in [Look.Via] when the servers of the zone could not be asked.
const ViaResolver = "resolver"

// The numbers of the schedule.
const (
	maxFlying   = 8                      // looks at once
	patience    = 20 * time.Second       // for one look
	workTime    = time.Minute            // for one step, or one change of a record
	jitter      = 0.1                    // by which an interval may be longer
	firstWithin = 20 * time.Second       // new keys are looked for, if they are few
	lookPace    = 100 * time.Millisecond // between two first looks, if they are many
	heldLong    = time.Hour              // a new key that is not seen everywhere for so long is worth a word
	doubtful    = 24 * time.Hour         // what servers said last outweighs the resolver while they are silent
	soonest     = 5 * time.Minute        // between two looks for a key that signs, or has
	latest      = 6 * time.Hour          // the same
	quickest    = 30 * time.Second       // between two looks for a key that is to sign
	quick       = 5 * time.Minute        // the same
	blindest    = time.Hour              // between two looks while the DNS cannot be asked
	longestGap  = time.Hour              // between two looks that tell the same, for it to count
	brink       = time.Minute            // how old a look may be when a step is taken because of it
)

// entry is a key that is watched.
type entry struct {
	life   *signer.Life // one of its domain's, which does not change
	record string       // its text; "": it is not known
	place  int          // in the agenda
	gone   bool         // it is not watched any more
	away   bool         // it is being looked for

	asked  time.Time // when it was last looked for; zero: never
	next   time.Time // when to look again
	seen   signer.Seen
	last   Look      // the last that told something; if none did, the last
	looked time.Time // when one told something; zero: never
	blind  int       // looks since that told nothing
	why    string    // why the last of them did not
	doubt  time.Time // when servers last said that not all of them show it; zero: never, or all have shown it since
	shown  bool      // some server has shown it

	// What was told last, or was so from the beginning: of a key that signs or has signed. Of a new one, what it was told
	// to be held back by.
	told   signer.Sighting
	result string          // the Result that was told with it; of a new key, "": it was not told to be held back
	maybe  signer.Sighting // what was seen instead, and is not sure yet
	first  time.Time       // since when
	unseen bool            // nobody can see it

	wrote  signer.State // the last state for which the record was changed by us
	wanted signer.State // the last state for which somebody was told to change it
}

func (e *entry) due() time.Time { return e.next }
func (e *entry) slot() *int     { return &e.place }

// enter takes in how far the key has come.
func (e *entry) enter(l *signer.Life, now time.Time) {
	if e.life.State.Fresh() && !l.State.Fresh() { // it could be seen, or would not be here
		e.told, e.result, e.maybe, e.unseen = signer.Everywhere, "", signer.Unknown, false
	}
	if e.life.State != signer.None && e.life.State != l.State {
		e.next = earlier(e.next, now.Add(quickest))
	}
	e.life = l
	if !e.judged() {
		e.unseen = false
	}
}

// judged tells of a key that signs, or may have to.
func (e *entry) judged() bool {
	return e.life.State == signer.Active || e.life.State == signer.Retiring
}

// take takes what a look shows, and tells what is new. A look that tells nothing changes nothing.
func (e *entry) take(l Look, now time.Time) (Event, bool) {
	l = e.weigh(l, now)
	if l.Sighting == signer.Unknown {
		e.blind++
		e.why = l.Reason
		if e.looked.IsZero() {
			e.last = l
		}
		if e.seen.Since.IsZero() {
			e.seen.Since = now
		}
		return e.wait(now)
	}
	if l.Sighting >= signer.Partly {
		e.shown = true
		if e.wanted == signer.Published { // if it goes again, that is news
			e.wanted = signer.None
		}
	}
	if l.Sighting != e.seen.Sighting {
		e.seen.Since = now
	}
	e.seen.Sighting = l.Sighting
	negative := l.Negative
	if e.life.State.Fresh() { // who asked before may remember for as long as was told then
		negative = max(negative, e.seen.NegativeTTL)
	}
	e.seen.NegativeTTL = negative
	before := e.last.Result
	e.last, e.looked, e.blind, e.why = l, now, 0, ""
	if e.judged() {
		return e.judge(before, now)
	}
	return e.wait(now)
}

// weigh tells what a look at a new key is worth. What the resolver shows while no server can be asked is no word of the
// servers: of one that was seen without the key it says nothing.
func (e *entry) weigh(l Look, now time.Time) Look {
	switch {
	case l.Sighting == signer.Unknown || !e.life.State.Fresh():
	case l.Via != ViaResolver && (l.Sighting == signer.Nowhere || l.Lagging):
		e.doubt = now
	case l.Via != ViaResolver && l.Sighting == signer.Everywhere:
		e.doubt = time.Time{}
	case l.Via == ViaResolver && l.Sighting == signer.Everywhere && !e.doubt.IsZero() && now.Sub(e.doubt) < doubtful:
		l.Sighting = signer.Unknown
		l.Reason += "; when servers of the zone could be asked last, not all of them showed the key"
	}
	return l
}

// wait tells that a new key has been held back for long: it would wait for as long as that lasts.
func (e *entry) wait(now time.Time) (Event, bool) {
	switch {
	case !e.life.State.Fresh():
		return Event{}, false
	case e.seen.Sighting == signer.Everywhere:
		e.told, e.result = signer.Unknown, ""
		return Event{}, false
	case e.held() && e.told == e.seen.Sighting || now.Sub(e.seen.Since) < heldLong:
		return Event{}, false
	}
	e.told, e.result = e.seen.Sighting, cmp.Or(e.last.Result, "unknown")
	return Event{
		Change: HeldBack, At: now, ID: e.life.ID, State: e.life.State, Look: e.last, Record: e.record,
	}, true
}

// held tells of a new key that has long been held back, as was told.
func (e *entry) held() bool { return e.life.State.Fresh() && e.result != "" }

// Undisputed tells that nothing that is known speaks against a new key: it waits for servers that could not be asked,
// and an operator who knows better may have it sign.
func (l *Look) Undisputed() bool { return l.Sighting == signer.Partly && !l.Lagging }

// judge tells whether what the last look showed is sure and new: it was seen twice, an interval apart.
func (e *entry) judge(before string, now time.Time) (Event, bool) {
	found, was := e.last.claim(), e.told
	switch {
	case found == was:
		e.maybe = signer.Unknown
		if found != signer.Nowhere || e.last.Result == e.result || e.last.Result != before {
			return Event{}, false
		}
	case was == signer.Unknown && found == signer.Everywhere:
		e.told, e.maybe, e.unseen = found, signer.Unknown, false
		return Event{}, false
	case found != e.maybe:
		e.maybe, e.first = found, now
		return Event{}, false
	case now.Sub(e.first) < e.last.gap():
		return Event{}, false
	}
	e.told, e.result, e.maybe = found, e.last.Result, signer.Unknown
	ev := Event{At: now, ID: e.life.ID, State: e.life.State, Look: e.last, Record: e.record}
	switch found {
	case signer.Nowhere:
		ev.Change, e.unseen = BecameUnseen, true
	case signer.Partly:
		ev.Change = BecamePartly
	default:
		ev.Change, e.unseen = BecameSeen, false
	}
	return ev, true
}

// claim gives what a look says of a key that signs. A server that could not be asked proves nothing.
func (l *Look) claim() signer.Sighting {
	if l.Undisputed() {
		return signer.Everywhere
	}
	return l.Sighting
}

// gap gives how far apart two looks are that tell the same, for it to count. A resolver may tell what it remembers; and
// that a key is there again is of use when nobody remembers that it was not.
func (l *Look) gap() time.Duration {
	if l.Via == ViaResolver || l.claim() == signer.Everywhere {
		return within(l.Negative, soonest, longestGap)
	}
	return soonest
}

// interval gives the time from the last look to the next.
func (e *entry) interval(now time.Time) time.Duration {
	dangling := e.life.State == signer.Revoked && e.seen.Sighting > signer.Nowhere
	switch {
	case e.life.State.Fresh():
		return within(now.Sub(e.life.Made())/10, quickest, quick)
	case e.blind > 0:
		return min(soonest<<min(e.blind-1, 8), blindest)
	case e.maybe != signer.Unknown:
		return e.last.gap()
	case dangling:
		return soonest
	case e.life.State == signer.Revoked && e.looked.IsZero():
		return soonest
	case e.life.State == signer.Revoked:
		return latest
	}
	return within(e.last.TTL, soonest, latest)
}

// within gives a time span, or the bound that it is beyond.
func within(d, least, most time.Duration) time.Duration { return min(max(d, least), most) }

// earlier gives the earlier one of two times; a zero one is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
