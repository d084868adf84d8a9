package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
)

// may lets the host change example.org.
const may = `
[[signing.publish]]
zone = "example.org"
tsig_name = "reputed"
tsig_secret = "c2VjcmV0IHNlY3JldCBzZWNyZXQ="
`

// newPublishWorld is one in which ns1 takes updates.
func newPublishWorld(t *testing.T, config string) *keysWorld {
	t.Helper()
	w := newKeysWorld(t)
	w.must(w.one.Allow("reputed", "c2VjcmV0IHNlY3JldCBzZWNyZXQ="))
	w.configure(config)
	return w
}

// at gives the texts at a name that a server of the zone shows.
func (w *keysWorld) at(name string) (texts []string) {
	w.t.Helper()
	a, err := w.one.Resolver().LookupTXT(w.t.Context(), name)
	if err != nil {
		return nil
	}
	return a
}

// What becomes of records, to the letter, and the exit status: testdata/keys/publish-*.txt.
func TestKeysPublish(t *testing.T) {
	wrong := strings.Replace(may, "c2Vj", "d2Vj", 1)
	tests := []struct {
		name, why, config string
		keys              []string
		set               func(w *keysWorld)
		args              []string
		code              int
		want              string // how the record at ns1 begins in the end; "": there is none
	}{
		{"hand", "nobody may change the zone", "", []string{"s1"}, nil, nil, 1, ""},
		{"hand-wait", "nor does anybody in time", "", []string{"s1"}, nil, []string{"--wait", "--timeout=100ms"}, 1, ""},
		{"done", "an update", may, []string{"s1"}, nil, nil, 0, "v=DKIM1; k=ed25519; p=7c969b"},
		{"again", "it is there already", may, []string{"s1"}, func(w *keysWorld) { w.both("s1") }, nil, 0,
			"v=DKIM1; k=ed25519"},
		{"wait", "every server is waited for", may, []string{"s1"}, func(w *keysWorld) {
			go func() {
				for w.t.Context().Err() == nil {
					if len(w.at("s1._domainkey.example.org")) > 0 {
						w.set(w.two, 8, "s1")
						return
					}
					time.Sleep(5 * time.Millisecond)
				}
			}()
		}, []string{"--wait"}, 0, "v=DKIM1"},
		{"lagging", "one server does not get it in time", may, []string{"s1"}, nil, []string{"--wait", "--timeout=100ms"}, 1,
			"v=DKIM1"},
		{"file", "the file of the secret is not there", strings.Replace(may, `tsig_secret = "c2VjcmV0IHNlY3JldCBzZWNyZXQ="`,
			`tsig_secret_file = "/nowhere/key"`, 1), []string{"s1"}, nil, nil, 1, ""},
		{"foreign", "another key stands there", may, []string{"s1"}, func(w *keysWorld) { w.both("s1 other") }, nil, 1,
			"v=DKIM1; k=ed25519"},
		{"secret", "a wrong secret", wrong, []string{"s1"}, nil, nil, 1, ""},
		{"gravestone", "a revoked key", may, []string{"s1 created=9h published=8h active=7h revoked=1h"},
			func(w *keysWorld) { w.both("s1 revoked") }, []string{"s1", "--wait"}, 0, "v=DKIM1; p="},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newPublishWorld(t, tt.config)
			for _, k := range tt.keys {
				w.add(k)
			}
			if tt.set != nil {
				tt.set(w)
			}
			code, stdout, stderr := w.run(append([]string{"publish"}, tt.args...)...)
			if code != tt.code {
				t.Errorf("%s: exit %d, want %d", tt.why, code, tt.code)
			}
			w.golden("publish-"+tt.name+".txt", stdout+stderr)
			got := strings.Join(w.at("s1._domainkey.example.org"), "|")
			if !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
				t.Errorf("%s: the record is %q", tt.why, got)
			}
		})
	}
}

