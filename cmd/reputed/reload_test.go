package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"reputed/cmd/reputed/internal/config"
	"reputed/policy/mail"
	"reputed/signer"
	"reputed/signer/keydir"
)

// running is a daemon without sockets, in a directory of its own, that can be reloaded.
type running struct {
	*reloader
	t   *testing.T
	dir string
	log *bytes.Buffer
}

// startRunning puts keys into place, as in "example.org/s1", and then starts with the configuration. A key whose
// selector begins with "bad" cannot be used.
func startRunning(t *testing.T, toml string, keys ...string) *running {
	t.Helper()
	r := &running{t: t, dir: t.TempDir(), log: &bytes.Buffer{}}
	for _, k := range keys {
		r.key(k)
		if strings.Contains(k, "/bad") {
			r.breakKey(k)
		}
	}
	r.configure(toml)
	file := filepath.Join(r.dir, "reputed.toml")
	cfg, path, err := loadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	e, _, _ := testEnv("")
	d, err := newDaemon(e, cfg, newLog(r.log, config.Logfmt))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	d.current.Load().keys.report(d.log, cfg.Signing.OnNoKey)
	r.reloader = &reloader{env: e, daemon: d, file: path, started: cfg}
	return r
}

func (r *running) path(name string) string { return filepath.Join(r.dir, "keys", name) }

func (r *running) key(name string) {
	r.t.Helper()
	d, s, _ := strings.Cut(name, "/")
	private, err := generate(newKey{ed25519: true})
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = keydir.Store(r.path(""), signer.ID{Domain: domain(r.t, d), Selector: domain(r.t, s)}, private)
	r.must(err)
}

