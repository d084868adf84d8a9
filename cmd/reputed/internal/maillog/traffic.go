package maillog

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"reputed/policy"
)

// Traffic says what became of messages since the start, as [Counts] does, in more detail. A recipient that was refused
// while its message went on is no message here.
type Traffic struct {
	Messages   [classes]Actions // by class; accepted ones are those of [policy.Log]
	Recipients Actions          // that were refused
	Signed     uint64           // messages of ours that were accepted with a signature of ours, made now or before
	Unsigned   uint64           // messages of ours that were accepted without one
	Failed     uint64           // messages on which this program failed itself, whatever became of them
	Signatures Signatures
	Rules      map[string]Actions // what rules did, by their names; those that did nothing are not there
	Would      Actions            // what rules that only observe would have done, to messages and recipients
	Took       Durations          // of messages that are not foreign
}

const (
	classes = int(policy.Ours) + 1
	actions = int(policy.Reject) + 1
)

// Actions counts by [policy.Action].
type Actions [actions]uint64

// Signatures counts those that were made, by algorithm.
type Signatures struct{ RSA, Ed25519 uint64 }

// Bounds are the upper bounds of the classes in which [Durations] are counted; what took longer is in one class more.
var Bounds = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// Durations says how long something took: how often it was within each of [Bounds] and above the one before, and the
// sum.
type Durations struct {
	Within [len(Bounds) + 1]uint64
	Sum    time.Duration
}

// traffic counts it. All it does for a message that is accepted is to add to some atomics.
type traffic struct {
	messages     [classes]counts
	recipients   counts
	would        counts
	signed       atomic.Uint64
	unsigned     atomic.Uint64
	failed       atomic.Uint64
	rsa, ed25519 atomic.Uint64
	within       [len(Bounds) + 1]atomic.Uint64
	sum          atomic.Int64 // nanoseconds
	rules        sync.Map     // of *counts, by the name of the rule; rules are few, and the program's own
}

type counts [actions]atomic.Uint64

func (c *counts) load() (a Actions) {
	for i := range c {
		a[i] = c[i].Load()
	}
	return a
}

// count counts a message, or a recipient that was refused.
func (t *traffic) count(r *policy.Record) {
	v := &r.Verdict
	if v.Would > policy.Log {
		t.would[v.Would].Add(1)
	}
	if v.Action > policy.Log {
		t.rule(v.Rule)[v.Action].Add(1)
	}
	if r.Rcpt != "" {
		t.recipients[v.Action].Add(1)
		return
	}
	t.messages[r.Class][v.Action].Add(1)
	if failed(v.Findings) {
		t.failed.Add(1)
	}
	if r.Class == policy.Foreign {
		return
	}
	at := 0
	for at < len(Bounds) && r.Took > Bounds[at] {
		at++
	}
	t.within[at].Add(1)
	t.sum.Add(int64(r.Took))
	if r.Class == policy.Ours && v.Action == policy.Log {
		if len(r.Signed)+len(r.Already) > 0 {
			t.signed.Add(1)
		} else {
			t.unsigned.Add(1)
		}
	}
	for i := range r.Signed { // also on what is held
		if r.Signed[i].Algorithm == "ed25519-sha256" {
			t.ed25519.Add(1)
		} else {
			t.rsa.Add(1)
		}
	}
}

// failed tells that the program itself failed on a message.
func failed(found []policy.Finding) bool {
	return slices.ContainsFunc(found, func(f policy.Finding) bool { return f.Rule == "trouble" })
}

func (t *traffic) rule(name string) *counts {
	c, ok := t.rules.Load(name)
	if !ok {
		c, _ = t.rules.LoadOrStore(name, new(counts))
	}
	return c.(*counts)
}

// Traffic gives what was counted so far. The numbers may be apart by messages whose fate is told meanwhile.
func (l *Log) Traffic() Traffic {
	t := &l.traffic
	sum := Traffic{
		Recipients: t.recipients.load(), Would: t.would.load(),
		Signed: t.signed.Load(), Unsigned: t.unsigned.Load(), Failed: t.failed.Load(),
		Signatures: Signatures{RSA: t.rsa.Load(), Ed25519: t.ed25519.Load()},
		Rules:      map[string]Actions{},
	}
	for i := range t.messages {
		sum.Messages[i] = t.messages[i].load()
	}
	for i := range t.within {
		sum.Took.Within[i] = t.within[i].Load()
	}
	sum.Took.Sum = time.Duration(t.sum.Load())
	t.rules.Range(func(name, c any) bool {
		sum.Rules[name.(string)] = c.(*counts).load()
		return true
	})
	return sum
}

// Counts gives the counts so far.
func (l *Log) Counts() Counts {
	t := l.Traffic()
	c := Counts{
		Foreign: t.Messages[policy.Foreign][policy.Log], Relayed: t.Messages[policy.Relayed][policy.Log],
		Signed: t.Signed, Unsigned: t.Unsigned,
	}
	for _, of := range append(t.Messages[:], t.Recipients) {
		c.Held += of[policy.Hold]
		c.Deferred += of[policy.Defer]
		c.Rejected += of[policy.Reject]
	}
	return c
}
