package signer

import (
	"cmp"
	"slices"
	"time"
)

// PlanOptions say how keys live. The zero value makes no keys by itself.
type PlanOptions struct {
	Rotate time.Duration // how long a key signs before a new one is made; 0: until somebody asks
	Asked  bool          // a new key is wanted now
	Retire time.Duration // how long a record stays after its key signed last; 0: [RetireTime] of [QueueLifetime]
	Grave  time.Duration // how long an empty p= stays; 0: [GraveTime]
	Bars   func(ID) bool // whether the configuration keeps a key from signing, as [Ring.Bars]; nil: none
}

// How long things take.
const (
	QueueLifetime = 5 * day  // an MTA keeps trying: RFC 5321, section 4.5.4.1, and the default of Postfix
	GraveTime     = 30 * day // a revoked key can be seen to be revoked

	day             = 24 * time.Hour
	shortestRetire  = 7 * day
	verifyLate      = 2 * day       // receivers may verify after they accepted
	unknownNegative = 3 * time.Hour // RFC 2308, section 5: one to three hours work well
	longestNegative = day           // the same: more than a day is problematic
)

// RetireTime gives how long the record of a key stays after it signed last, with an MTA that keeps trying for so long:
// all mail that it signed has arrived or come back by then. It is 7 days at least.
func RetireTime(queue time.Duration) time.Duration { return max(shortestRetire, queue+verifyLate) }

// Plan tells what is to happen to keys, now and later, from what is known of them and what the DNS shows. It changes
// nothing. Steps are in the order in which they are to be taken; those that are due ([Step.Due]) can be taken in one
// go. Each is one transition: when it was taken, the next plan goes on from there, however much time has passed.
//
// Keys of a domain with the same algorithm follow each other. A new key becomes [Published] when every server shows its
// record and nobody remembers that there was none, and then [Active]; at once the ones before it become [Retiring].
// Active keys that were not brought up so, as imported ones, sign beside each other until then, and so does one that is
// put beside a key that was. The first key of a domain, without which its mail is not signed at all, does not wait for
// memories to fade.
//
// A retiring key is not revoked, whatever its age, while its successor is not seen: it may have to stand in for it. A
// time that is still to come, as after the clock was set back, is taken for now, which only makes steps later; and of
// two keys the one that has it is the older one, or it would stand in the way of all that are made until then.
func Plan(now time.Time, lives []Life, seen map[ID]Seen, o PlanOptions) []Step {
	o.Retire = cmp.Or(o.Retire, RetireTime(QueueLifetime))
	o.Grave = cmp.Or(o.Grave, GraveTime)
	lives = slices.Clone(lives)
	SortLives(lives)
	p := planner{now: now, seen: seen, o: o}
	for len(lives) > 0 {
		n := slices.IndexFunc(lives, func(l Life) bool { return l.ID.Domain != lives[0].ID.Domain })
		if n < 0 {
			n = len(lives)
		}
		p.domain(lives[:n])
		lives = lives[n:]
	}
	return p.steps
}

type planner struct {
	now   time.Time
	seen  map[ID]Seen
	o     PlanOptions
	steps []Step
}

func (p *planner) domain(lives []Life) {
	byAlgorithm := map[string][]Life{}
	var names []string
	for _, l := range lives {
		if byAlgorithm[l.Algorithm] == nil {
			names = append(names, l.Algorithm)
		}
		byAlgorithm[l.Algorithm] = append(byAlgorithm[l.Algorithm], l)
	}
	slices.Sort(names)
	for _, name := range names {
		keys := byAlgorithm[name]
		slices.SortStableFunc(keys, func(a, b Life) int {
			switch {
			case p.later(b.Made(), a.Made()):
				return -1
			case p.later(a.Made(), b.Made()):
				return 1
			}
			return 0
		})
		l := &line{planner: p, algorithm: name, keys: keys, active: in(keys, Active), signing: in(lives, Active)}
		l.plan()
	}
}

// in picks the keys in a state.
func in(lives []Life, s State) (some []Life) {
	for _, l := range lives {
		if l.State == s {
			some = append(some, l)
		}
	}
	return some
}

// later tells whether one time is later than another. One that is to come is from a clock that was wrong, and counts as
// the earlier one.
func (p *planner) later(a, b time.Time) bool {
	if toCome := b.After(p.now); a.After(p.now) != toCome {
		return toCome
	}
	return a.After(b)
}

// past gives a time that is not to come.
func (p *planner) past(t time.Time) time.Time {
	if t.IsZero() || t.After(p.now) {
		return p.now
	}
	return t
}

func (p *planner) bars(id ID) bool { return p.o.Bars != nil && p.o.Bars(id) }
