package dnsbl

import (
	"math"
	"slices"
	"time"
)

// The numbers of the monitor.
const (
	confirmAfter = 10 * time.Minute // the first two answers that agree on a listing are at least so far apart
	clearAfter   = 2                // answers in a row end a listing
	staleAfter   = 3                // intervals without an answer, and nothing is known
)

// cell is what is known of one subject at one list, and when to ask again. It does not know the time. There are tens of
// thousands of them: what few have lies behind a pointer, and what is small lies together.
type cell struct {
	question           // whether it is listed
	why      *question // why it is; nil: nobody wanted to know yet
	subject  *Subject  // one for all lists

	until time.Time     // when the verdict is stale
	since time.Time     // when what was last told became so
	asked time.Time     // zero: never
	next  time.Time     // when to ask again
	every time.Duration // the interval that the last answer opened

	proof  *proof  // nil: it has no codes, and no reason
	doubt  *doubt  // an answer with a listing that is not confirmed; nil: there is none
	excuse *excuse // of the last answer, when it was none

	negatives uint16   // answers in a row; no more are counted than fit
	verdict   State    // Unknown, Clear or Listed: what the answers agreed on
	told      State    // what the verdict was when it was last told
	severity  Severity // what the severity of the listing was then
	last      State    // what the last answer said
	failed    bool     // the last question had no answer
	explained bool     // the reason was asked for
	shown     State    // in the snapshot
	gone      bool     // it is not watched any more
}

// proof is what a list says of a listing. It does not change once it is made.
type proof struct {
	codes []Match
	text  string // the reason
}

// doubt is a listing that is not confirmed. It does not change once it is made: snapshots hold it.
type doubt struct {
	first  time.Time     // the first answer that said so
	gap    time.Duration // how far apart the second must be
	second time.Time     // when it came; zero: it has not
	upheld time.Time     // when the list had passed its tests since; zero: it has not
	codes  []Match       // of the last of them
}

// excuse is why nothing is known, and what to do about that. It does not change once it is made: snapshots hold it.
type excuse struct{ reason, remedy string }

// The excuses that are the same for all.
var (
	neverAsked = &excuse{reason: "not asked yet"}
	doubted    = &excuse{reason: "was found to be listed; another answer must confirm it"}
	relieved   = &excuse{reason: "was found not to be listed any more; a second answer must confirm it"}
	tooOld     = &excuse{reason: "the last answer is too old"}
)

// newCell makes a cell of which nothing is known.
func newCell(w *watch, s *Subject) *cell {
	c := &cell{subject: s}
	c.question = question{task: askCell, watch: w, cell: c, at: -1}
	return c
}

// reason gives the question why it is listed.
func (c *cell) reason() *question {
	if c.why == nil {
		c.why = &question{task: askWhy, watch: c.watch, cell: c, at: -1}
	}
	return c.why
}

// codes gives the codes of the listing.
func (c *cell) codes() []Match {
	if c.proof == nil {
		return nil
	}
	return c.proof.codes
}

// text gives the reason of the listing.
func (c *cell) text() string {
	if c.proof == nil {
		return ""
	}
	return c.proof.text
}

// prove sets both.
func (c *cell) prove(codes []Match, text string) {
	c.proof = nil
	if len(codes) > 0 || text != "" {
		c.proof = &proof{codes, text}
	}
}

// fresh gives the codes that are not confirmed.
func (d *doubt) fresh() []Match {
	if d == nil {
		return nil
	}
	return d.codes
}

// take takes an answer. Base is the interval that it opens.
func (c *cell) take(r Result, now time.Time, base time.Duration) {
	c.last, c.failed, c.excuse = r.State, r.failed, nil
	if r.Reason != "" {
		c.excuse = &excuse{r.Reason, r.Remedy}
	}
	if r.State != Clear && r.State != Listed {
		return // what is known stays until it is stale
	}
	if now.After(c.until) {
		c.verdict, c.negatives = Unknown, 0
		c.drop()
	}
	c.every, c.until = base, now.Add(staleAfter*base)
	if r.State == Clear {
		c.negative()
		return
	}
	c.positive(r, now)
}

// drop forgets an answer that is not confirmed.
func (c *cell) drop() { c.doubt = nil }

func (c *cell) negative() {
	c.drop()
	if c.negatives < math.MaxUint16 {
		c.negatives++
	}
	if c.told == Listed && c.negatives < clearAfter {
		return
	}
	c.verdict, c.proof, c.explained = Clear, nil, false
}

