package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reputed/policy/dns/dnstest"
)

// drop makes a server silent.
func drop(s *dnstest.Server) { s.Fault(".", dnstest.Fault{Kind: dnstest.Drop}) }

// How keys stand, to the letter, and the exit status for it: testdata/keys/verify-*.txt. After a change:
// go test ./cmd/reputed -run KeysVerify -update
func TestKeysVerify(t *testing.T) {
	tests := []struct {
		name string
		why  string
		keys []string // as keysWorld.add takes them
		set  func(w *keysWorld)
		args []string
		code int
	}{
		{"match", "every server shows the key", []string{"s1"}, func(w *keysWorld) { w.both("s1") }, nil, 0},
		{"missing", "nothing is published, and mail is signed", []string{"s1"}, nil, nil, 2},
		{"mismatch", "somebody published another key", []string{"s1"}, func(w *keysWorld) { w.both("s1 other") }, nil, 2},
		{"revoked", "an active key that the DNS calls revoked", []string{"s1"}, func(w *keysWorld) { w.both("s1 revoked") },
			nil, 2},
		{"several", "two records", []string{"s1"}, func(w *keysWorld) { w.both("s1", "s1 other") }, nil, 2},
		{"wildcard", "the name has no record of its own", []string{"s1"},
			func(w *keysWorld) { w.both("* v=spf1 -all") }, nil, 2},
		{"testing", "receivers are told not to rely on it", []string{"s1"},
			func(w *keysWorld) { w.both("s1 testing") }, nil, 1},
		{"service", "a record that is not for mail", []string{"s1"}, func(w *keysWorld) { w.both("s1 service") }, nil, 2},
		{"weak", "1024 bits", []string{"weak1"}, func(w *keysWorld) { w.both("weak1") }, nil, 1},
		{"lagging", "one server has an older copy of the zone", []string{"s1"}, func(w *keysWorld) {
			w.set(w.one, 8, "s1")
			w.set(w.two, 7)
		}, nil, 2},
		{"silent", "one server does not answer", []string{"s1"}, func(w *keysWorld) { w.both("s1"); drop(w.two) }, nil, 1},
		{"resolver", "no server can be asked, and the resolver shows the key", []string{"s1"}, func(w *keysWorld) {
			drop(w.one)
			drop(w.two)
			w.must(w.resolver.Set(keysDelegations + w.line("s1")))
		}, nil, 0},
		{"unknown", "nobody answers", []string{"s1"},
			func(w *keysWorld) { drop(w.one); drop(w.two); drop(w.resolver) }, nil, 3},
		{"created", "a new key is yet to be published", []string{"s2 created=1h"}, nil, nil, 1},
		{"created-seen", "a new key is published", []string{"s2 created=1h"}, func(w *keysWorld) { w.both("s2") }, nil, 0},
		{"created-silent", "a new key is published, and one server does not answer", []string{"s2 created=1h"},
			func(w *keysWorld) { w.both("s2"); drop(w.two) }, nil, 1},
		{"created-other", "a new key, and something else stands there", []string{"s2 created=1h"},
			func(w *keysWorld) { w.both("s2 other") }, nil, 1},
		{"retiring", "its record was taken away too early", []string{
			"s1 created=99h published=98h active=97h retiring=1h", "s2 created=9h published=2h active=1h",
		}, func(w *keysWorld) { w.both("s2") }, nil, 1},
		{"gravestone", "a revoked key that the DNS calls revoked", []string{
			"s1 created=999h published=998h active=997h retiring=300h revoked=1h", "s2 created=309h published=302h active=300h",
		}, func(w *keysWorld) { w.both("s1 revoked", "s2") }, nil, 0},
		{"lingers", "a revoked key whose record was left, after its time", []string{
			"s1 created=999h published=998h active=997h retiring=300h revoked=1h", "s2 created=309h published=302h active=300h",
		}, func(w *keysWorld) { w.both("s1", "s2") }, nil, 1},
		{"breach", "a key that was revoked by hand and is still there at one server", []string{
			"s1 created=99h published=98h active=97h revoked=1h", "s2",
		}, func(w *keysWorld) { w.set(w.one, 8, "s1 revoked", "s2"); w.set(w.two, 7, "s1", "s2") }, nil, 2},
		{"alias", "the name is an alias into a zone that has nothing", []string{"s1"}, func(w *keysWorld) {
			w.both("s1._domainkey.example.org. CNAME s1._domainkey.example.org.keys.example.net.")
		}, nil, 2},
		{"named", "only the key that is named", []string{"s1", "s2"}, func(w *keysWorld) { w.both("s2") }, []string{"s2"}, 0},
		{"broken", "a key file that cannot be used", []string{"s1", "s2"}, func(w *keysWorld) {
			w.both("s1", "s2")
			w.must(os.Chmod(filepath.Join(w.dir, "example.org", "s2.pem"), 0o644))
		}, nil, 2},
		{"keyless", "a domain of the configuration without a key", []string{"s1"}, func(w *keysWorld) {
			w.both("s1")
			w.configure("[[domain]]\nname = \"example.com\"\n")
		}, nil, 2},
		{"keyless-named", "the same, by name", []string{"s1"}, func(w *keysWorld) {
			w.configure("[[domain]]\nname = \"example.com\"\n")
		}, []string{"example.com"}, 2},
		{"publishable", "nothing is published, where we may", []string{"s1"},
			func(w *keysWorld) { w.configure(may) }, nil, 2},
		{"keyless-new", "a domain of the configuration, whose first key is not published", []string{"s1 created=1h"},
			func(w *keysWorld) { w.configure("[[domain]]\nname = \"example.org\"\n") }, nil, 2},
		{"keyless-may", "the same, where we may publish it", []string{"s1 created=1h"},
			func(w *keysWorld) { w.configure("[[domain]]\nname = \"example.org\"\n" + may) }, nil, 2},
		{"none", "there are no keys", nil, nil, nil, 3},
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
			code, stdout, stderr := w.run(append([]string{"verify"}, tt.args...)...)
			if code != tt.code || stderr != "" {
				t.Errorf("%s: exit %d, want %d: %s", tt.why, code, tt.code, stderr)
			}
			w.golden("verify-"+tt.name+".txt", stdout)
			word, _, _ := strings.Cut(stdout, ":")
			if want := [...]string{"ok", "warn", "wrong", "unknown"}[tt.code]; word != want {
				t.Errorf("%s: the first line says %s, the exit status %s", tt.why, word, want)
			}
		})
	}
}

