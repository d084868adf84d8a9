package dnsbl

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"

	"reputed/policy/dns"
)

// Health is how a list does in its tests.
type Health uint8

const (
	Untested Health = iota // no test has come to an end yet
	Healthy                // it passes its tests: what it says counts
	Unproven               // it fails a test that nobody promised it passes: what it says does not count
	Silent                 // it does not answer
	Refusing               // it declines to answer our resolver
	Faulty                 // it fails its tests: it is dead, or lists the world, or its answers are forged
)

var healths = []string{"untested", "healthy", "unproven", "silent", "refused", "broken"}

func (h Health) String() string { return word(healths, h) }

// MarshalText writes the word of [Health.String].
func (h Health) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads the word of [Health.String].
func (h *Health) UnmarshalText(text []byte) (err error) {
	*h, err = parseWord[Health](healths, string(text))
	return err
}

// state is what is known of anything at a list that is not healthy.
func (h Health) state() State {
	switch h {
	case Refusing:
		return Refused
	case Faulty:
		return Broken
	}
	return Unknown
}

// probe is one question of a test: RFC 5782, section 5, and RFC 6471, section 3.3.
type probe uint8

const (
	probeListed   probe = iota // what the list says it lists
	probeUnlisted              // what the list says it does not list
	probeNobody                // a name that nobody can have put there: wildcards and parked domains list it
)

// probes gives the questions of a test. The last one needs no test points.
func (l *List) probes() []probe {
	if l.TestStatus == NoTest {
		return []probe{probeNobody}
	}
	return []probe{probeListed, probeUnlisted, probeNobody}
}

// label makes a name that nobody can have put on a list.
func label(r *rand.Rand) string {
	random := binary.BigEndian.AppendUint64(nil, r.Uint64())
	return "reputed-" + strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(random))
}

// examine asks one question of a test. The label is random.
func (l *List) examine(ctx context.Context, resolver dns.Resolver, p probe, label string) Result {
	var name string
	var err error
	switch p {
	case probeListed:
		name, err = l.question(l.TestListed)
	case probeUnlisted:
		name, err = l.question(l.TestUnlisted)
	default:
		name, err = l.below(label)
	}
	if err != nil {
		return Result{List: l, failed: true, Reason: err.Error()}
	}
	return l.interpret(resolver.Resolve(ctx, name, dns.A))
}

// finding is what a question of a test tells: Healthy when it is passed, Untested when nothing is known.
type finding struct {
	health  Health
	reason  string
	remedy  string
	foreign bool // an answer lay outside 127.0.0.0/8
	coded   bool // it declines with an error code
	cut     bool // nothing is known, because the time was up
}

// judge says what the answer to a question of a test means. Any code will do for what is listed: the test entries of
// many lists have codes of their own.
func (l *List) judge(p probe, r Result) finding {
	f := finding{reason: r.Reason, remedy: r.Remedy, foreign: r.foreign, coded: r.Coded, cut: r.Cut}
	switch {
	case r.foreign:
		f.health = Faulty
	case r.State == Refused && (p != probeNobody || l.TestStatus == NoTest || r.failed):
		f.health = Refusing
	case r.failed:
	case r.State == Refused: // an error is a good answer to a question that makes no sense
		return finding{health: Healthy}
	case (r.State == Clear) != (p == probeListed):
		return finding{health: Healthy}
	case p == probeNobody:
		f.health = Faulty
		f.reason = "lists a name that nobody can have put there, and so may list the world"
		f.remedy = "nothing to do here; it is left out until it recovers"
	default:
		f = l.failed(p)
	}
	return f
}

// failed is the finding for a test point with the wrong answer.
func (l *List) failed(p probe) finding {
	f := finding{health: Faulty, remedy: "nothing to do here; it is left out until it recovers"}
	f.reason = fmt.Sprintf("does not list its own test entry %v: it may be dead", l.TestListed)
	if p == probeUnlisted {
		f.reason = fmt.Sprintf("lists %v, which it must not, and so may list the world", l.TestUnlisted)
	}
	if l.TestStatus == Assumed {
		f.health = Unproven
		f.remedy = "it may have no such entry; if you know which it has, set test_listed and test_unlisted of list " + l.ID
	}
	return f
}
