package dnsbl

import (
	"slices"
	"time"
)

// The numbers of the monitor.
const (
	confirmAfter = 10 * time.Minute // two answers that agree on a listing are at least so far apart
	clearAfter   = 2                // answers in a row end a listing
	staleAfter   = 3                // intervals without an answer, and nothing is known
)

// cell is what is known of one subject at one list, and when to ask again. It does not know the time.
type cell struct {
	watch   *watch
	subject Subject

	verdict   State     // Unknown, Clear or Listed: what the answers agreed on
	until     time.Time // when that is stale
	codes     []Match   // of the listing
	text      string    // the reason of the listing
	explained bool      // the reason was asked for
	negatives int       // in a row

	first  time.Time     // the first answer with a listing that is not confirmed; zero: there is none
	gap    time.Duration // how far apart the second must be
	second time.Time     // when it came; zero: it has not
	fresh  []Match       // the codes that it had

	told     State     // what the verdict was when it was last told
	severity Severity  // what the severity of the listing was then
	since    time.Time // when it became so

	last  Result // the last answer, when it was none
	asked time.Time
	every time.Duration // the interval that the last answer opened
	next  time.Time

	question question
	why      question
	shown    State // in the snapshot
	gone     bool  // it is not watched any more
}

// take takes an answer. Base is the interval that it opens.
func (c *cell) take(r Result, now time.Time, base time.Duration) {
	c.last = Result{State: r.State, Reason: r.Reason, Remedy: r.Remedy, failed: r.failed}
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
func (c *cell) drop() { c.first, c.gap, c.second, c.fresh = time.Time{}, 0, time.Time{}, nil }

func (c *cell) negative() {
	c.drop()
	if c.negatives++; c.told == Listed && c.negatives < clearAfter {
		return
	}
	c.verdict, c.codes, c.text, c.explained = Clear, nil, "", false
}

func (c *cell) positive(r Result, now time.Time) {
	c.negatives = 0
	if !sameCodes(r.Codes, c.fresh) && !sameCodes(r.Codes, c.codes) {
		c.explained = false
	}
	if c.verdict == Listed && r.Severity() <= greatest(c.codes) { // not worse than what is confirmed
		c.codes = r.Codes
		c.drop()
		return
	}
	switch {
	case c.first.IsZero():
		c.first, c.gap = now, confirmAfter
	case c.second.IsZero() && now.Sub(c.first) >= c.gap:
		c.second = now
	}
	c.gap = max(c.gap, min(r.TTL, maxTTL))
	c.fresh = r.Codes
}

// unsure tells that the list must pass its tests before its last answer that matters is believed. The test after the
// first one shows soon that a list has gone wrong; that after the second shows that it was right then.
func (c *cell) unsure(tested time.Time) bool {
	return !c.first.IsZero() && tested.Before(later(c.first, c.second))
}

// confirm makes a listing of two answers, if the list has passed its tests since the second.
func (c *cell) confirm(tested time.Time) {
	if c.second.IsZero() || c.unsure(tested) {
		return
	}
	if c.told != Listed {
		c.since = c.first
	}
	c.verdict, c.codes = Listed, c.fresh
	c.drop()
}

// change tells whether there is something to tell: the verdict, or how bad it is. That nothing is known any more is not
// told: it would be told again for each address whenever a resolver fails.
func (c *cell) change(now time.Time) (Change, bool) {
	was := c.told
	switch {
	case c.verdict == Listed && (was != Listed || c.severity != greatest(c.codes)):
		c.told, c.severity = Listed, greatest(c.codes)
		return BecameListed, true
	case c.verdict == Clear && was != Clear:
		c.told, c.since = Clear, now
		return BecameClear, was == Listed
	}
	return 0, false
}

// wantsReason tells whether to ask why it is listed.
func (c *cell) wantsReason() bool {
	return !c.explained && (c.verdict == Listed || !c.first.IsZero())
}

func sameCodes(a, b []Match) bool {
	return slices.EqualFunc(a, b, func(a, b Match) bool { return a.Answer == b.Answer })
}

// listing is what there is to show.
func (c *cell) listing(now time.Time) Listing {
	w := c.watch
	l := Listing{List: w.list, Asked: c.asked, Next: c.next, Pending: c.fresh}
	switch {
	case w.health != Healthy:
		l.State, l.Reason, l.Remedy = w.health.state(), w.reason, w.remedy
		if w.health == Untested && w.reason == "" {
			l.Reason = "the list is being tested"
		}
	case c.verdict == Unknown || now.After(c.until):
		l.State, l.Reason, l.Remedy = c.unknown()
	default:
		l.State, l.Since = c.verdict, past(c.since, now)
	}
	if l.State == Listed {
		l.Codes, l.Text, l.Severity = c.codes, c.text, greatest(c.codes)
	}
	return l
}

// unknown says why nothing is known of a subject at a list that is healthy.
func (c *cell) unknown() (s State, reason, remedy string) {
	switch {
	case c.asked.IsZero():
		return Unknown, "not asked yet", ""
	case !c.first.IsZero():
		return Unknown, "was found to be listed once; a second answer must confirm it", ""
	case c.last.State == Clear:
		return Unknown, "was found not to be listed any more; a second answer must confirm it", ""
	case c.last.State == Refused || c.last.State == Broken:
		s = c.last.State
	}
	if c.last.Reason == "" {
		return s, "the last answer is too old", ""
	}
	return s, c.last.Reason, c.last.Remedy
}
