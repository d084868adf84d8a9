package check_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"math/big"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dkim"
	"reputed/policy/dns"
	"reputed/policy/dns/dnstest"
	"reputed/policy/spf"
)

// rsaKey makes a key of so many bits, once for all tests.
func rsaKey(t testing.TB, bits int) crypto.PublicKey {
	t.Helper()
	rsaKeys.Lock()
	defer rsaKeys.Unlock()
	if k := rsaKeys.of[bits]; k != nil {
		return k
	}
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	rsaKeys.of[bits] = &k.PublicKey
	return &k.PublicKey
}

var rsaKeys = struct {
	sync.Mutex
	of map[int]crypto.PublicKey
}{of: map[int]crypto.PublicKey{}}

func edKey(t testing.TB) crypto.PublicKey {
	t.Helper()
	k, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// keyWorld is two servers of example.org, whose copies of the zone may differ, and a resolver.
type keyWorld struct {
	t                  *testing.T
	one, two, resolver *dnstest.Server
}

func newKeyWorld(t *testing.T) *keyWorld {
	t.Helper()
	w := &keyWorld{t: t}
	for _, s := range []**dnstest.Server{&w.one, &w.two, &w.resolver} {
		var err error
		if *s, err = dnstest.Start(""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*s).Close() })
	}
	return w
}

// set gives the two servers, and the resolver, what stands at s._domainkey.example.org; "": nothing.
func (w *keyWorld) set(one, two string) {
	w.t.Helper()
	const soa = "$TTL 300\nexample.org. SOA ns1.example.org. root.example.org. 1 60 60 3600 120\n"
	const ways = soa + `example.org. NS ns1.example.org.
example.org. NS ns2.example.org.
ns1.example.org. A 192.0.2.1
ns2.example.org. A 192.0.2.2
`
	for s, text := range map[*dnstest.Server]string{w.one: soa + lines(one), w.two: soa + lines(two), w.resolver: ways + lines(one)} {
		if err := s.Set(text); err != nil {
			w.t.Fatal(err)
		}
	}
}

// lines makes records of the texts of the key's name, which are divided by "|". One with a name keeps it.
func lines(texts string) (all string) {
	for text := range strings.SplitSeq(texts, "|") {
		switch {
		case text == "":
		case strings.Contains(text, " TXT "):
			all += text + "\n"
		default:
			all += spf.ZoneLine("s._domainkey.example.org", text) + "\n"
		}
	}
	return all
}

// host is one that signs with a key of example.org.
func (w *keyWorld) host(k check.Key) *check.Host {
	k.Domain, k.Selector = domain(w.t, "example.org"), domain(w.t, "s")
	const timeout = 300 * time.Millisecond
	c := dns.NewClient(dns.Options{Servers: []netip.AddrPort{w.resolver.AddrPort()}, Timeout: timeout})
	at := map[string]netip.AddrPort{"192.0.2.1": w.one.AddrPort(), "192.0.2.2": w.two.AddrPort()}
	return &check.Host{
		Keys: []check.Key{k}, Resolver: c,
		Authority: dns.NewAuthority(dns.AuthorityOptions{
			Resolver: c, Timeout: timeout, At: func(a netip.Addr) netip.AddrPort { return at[a.String()] },
		}),
	}
}