// What other programs rely on.
func TestKeysVerifyJSON(t *testing.T) {
	w := newKeysWorld(t)
	w.add("s1")
	w.add("s2 created=1h")
	w.set(w.one, 8, "s1")
	code, stdout, _ := w.run("verify", "--json")
	var got struct {
		At, Verdict string
		Keys        []struct {
			Domain, Selector, Algorithm, State, Since, Verdict, Result, Reason string

			Bits    int
			Advice  []string
			Publish *struct {
				Name, Type, Value string
				TTL               int
				Strings           []string
			}
			DNS struct {
				Sighting, Via string
				Lagging       []string
				Servers       []struct {
					Host, Address string
					Serial        uint32
					Verdict       struct{ Result string }
				}
			}
		}
		Problems []struct{ Path, Text, Remedy string }
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if code != 2 || got.Verdict != "wrong" || got.At != "2026-11-24T12:00:00Z" || len(got.Keys) != 2 {
		t.Fatalf("exit %d: %s", code, stdout)
	}
	s1, s2 := got.Keys[0], got.Keys[1]
	if s1.Selector != "s1" || s1.State != "active" || s1.Verdict != "wrong" ||
		s1.Result != "nxdomain" || s1.Publish != nil ||
		s1.DNS.Sighting != "partly" || strings.Join(s1.DNS.Lagging, " ") != "ns2.example.org" || len(s1.DNS.Servers) != 2 ||
		s1.DNS.Servers[0].Address != "198.51.100.1" || s1.DNS.Servers[0].Serial != 8 {
		t.Errorf("%+v", s1)
	}
	if s2.State != "created" || s2.Since != "2026-11-24T11:00:00Z" || s2.Verdict != "warn" || s2.Publish == nil ||
		s2.Publish.Name != "s2._domainkey.example.org" || s2.Publish.Type != "TXT" || s2.Publish.TTL != 3600 ||
		!strings.HasPrefix(s2.Publish.Value, "v=DKIM1; k=ed25519; p=") || len(s2.Advice) == 0 {
		t.Errorf("%+v", s2)
	}
}

// Arguments that cannot be right, and what cannot be read.
func TestKeysUsage(t *testing.T) {
	w := newKeysWorld(t)
	w.add("s1")
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"verify", "s9"}, exitUsage,
			`there is no key of a domain or selector "s9" in DIR/keys (see: reputed keys list)`},
		{[]string{"list", "a b"}, exitUsage, `"a b" is neither a domain nor a selector`},
		{[]string{"verify", "--server", "localhost"}, exitUsage, "--server localhost: write an address and a port"},
		{[]string{"record", "--format", "bind"}, exitUsage, "--format bind: there are zone, value, strings, nsupdate, json"},
		{[]string{"record", "--cname", "a b"}, exitUsage, "--cname"},
		{[]string{"revoke", "s9"}, exitUsage, `there is no key of selector "s9"`},
		{[]string{"revoke"}, exitUsage, "accepts 1 arg"},
		{[]string{"import", "nowhere.pem", "example.org"}, exitNoFile, "nowhere.pem"},
		{[]string{"import", "nowhere.pem"}, exitUsage, "accepts 2 arg"},
	} {
		code, stdout, stderr := w.run(tt.args...)
		if code != tt.code || !strings.Contains(stderr, tt.want) || stdout != "" {
			t.Errorf("%q: exit %d: %s%s", tt.args, code, stdout, stderr)
		}
	}
}
