package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"reputed/signer"
	"reputed/signer/keydir"
)

// Who may have a key sign that not every server shows, and what is said of it, to the letter:
// testdata/keys/activate-*.txt. After a change: go test ./cmd/reputed -run KeysActivate -update
func TestKeysActivate(t *testing.T) {
	const fresh = "s2 created=1h"
	tests := []struct {
		name, why string
		keys      []string
		set       func(w *keysWorld)
		args      []string
		code      int
		state     signer.State // of s2 then
	}{
		{"asked", "without --yes nothing is done", []string{"s1", fresh},
			func(w *keysWorld) { w.both("s1", "s2"); drop(w.two) }, nil, 64, signer.Created},
		{"silent", "a server is gone", []string{"s1", fresh},
			func(w *keysWorld) { w.both("s1", "s2"); drop(w.two) }, []string{"--yes"}, 0, signer.Active},
		{"first", "the same, for the only key, that waits longer already", []string{"s2 created=9h published=8h"},
			func(w *keysWorld) { w.both("s2"); drop(w.two) }, []string{"--yes"}, 0, signer.Active},
		{"seen", "every server shows it, and it need not wait for what others remember", []string{"s1", fresh},
			func(w *keysWorld) { w.both("s1", "s2") }, []string{"--yes"}, 0, signer.Active},
		{"lagging", "a server has no such name", []string{"s1", fresh},
			func(w *keysWorld) { w.set(w.one, 8, "s1", "s2"); w.set(w.two, 7, "s1") }, []string{"--yes"}, 1, signer.Created},
		{"other", "a server shows another key", []string{"s1", fresh},
			func(w *keysWorld) { w.both("s1", "s2"); w.set(w.two, 7, "s2 other") }, []string{"--yes"}, 1, signer.Created},
		{"resolver", "the resolver shows another key, and nobody else can be asked", []string{"s1", fresh}, func(w *keysWorld) {
			drop(w.one)
			drop(w.two)
			w.must(w.resolver.Set(keysDelegations + w.line("s2 other")))
		}, []string{"--yes"}, 1, signer.Created},
		{"unknown", "nobody can be asked", []string{"s1", fresh},
			func(w *keysWorld) { drop(w.one); drop(w.two); drop(w.resolver) }, []string{"--yes"}, 1, signer.Created},
		{"again", "it signs already", []string{"s2 created=9h published=8h active=7h"},
			func(w *keysWorld) { w.both("s2") }, []string{"--yes"}, 0, signer.Active},
		{"retiring", "it has signed", []string{"s2 created=9h published=8h active=7h retiring=1h"},
			func(w *keysWorld) { w.both("s2") }, []string{"--yes"}, 1, signer.Retiring},
		{"barred", "the configuration names another one", []string{"s1", fresh}, func(w *keysWorld) {
			w.both("s1", "s2")
			w.configure("[[domain]]\nname = \"example.org\"\nselectors = [\"s1\"]\n")
		}, []string{"--yes"}, 1, signer.Created},
		{"unwatched", "nobody looks after keys", []string{fresh}, func(w *keysWorld) {
			w.both("s2")
			w.configure("watch = false\n")
		}, []string{"--yes"}, 0, signer.Active},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newKeysWorld(t)
			for _, k := range tt.keys {
				w.add(k)
			}
			tt.set(w)
			code, stdout, stderr := w.run(append([]string{"activate", "example.org", "s2"}, tt.args...)...)
			if code != tt.code {
				t.Errorf("%s: exit %d, want %d", tt.why, code, tt.code)
			}
			w.golden("activate-"+tt.name+".txt", stdout+stderr)
			for _, l := range lives(t, w.dir) {
				if l.ID.Selector.String() == "s2" && l.State != tt.state {
					t.Errorf("%s: it is %s (%s)", tt.why, l.State, l.Why)
				}
				if l.ID.Selector.String() == "s1" && l.State != signer.Active {
					t.Errorf("%s: the key before it is %s: that is for the daemon to say", tt.why, l.State)
				}
			}
		})
	}
}

func lives(t *testing.T, dir string) []signer.Life {
	t.Helper()
	found := keydir.Load(dir, keydir.Options{})
	for _, p := range found.Problems {
		t.Error(p)
	}
	return found.Lives()
}

// What was activated by hand takes its place in the plan as what came to it by itself: the key before it gives way, and
// is not destroyed while a server is silent.
func TestKeysActivatePlan(t *testing.T) {
	w := newKeysWorld(t)
	w.add("s1")
	w.add("s2 created=1h")
	w.both("s1", "s2")
	drop(w.two)
	if code, _, stderr := w.run("activate", "example.org", "s2", "--yes"); code != 0 {
		t.Fatal(stderr)
	}
	seen := map[signer.ID]signer.Seen{testID(t, "s2"): {Sighting: signer.Partly}, testID(t, "s1"): {Sighting: signer.Partly}}
	all := lives(t, w.dir)
	for i := range all {
		all[i].Came = all[i].Made() // its file is of today, and the clock is not
	}
	step, ok := signer.Next(signer.Plan(w.now, all, seen, signer.PlanOptions{}), testID(t, "s1"))
	if !ok || step.To != signer.Retiring || !step.Due(w.now) {
		t.Fatalf("%+v", step)
	}
	for i := range all {
		if all[i].ID == step.ID {
			all[i] = all[i].Enter(signer.Retiring, w.now, "")
		}
	}
	later := w.now.Add(100 * 24 * time.Hour)
	step, _ = signer.Next(signer.Plan(later, all, seen, signer.PlanOptions{}), testID(t, "s1"))
	if step.To != signer.Revoked || step.Needs != signer.Successor {
		t.Errorf("%+v", step)
	}
}

// What other programs rely on, and arguments that cannot be right.
func TestKeysActivateJSON(t *testing.T) {
	w := newKeysWorld(t)
	w.add("s2 created=1h")
	w.both("s2")
	drop(w.two)
	for _, yes := range []bool{false, true} {
		args := []string{"activate", "Example.org", "S2", "--json"}
		if yes {
			args = append(args, "--yes")
		}
		_, stdout, stderr := w.run(args...)
		var got struct {
			Domain, Selector, State, Refused string
			Activated                        bool
			DNS                              struct {
				Sighting string
				Silent   []string
			}
		}
		if err := json.Unmarshal([]byte(stdout), &got); err != nil {
			t.Fatal(err, stdout, stderr)
		}
		state := map[bool]string{false: "created", true: "active"}[yes]
		if got.Selector != "s2" || got.State != state || got.Activated != yes || got.Refused != "" ||
			got.DNS.Sighting != "partly" || strings.Join(got.DNS.Silent, " ") != "ns2.example.org" {
			t.Errorf("%s", stdout)
		}
	}
	for _, args := range [][]string{
		{"example.org", "s9"}, {"example.net", "s2"}, {"a b", "s2"}, {"example.org", "a b"}, {"example.org"},
	} {
		if code, stdout, stderr := w.run(append([]string{"activate"}, args...)...); code != exitUsage || stdout != "" {
			t.Errorf("%q: exit %d: %s%s", args, code, stdout, stderr)
		}
	}
}