// What the servers show of a key, and what that means for a key of that state.
func TestDKIM(t *testing.T) {
	w := newKeyWorld(t)
	key := rsaKey(t, 2048)
	own := dkim.Want{Public: key}.Text()
	other := dkim.Want{Public: rsaKey(t, 1024)}.Text()
	line := spf.ZoneLine("s._domainkey.example.org", own)
	const revoked = "v=DKIM1; p="
	none := check.Key{}
	held := func(state string) check.Key { return check.Key{Want: dkim.Want{Public: key}, State: state} }
	for _, tt := range []struct {
		why      string
		key      check.Key
		one, two string
		result   string
		grade    policy.Grade
		reason   string
		fix      string
	}{
		{"both servers show it", held("active"), own, own, "match", policy.Pass, "every server of example.org shows the key", ""},
		{"no state is an active key", held(""), own, own, "match", policy.Pass, "", ""},
		{"a record that has flaws shows the key all the same", held("active"), own + "; t=y", own + "; t=y", "testing", policy.Pass, "", ""},
		{"one server has not got it yet", held("active"), own, "", "partly", policy.Fail, "ns2.example.org does not", ""},
		{"the same, and the key does not sign yet", held("created"), own, "", "partly", policy.Warn, "it does not sign until then", ""},
		{"one server has another", held("active"), own, other, "partly", policy.Fail, "another rsa key", ""},
		{"nobody has it", held("active"), "", "", "nxdomain", policy.Fail, "mail that is signed with it cannot be verified", line},
		{"it is to be published", held("created"), "", "", "nxdomain", policy.Warn, "does not exist", line},
		{"it is gone again", held("published"), "", "", "nxdomain", policy.Warn, "would have signed next", line},
		{"it retires, and is gone too early", held("retiring"), "", "", "nxdomain", policy.Warn, "mail on its way", line},
		{"another key", held("active"), other, other, "mismatch", policy.Fail, "another rsa key", line},
		{"several records", held("active"), own + "|" + other, own + "|" + other, "several", policy.Fail, "2 TXT records", line},
		{"revoked while in use", held("active"), revoked, revoked, "revoked", policy.Fail, "p= of its record is empty", ""},
		{"text that is no record", held("active"), "k=rsa; p=!", "k=rsa; p=!", "broken", policy.Fail, "", line},
		{"a wildcard", held("active"), `*.example.org. TXT "v=spf1 -all"`, `*.example.org. TXT "v=spf1 -all"`, "wildcard", policy.Fail,
			"a wildcard answers for it", line},

		{"a revoked key is gone", check.Key{State: "revoked"}, revoked, "", "revoked", policy.Pass, "no key stands at", ""},
		{"a revoked key can still be seen", check.Key{State: "revoked"}, own, own, "mismatch", policy.Warn, "can still sign with it",
			`s._domainkey.example.org. IN TXT "v=DKIM1; p="`},
		{"one that others may have", check.Key{State: "revoked", Breached: true}, own, own, "mismatch", policy.Fail, "can still sign with it",
			`s._domainkey.example.org. IN TXT "v=DKIM1; p="`},
		{"one that retires, whose private half is gone", check.Key{State: "retiring"}, own, own, "mismatch", policy.Pass,
			"whether it is the right one is not known", ""},

		{"a selector without its key", none, own, own, "published", policy.Pass, "the private key is not here", ""},
		{"the same, and the servers differ", none, own, other, "partly", policy.Fail, "ns2.example.org does not", ""},
		{"the same, and there is nothing", none, "", "", "nxdomain", policy.Fail, "does not exist", ""},
	} {
		t.Run(tt.why, func(t *testing.T) {
			w.t = t
			w.set(tt.one, tt.two)
			f := one(t, "dkim", w.host(tt.key))
			if f.Result != tt.result || f.Grade != tt.grade || !strings.Contains(f.Reason, tt.reason) || f.Fix != tt.fix {
				t.Errorf("%s (%v): %s\nfix %s", f.Result, f.Grade, f.Reason, f.Fix)
			}
			if f.Subject != "example.org/s" || len(f.Evidence) < 2 {
				t.Errorf("subject %s, evidence %v", f.Subject, f.Evidence)
			}
		})
	}
	gone := w.host(check.Key{State: "removed"})
	if found := ask(t, t.Context(), "dkim", gone); len(found) != 0 {
		t.Errorf("a key that is removed: %+v", found)
	}
}

