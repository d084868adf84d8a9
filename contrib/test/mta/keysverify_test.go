//go:build integration

package mta

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// shown is what `keys verify` says of the only key.
type shown struct {
	Verdict, Result, Reason string
	Advice                  []string
	Publish                 struct{ Value string }
}

// Two real servers, one after the other of what can befall them: each has a finding of its own.
func TestKeysVerify(t *testing.T) {
	w := newTwins(t)
	d := newDaemon(t, t.TempDir(), w.settings())
	const name = "s1._domainkey.example.org"
	record := d.newKeys("example.org", "--selector", "s1")[name]
	put := func(text string) func() {
		return func() { w.knot.Put("example.org", name, text) }
	}
	for _, tt := range []struct {
		what            string
		happens         func()
		exit            int
		verdict, result string
		reason          string
		advice          string
		publish         bool // the record is shown, to be published
	}{
		{
			what: "nothing is published", happens: func() {}, exit: 2, verdict: "wrong", result: "nxdomain",
			reason: "no server of example.org shows the key", advice: "reputed keys publish s1", publish: true,
		}, {
			what: "one server lags behind", happens: put(record), exit: 2, verdict: "wrong", result: "nxdomain",
			reason: "ns1.example.org shows the key; ns2.example.org does not: ",
			advice: "wait until ns2.example.org has the zone as ns1.example.org has it",
		}, {
			what: "it has caught up", happens: w.catchUp, exit: 0, verdict: "ok", result: "match",
			reason: "every server of example.org shows the key (ns1.example.org, ns2.example.org)",
		}, {
			what: "a server has lost the zone", happens: func() { w.bind.Lose("example.org") }, exit: 1, verdict: "warn",
			result: "match", reason: "; of ns2.example.org nothing is known: ",
			advice: "have ns2.example.org serve the zone example.org, or remove it from the NS records",
		}, {
			what: "a server is gone", happens: func() { w.bind.Stop() }, exit: 1, verdict: "warn", result: "match",
			reason: "; of ns2.example.org nothing is known: ", advice: "look again later",
		}, {
			what: "both are silent", happens: w.knot.Pause, exit: 3, verdict: "unknown", result: "transient",
			reason: "no server of the zone could be asked", advice: "look again later",
		}, {
			what: "both are back", happens: func() {
				w.knot.Resume()
				w.bind.Start()
				w.bind.Copy("example.org", w.first)
			}, exit: 0, verdict: "ok", result: "match", reason: "every server of example.org shows the key",
		}, {
			what:    "the record is replaced by hand, and the other server lags",
			happens: put("v=DKIM1; k=rsa; p=" + otherKey), exit: 2, verdict: "wrong", result: "mismatch",
			reason: "ns1.example.org does not: the record holds another rsa key (it has the newer serial",
		}, {
			what: "it is replaced everywhere", happens: w.catchUp, exit: 2, verdict: "wrong", result: "mismatch",
			reason: "no server of example.org shows the key: the record holds another rsa key", publish: true,
		}, {
			what: "it is emptied by hand", happens: func() { put("v=DKIM1; p=")(); w.catchUp() }, exit: 2,
			verdict: "wrong", result: "revoked", reason: "no server of example.org shows the key: the key was revoked",
			advice: "reputed keys rotate example.org",
		}, {
			what: "it is removed by hand", happens: func() { put("")(); w.catchUp() }, exit: 2,
			verdict: "wrong", result: "nxdomain", reason: "no server of example.org shows the key",
			advice: "reputed keys publish s1", publish: true,
		},
	} {
		tt.happens()
		code, stdout, stderr := d.verb("keys", "verify", "--json")
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
		if (k.Publish.Value == record) != tt.publish {
			t.Errorf("%s: to be published: %q", tt.what, k.Publish.Value)
		}
	}
}

// otherKey is the public key of nobody here.
const otherKey = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjx" +
	"OCKG9v3b4jYfcTNh5ijSsjqB2wnoVVWMSpO4HtCZ4BCOUPhmGSGYQXPRnc2nI1hTUVAv6Ef3nDMDFgBXzNaH1YCDLVjzpbqRFIBx" +
	"HjpCFRZfnuFEcHxvFaAQIDAQAB"