func (c *cell) positive(r Result, now time.Time) {
	c.negatives = 0
	if !sameCodes(r.Codes, c.doubt.fresh()) && !sameCodes(r.Codes, c.codes()) {
		c.explained = false
	}
	if c.verdict == Listed && r.Severity() <= greatest(c.codes()) { // not worse than what is confirmed
		c.prove(r.Codes, c.text())
		c.drop()
		return
	}
	d := doubt{first: now, gap: confirmAfter}
	if c.doubt != nil {
		d = *c.doubt
	}
	switch {
	case !d.upheld.IsZero() && !c.asked.Before(d.upheld) && r.Severity() > greatest(d.codes):
		c.confirm(d.codes)
		d = doubt{first: now, gap: confirmAfter} // what is worse was not tested: the list may have gone wrong since
	case !d.upheld.IsZero() && !c.asked.Before(d.upheld):
		c.confirm(r.Codes)
		return
	case d.second.IsZero() && now.Sub(d.first) >= d.gap:
		d.second = now
	}
	d.gap, d.codes = max(d.gap, min(r.TTL, maxTTL)), r.Codes
	c.doubt = &d
}

// unsure tells that the list must pass its tests since its last answer that matters. The test after the first one shows
// soon that a list has gone wrong; that after the second shows that it is right.
func (c *cell) unsure(tested time.Time) bool {
	return c.doubt != nil && tested.Before(later(c.doubt.first, c.doubt.second))
}

// uphold notes that the list has passed its tests since the second answer. It may have listed the world until just
// before: so what it said then does not count by itself, but what it says to a question that is asked from now on does.
func (c *cell) uphold(tested, now time.Time) {
	if c.doubt == nil || c.doubt.second.IsZero() || !c.doubt.upheld.IsZero() || c.unsure(tested) {
		return
	}
	d := *c.doubt
	d.upheld = now
	c.doubt = &d
}

// confirm makes a listing of a doubt that is none any more.
func (c *cell) confirm(codes []Match) {
	if c.told != Listed {
		c.since = c.doubt.first
	}
	c.verdict = Listed
	c.prove(codes, c.text())
	c.drop()
}

// change tells whether there is something to tell: the verdict, or how bad it is. That nothing is known any more is not
// told: it would be told again for each address whenever a resolver fails.
func (c *cell) change(now time.Time) (Change, bool) {
	was := c.told
	switch {
	case c.verdict == Listed && (was != Listed || c.severity != greatest(c.codes())):
		c.told, c.severity = Listed, greatest(c.codes())
		return BecameListed, true
	case c.verdict == Clear && was != Clear:
		c.told, c.since = Clear, now
		return BecameClear, was == Listed
	}
	return 0, false
}

// wantsReason tells whether to ask why it is listed.
func (c *cell) wantsReason() bool {
	return !c.explained && (c.verdict == Listed || c.doubt != nil)
}

func sameCodes(a, b []Match) bool {
	return slices.EqualFunc(a, b, func(a, b Match) bool { return a.Answer == b.Answer })
}

// state gives what there is to show, and at a list that is healthy why nothing is known.
func (c *cell) state(now time.Time) (State, *excuse) {
	switch {
	case c.watch.health != Healthy:
		return c.watch.health.state(), nil
	case c.verdict == Unknown || now.After(c.until):
		return c.unknown()
	}
	return c.verdict, nil
}

// listing shows a listing.
func (c *cell) listing(now time.Time) Listing {
	return Listing{
		List: c.watch.list, State: Listed, Severity: greatest(c.codes()), Codes: c.codes(), Pending: c.doubt.fresh(),
		Text: c.text(), Since: past(c.since, now), Asked: c.asked, Next: c.next,
	}
}

// glance shows what is none.
func (c *cell) glance(s State, why *excuse, now time.Time) glance {
	g := glance{list: c.watch.place, state: s, asked: c.asked, next: c.next, excuse: why, doubt: c.doubt}
	if s == Clear {
		g.since = past(c.since, now)
	}
	return g
}

// unknown says why nothing is known of a subject at a list that is healthy.
func (c *cell) unknown() (s State, why *excuse) {
	switch {
	case c.asked.IsZero():
		return Unknown, neverAsked
	case c.doubt != nil:
		return Unknown, doubted
	case c.last == Clear:
		return Unknown, relieved
	case c.last == Refused || c.last == Broken:
		s = c.last
	}
	if c.excuse == nil {
		return s, tooOld
	}
	return s, c.excuse
}