// What the records say besides the key.
func TestDKIMFlags(t *testing.T) {
	w := newKeyWorld(t)
	key := rsaKey(t, 2048)
	own := dkim.Want{Public: key}.Text()
	p := own[strings.Index(own, "p="):]
	line := spf.ZoneLine("s._domainkey.example.org", own)
	for _, tt := range []struct {
		why      string
		one, two string
		below    bool
		result   string // "": nothing to look at
		grade    policy.Grade
		reason   string
		fix      string
	}{
		{"none", own, own, true, "none", policy.Pass, "nothing but what it should", ""},
		{"testing", own + "; t=y", own + "; t=y", false, "testing", policy.Warn, "t=y", line},
		{"at one of the servers only", own, own + "; t=y", false, "testing", policy.Warn, "t=y", line},
		{"strict, and it signs below too", own + "; t=s", own + "; t=s", true, "strict", policy.Warn, "t=s", line},
		{"strict, and it does not", own + "; t=s", own + "; t=s", false, "none", policy.Pass, "", ""},
		{"an old tag", own + "; g=*", own + "; g=*", false, "odd", policy.Warn, "g=", line},
		{"without a version", "k=rsa; " + p, "k=rsa; " + p, false, "odd", policy.Warn, "lacks v=DKIM1", line},
		{"the version is not first", "k=rsa; v=DKIM1; " + p, "k=rsa; v=DKIM1; " + p, false, "version", policy.Warn, "does not stand first", line},
		{"not for mail", own + "; s=tlsrpt", own + "; s=tlsrpt", false, "no-email", policy.Fail, "s=tlsrpt", line},
		{"for mail too", own + "; s=tlsrpt:email", own, false, "none", policy.Pass, "", ""},
		{"revoked", "v=DKIM1; p=", "v=DKIM1; p=", false, "revoked", policy.Fail, "p= is empty", ""},
		{"a key of another type", dkim.Want{Public: edKey(t)}.Text(), own, false, "wrong-type", policy.Fail, "type ed25519", line},
		{"the gravest counts, and all are told", own + "; t=y; s=x", own + "; t=y; s=x", false, "no-email", policy.Fail, "t=y", line},
		{"no record", "", "", false, "", 0, "", ""},
		{"several", own + "|" + own + "; t=y", "", false, "", 0, "", ""},
	} {
		t.Run(tt.why, func(t *testing.T) {
			w.t = t
			w.set(tt.one, tt.two)
			h := w.host(check.Key{Want: dkim.Want{Public: key, Subdomains: tt.below}, State: "active"})
			found := ask(t, t.Context(), "dkimflags", h)
			if tt.result == "" {
				if len(found) != 0 {
					t.Errorf("%+v", found)
				}
				return
			}
			if len(found) != 1 {
				t.Fatalf("%+v", found)
			}
			f := found[0]
			if f.Result != tt.result || f.Grade != tt.grade || !strings.Contains(f.Reason, tt.reason) || f.Fix != tt.fix {
				t.Errorf("%s (%v): %s\nfix %s", f.Result, f.Grade, f.Reason, f.Fix)
			}
		})
	}
	w.t = t
	w.set("v=DKIM1; p=", "v=DKIM1; p=")
	if found := ask(t, t.Context(), "dkimflags", w.host(check.Key{State: "revoked"})); len(found) != 0 {
		t.Errorf("a revoked key is to have an empty p=: %+v", found)
	}
}

// The strength of keys needs no name server.
func TestDKIMStrength(t *testing.T) {
	w := newKeyWorld(t)
	w.set("", "")
	longer := func(bits uint) crypto.PublicKey { // no key to sign with, but one to look at
		k := *rsaKey(t, 1024).(*rsa.PublicKey)
		k.N = new(big.Int).SetBit(k.N, int(bits)-1, 1)
		return &k
	}
	short := *rsaKey(t, 1024).(*rsa.PublicKey)
	short.N = new(big.Int).Rsh(short.N, 256)
	for _, tt := range []struct {
		why    string
		key    crypto.PublicKey
		result string
		grade  policy.Grade
	}{
		{"2048 bits", rsaKey(t, 2048), "good", policy.Pass},
		{"1024 bits", rsaKey(t, 1024), "weak", policy.Warn},
		{"768 bits", &short, "too-short", policy.Fail},
		{"3072 bits", longer(3072), "good", policy.Pass},
		{"4096 bits", longer(4096), "large", policy.Warn},
		{"8192 bits", longer(8192), "large", policy.Warn},
		{"Ed25519 alone", edKey(t), "alone", policy.Warn},
	} {
		if f := one(t, "dkimstrength", w.host(check.Key{Want: dkim.Want{Public: tt.key}})); f.Result != tt.result || f.Grade != tt.grade {
			t.Errorf("%s: %s (%v): %s", tt.why, f.Result, f.Grade, f.Reason)
		}
	}
}

