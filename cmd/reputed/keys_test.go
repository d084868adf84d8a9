package main

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"reputed/policy/dns/dnstest"
	"reputed/policy/mail"
	"reputed/signer"
	"reputed/signer/keydir"
)

// keysWorld is a directory of keys, two servers of example.org, one of keys.example.net, and a resolver that knows
// where they are.
type keysWorld struct {
	t                       *testing.T
	one, two, net, resolver *dnstest.Server
	dir                     string
	config                  string // its path
	now                     time.Time
	private                 map[string]crypto.Signer // by selector
}

const keysDelegations = `
$TTL 300
example.org.      SOA ns1.example.org. root.example.org. 1 60 60 3600 120
example.org.      NS ns1.example.org.
example.org.      NS ns2.example.org.
ns1.example.org.  A 198.51.100.1
ns2.example.org.  A 198.51.100.2
keys.example.net. SOA ns.example.net. root.example.net. 1 60 60 3600 30
keys.example.net. NS ns.example.net.
example.net.      SOA ns.example.net. root.example.net. 1 60 60 3600 30
ns.example.net.   A 198.51.100.3
`

func newKeysWorld(t *testing.T) *keysWorld {
	t.Helper()
	dir := t.TempDir()
	w := &keysWorld{
		t: t, dir: filepath.Join(dir, "keys"), config: filepath.Join(dir, "reputed.toml"),
		now:     time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC),
		private: map[string]crypto.Signer{},
	}
	for _, s := range []**dnstest.Server{&w.one, &w.two, &w.net, &w.resolver} {
		var err error
		*s, err = dnstest.Start("")
		w.must(err)
		t.Cleanup(func() { (*s).Close() })
	}
	w.must(w.resolver.Set(keysDelegations))
	w.must(w.net.Set("$TTL 300\nkeys.example.net. SOA ns.example.net. root.example.net. 1 60 60 3600 30\n"))
	w.configure("")
	w.set(w.one, 7)
	w.set(w.two, 7)
	return w
}

func (w *keysWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// configure writes the configuration: with more sections, or more keys of [signing].
func (w *keysWorld) configure(more string) {
	w.t.Helper()
	signing := ""
	if !strings.HasPrefix(strings.TrimSpace(more), "[") {
		signing, more = more, ""
	}
	text := fmt.Sprintf(`hostname = "mx1.example.org"
[signing]
keys = %q
%s
[dns]
servers = [%q]
timeout = "150ms"
%s`, w.dir, signing, w.resolver.Addr(), more)
	w.must(os.WriteFile(w.config, []byte(text), 0o600))
}

func testID(t *testing.T, selector string) signer.ID {
	t.Helper()
	d, err := mail.ParseDomain("example.org")
	if err != nil {
		t.Fatal(err)
	}
	s, err := signer.ParseSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return signer.ID{Domain: d, Selector: s}
}

// generate gives the key of a selector: Ed25519, and the same each time, but RSA of 1024 bits for weak... and of 2048
// for rsa...
func (w *keysWorld) generate(selector string) crypto.Signer {
	w.t.Helper()
	if k := w.private[selector]; k != nil {
		return k
	}
	bits := 0
	switch {
	case strings.HasPrefix(selector, "weak"):
		bits = 1024
	case strings.HasPrefix(selector, "rsa"):
		bits = 2048
	}
	seed := sha256.Sum256([]byte(selector))
	w.private[selector] = ed25519.NewKeyFromSeed(seed[:])
	if bits > 0 {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		w.must(err)
		w.private[selector] = k
	}
	return w.private[selector]
}

// add puts a key into the directory, from "SELECTOR STATE=AGE...": when it came to each state, before now. "SELECTOR"
// by itself is one that was imported.
func (w *keysWorld) add(text string) {
	w.t.Helper()
	words := strings.Fields(text)
	id, private := testID(w.t, words[0]), w.generate(words[0])
	if len(words) == 1 {
		path, err := keydir.Store(w.dir, id, private)
		w.must(err)
		w.must(os.Chtimes(path, w.now, w.now.Add(-100*24*time.Hour)))
		return
	}
	from := signer.None
	for _, word := range words[1:] {
		name, age, _ := strings.Cut(word, "=")
		var to signer.State
		w.must(to.UnmarshalText([]byte(name)))
		d, err := time.ParseDuration(age)
		w.must(err)
		at := w.now.Add(-d)
		if from == signer.None {
			_, err = keydir.Create(w.dir, keydir.New{ID: id, Private: private, At: at})
			w.must(err)
		} else {
			_, err = keydir.SetState(w.dir, keydir.Change{ID: id, From: from, To: to, At: at})
			w.must(err)
		}
		from = to
	}
}

// line gives the record of "SELECTOR", or of "SELECTOR WHAT": other (another key), testing, service, revoked, or a
// text.
func (w *keysWorld) line(text string) string {
	w.t.Helper()
	name, what, _ := strings.Cut(text, " ")
	if strings.Contains(name, "*") {
		return fmt.Sprintf("%s._domainkey.example.org. TXT %q\n", name, what)
	}
	key, err := signer.NewKey(testID(w.t, name), w.generate(name))
	w.must(err)
	p := signer.Publication{ID: key.ID(), Text: key.Record()}
	switch what {
	case "":
	case "other":
		other, err := signer.NewKey(testID(w.t, name), w.generate("another"))
		w.must(err)
		p.Text = other.Record()
	case "testing":
		p.Text = strings.Replace(p.Text, "k=", "t=y; k=", 1)
	case "service":
		p.Text = strings.Replace(p.Text, "k=", "s=tlsrpt; k=", 1)
	case "revoked":
		p.Text = signer.Revocation
	default:
		p.Text = what
	}
	return p.ZoneFile()
}

// set gives a server of example.org its copy of the zone, with the records of lines.
func (w *keysWorld) set(s *dnstest.Server, serial int, lines ...string) {
	w.t.Helper()
	zone := fmt.Sprintf("$TTL 300\nexample.org. SOA ns1.example.org. root.example.org. %d 60 60 3600 120\n", serial)
	for _, l := range lines {
		if strings.Contains(l, " CNAME ") {
			zone += l + "\n"
		} else {
			zone += w.line(l)
		}
	}
	w.must(s.Set(zone))
}

// run runs a verb of `keys`.
func (w *keysWorld) run(args ...string) (code int, stdout, stderr string) {
	w.t.Helper()
	e, out, errs := testEnv("")
	e.now, e.haste = func() time.Time { return w.now }, 500
	e.authority = func(a netip.Addr) netip.AddrPort {
		return map[string]netip.AddrPort{
			"198.51.100.1": w.one.AddrPort(), "198.51.100.2": w.two.AddrPort(), "198.51.100.3": w.net.AddrPort(),
		}[a.String()]
	}
	code = run(w.t.Context(), e, append([]string{"keys", "--config", w.config}, args...))
	return code, w.plain(out.String()), w.plain(errs.String())
}

var localPort = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// plain takes out what is different each time.
func (w *keysWorld) plain(s string) string {
	s = strings.ReplaceAll(s, filepath.Dir(w.dir), "DIR")
	return localPort.ReplaceAllString(s, "SERVER")
}

// golden compares with testdata/keys/NAME.
func (w *keysWorld) golden(name, got string) {
	w.t.Helper()
	golden(w.t, filepath.Join("testdata", "keys", name), got)
}

// both gives both servers of example.org the same records.
func (w *keysWorld) both(lines ...string) {
	w.t.Helper()
	w.set(w.one, 7, lines...)
	w.set(w.two, 7, lines...)
}
