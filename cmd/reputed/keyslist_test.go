package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"reputed/policy/dkim"
	"reputed/signer"
)

// The list, to the letter: testdata/keys/list-*.txt.
func TestKeysList(t *testing.T) {
	rotating := []string{
		"s1 created=3000h published=2990h active=2990h", "s2 created=2h",
		"s0 created=9000h published=8900h active=8800h retiring=2990h",
	}
	tests := []struct {
		name string
		why  string
		keys []string
		set  func(w *keysWorld)
		args []string
	}{
		{"one", "an imported key", []string{"rsa1"}, func(w *keysWorld) { w.both("rsa1") }, nil},
		{"new", "a new key, not published", []string{"s1", "s2 created=1h"}, func(w *keysWorld) { w.both("s1") }, nil},
		{"seen", "a new key that everybody can see", []string{"s1", "s2 created=1h"},
			func(w *keysWorld) { w.both("s1", "s2") }, nil},
		{"lagging", "one server lacks it", []string{"s1", "s2 created=1h"},
			func(w *keysWorld) { w.set(w.one, 8, "s1", "s2"); w.set(w.two, 7, "s1") }, nil},
		{"ends", "the old one retires, one before it is due to be revoked", rotating,
			func(w *keysWorld) { w.both("s0", "s1", "s2") }, nil},
		{"gone", "revoked keys", []string{
			"s1 created=3000h published=2990h active=2980h retiring=900h revoked=800h",
			"s2 created=1000h published=990h active=900h", "s3 created=9h published=8h active=7h revoked=1h",
		}, func(w *keysWorld) { w.both("s1 revoked", "s2", "s3") }, nil},
		{"offline", "nobody is asked", rotating, func(w *keysWorld) { drop(w.resolver) }, []string{"--offline"}},
		{"unknown", "nobody answers", []string{"s1"}, func(w *keysWorld) { drop(w.resolver) }, nil},
		{"named", "one of them", rotating, func(w *keysWorld) { w.both("s0", "s1", "s2") }, []string{"s1"}},
		{"rotates", "keys are replaced by themselves", []string{"s1 created=3000h published=2990h active=2980h"},
			func(w *keysWorld) { w.both("s1"); w.configure(`rotate = "180d"`) }, nil},
		{"broken", "files that are wrong, and a weak key", []string{"weak1", "s2"}, func(w *keysWorld) {
			w.both("weak1", "s2")
			w.must(os.Chmod(filepath.Join(w.dir, "example.org", "s2.pem"), 0o644))
		}, nil},
		{"none", "there are no keys", nil, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newKeysWorld(t)
			for _, k := range tt.keys {
				w.add(k)
			}
			if tt.set != nil {
				tt.set(w)
			}
			code, stdout, stderr := w.run(append([]string{"list"}, tt.args...)...)
			if code != exitOK || stderr != "" {
				t.Errorf("%s: exit %d: %s", tt.why, code, stderr)
			}
			w.golden("list-"+tt.name+".txt", stdout)
		})
	}
}

// What other programs rely on.
func TestKeysListJSON(t *testing.T) {
	w := newKeysWorld(t)
	w.add("s1")
	w.add("s2 created=1h")
	w.both("s1")
	code, stdout, _ := w.run("list", "--json")
	var got struct {
		At, Directory string
		Keys          []struct {
			Domain, Selector, Algorithm, State, Since string

			Bits int
			DNS  *struct{ Sighting, Result, Reason string }
			Next *struct {
				To, When, Needs, Because string
				Due                      bool
			}
		}
		Problems []struct{ Path, Text, Remedy string }
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if code != exitOK || got.At != "2026-11-24T12:00:00Z" || got.Directory != "DIR/keys" || len(got.Keys) != 2 {
		t.Fatalf("exit %d: %s", code, stdout)
	}
	s1, s2 := got.Keys[0], got.Keys[1]
	if s1.Selector != "s1" || s1.Algorithm != "ed25519-sha256" || s1.Bits != 256 || s1.DNS == nil ||
		s1.DNS.Sighting != "all" || s1.Next == nil || s1.Next.To != "retiring" || s1.Next.When != "" {
		t.Errorf("%+v %+v", s1, s1.Next)
	}
	if s2.State != "created" || s2.Since != "2026-11-24T11:00:00Z" || s2.DNS.Result != "nxdomain" ||
		s2.Next.To != "published" || s2.Next.Needs != "its record to be published" || s2.Next.Due {
		t.Errorf("%+v %+v", s2, s2.Next)
	}
	if _, stdout, _ = w.run("list", "--json", "--offline"); strings.Contains(stdout, `"dns"`) {
		t.Errorf("asked: %s", stdout)
	}
}

// On a terminal there are colours, and lines that fit: what comes next stands below, where it has no room beside.
func TestKeysListTerminal(t *testing.T) {
	w := newKeysWorld(t)
	w.add("s202610-abcdef")
	w.add("s202611-k7f3q9 created=1h")
	w.both("s202610-abcdef")
	set, err := openKeysAt(w.config, nil)
	w.must(err)
	list := keyList{At: w.now, Problems: []keyProblem{{"/keys/x.pem", "the file is empty", "remove it"}}}
	list.read(set, set.lives, map[signer.ID]dkim.Seen{
		testID(t, "s202610-abcdef"): {Sighting: dkim.All, Result: dkim.Match},
		testID(t, "s202611-k7f3q9"): {Sighting: dkim.None, Result: dkim.NXDomain},
	})
	var b strings.Builder
	list.print(printer{Writer: &b, coloured: true, width: 80})
	w.golden("list-coloured.txt", b.String())
	for line := range strings.Lines(b.String()) {
		bare := regexp.MustCompile("\x1b\\[[0-9]*m|\n").ReplaceAllString(line, "")
		if n := len([]rune(bare)); n > 80 {
			t.Errorf("%d columns: %q", n, bare)
		}
	}
}

// A new key that only servers at private addresses show does not wait for any of them.
func TestKeysListPrivate(t *testing.T) {
	w := newKeysWorld(t)
	w.add("s2 created=1h")
	set, err := openKeys(w.config)
	w.must(err)
	id := testID(t, "s2")
	for _, tt := range []struct {
		seen dkim.Seen
		want string
	}{
		{dkim.Seen{Sighting: dkim.Partly}, "the world, or the resolver, to show its record"},
		{dkim.Seen{Sighting: dkim.Partly, Silent: []string{"ns2"}}, "every server to show its record"},
		{dkim.Seen{Sighting: dkim.Partly, Lagging: []string{"ns2"}}, "every server to show its record"},
	} {
		list := keyList{At: w.now}
		list.read(set, set.lives, map[signer.ID]dkim.Seen{id: tt.seen})
		if got := list.Keys[0].Next; got == nil || got.Needs != tt.want {
			t.Errorf("%+v: %+v", tt.seen, got)
		}
	}
}
