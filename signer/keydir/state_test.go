package keydir_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reputed/signer"
	"reputed/signer/keydir"
)

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// state is the text of a state, with parts of it replaced.
func state(oldNew ...string) string {
	return strings.NewReplacer(oldNew...).Replace(`{"version":1,"state":"published","algorithm":"ed25519-sha256",` +
		`"bits":256,"times":{"created":"2026-11-02T10:00:00Z","published":"2026-11-02T12:00:00Z"},"why":"seen"}`)
}

// stored gives a directory with a key, and the path of its state.
func stored(t testing.TB) (dir, path string) {
	t.Helper()
	dir = keyDir(t)
	write(t, dir+"/example.org/a.pem", pemText(t, "PRIVATE KEY", pkcs8(t, edKey(t))), 0o600)
	return dir, dir + "/example.org/a.json"
}

// What is written down of a key is read back.
func TestState(t *testing.T) {
	dir := keyDir(t)
	key := id(t, "example.org", "a")
	path, err := keydir.Create(dir, keydir.New{ID: key, Private: edKey(t), At: noon, Why: "asked\nfor"})
	if err != nil || path != dir+"/example.org/a.pem" {
		t.Fatal(path, err)
	}
	want := signer.Life{ID: key, Algorithm: signer.Ed25519, Bits: 256}.Enter(signer.Created, noon, "asked for")
	for i, to := range []signer.State{signer.Created, signer.Published, signer.Active, signer.Retiring} {
		at := noon.Add(time.Duration(i) * time.Hour)
		if i > 0 {
			want = want.Enter(to, at, "step")
			got, err := keydir.SetState(dir, keydir.Change{ID: key, From: to - 1, To: to, At: at, Why: "step"})
			if d := cmp.Diff(want, got, names); err != nil || d != "" {
				t.Errorf("to %v: %v, %s", to, err, d)
			}
		}
		found := keydir.Load(dir, keydir.Options{})
		if len(found.Keys) != 1 || len(found.Problems)+len(found.Warnings) != 0 {
			t.Fatalf("%v: %+v", to, found)
		}
		if d := cmp.Diff([]signer.Life{want}, found.Lives(), names); d != "" {
			t.Errorf("%v: %s", to, d)
		}
	}
	if info, err := os.Stat(dir + "/example.org/a.json"); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
}

// names compares names of keys.
var names = cmp.Comparer(func(a, b signer.ID) bool { return a == b })

// A key without state is active. It was made when its file was written, which may be long before that came here. With
// its first step it gets a state.
func TestStateless(t *testing.T) {
	dir, path := stored(t)
	if err := os.Chtimes(dir+"/example.org/a.pem", noon, noon); err != nil {
		t.Fatal(err)
	}
	l := keydir.Load(dir, keydir.Options{}).Keys[0].Life()
	if l.State != signer.Active || !l.Made().Equal(noon) || !l.Since().IsZero() || time.Since(l.Came) > time.Hour {
		t.Errorf("%+v", l)
	}
	key := id(t, "example.org", "a")
	c := keydir.Change{ID: key, From: signer.Active, To: signer.Retiring, At: noon.Add(time.Hour)}
	l, err := keydir.SetState(dir, c)
	if err != nil || l.Algorithm != signer.Ed25519 || !l.Times[signer.Active].Equal(noon) {
		t.Errorf("%+v, %v", l, err)
	}
	if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), `"state": "retiring"`) {
		t.Errorf("%s, %v", text, err)
	}
}