// What other programs rely on.
func TestKeysPublishJSON(t *testing.T) {
	w := newPublishWorld(t, may)
	w.add("s1")
	code, stdout, _ := w.run("publish", "--json", "--wait", "--timeout=1s")
	var got struct {
		Keys []struct {
			Selector, State, Done string
			DNS                   struct {
				Sighting string
				Lagging  []string
			}
		}
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Keys) != 1 || got.Keys[0].Done != "primary" || got.Keys[0].DNS.Sighting != "partly" ||
		strings.Join(got.Keys[0].DNS.Lagging, " ") != "ns2.example.org" || code != 1 {
		t.Errorf("exit %d: %s", code, stdout)
	}
}

var (
	madeKey      = regexp.MustCompile(`p=[A-Za-z0-9+/]{43}=`)
	madeSelector = regexp.MustCompile(`s202611-[a-z2-7]{6}`)
)

// What a rotation does and will do, to the letter: testdata/keys/rotate-*.txt.
func TestKeysRotate(t *testing.T) {
	tests := []struct {
		name, why, config string
		keys              []string
		args              []string
		code              int
		made              int // keys
	}{
		{"dry", "what would happen", "", []string{"s1"}, []string{"--dry-run"}, 0, 0},
		{"dry-both", "two algorithms", "", []string{"rsa1", "s1"}, []string{"--dry-run"}, 0, 0},
		{"dry-ed25519", "a second algorithm", "", []string{"rsa1"}, []string{"--dry-run", "--ed25519"}, 0, 0},
		{"dry-one", "one of two algorithms", "", []string{"rsa1", "s1"}, []string{"--dry-run", "--ed25519"}, 0, 0},
		{"hand", "the record is published by hand", "", []string{"s1"}, nil, 0, 1},
		{"publish", "it is published by an update", may, []string{"s1"}, nil, 0, 1},
		{"failed", "the update is refused", strings.Replace(may, "c2Vj", "d2Vj", 1), []string{"s1"}, nil, 1, 1},
		{"under-way", "a new key is on its way", "", []string{"s1", "s2 created=1h"}, nil, 0, 0},
		{"under-way-dry", "the same, shown", "", []string{"s1", "s2 created=1h"}, []string{"--dry-run"}, 0, 0},
		{"unsigned", "no key signs", "", []string{"s1 created=9h published=8h active=7h revoked=1h"}, nil, 1, 0},
		{"none", "no keys", "", nil, nil, 1, 0},
		{"barred", "the configuration names selectors", "[[domain]]\nname = \"example.org\"\nselectors = [\"s1\"]\n",
			[]string{"s1"}, nil, 1, 0},
		{"used", "the template of selectors gives one that was used", "selector = \"{host}-{date}\"",
			[]string{"mx1-202611"}, nil, 1, 0},
		{"unwatched", "the daemon does not look after keys", "watch = false", []string{"s1"}, []string{"--dry-run"}, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newPublishWorld(t, tt.config)
			for _, k := range tt.keys {
				w.add(k)
			}
			w.both("s1")
			code, stdout, stderr := w.run(append([]string{"rotate", "example.org"}, tt.args...)...)
			if code != tt.code {
				t.Errorf("%s: exit %d, want %d: %s", tt.why, code, tt.code, stderr)
			}
			got := madeKey.ReplaceAllString(stdout+"--\n"+stderr, "p=KEY")
			w.golden("rotate-"+tt.name+".txt", madeSelector.ReplaceAllString(got, "s202611-RANDOM"))
			_, stdout, _ = w.run("list", "--offline", "--json")
			were := strings.Count(strings.Join(tt.keys, " ")+" ", " created=1h ")
			if n := strings.Count(stdout, `"state": "created"`) - were; n != tt.made {
				t.Errorf("%s: %d keys made:\n%s", tt.why, n, stdout)
			}
		})
	}
}

