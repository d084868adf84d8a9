//go:build integration

package mta

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// shown is what `keys verify` says of the only key.
type shown struct {
	Verdict, Result, Reason string
	Advice                  []string
	Publish                 struct{ Name, Value string }
}

// Two real servers, one after the other of what can befall them: each has a finding of its own.
func TestKeysVerify(t *testing.T) {
	eachTwins(t, func(t *testing.T, w *twins) {
		d := newDaemon(t, t.TempDir(), w.settings(time.Second))
		t.Run("servers", func(t *testing.T) { verifyServers(t, w, d) })
		t.Run("alias", func(t *testing.T) { verifyAlias(t, w, d) })
	})
}

// verifies is what `keys verify` is to say of a key after something happened.
type verifies struct {
	what            string
	happens         func()
	exit            int
	verdict, result string
	reason          string
	advice          string
	publish         string // the name of the record that is shown, to be published; "": none is
}

// want looks at one key.
func (tt verifies) want(t *testing.T, d *daemon, key, record string) {
	t.Helper()
	tt.happens()
	code, stdout, stderr := d.verb("keys", "verify", key, "--json")
	var said struct{ Keys []shown }
	if err := json.Unmarshal([]byte(stdout), &said); err != nil || len(said.Keys) != 1 {
		t.Fatalf("%s: exit %d, %v: %s%s", tt.what, code, err, stdout, stderr)
	}
	k := said.Keys[0]
	told := fmt.Sprintf("exit %d, %s, %s", code, k.Verdict, k.Result)
	if want := fmt.Sprintf("exit %d, %s, %s", tt.exit, tt.verdict, tt.result); told != want {
		t.Errorf("%s: %s; want %s", tt.what, told, want)
	}
	advice := strings.Join(k.Advice, "\n")
	if !strings.Contains(k.Reason, tt.reason) || !strings.Contains(advice, tt.advice) {
		t.Errorf("%s: %q, %q; want %q, %q", tt.what, k.Reason, k.Advice, tt.reason, tt.advice)
	}
	if k.Publish.Name != tt.publish || tt.publish != "" && k.Publish.Value != record {
		t.Errorf("%s: to be published: %q at %q, not at %q", tt.what, k.Publish.Value, k.Publish.Name, tt.publish)
	}
}