// A state that cannot be trusted says so, with what mends it; its key is what it was before, or active. No other key is
// touched.
func TestBadState(t *testing.T) {
	tests := []struct {
		why  string
		make func(path string)
		want string // after the path
	}{
		{"damaged", func(p string) { write(t, p, state()[:40], 0o600) },
			": not the state of a key, or damaged; the key counts as active (put it back from a backup; or, if the key " +
				"is in use: rm PATH)"},
		{"empty", func(p string) { write(t, p, "", 0o600) }, ": not the state of a key, or damaged"},
		{"of a newer program", func(p string) { write(t, p, state(`"version":1`, `"version":2,"x":1`), 0o600) },
			": written by a newer reputed (version 2); the key counts as active (run that one)"},
		{"something more", func(p string) { write(t, p, state(`"why"`, `"how"`), 0o600) }, ": not the state"},
		{"something behind", func(p string) { write(t, p, state()+"{}", 0o600) }, ": not the state"},
		{"no state", func(p string) { write(t, p, state(`"state":"published",`, ""), 0o600) }, ": not the state"},
		{"an unknown state", func(p string) { write(t, p, state(`"published",`, `"gone",`), 0o600) }, ": not the state"},
		{"no time of its state", func(p string) { write(t, p, state(`"state":"published"`, `"state":"active"`), 0o600) },
			": not the state"},
		{"the time of a state to come",
			func(p string) { write(t, p, state(`"state":"published"`, `"state":"created"`), 0o600) }, ": not the state"},
		{"a time of no state", func(p string) { write(t, p, state(`"created":`, `"none":`), 0o600) }, ": not the state"},
		{"an unknown algorithm", func(p string) { write(t, p, state("ed25519-sha256", "rsa-sha1"), 0o600) },
			": not the state"},
		{"a size that cannot be", func(p string) { write(t, p, state("256,", "-1,"), 0o600) }, ": not the state"},
		{"what disturbs a terminal", func(p string) { write(t, p, state("seen", `\u001b[2J`), 0o600) }, ": not the state"},
		{"others may write it", func(p string) { write(t, p, state(), 0o666) },
			": mode 0666 lets others change it; the key counts as active (chmod 0600 PATH)"},
		{"a directory", func(p string) { os.Mkdir(p, 0o700) },
			": cannot be read, or is far too large; the key counts as active"},
		{"a link that leads out", func(p string) { os.Symlink("/etc/passwd", p) },
			": leads out of the key directory; links must stay inside; the key counts as active"},
		{"huge", func(p string) { write(t, p, strings.Repeat(" ", 100<<10), 0o600) },
			": cannot be read, or is far too large"},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			dir, path := stored(t)
			tt.make(path)
			found := keydir.Load(dir, keydir.Options{})
			if len(found.Keys) != 1 || len(found.Problems) != 1 || len(found.Domains) != 1 {
				t.Fatalf("%+v", found)
			}
			got, want := found.Problems[0].Error(), path+strings.ReplaceAll(tt.want, "PATH", path)
			if !strings.HasPrefix(got, want) {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if s := found.Keys[0].State(); s != signer.Active {
				t.Errorf("the key is %v", s)
			}
			known := map[signer.ID]signer.Life{}
			known[id(t, "example.org", "a")] = signer.Life{}.Enter(signer.Retiring, noon, "")
			found = keydir.Load(dir, keydir.Options{Known: known})
			if s := found.Keys[0].State(); s != signer.Retiring {
				t.Errorf("the key was retiring, and is %v", s)
			}
			if got := found.Problems[0].Error(); !strings.Contains(got, "the key counts as retiring, as before") {
				t.Error(got)
			}
		})
	}
	dir, path := stored(t) // somebody has removed the state: that is what the remedy says
	known := map[signer.ID]signer.Life{}
	known[id(t, "example.org", "a")] = signer.Life{}.Enter(signer.Created, noon, "")
	if found := keydir.Load(dir, keydir.Options{Known: known}); found.Keys[0].State() != signer.Active {
		t.Errorf("%s: %v", path, found.Keys[0].State())
	}
}

// States of which the key is not there, and keys that should not be there.
func TestStateAndKey(t *testing.T) {
	active := state(`"state":"published"`, `"state":"active"`, `"published":`, `"active":`)
	unused := state(`"state":"published"`, `"state":"revoked"`, `"published":`, `"revoked":`)
	revoked := state(`"state":"published"`, `"state":"revoked"`, `"published":`,
		`"active":"2026-11-02T11:00:00Z","revoked":`)
	unknown := state(`"state":"published"`, `"state":"revoked"`,
		`"created":"2026-11-02T10:00:00Z","published":`, `"revoked":`)
	created := state(`"state":"published"`, `"state":"created"`, `,"published":"2026-11-02T12:00:00Z"`, "")
	retiring := state(`"state":"published"`, `"state":"retiring"`, `"published":`, `"retiring":`)
	pem := pemText(t, "PRIVATE KEY", pkcs8(t, edKey(t)))
	tests := []struct {
		why     string
		files   map[string]string
		keys    int
		gone    int
		domains int
		problem string // or warning
	}{
		{"a domain in preparation has no place yet", map[string]string{"a.pem": pem, "a.json": state()}, 1, 0, 0, ""},
		{"with another key it has", map[string]string{"a.pem": pem, "a.json": state(), "b.pem": pem}, 2, 0, 1, ""},
		{"with a trace of another too", map[string]string{"a.pem": pem, "a.json": state(), "b.json": revoked}, 1, 1, 1, ""},
		{"one that was revoked before it signed is no trace", map[string]string{"a.json": unused}, 0, 1, 0, ""},
		{"nor beside another that never did", map[string]string{"a.pem": pem, "a.json": state(), "b.json": unused}, 1, 1, 0,
			""},
		{"of one it is not known", map[string]string{"a.json": unknown}, 0, 1, 1, ""},
		{"a revoked key needs no private one", map[string]string{"a.json": revoked}, 0, 1, 1, ""},
		{"and does not sign if it is there", map[string]string{"a.json": revoked, "a.pem": pem}, 0, 1, 1,
			"a.pem: the key is revoked, and its private key still lies here, where nobody needs it (rm DIR/a.pem)"},
		{"nor if that is damaged", map[string]string{"a.json": revoked, "a.pem": ""}, 0, 1, 1, "a.pem: the key is revoked"},
		{"an active key is lost", map[string]string{"a.json": active}, 0, 0, 1,
			"a.json: the key is active, and its private key is not there (put back DIR/a.pem from a backup, or revoke " +
				"the key: reputed keys revoke a._domainkey.example.org)"},
		{"a retiring one is not needed", map[string]string{"a.json": retiring}, 0, 1, 1, ""},
		{"a key was begun", map[string]string{"a.json": created}, 0, 0, 0,
			"a.json: a key was begun here and never finished (give it up: reputed keys revoke a._domainkey.example.org)"},
		{"nobody knows", map[string]string{"a.json": "{}"}, 0, 0, 1,
			"a.json: not the state of a key, or damaged (if it is no longer known what it was, leave it"},
		{"a note", map[string]string{"a note.json": "{}"}, 0, 0, 1, ""},
	}
	for _, tt := range tests {
		dir := keyDir(t)
		for name, text := range tt.files {
			write(t, filepath.Join(dir, "example.org", name), text, 0o600)
		}
		found := keydir.Load(dir, keydir.Options{})
		got := [3]int{len(found.Keys), len(found.Gone), len(found.Domains)}
		if counts := [3]int{tt.keys, tt.gone, tt.domains}; got != counts {
			t.Errorf("%s: %v keys, gone, domains; want %v", tt.why, got, counts)
		}
		said := ""
		for _, p := range append(found.Problems, found.Warnings...) {
			said += strings.TrimPrefix(p.Error(), dir+"/example.org/")
		}
		want := strings.ReplaceAll(tt.problem, "DIR", dir+"/example.org")
		if !strings.HasPrefix(said, want) || want == "" && said != "" {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.why, said, want)
		}
	}
}