func domain(t *testing.T, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (r *running) configure(toml string) {
	r.t.Helper()
	text := fmt.Sprintf("state_dir = %q\n%s", r.dir, toml)
	if err := os.WriteFile(filepath.Join(r.dir, "reputed.toml"), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// must is for what a test does to the directory of keys.
func (r *running) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// breakKey makes a key file one that is not used.
func (r *running) breakKey(name string) { r.must(os.Chmod(r.path(name+".pem"), 0o644)) }

// revoke makes a key one that was revoked.
func (r *running) revoke(name string) {
	r.t.Helper()
	d, s, _ := strings.Cut(name, "/")
	_, err := keydir.SetState(r.path(""), keydir.Change{
		ID:   signer.ID{Domain: domain(r.t, d), Selector: domain(r.t, s)},
		From: signer.Active, To: signer.Revoked, At: time.Now(),
	})
	r.must(err)
}

func TestReload(t *testing.T) {
	tests := []struct {
		name    string
		toml    string // of the start
		keys    []string
		change  func(*running)
		refused string // by what; "" is not
		usable  string // domains that are signed for afterwards, as they were before a refusal
	}{
		{name: "a key more", keys: []string{"example.org/s1"},
			change: func(r *running) { r.key("example.net/s1") }, usable: "example.net example.org"},
		{name: "every key is gone", keys: []string{"example.org/s1", "example.net/s1"},
			change: func(r *running) {
				r.must(os.RemoveAll(r.path("example.org")))
				r.must(os.RemoveAll(r.path("example.net")))
			},
			refused: "had 2 keys and now none: restart to go on without keys", usable: "example.net example.org"},
		{name: "the directory of keys is gone: perhaps its disk is", keys: []string{"example.org/s1"},
			change:  func(r *running) { r.must(os.Rename(r.path(""), r.path("")+".old")) },
			refused: "had 1 keys and now there is no such directory", usable: "example.org"},
		{name: "the directory of keys cannot be read", keys: []string{"example.org/s1"},
			change: func(r *running) {
				r.must(os.Rename(r.path(""), r.path("")+".old"))
				r.must(os.WriteFile(r.path(""), nil, 0o600))
			},
			refused: "the keys cannot be read", usable: "example.org"},
		{name: "the only key was revoked", keys: []string{"example.org/s1"}, toml: "[[domain]]\nname = \"example.org\"\n",
			change: func(r *running) { r.revoke("example.org/s1") }, usable: ""},
		{name: "one was revoked, and another is gone", keys: []string{"example.org/s1", "example.net/s1"},
			change: func(r *running) {
				r.revoke("example.org/s1")
				r.must(os.RemoveAll(r.path("example.net")))
			},
			refused: "had 2 keys and now none", usable: "example.net example.org"},
		{name: "there were no keys, and there are none", usable: "", change: func(*running) {}},
		{name: "one domain of several is given up", keys: []string{"example.org/s1", "example.net/s1"},
			change: func(r *running) { r.must(os.RemoveAll(r.path("example.net"))) }, usable: "example.org"},
		{name: "a key that was broken at the start keeps no other out", keys: []string{"example.org/s1", "example.net/bad"},
			change: func(r *running) { r.key("example.com/s1") }, usable: "example.com example.org"},
		{name: "a key that is broken now", keys: []string{"example.org/s1", "example.net/s1"},
			change:  func(r *running) { r.breakKey("example.net/s1") },
			refused: "mode 0644", usable: "example.net example.org"},
		{name: "beside a broken key the good one goes", keys: []string{"example.org/s1", "example.net/bad", "example.net/s1"},
			change:  func(r *running) { r.must(os.Remove(r.path("example.net/s1.pem"))) },
			refused: "there is no usable key for mail from example.net", usable: "example.net example.org"},
		{name: "one of two broken keys is mended", keys: []string{"example.org/s1", "example.net/bad1", "example.net/bad2"},
			toml: "[[domain]]\nname = \"example.org\"\nselectors = [\"s1\", \"s2\", \"s3\"]\n",
			change: func(r *running) {
				r.must(os.Chmod(r.path("example.net/bad1.pem"), 0o600))
				r.key("example.org/s2")
			}, usable: "example.net example.org"},
		{name: "a new entry without a key", keys: []string{"example.org/s1"},
			change:  func(r *running) { r.configure("[[domain]]\nname = \"*.example.net\"\n") },
			refused: "there is no usable key for mail from *.example.net", usable: "example.org"},
		{name: "an error in the configuration", keys: []string{"example.org/s1"},
			change:  func(r *running) { r.configure("[signing]\non_no_key = \"send\"\n") },
			refused: "on_no_key", usable: "example.org"},
		{name: "the file is gone, for the moment in which an editor replaces it", keys: []string{"example.org/s1"},
			change:  func(r *running) { r.must(os.Remove(filepath.Join(r.dir, "reputed.toml"))) },
			refused: "no such file", usable: "example.org"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := startRunning(t, tt.toml, tt.keys...)
			tt.change(r)
			err := r.reload()
			if (err != nil) != (tt.refused != "") || err != nil && !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("reload: %v; want %q", err, tt.refused)
			}
			var usable []string
			for _, k := range r.daemon.current.Load().keys.ring.Keys() {
				if name := k.ID().Domain.String(); !strings.Contains(strings.Join(usable, " "), name) {
					usable = append(usable, name)
				}
			}
			if got := strings.Join(usable, " "); got != tt.usable {
				t.Errorf("signs for %q, want %q", got, tt.usable)
			}
			if err != nil && strings.Contains(err.Error(), "bad.pem") {
				t.Errorf("what was wrong before is a reason now: %v", err)
			}
		})
	}
}

// Between reloads the keys are read when their files change. The trouble of one domain keeps nothing from the others;
// what is gone goes on; what is revoked does not.
func TestRefresh(t *testing.T) {
	r := startRunning(t, "", "a.example/s1", "b.example/s1", "c.example/s1")
	d := r.daemon
	usable := func() string {
		var names []string
		for _, k := range d.current.Load().keys.ring.Keys() {
			names = append(names, k.ID().Domain.String()+"/"+k.ID().Selector.String())
		}
		slices.Sort(names)
		return strings.Join(names, " ")
	}
	r.breakKey("a.example/s1")                // it cannot be used any more
	r.revoke("b.example/s1")                  // it must not be
	r.must(os.RemoveAll(r.path("c.example"))) // perhaps by mistake
	r.key("d.example/s1")                     // it is new
	d.refresh(r.env, "a test")
	if got, want := usable(), "a.example/s1 c.example/s1 d.example/s1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for _, want := range []string{"mode 0644", "key=a.example/s1", "key=c.example/s1"} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log does not tell of %s:\n%s", want, r.log)
		}
	}
	before := r.log.Len()
	d.refresh(r.env, "a test")
	if more := r.log.String()[before:]; more != "" {
		t.Errorf("told twice: %s", more)
	}
}