func verifyServers(t *testing.T, w *twins, d *daemon) {
	const name = "s1._domainkey.example.org"
	record := d.newKeys("example.org", "--selector", "s1")[name]
	put := func(text string) func() {
		return func() { w.primary.Put("example.org", name, text) }
	}
	wild := func(text string) func() {
		return func() { w.primary.Put("example.org", "*._domainkey.example.org", text) }
	}
	for _, tt := range []verifies{
		{
			what: "nothing is published", happens: func() {}, exit: 2, verdict: "wrong", result: "nxdomain",
			reason: "no server of example.org shows the key", advice: "reputed keys publish s1", publish: name,
		}, {
			what: "one server lags behind", happens: put(record), exit: 2, verdict: "wrong", result: "nxdomain",
			reason: "ns1.example.org shows the key; ns2.example.org does not: ",
			advice: "wait until ns2.example.org has the zone as ns1.example.org has it",
		}, {
			what: "it has caught up", happens: w.catchUp, exit: 0, verdict: "ok", result: "match",
			reason: "every server of example.org shows the key (ns1.example.org, ns2.example.org)",
		}, {
			what: "a server has lost the zone", happens: func() { w.secondary.Lose("example.org") }, exit: 1, verdict: "warn",
			result: "match", reason: "; of ns2.example.org nothing is known: ",
			advice: "have ns2.example.org serve the zone example.org, or remove it from the NS records",
		}, {
			what: "a server is gone", happens: func() { w.secondary.Stop() }, exit: 1, verdict: "warn", result: "match",
			reason: "; of ns2.example.org nothing is known: ", advice: "look again later",
		}, {
			what: "both are silent", happens: w.primary.Pause, exit: 3, verdict: "unknown", result: "transient",
			reason: "no server of the zone could be asked", advice: "look again later",
		}, {
			what: "both are back", happens: func() {
				w.primary.Resume()
				w.secondary.Start()
				w.secondary.Copy("example.org", w.first)
				w.unbound.Flush() // it remembers that nobody answered
			}, exit: 0, verdict: "ok", result: "match", reason: "every server of example.org shows the key",
		}, {
			what:    "the record is replaced by hand, and the other server lags",
			happens: put("v=DKIM1; k=rsa; p=" + otherKey), exit: 2, verdict: "wrong", result: "mismatch",
			reason: "ns1.example.org does not: the record holds another rsa key (it has the newer serial",
		}, {
			what: "it is replaced everywhere", happens: w.catchUp, exit: 2, verdict: "wrong", result: "mismatch",
			reason: "no server of example.org shows the key: the record holds another rsa key", publish: name,
		}, {
			what: "it is emptied by hand", happens: func() { put("v=DKIM1; p=")(); w.catchUp() }, exit: 2,
			verdict: "wrong", result: "revoked", reason: "no server of example.org shows the key: the key was revoked",
			advice: "reputed keys rotate example.org",
		}, {
			what: "it is removed by hand", happens: func() { put("")(); w.catchUp() }, exit: 2,
			verdict: "wrong", result: "nxdomain", reason: "no server of example.org shows the key",
			advice: "reputed keys publish s1", publish: name,
		}, {
			what: "a wildcard answers", happens: func() { wild("v=spf1 -all")(); w.catchUp() }, exit: 2,
			verdict: "wrong", result: "wildcard", reason: "a wildcard answers for it, with \"v=spf1 -all\"",
			advice: "a record of its own comes before the wildcard", publish: name,
		}, {
			what: "the record of its own comes before the wildcard", happens: func() { put(record)(); w.catchUp() }, exit: 0,
			verdict: "ok", result: "match", reason: "every server of example.org shows the key",
		},
	} {
		tt.want(t, d, name, record)
	}
}

// The name of a key is an alias, published once by whoever has the zone, of a name in a zone for keys: as `keys record
// --cname` says how, the record stands there, and only there.
func verifyAlias(t *testing.T, w *twins, d *daemon) {
	const name = "s1._domainkey.sub.example.org"
	const at = name + ".keys.example.org"
	made := d.newKeys("sub.example.org", "--selector", "s1")
	said := d.run("keys", "record", name, "--cname", "keys.example.org")
	if alias := name + ". 3600 IN CNAME " + at + ".\n"; !strings.HasPrefix(said, alias) {
		t.Errorf("the alias that is in the zone is not %q:\n%s", alias, said)
	}
	record := records(said)[at]
	if record != made[name] {
		t.Errorf("the record at %s is %q, not that of the key, %q", at, record, made[name])
	}
	put := func(text string) func() {
		return func() { w.primary.Put("example.org", at, text) }
	}
	for _, tt := range []verifies{
		{
			what: "the alias leads to nothing", happens: func() {}, exit: 2, verdict: "wrong", result: "nxdomain",
			reason: at + " does not exist", publish: at,
		}, {
			what: "one server lags behind", happens: put(record), exit: 2, verdict: "wrong", result: "nxdomain",
			reason: "ns1.example.org shows the key; ns2.example.org does not: ",
		}, {
			what: "it stands where the alias leads", happens: w.catchUp, exit: 0, verdict: "ok", result: "match",
			reason: "every server of example.org shows the key (ns1.example.org, ns2.example.org)",
		}, {
			what: "another key stands there", happens: func() { put("v=DKIM1; k=rsa; p=" + otherKey)(); w.catchUp() }, exit: 2,
			verdict: "wrong", result: "mismatch", reason: "the record holds another rsa key", publish: at,
		},
	} {
		tt.want(t, d, name, record)
	}
}

// otherKey is the public key of nobody here.
const otherKey = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjx" +
	"OCKG9v3b4jYfcTNh5ijSsjqB2wnoVVWMSpO4HtCZ4BCOUPhmGSGYQXPRnc2nI1hTUVAv6Ef3nDMDFgBXzNaH1YCDLVjzpbqRFIBx" +
	"HjpCFRZfnuFEcHxvFaAQIDAQAB"