// Signatures with SHA-1 are none.
func TestDKIMStrengthSHA1(t *testing.T) {
	w := newKeyWorld(t)
	key := rsaKey(t, 2048)
	text := dkim.Want{Public: key}.Text() + "; h=sha1"
	w.set(text, text)
	f := one(t, "dkimstrength", w.host(check.Key{Want: dkim.Want{Public: key}}))
	if f.Result != "sha1" || f.Grade != policy.Fail {
		t.Errorf("%+v", f)
	}
}

// An Ed25519 key is well beside an RSA key that signs as well.
func TestDKIMStrengthPair(t *testing.T) {
	w := newKeyWorld(t)
	w.set("", "")
	for _, tt := range []struct {
		why, state string
		want       string
	}{
		{"both sign", "active", "good"},
		{"the other does not sign yet", "published", "alone"},
		{"the other signs no more", "retiring", "alone"},
	} {
		h := w.host(check.Key{Want: dkim.Want{Public: edKey(t)}})
		h.Keys = append(h.Keys, check.Key{
			Want:  dkim.Want{Domain: domain(t, "example.org"), Selector: domain(t, "rsa"), Public: rsaKey(t, 2048)},
			State: tt.state,
		})
		if f := ask(t, t.Context(), "dkimstrength", h)[0]; f.Result != tt.want {
			t.Errorf("%s: %s: %s", tt.why, f.Result, f.Reason)
		}
	}
}

// A wildcard answers for selectors that nobody has made.
func TestDKIMWildcard(t *testing.T) {
	w := newKeyWorld(t)
	for _, tt := range []struct {
		why, one, two string
		grade         policy.Grade
		result        string
	}{
		{"none", "v=DKIM1; p=", "", policy.Pass, "none"},
		{"below _domainkey", `*._domainkey.example.org. TXT "v=DKIM1; p="`, "", policy.Warn, "wildcard"},
		{"above it, at the second server", "", `*.example.org. TXT "v=spf1 -all"`, policy.Warn, "wildcard"},
		{"of another type", "*.example.org. MX 1 mx.example.org. ; TXT ", "", policy.Pass, "none"},
	} {
		w.set(tt.one, tt.two)
		if f := one(t, "dkimwildcard", w.host(check.Key{})); f.Grade != tt.grade || f.Result != tt.result {
			t.Errorf("%s: %s (%v): %s", tt.why, f.Result, f.Grade, f.Reason)
		}
	}
	w.set(`*._domainkey.example.org. TXT "v=DKIM1; p="`, "")
	h := w.host(check.Key{})
	h.Authority = nil
	if f := one(t, "dkimwildcard", h); f.Result != "wildcard" {
		t.Errorf("the resolver knows: %+v", f)
	}
	w.resolver.Fault(".", dnstest.Fault{Kind: dnstest.ServFail})
	if f := one(t, "dkimwildcard", h); f.Grade != policy.Unknown || !strings.Contains(f.Reason, "the server failed") {
		t.Errorf("%+v", f)
	}
	if found := ask(t, t.Context(), "dkimwildcard", &check.Host{}); len(found) != 0 {
		t.Errorf("no keys: %+v", found)
	}
}