// The secret of a zone that may be changed is of no use: that keeps no key out, and none in, but at a reload that brings
// it. What was in use goes on; what was not is tried again by itself.
func TestSecretFault(t *testing.T) {
	const secret = "c2VjcmV0IHNlY3JldCBzZWNyZXQ="
	file := filepath.Join(t.TempDir(), "secret")
	put := func(mode os.FileMode) {
		if err := errors.Join(os.WriteFile(file, []byte(secret), 0o600), os.Chmod(file, mode)); err != nil {
			t.Fatal(err)
		}
	}
	toml := fmt.Sprintf(`[dns]
servers = ["127.0.0.1:1"]
timeout = "100ms"
[[signing.publish]]
zone = "a.example"
tsig_name = "reputed"
tsig_secret_file = %q
`, file)
	bring := func(r *running) error {
		_, err := r.daemon.current.Load().keyWishes.Publisher.Bring(t.Context(), signer.RecordChange{
			ID: signer.ID{Domain: domain(t, "a.example"), Selector: domain(t, "s1")}, Own: "v=DKIM1; p=AA==",
		})
		return err
	}
	const fault = "mode 0644 lets others at the secret"
	faulty := func(err error) bool { return err != nil && strings.Contains(err.Error(), fault) }
	t.Run("after the start", func(t *testing.T) {
		put(0o600)
		r := startRunning(t, toml, "a.example/s1", "b.example/s1")
		put(0o644)
		r.revoke("b.example/s1")
		r.must(r.daemon.refresh(r.env, "a test"))
		if got := keyNames(r.daemon.current.Load().keys.ring); got != "a.example/s1/ed25519-sha256" {
			t.Errorf("signs with %s", got)
		}
		if err := bring(r); faulty(err) {
			t.Error("the secret that was in use is not any more")
		}
		for range 2 {
			if err := r.reload(); !faulty(err) {
				t.Errorf("a reload would have lost the secret: %v", err)
			}
		}
		put(0o600)
		r.must(r.reload())
	})
	t.Run("at the start", func(t *testing.T) {
		put(0o644)
		r := startRunning(t, toml, "a.example/s1")
		if got := r.log.String(); !strings.Contains(got, fault) || !strings.Contains(got, "records of keys are not changed") {
			t.Errorf("nothing is said of it: %s", got)
		}
		if err := bring(r); !faulty(err) {
			t.Errorf("%v", err)
		}
		r.key("b.example/s1")
		r.must(r.reload()) // it is no worse
		if got := len(r.daemon.current.Load().keys.ring.Keys()); got != 2 {
			t.Errorf("%d keys", got)
		}
		put(0o600)
		if err := bring(r); err == nil || faulty(err) { // nobody answers
			t.Errorf("mended, and %v", err)
		}
	})
}

// That the keys cannot be read is said once, with the reason, and it is tried again until they can.
func TestRefreshAgain(t *testing.T) {
	r := startRunning(t, "", "a.example/s1")
	refresh := r.daemon.refresher(r.env)
	r.must(os.Rename(r.path(""), r.path("")+".old"))
	r.must(os.WriteFile(r.path(""), nil, 0o600))
	r.log.Reset()
	if refresh("a test") || refresh("a test") {
		t.Error("a file was read as a directory")
	}
	if got := r.log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "not a directory") {
		t.Error(got)
	}
	r.must(os.Remove(r.path("")))
	r.must(os.Rename(r.path("")+".old", r.path("")))
	r.key("b.example/s1")
	if !refresh("a test") || len(r.daemon.current.Load().keys.ring.Keys()) != 2 {
		t.Errorf("mended: %s", r.log)
	}
}

// A state that cannot be read is what the daemon knew before it was started again, not that of a key which signs.
func TestDamagedStateAtStart(t *testing.T) {
	r := startRunning(t, "", "a.example/s1")
	private, err := generate(newKey{ed25519: true})
	r.must(err)
	id := signer.ID{Domain: domain(t, "a.example"), Selector: domain(t, "fresh")}
	_, err = keydir.Create(r.path(""), keydir.New{ID: id, Private: private, At: time.Now()})
	r.must(err)
	r.daemon.watch.Set(r.daemon.current.Load().keyWishes)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.must(r.daemon.watch.Run(ctx)) // writes what it knows
	r.must(os.WriteFile(r.path("a.example/fresh.json"), []byte("{"), 0o600))
	e, _, _ := testEnv("")
	cfg, _, err := loadConfig(filepath.Join(r.dir, "reputed.toml"))
	r.must(err)
	again, err := newDaemon(e, cfg, newLog(r.log, config.Logfmt))
	r.must(err)
	t.Cleanup(again.close)
	for _, k := range again.current.Load().keys.ring.Choose(id.Domain).Keys {
		if k.ID() == id {
			t.Error("a key that nobody has seen signs")
		}
	}
}

