package signer_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reputed/policy/mail"
	"reputed/signer"
)

const day = 24 * time.Hour

// life makes one of example.org from "SELECTOR STATE=AGE...": when it came to each state, before now. The state is the
// last one, and "came" when its file was put there. The selector says the algorithm: e... is Ed25519, all others RSA.
func life(t testing.TB, text string) signer.Life {
	t.Helper()
	words := strings.Fields(text)
	l := signer.Life{ID: signer.ID{Domain: domain(t, "example.org"), Selector: domain(t, words[0])}, Algorithm: signer.RSA,
		Bits: 2048}
	if words[0][0] == 'e' {
		l.Algorithm, l.Bits = signer.Ed25519, 256
	}
	for _, w := range words[1:] {
		name, age, known := strings.Cut(w, "=")
		if name == "came" {
			l.Came = fixedTime().Add(-duration(t, age))
			continue
		}
		if err := l.State.UnmarshalText([]byte(name)); err != nil {
			t.Fatal(err)
		}
		if known {
			l.Times[l.State] = fixedTime().Add(-duration(t, age))
		}
	}
	return l
}

// duration reads days too.
func duration(t testing.TB, s string) time.Duration {
	t.Helper()
	if n, ok := strings.CutSuffix(s, "d"); ok {
		return 24 * duration(t, n+"h")
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// sight makes what is seen of keys from "SELECTOR SIGHTING AGE NEGATIVE-TTL".
func sight(t testing.TB, texts []string) map[signer.ID]signer.Seen {
	t.Helper()
	seen := map[signer.ID]signer.Seen{}
	words := map[string]signer.Sighting{
		"nowhere": signer.Nowhere, "partly": signer.Partly, "everywhere": signer.Everywhere,
	}
	for _, text := range texts {
		w := append(strings.Fields(text), "0s", "0s")
		s := words[w[1]]
		seen[signer.ID{Domain: domain(t, "example.org"), Selector: domain(t, w[0])}] = signer.Seen{
			Sighting: s, Since: fixedTime().Add(-duration(t, w[2])), NegativeTTL: duration(t, w[3]),
		}
	}
	return seen
}

// show writes a step: "SELECTOR FROM > TO in 1h", or "ago", "now", "?" if it is not known when, and what it needs. A
// step that is due has a "!".
func show(s signer.Step) string {
	name := s.ID.Selector.String()
	if name == "" {
		name = fmt.Sprintf("new %s %d", s.Algorithm, s.Bits)
		if s.From != signer.None {
			name = "new"
		}
	}
	when := "?"
	switch d := s.When.Sub(fixedTime()); {
	case s.When.IsZero():
	case d == 0:
		when = "now"
	case d < 0:
		when = strings.Replace((-d).String(), "h0m0s", "h", 1) + " ago"
	default:
		when = "in " + strings.Replace(d.String(), "h0m0s", "h", 1)
	}
	text := fmt.Sprintf("%s %s > %s %s", name, s.From, s.To, when)
	if s.Needs != signer.Nothing {
		text += ": " + s.Needs.String()
	}
	if s.Due(fixedTime()) {
		text += " !"
	}
	return text
}

// What is planned, state by state, for each answer of the DNS.
func TestPlan(t *testing.T) {
	old, none := "old active", signer.PlanOptions{}
	tests := []struct {
		why   string
		lives []string
		seen  []string
		o     signer.PlanOptions
		want  []string
	}{
		{"nothing to do", []string{"old active=400d"}, nil, signer.PlanOptions{}, nil},
		{"imported keys sign beside each other", []string{"a active", "b active"}, nil, signer.PlanOptions{}, nil},
		{"a new key waits to be published", []string{old, "new created=1h"}, []string{"new nowhere"}, none, []string{
			"new created > published ?: its record to be published",
			"new published > active ?: the steps before it",
			"old active > retiring ?: the steps before it",
			"old retiring > revoked ?: the steps before it",
			"old revoked > removed ?: the steps before it",
		}},
		{"one server lags", []string{old, "new created=1h"}, []string{"new partly"}, signer.PlanOptions{}, []string{
			"new created > published ?: every server to show its record",
			"new published > active ?: the steps before it",
			"old active > retiring ?: the steps before it",
			"old retiring > revoked ?: the steps before it",
			"old revoked > removed ?: the steps before it",
		}},
		{"nobody was asked", []string{"old retiring=1h", "new created=1h"}, nil, signer.PlanOptions{}, []string{
			"new created > published ?: the DNS to answer about its record",
			"new published > active ?: the steps before it",
			"old retiring > revoked in 167h: every server to show a key that is active",
			"old revoked > removed in 887h: the steps before it",
		}},
		{"everybody sees it, but may remember that it was not there", []string{old, "new created=1h"},
			[]string{"new everywhere 10m 30m"}, signer.PlanOptions{}, []string{
				"new created > published in 20m0s",
				"new published > active in 20m0s: the steps before it",
				"old active > retiring in 20m0s: the steps before it",
				"old retiring > revoked in 168h20m0s: the steps before it",
				"old revoked > removed in 888h20m0s: the steps before it",
			}},
		{"how long is not known: three hours", []string{old, "new created=9h"}, []string{"new everywhere 2h"},
			signer.PlanOptions{}, []string{
				"new created > published in 1h",
				"new published > active in 1h: the steps before it",
				"old active > retiring in 1h: the steps before it",
				"old retiring > revoked in 169h: the steps before it",
				"old revoked > removed in 889h: the steps before it",
			}},
		{"a zone that would be remembered for a week: one day", []string{old, "new created=40h"},
			[]string{"new everywhere 24h 168h"}, signer.PlanOptions{}, []string{
				"new created > published now !",
				"new published > active now !",
				"old active > retiring now !",
				"old retiring > revoked in 168h: the steps before it",
				"old revoked > removed in 888h: the steps before it",
			}},
		{"the first key of a domain does not wait for memories", []string{"new created=1h"}, []string{"new everywhere 1m 3h"},
			signer.PlanOptions{}, []string{"new created > published 1m0s ago !", "new published > active 1m0s ago !"}},
		{"seen, and gone again before it signed", []string{old, "new created=9h published=1h"}, []string{"new nowhere"},
			signer.PlanOptions{}, []string{
				"new published > active ?: its record to be published",
				"old active > retiring ?: the steps before it",
				"old retiring > revoked ?: the steps before it",
				"old revoked > removed ?: the steps before it",
			}},
		{"interrupted after the new key began to sign", []string{old, "new created=9h published=3h active=3h"}, nil,
			signer.PlanOptions{}, []string{
				"old active > retiring 3h ago !",
				"old retiring > revoked in 168h: the steps before it",
				"old revoked > removed in 888h: the steps before it",
			}},
		{"no key of another algorithm is retired", []string{"e1 active", "new created=9h published=3h active=3h"}, nil,
			signer.PlanOptions{}, nil},
		{"its mail has arrived", []string{"old active=300d retiring=8d", "new created=9d published=8d active=8d"},
			[]string{"new everywhere 8d"}, signer.PlanOptions{}, []string{
				"old retiring > revoked 24h ago !", "old revoked > removed in 720h: the steps before it",
			}},
		{"the last good key stays while its successor is gone",
			[]string{"old active=300d retiring=8d", "new created=9d published=8d active=8d"},
			[]string{"new nowhere 1d", "old everywhere"}, signer.PlanOptions{}, []string{
				"old retiring > revoked 24h ago: every server to show a key that is active",
				"old revoked > removed in 720h: the steps before it",
			}},
		{"an empty p= was shown for long", []string{"old active=90d revoked=31d"}, []string{"old nowhere"}, none,
			[]string{"old revoked > removed 24h ago !"}},
		{"a revoked key is still published", []string{"old active=90d revoked=31d"}, []string{"old partly"}, none,
			[]string{"old revoked > removed 24h ago: its record to be emptied or removed"}},
		{"all is over", []string{"old active=90d revoked=31d removed=1d"}, nil, signer.PlanOptions{Rotate: day}, nil},
		{"a new key will be due", []string{"old active=100d"}, nil, signer.PlanOptions{Rotate: 180 * day}, []string{
			"new rsa-sha256 2048 none > created in 1920h",
			"new created > published ?: the steps before it",
			"new published > active ?: the steps before it",
			"old active > retiring ?: the steps before it",
			"old retiring > revoked ?: the steps before it",
			"old revoked > removed ?: the steps before it",
		}},
		{"it has come, for each algorithm by itself", []string{"old active=200d", "e1 created=1d active"}, nil,
			signer.PlanOptions{Rotate: 180 * day, Retire: time.Hour}, []string{
				"new ed25519-sha256 256 none > created in 4296h",
				"new created > published ?: the steps before it",
				"new published > active ?: the steps before it",
				"e1 active > retiring ?: the steps before it",
				"e1 retiring > revoked ?: the steps before it",
				"e1 revoked > removed ?: the steps before it",
				"new rsa-sha256 2048 none > created 480h ago !",
				"new created > published ?: the steps before it",
				"new published > active ?: the steps before it",
				"old active > retiring ?: the steps before it",
				"old retiring > revoked ?: the steps before it",
				"old revoked > removed ?: the steps before it",
			}},
		{"asked for twice", []string{old, "n created=1h"}, []string{"n nowhere"}, signer.PlanOptions{Asked: true}, []string{
			"n created > published ?: its record to be published",
			"n published > active ?: the steps before it",
			"old active > retiring ?: the steps before it",
			"old retiring > revoked ?: the steps before it",
			"old revoked > removed ?: the steps before it",
		}},
		{"no domain without key is given one", []string{"old active=90d retiring=1d"}, []string{"old everywhere"},
			signer.PlanOptions{Asked: true}, []string{
				"old retiring > revoked in 144h: every server to show a key that is active",
				"old revoked > removed in 864h: the steps before it",
			}},
		{"the configuration names other keys", []string{old, "new created=1h"}, []string{"new everywhere 1h 1m"},
			signer.PlanOptions{Bars: func(id signer.ID) bool { return id.Selector.String() != "old" }}, []string{
				"new created > published 59m0s ago !",
				"new published > active ?: the configuration to name its selector",
				"old active > retiring ?: the steps before it",
				"old retiring > revoked ?: the steps before it",
				"old revoked > removed ?: the steps before it",
			}},
		{"of two new keys the newer one is taken, the older one is somebody's to judge",
			[]string{old, "n1 created=2h", "n2 created=1h"}, []string{"n1 everywhere 1h 1m", "n2 everywhere 1h 1m"},
			signer.PlanOptions{}, []string{
				"n2 created > published 59m0s ago !",
				"n2 published > active 59m0s ago !",
				"n1 created > revoked ?: your word: it was overtaken unused",
				"old active > retiring 59m0s ago !",
				"old retiring > revoked in 168h: the steps before it",
				"old revoked > removed in 888h: the steps before it",
			}},
		{"what was there before the key that took over gives way to it, though a step was left out",
			[]string{"old active came=4h", "new created=9h published=3h active=3h"}, nil, signer.PlanOptions{}, []string{
				"old active > retiring 3h ago !",
				"old retiring > revoked in 168h: the steps before it",
				"old revoked > removed in 888h: the steps before it",
			}},
		{"what came after it signs beside it, however old it is",
			[]string{"s1 created=9d published=8d active=8d", "s2 created=300d active came=1m"}, nil, signer.PlanOptions{}, nil},
		{"and gives way to the next one",
			[]string{"s1 created=9d published=8d active=8d", "s2 active came=1m", "s3 created=1h"}, []string{"s3 everywhere 1h 1m"}, signer.PlanOptions{}, []string{
				"s3 created > published 59m0s ago !",
				"s3 published > active 59m0s ago !",
				"s2 active > retiring 59m0s ago !",
				"s2 retiring > revoked in 168h: the steps before it",
				"s2 revoked > removed in 888h: the steps before it",
				"s1 active > retiring 59m0s ago !",
				"s1 retiring > revoked in 168h: the steps before it",
				"s1 revoked > removed in 888h: the steps before it",
			}},
		{"what came first is not known, as the clock was ahead",
			[]string{"s1 created=-9d published=-9d active=-9d", "s2 active came=1m"}, nil, signer.PlanOptions{}, nil},
		{"a key that was made when the clock was ahead stands in no other's way",
			[]string{"old created=-90d published=-90d active=-90d", "new created=1h"}, []string{"new everywhere 1h 1m"},
			signer.PlanOptions{}, []string{
				"new created > published 59m0s ago !",
				"new published > active 59m0s ago !",
				"old active > retiring 59m0s ago !",
				"old retiring > revoked in 168h: the steps before it",
				"old revoked > removed in 888h: the steps before it",
			}},
		{"nor is one that was taken into use since destroyed for it",
			[]string{"old created=-90d published=-90d active=-90d", "new created=9d published=1h active=1h"}, nil,
			signer.PlanOptions{}, []string{
				"old active > retiring 1h ago !",
				"old retiring > revoked in 168h: the steps before it",
				"old revoked > removed in 888h: the steps before it",
			}},
		{"nor does it keep a new key from being made, once",
			[]string{"old created=-90d published=-90d active=-90d"}, nil, signer.PlanOptions{Rotate: 30 * day}, []string{
				"new rsa-sha256 2048 none > created now !",
				"new created > published ?: the steps before it",
				"new published > active ?: the steps before it",
				"old active > retiring ?: the steps before it",
				"old retiring > revoked ?: the steps before it",
				"old revoked > removed ?: the steps before it",
			}},
		{"of two new keys it is the older one",
			[]string{old, "n1 created=-90d", "n2 created=1h"}, []string{"n1 everywhere 1h 1m", "n2 everywhere 1h 1m"},
			signer.PlanOptions{}, []string{
				"n2 created > published 59m0s ago !",
				"n2 published > active 59m0s ago !",
				"n1 created > revoked ?: your word: it was overtaken unused",
				"old active > retiring 59m0s ago !",
				"old retiring > revoked in 168h: the steps before it",
				"old revoked > removed in 888h: the steps before it",
			}},
		{"the clock was set back: all is as if it had happened now",
			[]string{"old active=-9d retiring=-9d", "new created=-10d published=-9d active=-9d"}, []string{"new everywhere -9d"},
			signer.PlanOptions{Rotate: 10 * day}, []string{
				"new rsa-sha256 2048 none > created in 240h",
				"new created > published ?: the steps before it",
				"new published > active ?: the steps before it",
				"old retiring > revoked in 168h",
				"old revoked > removed in 888h: the steps before it",
				"new active > retiring ?: the steps before it",
				"new retiring > revoked ?: the steps before it",
				"new revoked > removed ?: the steps before it",
			}},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			var lives []signer.Life
			for _, text := range tt.lives {
				lives = append(lives, life(t, text))
			}
			var got []string
			for _, s := range signer.Plan(fixedTime(), lives, sight(t, tt.seen), tt.o) {
				got = append(got, show(s))
				if s.Because == "" {
					t.Errorf("%s: no reason", show(s))
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// A new key is as large as the one before it, and never weak.
func TestPlanBits(t *testing.T) {
	for bits, want := range map[int]int{0: 2048, 1024: 2048, 2048: 2048, 2049: 3072, 3072: 3072, 4096: 4096, 8192: 4096} {
		l := life(t, "old active=1h")
		l.Bits = bits
		if steps := signer.Plan(fixedTime(), []signer.Life{l}, nil, signer.PlanOptions{Asked: true}); steps[0].Bits != want {
			t.Errorf("after %d bits: %d", bits, steps[0].Bits)
		}
	}
}

// Domains do not touch each other.
func TestPlanDomains(t *testing.T) {
	a, b := life(t, "old active=9d"), life(t, "new created=9h published=3h active=3h")
	b.ID.Domain = domain(t, "example.net")
	if steps := signer.Plan(fixedTime(), []signer.Life{a, b}, nil, signer.PlanOptions{}); len(steps) != 0 {
		t.Error(steps)
	}
	steps := signer.Plan(fixedTime(), []signer.Life{a, b}, nil, signer.PlanOptions{Asked: true})
	if s, ok := signer.Next(steps, signer.ID{Domain: b.ID.Domain}); !ok || s.To != signer.Created {
		t.Errorf("%+v", s)
	}
	if s, ok := signer.Next(steps, a.ID); !ok || s.To != signer.Retiring {
		t.Errorf("%+v", s)
	}
	if _, ok := signer.Next(steps, signer.ID{Domain: domain(t, "other.example"), Selector: mail.Domain{}}); ok {
		t.Error("a step of a stranger")
	}
}

// The time in DNS and queues that a record must outlive.
func TestRetireTime(t *testing.T) {
	for queue, want := range map[time.Duration]time.Duration{0: 7 * day, 5 * day: 7 * day, 10 * day: 12 * day} {
		if got := signer.RetireTime(queue); got != want {
			t.Errorf("%v: %v", queue, got)
		}
	}
}
