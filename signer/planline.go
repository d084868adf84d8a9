package signer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// line is the keys of a domain with one algorithm, which follow each other.
type line struct {
	*planner
	algorithm string
	keys      []Life // oldest first
	active    []Life // of them
	signing   []Life // active keys of the domain, whatever their algorithm
}

// turn is when a key takes over from those before it.
type turn struct {
	by   string    // which; "": none does
	when time.Time // zero: not known
	need Need      // Nothing: it has taken over, or does so with the steps that are due
}

func (l *line) plan() {
	heir := l.heir()
	next, waiting := l.arrivals(heir)
	if !waiting {
		next = l.birth()
	}
	for _, k := range l.keys {
		switch {
		case k.State == Active && heir != nil && k.ID != heir.ID && !l.late(k, heir):
			l.retire(k, turn{by: heir.ID.Selector.String(), when: l.past(heir.Since())})
		case k.State == Active && next.by != "":
			l.retire(k, next)
		case k.State == Retiring:
			l.revoke(k)
		case k.State == Revoked:
			l.bury(k)
		}
	}
}

// heir gives the active key that took over last, of those that were brought up by a plan; nil: none was.
func (l *line) heir() *Life {
	var heir *Life
	for i := range l.active {
		k := &l.active[i]
		if !k.Times[Published].IsZero() && (heir == nil || !l.later(l.entered(*heir), l.entered(*k))) {
			heir = k
		}
	}
	return heir
}

// late tells of a key that somebody put here, in use, when the heir had taken over, or may have: it is none of those in
// whose place the heir signs.
func (l *line) late(k Life, heir *Life) bool {
	came := k.Since()
	if came.IsZero() {
		came = k.Came
	}
	if !k.Times[Published].IsZero() || came.IsZero() {
		return false
	}
	return heir.Since().After(l.now) || !came.Before(heir.Since())
}

// add plans a step of a key.
func (l *line) add(k Life, to State, when time.Time, need Need, because string) {
	from := k.State
	if n := len(l.steps); n > 0 && k.ID == l.steps[n-1].ID && l.steps[n-1].To > from {
		from = l.steps[n-1].To
	}
	l.steps = append(l.steps, Step{
		ID: k.ID, Algorithm: l.algorithm, From: from, To: to, When: when, Needs: need, Because: because,
	})
}

// arrivals plans the way of keys that do not sign yet, the newest first, and tells which one takes over next and
// whether any is on its way.
func (l *line) arrivals(heir *Life) (next turn, waiting bool) {
	for _, k := range slices.Backward(l.keys) {
		if !k.State.Fresh() {
			continue
		}
		if heir != nil && l.overtaken(k, heir) || next.by != "" && next.need == Nothing {
			l.add(k, Revoked, time.Time{}, Word, "a newer key took its place before it was used")
			continue
		}
		t := l.arrive(k)
		if !waiting || t.need == Nothing {
			next = t
		}
		waiting = true
	}
	return next, waiting
}

// overtaken tells whether a key was made before the heir was, as far as that is known of both.
func (l *line) overtaken(k Life, heir *Life) bool {
	for _, t := range heir.Times {
		if !t.IsZero() && !t.After(l.now) {
			return k.Made().Before(t)
		}
	}
	return false
}

// arrive plans the way of a key until it signs, and tells when that is.
func (l *line) arrive(k Life) turn {
	when, need, because := l.visible(k)
	if k.State == Created {
		l.add(k, Published, when, need, because)
		if need != Nothing || when.After(l.now) {
			need = Earlier
		}
	}
	if l.bars(k.ID) {
		when, need = time.Time{}, Configuration
	}
	l.add(k, Active, when, need, "everybody can see its record")
	return turn{by: k.ID.Selector.String(), when: when, need: need}
}

// visible tells when a key can be seen by everybody, or what is in the way of that, and why it is so.
func (l *line) visible(k Life) (when time.Time, need Need, because string) {
	seen := l.seen[k.ID]
	switch seen.Sighting {
	case Unknown:
		return when, Answer, "it is not known who can see its record"
	case Nowhere:
		return when, Record, "no server of the zone shows its record"
	case Partly:
		return when, EveryServer, "not every server of the zone shows its record"
	}
	since := l.past(seen.Since)
	switch {
	case k.State == Published:
		return l.past(k.Since()), Nothing, ""
	case len(l.signing) == 0:
		return since, Nothing, "every server of the zone shows its record, and the domain has no other key to sign with"
	}
	wait := min(cmp.Or(max(seen.NegativeTTL, 0), unknownNegative), longestNegative)
	return since.Add(wait), Nothing,
		"every server of the zone shows its record, and after " + span(wait) + " nobody remembers that it was not there"
}

