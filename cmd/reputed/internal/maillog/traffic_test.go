package maillog_test

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reputed/cmd/reputed/internal/maillog"
	"reputed/policy"
	"reputed/policy/mail"
)

// within gives how often something took how long.
func within(sum time.Duration, times map[int]uint64) maillog.Durations {
	d := maillog.Durations{Sum: sum}
	for i, n := range times {
		d.Within[i] = n
	}
	return d
}

// What each message adds, by why it is told apart.
func TestTraffic(t *testing.T) {
	const took = 1312 * time.Microsecond // in the third class: above 1 ms
	one := within(took, map[int]uint64{2: 1})
	ours := func(a policy.Action) (m maillog.Traffic) {
		m.Messages[policy.Ours][a], m.Took = 1, one
		return m
	}
	rsa := maillog.Signatures{RSA: 1}
	for _, tt := range []struct {
		why    string
		change func(*policy.Record)
		want   maillog.Traffic
	}{
		{"signed", func(*policy.Record) {}, func() maillog.Traffic {
			m := ours(policy.Log)
			m.Signed, m.Signatures = 1, rsa
			return m
		}()},
		{"signed with two keys is one message", func(r *policy.Record) {
			r.Signed = append(r.Signed, mail.Signed{Algorithm: "ed25519-sha256"})
		}, func() maillog.Traffic {
			m := ours(policy.Log)
			m.Signed, m.Signatures = 1, maillog.Signatures{RSA: 1, Ed25519: 1}
			return m
		}()},
		{"one that bears our signature already is signed, with no signature made", func(r *policy.Record) {
			r.Signed, r.Already = nil, r.Signed
		}, func() maillog.Traffic {
			m := ours(policy.Log)
			m.Signed = 1
			return m
		}()},
		{"unsigned, and the rules would have refused it", func(r *policy.Record) {
			r.Signed, r.Verdict.Would = nil, policy.Reject
		}, func() maillog.Traffic {
			m := ours(policy.Log)
			m.Unsigned, m.Would[policy.Reject] = 1, 1
			return m
		}()},
		{"held mail is signed, and neither a signed nor an unsigned message yet", func(r *policy.Record) {
			r.Verdict.Action, r.Verdict.Rule = policy.Hold, "dnsbl"
		}, func() maillog.Traffic {
			m := ours(policy.Hold)
			m.Signatures, m.Rules = rsa, map[string]maillog.Actions{"dnsbl": {policy.Hold: 1}}
			return m
		}()},
		{"a recipient is no message", func(r *policy.Record) {
			r.Signed, r.Rcpt, r.Verdict.Action, r.Verdict.Rule = nil, "x@example.net", policy.Reject, "spf"
		}, maillog.Traffic{
			Recipients: maillog.Actions{policy.Reject: 1}, Rules: map[string]maillog.Actions{"spf": {policy.Reject: 1}},
		}},
		{"a fault of ours that refused", func(r *policy.Record) {
			r.Signed, r.Verdict.Action, r.Verdict.Rule = nil, policy.Defer, "trouble"
			r.Verdict.Findings = []policy.Finding{{Rule: "spf"}, {Rule: "trouble"}}
		}, func() maillog.Traffic {
			m := ours(policy.Defer)
			m.Failed, m.Rules = 1, map[string]maillog.Actions{"trouble": {policy.Defer: 1}}
			return m
		}()},
		{"a fault of ours that did not", func(r *policy.Record) {
			r.Signed, r.Class, r.Verdict.Findings = nil, policy.Relayed, []policy.Finding{{Rule: "trouble"}}
		}, func() (m maillog.Traffic) {
			m.Messages[policy.Relayed][policy.Log], m.Failed, m.Took = 1, 1, one
			return m
		}()},
		{"how long a stranger's took would hide how long ours did", func(r *policy.Record) {
			r.Signed, r.Class = nil, policy.Foreign
		}, func() (m maillog.Traffic) {
			m.Messages[policy.Foreign][policy.Log] = 1
			return m
		}()},
	} {
		l := maillog.New(slog.New(slog.DiscardHandler))
		r := record()
		tt.change(r)
		l.Message(r)
		if tt.want.Rules == nil {
			tt.want.Rules = map[string]maillog.Actions{}
		}
		if diff := cmp.Diff(tt.want, l.Traffic()); diff != "" {
			t.Errorf("%s: %s", tt.why, diff)
		}
	}
}

// A bound is within its class, and nothing is too long to be counted.
func TestDurations(t *testing.T) {
	l := maillog.New(slog.New(slog.DiscardHandler))
	for _, d := range []time.Duration{0, maillog.Bounds[0], maillog.Bounds[0] + 1, 10 * time.Second, time.Hour} {
		r := record()
		r.Took = d
		l.Message(r)
	}
	last := len(maillog.Bounds)
	want := within(time.Hour+10*time.Second+2*maillog.Bounds[0]+1, map[int]uint64{0: 2, 1: 1, last - 1: 1, last: 1})
	if diff := cmp.Diff(want, l.Traffic().Took); diff != "" {
		t.Error(diff)
	}
	for i := range maillog.Bounds[1:] {
		if maillog.Bounds[i+1] <= maillog.Bounds[i] {
			t.Errorf("%v is not above %v", maillog.Bounds[i+1], maillog.Bounds[i])
		}
	}
}

// Counting takes no memory, and nothing is lost among many.
func TestTrafficAtOnce(t *testing.T) {
	l := maillog.New(slog.New(slog.DiscardHandler))
	stranger := record()
	stranger.Class = policy.Foreign // which is counted only
	if n := testing.AllocsPerRun(100, func() { l.Message(stranger) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	const many, times = 8, 500
	var all sync.WaitGroup
	for range many {
		all.Go(func() {
			r := record()
			r.Verdict.Action, r.Verdict.Rule = policy.Defer, "dnsbl"
			for range times {
				l.Message(r)
				l.Traffic()
			}
		})
	}
	all.Wait()
	got := l.Traffic()
	if n := got.Rules["dnsbl"][policy.Defer]; n != many*times || got.Messages[policy.Ours][policy.Defer] != n {
		t.Errorf("%+v", got)
	}
}
