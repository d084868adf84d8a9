package dkim_test

import (
	"crypto"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"reputed/policy/dkim"
	"reputed/policy/dns"
)

func found(texts ...string) dns.Answer {
	a := dns.Answer{Status: dns.Found, Name: "s1._domainkey.example.org", TTL: time.Hour}
	for _, text := range texts {
		a.Records = append(a.Records, dns.Record{Text: text})
	}
	return a
}

func TestJudge(t *testing.T) {
	key := rsaKey(2048)
	good, other := want(key).Text(), want(rsaKey(2056)).Text()
	short, weak := rsaKey(1016), rsaKey(1024)
	stale := found(good)
	stale.Stale = true
	with := func(tags string) dns.Answer { return found(strings.Replace(good, "k=rsa; ", "k=rsa; "+tags, 1)) }
	aliased := dns.Answer{Status: dns.NXDomain, Name: "s1.keys.example.net"}
	for _, tt := range []struct {
		answer dns.Answer
		key    crypto.PublicKey
		want   dkim.Result
		also   []dkim.Result
		text   string // a part of reason or advice
		why    string
	}{
		{found(good), key, dkim.Match, nil, "holds the key", "as it should be"},
		{found(want(edKey).Text()), edKey, dkim.Match, nil, "holds the key", "Ed25519 is not weak with its 256 bits"},
		{found(want(weak).Text()), weak, dkim.Weak, nil, "1024 bits is weak", "RFC 8301: signers should have 2048"},
		{found(want(short).Text()), short, dkim.TooShort, nil, "1016 bits", "RFC 8301: less than 1024 does not count"},
		{with("t=y; "), key, dkim.Testing, nil, "t=y", "RFC 6376, section 3.6.1: as if it were not signed"},
		{with("t=s; "), key, dkim.Strict, nil, "t=s", "and it signs for subdomains"},
		{with("h=sha1; "), key, dkim.WrongHash, nil, `"sha1"`, "RFC 8301: nobody signs with SHA-1"},
		{with("h=sha1:sha256; "), key, dkim.Match, nil, "", "SHA-256 is among them"},
		{with("s=tlsrpt; "), key, dkim.NoEmail, nil, `"tlsrpt"`, "RFC 6376, section 3.6.1: for another service"},
		{with("s=tlsrpt:*; "), key, dkim.Match, nil, "", "for all services"},
		{found(strings.TrimPrefix(good, "v=DKIM1; ")), key, dkim.Odd, nil, "does not begin", "receivers let that pass"},
		{
			found("t=y:s; h=sha1; s=x; p=" + p(t, weak)), weak, dkim.WrongHash,
			[]dkim.Result{dkim.NoEmail, dkim.Testing, dkim.Strict, dkim.Weak, dkim.Odd}, "", "the gravest comes first",
		},
		{found(other), key, dkim.Mismatch, nil, "another rsa key", "the key of somebody else"},
		{found(want(edKey).Text()), key, dkim.WrongType, nil, "of type ed25519", "a key of another type"},
		{found("k=dsa; p=AAAA"), key, dkim.WrongType, nil, `"dsa"`, "a type that nobody knows"},
		{found("v=DKIM1; k=rsa; p="), key, dkim.Revoked, nil, "another selector", "RFC 6376, section 3.6.1"},
		{found("k=ed25519; p="), key, dkim.Revoked, nil, "", "revoked, whatever its type"},
		{found("v=spf1 -all"), key, dkim.Broken, nil, `"spf1 -all"`, "not a key record"},
		{found(good, "v=spf1 -all"), key, dkim.Several, nil, "one of them with the key", "RFC 6376, section 3.6.2.2"},
		{found(other, other+" "), key, dkim.Several, nil, "none with the key", "and none is ours"},
		{dns.Answer{Status: dns.NoData}, key, dkim.NoData, nil, "has no TXT record", "the name exists"},
		{dns.Answer{Status: dns.NXDomain}, key, dkim.NXDomain, nil, "does not exist", "the name does not exist"},
		{aliased, key, dkim.NXDomain, nil, "is an alias, and s1.keys", "there is nothing"},
		{dns.Answer{Status: dns.Found}, key, dkim.NoData, nil, "has no TXT record", "found, and nothing"},
		{dns.Answer{Err: dns.ErrTimeout}, key, dkim.Transient, nil, "no answer in time", "no answer is no knowledge"},
		{stale, key, dkim.Transient, nil, "too old", "RFC 8767: yesterday's answer says nothing of today"},
		{found(good), "no key", dkim.WrongType, nil, "", "nothing fits a key of no sense"},
	} {
		w := want(tt.key)
		w.Subdomains = true
		v := dkim.Judge(w, tt.answer)
		var also []dkim.Result
		for _, p := range v.Also {
			also = append(also, p.Result)
		}
		if v.Result != tt.want || !slices.Equal(also, tt.also) || !strings.Contains(v.Reason+"\n"+v.Advice, tt.text) {
			t.Errorf("%s: %+v", tt.why, v)
		}
		for _, p := range append(v.Also, v.Problem) {
			fine := p.Result == dkim.Match
			if p.Reason == "" || (p.Advice == "") != fine || strings.ContainsAny(p.Reason+p.Advice, "!\n") {
				t.Errorf("%s: %+v", tt.why, p)
			}
		}
	}
	w := want(key)
	if v := dkim.Judge(w, with("t=s; ")); v.Result != dkim.Match {
		t.Errorf("strict, and it does not sign for subdomains: %+v", v)
	}
}

// What a stranger publishes is bounded before it gets into reports.
func TestJudgeHuge(t *testing.T) {
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("v=DKIM1; k=%d; p=", i)+strings.Repeat("A", 60_000))
	}
	for _, a := range []dns.Answer{found(many...), found(many[0]), found(strings.Repeat("\x1b", 60_000))} {
		v := dkim.Judge(want(edKey), a)
		text, err := json.Marshal(v.Problem)
		if err != nil || len(text) > 1000 || strings.Contains(v.Reason, "\x1b") {
			t.Errorf("%v: %s", err, text)
		}
		if len(v.Texts) > 8 || len(v.Texts[0]) > 4096 {
			t.Errorf("%d texts of %d octets", len(v.Texts), len(v.Texts[0]))
		}
	}
}

// Each result is good, bad or nothing, and its word is a promise to other programs.
func TestResults(t *testing.T) {
	good := []dkim.Result{"match", "odd", "weak", "strict", "testing"}
	bad := []dkim.Result{
		"too-short", "wrong-hash", "no-email", "mismatch", "wrong-type", "revoked", "broken", "several", "wildcard",
		"nodata", "nxdomain",
	}
	all := []dkim.Result{
		dkim.Match, dkim.Odd, dkim.Weak, dkim.Strict, dkim.Testing, dkim.TooShort, dkim.WrongHash, dkim.NoEmail,
		dkim.Mismatch, dkim.WrongType, dkim.Revoked, dkim.Broken, dkim.Several, dkim.Wildcard, dkim.NoData, dkim.NXDomain,
	}
	if !slices.Equal(all, append(good, bad...)) || dkim.Transient != "transient" || dkim.Transient.Verifies() {
		t.Error(all)
	}
	for _, r := range all {
		if r.Verifies() != slices.Contains(good, r) {
			t.Error(r)
		}
		if missing := r == "nodata" || r == "nxdomain" || r == "wildcard"; r.Missing() != missing {
			t.Error(r)
		}
	}
}