// birth plans a new key, if it is wanted and there is none on its way, and tells when it takes over.
func (l *line) birth() turn {
	if len(l.active) == 0 || l.o.Rotate <= 0 && !l.o.Asked {
		return turn{}
	}
	youngest := l.active[0]
	for _, k := range l.active[1:] {
		if l.later(l.entered(k), l.entered(youngest)) {
			youngest = k
		}
	}
	when, because := l.now, "a new key was asked for"
	switch since := l.entered(youngest); {
	case l.o.Asked:
	case since.Sub(l.now) > l.o.Rotate: // or it would wait until then
		because = fmt.Sprintf("it is not known since when %s signs, as the clock was wrong", youngest.ID.Selector)
	default:
		when = l.past(since).Add(l.o.Rotate)
		because = fmt.Sprintf("%s has signed for %s then", youngest.ID.Selector, span(l.o.Rotate))
	}
	k := Life{ID: ID{Domain: youngest.ID.Domain}}
	need := Nothing
	if l.bars(k.ID) {
		need = Configuration
	}
	l.add(k, Created, when, need, because)
	l.steps[len(l.steps)-1].Bits = nextBits(l.algorithm, youngest.Bits)
	l.add(k, Published, time.Time{}, Earlier, "when every server of the zone shows its record")
	l.add(k, Active, time.Time{}, Earlier, "everybody can see its record")
	return turn{by: "the new key", need: Earlier}
}

// entered gives the time since when a key signs, as far as it is known; zero: it is not. Where the clock was wrong
// then, it is the last time that can be right.
func (p *planner) entered(k Life) time.Time {
	if t := k.Since(); !t.IsZero() && !t.After(p.now) {
		return t
	}
	last := k.Made()
	for _, t := range k.Times {
		if !t.IsZero() && p.later(t, last) {
			last = t
		}
	}
	return last
}

// nextBits gives the size of a key that follows one of so many bits.
func nextBits(algorithm string, bits int) int {
	if algorithm != RSA {
		return bits
	}
	for _, size := range []int{GoodBits, 3072} {
		if bits <= size {
			return size
		}
	}
	return 4096 // RFC 8301, section 3.2: receivers need not verify more
}

// retire plans the end of a key that signs.
func (l *line) retire(k Life, t turn) {
	need, ceased := Earlier, t.when
	if t.need == Nothing {
		need, ceased = Nothing, l.now
	}
	l.add(k, Retiring, t.when, need, t.by+" signs in its place")
	l.add(k, Revoked, later(ceased, l.o.Retire), Earlier, l.arrived())
	l.add(k, Removed, later(ceased, l.o.Retire+l.o.Grave), Earlier, l.buried())
}

// later adds to a time, if it is known.
func later(t time.Time, d time.Duration) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(d)
}

func (l *line) arrived() string {
	return span(l.o.Retire) + " after it signed last, its mail has arrived or come back"
}

func (l *line) buried() string {
	return span(l.o.Grave) + " are enough for everybody to see that it is revoked"
}

// revoke plans the end of a key that may still have to stand in for its successor.
func (l *line) revoke(k Life) {
	heirs := l.active
	if len(heirs) == 0 {
		heirs = l.signing
	}
	need := Successor
	for _, h := range heirs {
		if l.seen[h.ID].Sighting == Everywhere {
			need = Nothing
		}
	}
	when := l.past(k.Since()).Add(l.o.Retire)
	l.add(k, Revoked, when, need, l.arrived())
	if when.Before(l.now) {
		when = l.now
	}
	l.add(k, Removed, when.Add(l.o.Grave), Earlier, l.buried())
}

// bury plans the end of a record.
func (l *line) bury(k Life) {
	need := Nothing
	if s := l.seen[k.ID].Sighting; s == Partly || s == Everywhere {
		need = Gravestone
	}
	l.add(k, Removed, l.past(k.Since()).Add(l.o.Grave), need, l.buried())
}

// span writes a duration, in days if it is long.
func span(d time.Duration) string {
	switch {
	case d >= 2*day && d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	case d%time.Second != 0:
		return d.String()
	}
	s := d.String() // 3h0m0s
	s = strings.TrimSuffix(s, "0s")
	if !strings.HasSuffix(s, "m") || d < time.Minute {
		return d.String()
	}
	if cut, ok := strings.CutSuffix(s, "h0m"); ok {
		return cut + "h"
	}
	return s
}