// What other programs rely on.
func TestKeysRotateJSON(t *testing.T) {
	w := newPublishWorld(t, may)
	w.add("s1")
	w.both("s1")
	code, stdout, _ := w.run("rotate", "example.org", "--json")
	var got struct {
		Domain string
		Made   []struct {
			Selector, State, Path string
			Publish               struct{ Name, Value string }
		}
		Plan []struct{ Domain, Selector, Algorithm, From, To, When, Needs, Because string }
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if code != exitOK || got.Domain != "example.org" || len(got.Made) != 1 || got.Made[0].State != "created" ||
		len(got.Plan) < 5 {
		t.Fatalf("exit %d: %s", code, stdout)
	}
	p := got.Plan[0]
	if p.Selector != got.Made[0].Selector || p.From != "created" || p.To != "published" || p.Needs == "" {
		t.Errorf("%+v", p)
	}
	if texts := w.at(got.Made[0].Publish.Name); strings.Join(texts, "") != got.Made[0].Publish.Value {
		t.Errorf("published: %q", texts)
	}
}

// Where the daemon does not look after keys, nothing is said of what it would do.
func TestKeysUnwatched(t *testing.T) {
	const reload, looks = "systemctl reload reputed", "the daemon signs with a key when"
	for _, config := range []string{"watch = false", "[signing]\nwatch = false\n" + may} {
		w := newPublishWorld(t, strings.TrimPrefix(config, "[signing]\n"))
		_, _, stderr := w.run("new", "example.org", "--selector", "n1")
		then := "if they do: reputed keys activate example.org n1 --yes && " + reload
		if !strings.Contains(stderr, then) || strings.Contains(stderr, looks) ||
			strings.Contains(stderr, "the daemon publishes") {
			t.Errorf("new: %s", stderr)
		}
		w.add("s1")
		_, _, stderr = w.run("revoke", "s1", "--yes")
		if !strings.Contains(stderr, "for the daemon to give it up: "+reload) || !strings.Contains(stderr,
			"nothing signs for example.org then, until: reputed keys activate example.org n1 --yes && "+reload) {
			t.Errorf("revoke: %s", stderr)
		}
	}
	w := newKeysWorld(t)
	_, _, stderr := w.run("new", "example.org")
	if !strings.Contains(stderr, looks) || strings.Contains(stderr, reload) {
		t.Errorf("new: %s", stderr)
	}
	w.add("s1")
	if _, _, stderr = w.run("revoke", "s1", "--yes"); strings.Contains(stderr, reload) {
		t.Errorf("revoke: %s", stderr)
	}
}

// A key that is revoked has its record emptied where it may be changed; the key is destroyed whatever comes of that.
func TestKeysRevokePublishes(t *testing.T) {
	for _, tt := range []struct {
		why, config string
		code        int
		record      string
		says        string
	}{
		{"its zone may be changed", may, 0, "v=DKIM1; p=", "its record is emptied at the primary"},
		{"the server does not take it", strings.Replace(may, "c2Vj", "d2Vj", 1), 1, "v=DKIM1; k=ed25519",
			"the key is destroyed, and its record is not changed: "},
		{"it may not be changed", "", 0, "v=DKIM1; k=ed25519", "publish this record in place of the one that is there"},
	} {
		w := newPublishWorld(t, tt.config)
		w.add("s1")
		w.both("s1")
		code, _, stderr := w.run("revoke", "s1", "--yes")
		if code != tt.code || !strings.Contains(stderr, tt.says) {
			t.Errorf("%s: exit %d: %s", tt.why, code, stderr)
		}
		if got := strings.Join(w.at("s1._domainkey.example.org"), "|"); !strings.HasPrefix(got, tt.record) {
			t.Errorf("%s: the record is %q", tt.why, got)
		}
		if _, stdout, _ := w.run("list", "--offline", "--json"); !strings.Contains(stdout, `"state": "revoked"`) {
			t.Errorf("%s: %s", tt.why, stdout)
		}
	}
}