// Whatever goes wrong at the servers, a key that is there is never said to be missing, nor one that is missing to be
// there, and it does not take long.
func TestDKIMUnderFaults(t *testing.T) {
	t.Parallel()
	key := check.Key{Want: dkim.Want{Public: rsaKey(t, 2048)}, State: "active"}
	own := dkim.Want{Public: key.Public}.Text()
	for _, text := range []string{own, ""} {
		withFaults(func(name string, fault dnstest.Fault) func() {
			w := newKeyWorld(t)
			w.set(text, text)
			for _, s := range []*dnstest.Server{w.one, w.two, w.resolver} {
				s.Fault(".", fault)
			}
			h := w.host(key)
			return func() {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				start := time.Now()
				for _, id := range []string{"dkim", "dkimflags", "dkimwildcard"} {
					for _, f := range ask(t, ctx, id, h) {
						if text != "" && f.Grade == policy.Fail || text == "" && f.Grade == policy.Pass && id == "dkim" {
							t.Errorf("%s: %s: %s (%v): %s", name, id, f.Result, f.Grade, f.Reason)
						}
					}
				}
				if took := time.Since(start); took > 4*time.Second {
					t.Errorf("%s: it took %v", name, took)
				}
			}
		})
	}
}

// Who may read the private keys.
func TestDKIMFile(t *testing.T) {
	const path = "/var/lib/reputed/keys/example.org/s.pem"
	const dir = "/var/lib/reputed/keys/example.org"
	for _, tt := range []struct {
		why    string
		mode   uint32
		owner  string
		dir    uint32
		result string
		grade  policy.Grade
		fix    string
	}{
		{"only its owner", 0o600, "reputed", 0o750, "safe", policy.Pass, ""},
		{"read-only", 0o400, "reputed", 0o700, "safe", policy.Pass, ""},
		{"root's, for the group of reputed", 0o640, "root", 0o750, "group-readable", policy.Warn, "chmod 0600 " + path},
		{"a group", 0o640, "reputed", 0o750, "group-readable", policy.Warn, "chmod 0600 " + path},
		{"everybody", 0o644, "reputed", 0o750, "world-readable", policy.Fail, "chmod 0600 " + path},
		{"everybody, though not the group", 0o604, "reputed", 0o750, "world-readable", policy.Fail, "chmod 0600 " + path},
		{"a group may change it", 0o620, "reputed", 0o750, "writable", policy.Fail, "chmod 0600 " + path},
		{"others may change its directory", 0o600, "reputed", 0o775, "writable", policy.Fail, "chmod go-w " + dir},
		{"a stranger's", 0o600, "bob", 0o750, "owner", policy.Fail, "chown reputed " + path},
		{"root's alone: reputed cannot read it", 0o600, "root", 0o750, "owner", policy.Warn, "chown reputed " + path},
	} {
		facts := map[string]check.FileFact{path: {Mode: tt.mode, Owner: tt.owner}, dir: {Mode: tt.dir, Owner: "reputed"}}
		h := &check.Host{Keys: []check.Key{{
			Want: dkim.Want{Domain: domain(t, "example.org"), Selector: domain(t, "s")}, Path: path,
		}, {}}}
		if found := ask(t, t.Context(), "dkimfile", h); len(found) != 0 {
			t.Errorf("%s: nobody can tell: %+v", tt.why, found)
		}
		h.Local.Stat = func(name string) (check.FileFact, error) {
			f, ok := facts[name]
			if !ok {
				return f, errors.New("permission denied")
			}
			return f, nil
		}
		f := one(t, "dkimfile", h)
		if f.Result != tt.result || f.Grade != tt.grade || f.Fix != tt.fix {
			t.Errorf("%s: %s (%v): %s\nfix %s", tt.why, f.Result, f.Grade, f.Reason, f.Fix)
		}
		delete(facts, path)
		if f := one(t, "dkimfile", h); f.Grade != policy.Unknown {
			t.Errorf("%s: %+v", tt.why, f)
		}
	}
	h := &check.Host{Keys: []check.Key{{Path: "/keys/it's here.pem"}}}
	h.Local.Stat = func(string) (check.FileFact, error) { return check.FileFact{Mode: 0o666, Owner: "x"}, nil }
	if f := one(t, "dkimfile", h); f.Fix != `chmod 0600 '/keys/it'\''s here.pem'` {
		t.Errorf("fix %s", f.Fix)
	}
}