// A selector is never used again, however its first key ended and however it was spelt.
func TestUsedSelector(t *testing.T) {
	dir := keyDir(t)
	key := id(t, "example.org", "a")
	if _, err := keydir.Create(dir, keydir.New{ID: key, Private: edKey(t), At: noon}); err != nil {
		t.Fatal(err)
	}
	again := func() {
		t.Helper()
		if _, err := keydir.Create(dir, keydir.New{ID: key, Private: edKey(t), At: noon}); !errors.Is(err, keydir.ErrUsed) {
			t.Error(err)
		}
		if _, err := keydir.Store(dir, key, edKey(t)); !errors.Is(err, keydir.ErrUsed) ||
			!strings.HasPrefix(err.Error(), dir+"/example.org/") {
			t.Error(err)
		}
	}
	again()
	for _, states := range [][2]signer.State{{signer.Created, signer.Revoked}, {signer.Revoked, signer.Removed}} {
		c := keydir.Change{ID: key, From: states[0], To: states[1], At: noon}
		if _, err := keydir.SetState(dir, c); err != nil {
			t.Fatal(err)
		}
		again()
	}
	write(t, dir+"/example.org/B.pem", "", 0o600)
	key = id(t, "example.org", "b")
	again()
	write(t, dir+"/example.org/C.json", "damaged", 0o600)
	key = id(t, "example.org", "c")
	again()
}

// Steps that cannot be taken change nothing.
func TestSetStateErrors(t *testing.T) {
	dir, path := stored(t)
	key := id(t, "example.org", "a")
	for _, tt := range []struct {
		change keydir.Change
		want   error
	}{
		{keydir.Change{ID: key, From: signer.Created, To: signer.Published}, keydir.ErrMoved},
		{keydir.Change{ID: key, From: signer.Active, To: signer.Published}, keydir.ErrMoved},
		{keydir.Change{ID: key, From: signer.Active, To: signer.Removed}, keydir.ErrMoved},
		{keydir.Change{ID: id(t, "example.org", "b"), From: signer.Active, To: signer.Retiring}, fs.ErrNotExist},
		{keydir.Change{ID: id(t, "example.net", "a"), From: signer.Active, To: signer.Retiring}, fs.ErrNotExist},
	} {
		tt.change.At = noon
		if _, err := keydir.SetState(dir, tt.change); !errors.Is(err, tt.want) {
			t.Errorf("%+v: %v", tt.change, err)
		}
	}
	if err := keydir.Destroy(dir, key); !errors.Is(err, keydir.ErrMoved) {
		t.Errorf("the key of an active one: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a state is there: %v", err)
	}
	write(t, path, "damaged", 0o600)
	_, err := keydir.SetState(dir, keydir.Change{ID: key, From: signer.Active, To: signer.Retiring, At: noon})
	if err == nil || !strings.HasPrefix(err.Error(), path+": not the state of a key, or damaged (") {
		t.Error(err)
	}
}