// Of many keys, the lines that a reload and a change of files leave in the log name twenty.
func TestManyKeysInLog(t *testing.T) {
	var keys []string
	for i := range 30 {
		keys = append(keys, fmt.Sprintf("d%02d.example/s1", i))
	}
	r := startRunning(t, "", keys...)
	again, ended := make(chan os.Signal), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { defer close(ended); r.onSignals(ctx, again) }()
	again <- os.Interrupt
	cancel()
	<-ended
	r.key("d99.example/s1")
	r.must(r.daemon.refresh(r.env, "a test"))
	for line, end := range map[string]string{"msg=reloaded": ", and 10 more", `msg="keys have changed"`: ", and 11 more"} {
		found := false
		for l := range strings.Lines(r.log.String()) {
			found = found || strings.Contains(l, line) && strings.Contains(l, "d19.example") &&
				!strings.Contains(l, "d20.example") && strings.Contains(l, end)
		}
		if !found {
			t.Errorf("no line with %s and %q: %s", line, end, r.log)
		}
	}
}

// Changes that cannot take effect are named, and only these.
func TestUntilRestart(t *testing.T) {
	r := startRunning(t, "", "example.org/s1")
	r.configure("[signing]\non_no_key = \"log\"\n")
	r.must(r.reload())
	if strings.Contains(r.log.String(), "next start") {
		t.Errorf("a change that takes effect: %s", r.log)
	}
	r.configure(`[milter]
listen = ["inet:127.0.0.1:8891"]
socket_mode = "0600"
socket_group = "postfix"
[dns]
servers = ["127.0.0.1"]
timeout = "3s"
[log]
format = "json"
[status]
listen = "127.0.0.1:9181"
`)
	r.must(r.reload())
	want := `settings="dns.servers dns.timeout log.format milter.listen milter.socket_group milter.socket_mode status.listen"`
	if !strings.Contains(r.log.String(), want) {
		t.Errorf("the log does not say %s:\n%s", want, r.log)
	}
}

// The log tells the truth about the mail of a domain with broken keys: it may have another, and it need not wait.
func TestKeyReport(t *testing.T) {
	const deferred, unsigned = "mail from this domain is deferred", "mail from this domain leaves unsigned"
	for _, tt := range []struct {
		name, toml string
		keys       []string
		want, not  []string
	}{
		{"the only key", "", []string{"example.org/bad"},
			[]string{"bad.pem", deferred, "domain=example.org"}, []string{unsigned}},
		{"another key works", "", []string{"example.org/bad", "example.org/s1"},
			[]string{"bad.pem", "not used"}, []string{"mail from"}},
		{"it leaves unsigned", "[signing]\non_no_key = \"log\"\n", []string{"example.org/bad"},
			[]string{"bad.pem", unsigned}, []string{deferred}},
		{"a selector in vain", "[[domain]]\nname = \"example.org\"\nselectors = [\"s1\", \"s2\"]\n",
			[]string{"example.org/s1"},
			[]string{"no usable key for its selector s2"}, []string{"mail from"}},
		{"an entry for what lies below, without a key", "[[domain]]\nname = \"*.example.net\"\n", nil,
			[]string{deferred, "domain=*.example.net"}, nil},
		{"every other domain, in the name of one without a key", "[[domain]]\nname = \"*\"\nsign_as = \"example.net\"\n", nil,
			[]string{deferred, "domain=*"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := startRunning(t, tt.toml, tt.keys...).log.String()
			for _, w := range tt.want {
				if !strings.Contains(log, w) {
					t.Errorf("no %q in\n%s", w, log)
				}
			}
			for _, n := range tt.not {
				if strings.Contains(log, n) {
					t.Errorf("%q in\n%s", n, log)
				}
			}
		})
	}
}

// A weak key works, and is warned of at the start and at each reload; so is a domain that is given up.
func TestReloadWarnings(t *testing.T) {
	r := startRunning(t, "", "example.net/s1")
	private, err := rsa.GenerateKey(rand.Reader, 1024)
	r.must(err)
	_, err = keydir.Store(r.path(""), signer.ID{Domain: domain(t, "example.org"), Selector: domain(t, "weak")}, private)
	r.must(err)
	for range 2 {
		r.log.Reset()
		r.must(r.reload())
		if !strings.Contains(r.log.String(), "this key is weak") || !strings.Contains(r.log.String(), "weak.pem") {
			t.Errorf("no warning in %s", r.log)
		}
	}
	r.must(os.RemoveAll(r.path("example.net")))
	r.log.Reset()
	r.must(r.reload())
	if log := r.log.String(); !strings.Contains(log, "not signed any more: its keys are gone\" domain=example.net") {
		t.Errorf("a domain went without a word: %s", log)
	}
}