// After a breach nothing stands in the way: a key whose state is lost is revoked all the same, and counts as one that
// has signed. What was written by a newer program is left to that.
func TestRevokeDamaged(t *testing.T) {
	key := id(t, "example.org", "a")
	for _, tt := range []struct {
		why   string
		make  func(path string)
		keyed bool
		want  bool
	}{
		{"damaged", func(p string) { write(t, p, state()[:40], 0o600) }, true, true},
		{"empty, and no private key", func(p string) { write(t, p, "", 0o600) }, false, true},
		{"huge", func(p string) { write(t, p, strings.Repeat(" ", 100<<10), 0o600) }, true, true},
		{"a link that leads out", func(p string) { os.Symlink("/etc/passwd", p) }, true, true},
		{"of a newer program", func(p string) { write(t, p, state(`"version":1`, `"version":2`), 0o600) }, true, false},
	} {
		dir, path := stored(t)
		record := keydir.Load(dir, keydir.Options{}).Keys[0].Record()
		if !tt.keyed {
			record = ""
			os.Remove(dir + "/example.org/a.pem")
		}
		tt.make(path)
		c := keydir.Change{ID: key, From: signer.Created, To: signer.Revoked, At: noon, Why: "a breach"}
		l, err := keydir.SetState(dir, c)
		if (err == nil) != tt.want {
			t.Errorf("%s: %v", tt.why, err)
		}
		if err != nil {
			continue
		}
		found := keydir.Load(dir, keydir.Options{})
		if len(found.Gone) != 1 || len(found.Keys)+len(found.Problems)+len(found.Warnings) != 0 || len(found.Domains) != 1 {
			t.Fatalf("%s: %+v", tt.why, found)
		}
		d := cmp.Diff(l, found.Gone[0], names)
		if d != "" || l.Why != "a breach; its state was damaged" || l.Record != record {
			t.Errorf("%s: %+v %s", tt.why, l, d)
		}
	}
}

// When the private key is gone, it is still known what its record was, to be replaced.
func TestRecordKept(t *testing.T) {
	dir, _ := stored(t)
	record := keydir.Load(dir, keydir.Options{}).Keys[0].Record()
	for _, c := range []keydir.Change{
		{From: signer.Active, To: signer.Revoked}, {From: signer.Active, To: signer.Revoked},
		{From: signer.Revoked, To: signer.Removed},
	} {
		c.ID, c.At = id(t, "example.org", "a"), noon
		l, err := keydir.SetState(dir, c)
		if err != nil || l.Record != record {
			t.Errorf("%v: %q, %v", c.To, l.Record, err)
		}
		if found := keydir.Load(dir, keydir.Options{}); len(found.Gone) != 1 || found.Gone[0].Record != record {
			t.Errorf("%v: %+v", c.To, found)
		}
	}
}

// Nothing is written where a link leads out of the directory.
func TestWriteInside(t *testing.T) {
	dir, outside := keyDir(t), keyDir(t)
	if err := os.Symlink(outside, dir+"/example.org"); err != nil {
		t.Fatal(err)
	}
	if _, err := keydir.Store(dir, id(t, "example.org", "a"), edKey(t)); err == nil {
		t.Error("stored")
	}
	if entries, _ := os.ReadDir(outside); len(entries) != 0 {
		t.Error(entries)
	}
	dir, path := stored(t)
	target := outside + "/target"
	write(t, target, state(), 0o600)
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	key := id(t, "example.org", "a")
	c := keydir.Change{ID: key, From: signer.Published, To: signer.Active, At: noon}
	if _, err := keydir.SetState(dir, c); err == nil {
		t.Error("a state from outside was believed")
	}
	if text, _ := os.ReadFile(target); string(text) != state() {
		t.Errorf("%s", text)
	}
}

// Names may be spelt in other ways than ours: the files of a key stay together.
func TestSpelling(t *testing.T) {
	for name, domain := range map[string]string{"Bücher.Example": "xn--bcher-kva.example", "Example.MD": "example.md"} {
		dir := keyDir(t)
		write(t, dir+"/"+name+"/S1.pem", pemText(t, "PRIVATE KEY", pkcs8(t, edKey(t))), 0o600)
		c := keydir.Change{ID: id(t, domain, "s1"), From: signer.Active, To: signer.Retiring, At: noon}
		if _, err := keydir.SetState(dir, c); err != nil {
			t.Fatal(err)
		}
		found := keydir.Load(dir, keydir.Options{})
		if len(found.Keys) != 1 || len(found.Problems) != 0 || found.Keys[0].State() != signer.Retiring {
			t.Errorf("%s: %+v", name, found)
		}
		if _, err := os.Stat(dir + "/" + name + "/S1.json"); err != nil {
			t.Error(err)
		}
	}
}
