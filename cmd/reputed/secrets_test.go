package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"reputed/cmd/reputed/internal/config"
	"reputed/milter"
	"reputed/milter/bridge"
	"reputed/milter/wire"
	"reputed/policy/dns/dnstest"
	"reputed/policy/mail"
	"reputed/signer"
	"reputed/signer/keydir"
)

// secrets knows everything that must not be written anywhere, in each spelling that a program could give it.
type secrets map[string]string // what it is, by the spelling

// text is a secret that is a text, of which a third tells too much.
func (s secrets) text(what, text string) {
	third := max(8, len(text)/3)
	s[text[:third]], s[text[len(text)-third:]] = what, what
	s.octets(what, []byte(text))
}

// octets is a secret that is octets, as they stand and as fmt and encodings write them.
func (s secrets) octets(what string, b []byte) {
	for _, part := range [][]byte{b[:12], b[len(b)-12:]} {
		s[string(part)] = what
		s[hex.EncodeToString(part)], s[strings.ToUpper(hex.EncodeToString(part))] = what, what
		for _, verb := range []string{"%d", "%x", "%#v", "% x"} {
			s[strings.Trim(strings.TrimPrefix(fmt.Sprintf(verb, part), "[]byte"), "[]{}")] = what
		}
		for shift := range 3 { // of base64 it depends on what stands before
			text := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), part...))
			s[text[4:len(text)-3]] = what
		}
	}
}

// number is a secret that is a number.
func (s secrets) number(what string, n *big.Int) {
	s.octets(what, n.Bytes())
	s[n.String()[:20]], s[n.Text(16)[:20]] = what, what
}

// key is a private key, and the text of its file. Of that the beginning of an RSA key is no secret: it is the public key.
func (s secrets) key(what string, private crypto.Signer) (text string) {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		panic(err)
	}
	text = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	lines := strings.Split(strings.TrimSpace(text), "\n")
	switch k := private.(type) {
	case ed25519.PrivateKey:
		s.octets(what+", seed", k.Seed())
		s[lines[1][24:44]] = what + ", PEM"
	case *rsa.PrivateKey:
		for name, n := range map[string]*big.Int{"d": k.D, "p": k.Primes[0], "q": k.Primes[1], "dp": k.Precomputed.Dp} {
			s.number(what+", "+name, n)
		}
		for _, line := range lines[8 : len(lines)-2] {
			s[line[:32]], s[line[32:]] = what+", PEM", what+", PEM"
		}
	}
	return text
}

// keptFrom fails when a text holds a secret.
func (s secrets) keptFrom(t *testing.T, where, text string) {
	t.Helper()
	for spelling, what := range s {
		if strings.Contains(text, spelling) {
			t.Errorf("%s tells of the %s: %q", where, what, text)
			return
		}
	}
}

// The search finds what it is there to find.
func TestSecretsAreFound(t *testing.T) {
	s := secrets{}
	_, private, _ := ed25519.GenerateKey(rand.Reader)
	text := s.key("key", private)
	big, _ := rsa.GenerateKey(rand.Reader, 2048)
	bigText := s.key("key", big)
	s.text("secret", "c2VjcmV0IHNlY3JldCBzZWNyZXQ=")
	for _, leak := range []string{
		text, bigText, bigText[900:1100], string(private), fmt.Sprint(private), fmt.Sprintf("%x", []byte(private)),
		fmt.Sprintf("%#v", []byte(private)), fmt.Sprintf("%v", *big), fmt.Sprintf("%x", big.D.Bytes()), big.D.Text(16),
		base64.StdEncoding.EncodeToString(private.Seed()), base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PrivateKey(big)),
		"x c2VjcmV0IHNlY3J",
	} {
		found := false
		for spelling := range s {
			found = found || strings.Contains(leak, spelling)
		}
		if !found {
			t.Errorf("not found: %q", leak)
		}
	}
}

// vault is a host with keys and secrets.
type vault struct {
	t *testing.T
	secrets
	dir       string
	rsa, edd  string // the texts of two keys
	tsig, dqs string
	dns       *dnstest.Server
}

func newVault(t *testing.T) *vault {
	t.Helper()
	v := &vault{t: t, secrets: secrets{}, dir: t.TempDir()}
	big, err := rsa.GenerateKey(rand.Reader, 2048)
	v.must(err)
	_, small, err := ed25519.GenerateKey(rand.Reader)
	v.must(err)
	v.rsa, v.edd = v.key("RSA key", big), v.key("Ed25519 key", small)
	random := make([]byte, 32)
	rand.Read(random)
	random[0] &= 0x7f // its text does not begin with a slash, as the name of a file does
	v.tsig, v.dqs = base64.StdEncoding.EncodeToString(random), "q"+hex.EncodeToString(random[:12])
	v.octets("secret of the zone", random)
	v.text("secret of the zone", v.tsig)
	v.text("key of the list", v.dqs)
	for selector, key := range map[string]crypto.Signer{"s1": big, "s2": small} {
		_, err := keydir.Store(v.path("keys"), signer.ID{
			Domain: domain(t, "example.org"), Selector: domain(t, selector),
		}, key)
		v.must(err)
	}
	v.dns, err = dnstest.Start("example.org. 60 NS ns1.example.org.\nns1.example.org. 60 A 127.0.0.1\n")
	v.must(err)
	t.Cleanup(func() { v.dns.Close() })
	v.write("reputed.toml", v.config(""), 0o600)
	return v
}

func (v *vault) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

func (v *vault) path(name string) string { return filepath.Join(v.dir, name) }

func (v *vault) write(name, text string, mode os.FileMode) string {
	v.t.Helper()
	v.must(os.MkdirAll(filepath.Dir(v.path(name)), 0o700))
	v.must(os.WriteFile(v.path(name), []byte(text), mode))
	v.must(os.Chmod(v.path(name), mode))
	return v.path(name)
}

// config is a configuration with all secrets in it; more is put before it.
func (v *vault) config(more string) string {
	return fmt.Sprintf(`%s
hostname = "mta.example.org"
state_dir = %q
dns = { servers = [%q], timeout = "100ms" }
milter.listen = ["inet:127.0.0.1:8891"]
status.socket = %q
[[signing.publish]]
zone = "example.org"
tsig_name = "reputed"
tsig_secret = %q
[policy.dnsbl]
watch = ["spamhaus-zen-dqs"]
[[policy.dnsbl.list]]
id = "spamhaus-zen-dqs"
key = %q
`, more, v.dir, v.dns.Addr(), v.path("status.sock"), v.tsig, v.dqs)
}

// run runs a verb, and looks at all that it writes, and leaves in the environment.
func (v *vault) run(why string, args ...string) {
	v.t.Helper()
	before := os.Environ()
	e, stdout, stderr := testEnv("From: ann@example.org\nSubject: x\n\nhi\n")
	ctx, cancel := context.WithTimeout(v.t.Context(), 10*time.Second)
	defer cancel()
	run(ctx, e, args)
	v.keptFrom(v.t, why+": standard output of "+strings.Join(args[:1], " "), stdout.String())
	v.keptFrom(v.t, why+": standard error of "+strings.Join(args[:1], " "), stderr.String())
	if after := os.Environ(); !slices.Equal(before, after) {
		v.t.Errorf("%s: the environment is another: %q", why, after)
	}
}

// Verbs that read the configuration and keys, and those of them that show how a key is.
var (
	verbsOfKeys = [][]string{
		{"keys", "list", "--offline"}, {"keys", "list", "--offline", "--json"}, {"keys", "record"},
		{"keys", "revoke", "s3"}, {"sign"},
	}
	verbs = append([][]string{
		{"config", "check"}, {"config", "show"}, {"config", "show", "--json"}, {"keys", "verify", "example.org"},
		{"keys", "record", "--format", "json"}, {"keys", "publish"}, {"keys", "activate", "s2"},
		{"keys", "rotate", "example.org", "--dry-run"}, {"lists"}, {"lists", "--json"}, {"status"}, {"hold", "list"},
		{"listed", "127.0.0.2"}, {"spf", "example.org"},
	}, verbsOfKeys...)
)

func (v *vault) runAll(why string, verbs [][]string) {
	v.t.Helper()
	for _, args := range verbs {
		v.run(why, append(slices.Clone(args), "--config", v.path("reputed.toml"))...)
	}
}

// No verb writes a secret, whatever is wrong.
func TestSecretsInOutput(t *testing.T) {
	v := newVault(t)
	v.runAll("all is well", verbs)

	middle := len(v.rsa) / 2
	for why, text := range map[string]string{
		"cut off":                  v.rsa[:middle],
		"its end only":             v.rsa[middle:],
		"a letter is wrong":        v.rsa[:middle] + "?" + v.rsa[middle+1:],
		"a bit is wrong":           v.rsa[:middle] + string(v.rsa[middle]^1) + v.rsa[middle+1:],
		"on one line":              strings.ReplaceAll(v.rsa, "\n", ""),
		"two of them":              v.rsa + v.edd,
		"without its frame":        strings.Join(strings.Split(v.rsa, "\n")[1:20], "\n"),
		"of another type":          strings.ReplaceAll(v.rsa, "PRIVATE KEY", "EC PRIVATE KEY"),
		"of a type that is none":   strings.ReplaceAll(v.edd, "PRIVATE KEY", "SECRET"),
		"encrypted, as it says":    strings.ReplaceAll(v.rsa, "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
		"public, as it says":       strings.ReplaceAll(v.edd, "PRIVATE KEY", "PUBLIC KEY"),
		"a configuration, by slip": v.config(""),
	} {
		v.write("keys/example.org/s3.pem", text, 0o600)
		v.runAll("a key file that is "+why, verbsOfKeys)
		v.run("imported", "keys", "import", v.path("keys/example.org/s3.pem"), "example.net", "--offline", "--config",
			v.path("reputed.toml"))
		v.run("taken for the configuration", "config", "check", "--config", v.path("keys/example.org/s3.pem"))
		v.run("taken for that of opendkim", "config", "import-opendkim", v.path("keys/example.org/s3.pem"))
	}
	v.must(os.Remove(v.path("keys/example.org/s3.pem")))

	for why, text := range map[string]string{
		"not JSON": v.rsa, "JSON that holds a key": `{"state": "` + strings.ReplaceAll(v.edd, "\n", `\n`) + `"}`,
	} {
		v.write("keys/example.org/s1.json", text, 0o600)
		v.runAll("a state that is "+why, verbsOfKeys)
	}
	v.must(os.Remove(v.path("keys/example.org/s1.json")))
	for _, mode := range []os.FileMode{0o644, 0o660} {
		v.must(os.Chmod(v.path("keys/example.org/s1.pem"), mode))
		v.runAll("a key that others can read", verbsOfKeys)
	}
}

// Nor does the configuration, wherever in it somebody writes one.
func TestSecretsInConfiguration(t *testing.T) {
	v := newVault(t)
	folded := strings.ReplaceAll(v.edd, "\n", `\n`)
	for _, text := range []string{
		v.rsa, v.config(v.rsa), v.config("state_dir = \"/x\"\n" + v.rsa), v.config(`signing.keys = "` + folded + `"`),
		v.config(`signing.keys = '''` + v.rsa + `'''`), v.config(`signing.key = "` + folded + `"`),
		v.config(`key = "` + folded + `"`), v.config(`private = '''` + v.rsa + `'''`),
		v.config(`milter.socket_group = "` + folded + `"`),
		v.config(`[[domain]]` + "\n" + `name = "` + folded + `"`), v.config(`signing.selector = "` + folded + `"`),
		v.config(`"` + folded + `" = 1`), v.config(`milter.listen = ["` + folded + `"]`),
		v.config(`[[domain]]` + "\n" + `name = "example.org"` + "\n" + `selectors = ["` + folded + `"]`),
		strings.Replace(v.config(""), `tsig_secret = "`, `tsig_secret = `, 1),
		strings.Replace(v.config(""), `tsig_secret`, `tsig_secert`, 1),
		strings.Replace(v.config(""), `tsig_secret`, `tsig_secret_file`, 1),
		strings.Replace(v.config(""), `tsig_secret`, `tsig_algorithm`, 1),
		strings.Replace(v.config(""), `tsig_name = "reputed"`, `tsig_name = "`+v.tsig+`"`, 1),
		strings.Replace(v.config(""), `key = "`, `key = `, 1), strings.Replace(v.config(""), `key = "`, `key = "not `, 1),
	} {
		v.run("a secret in the wrong place", "config", "check", "--config", v.write("wrong.toml", text, 0o600))
		v.run("a secret in the wrong place", "config", "show", "--config", v.path("wrong.toml"))
		v.run("a secret in the wrong place", "serve", "--config", v.path("wrong.toml"))
	}
}

// Nor does the daemon, while it works and while it fails.
func TestSecretsOfDaemon(t *testing.T) {
	for _, format := range []config.Format{config.Logfmt, config.JSON} {
		v := newVault(t)
		var log lineLog
		logger := newLog(&log, format)
		e, stdout, _ := testEnv("")
		cfg, path, err := loadConfig(v.path("reputed.toml"))
		v.must(err)
		d, err := newDaemon(e, cfg, logger)
		v.must(err)
		d.statusAt = listenStatus(cfg, logger)
		d.metricsAt, err = net.Listen("tcp", "127.0.0.1:0")
		v.must(err)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		v.must(err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		open := sockets{milter: []net.Listener{ln}}
		announce(logger, cfg, d.current.Load().keys.ring, open)
		forPasting(stdout, open)
		d.current.Load().keys.report(logger, cfg.Signing.OnNoKey)
		go func() {
			ended <- d.run(ctx, []net.Listener{ln}, func() (context.Context, context.CancelFunc) {
				return context.WithTimeout(context.Background(), time.Second)
			})
		}()
		at := wire.Endpoint{Network: "tcp", Address: ln.Addr().String()}
		v.play(at)
		r := &reloader{env: e, daemon: d, file: path, started: cfg}
		for _, broken := range []string{v.rsa, v.config(v.edd), v.config("milter.listen = '''" + v.rsa + "'''")} {
			v.write("reputed.toml", broken, 0o600)
			err := r.reload()
			if err == nil {
				t.Error("a broken configuration is taken")
			}
			d.reloads.Note(time.Now(), err)
			logger.Error("reload refused, all goes on as before", "err", err)
		}
		v.write("reputed.toml", v.config(""), 0o600)
		v.write("keys/example.org/s1.pem", v.rsa[:len(v.rsa)/2], 0o600)
		if err := r.reload(); err == nil {
			t.Error("a broken key is taken")
		} else {
			v.keptFrom(t, "the error of a reload", err.Error())
		}
		v.failing(d)
		v.play(at)
		v.asked(d)
		v.keptFrom(t, "what is printed at the start", stdout.String())
		stacks := make([]byte, 1<<20)
		v.keptFrom(t, "a dump of all stacks", string(stacks[:runtime.Stack(stacks, true)]))
		cancel()
		v.must(<-ended)
		lines := log.take()
		v.keptFrom(t, "the log", lines)
		for _, want := range []string{"signed", "reload refused", "panic"} {
			if !strings.Contains(lines, want) {
				t.Errorf("the log has no %q, so the test looks at nothing", want)
			}
		}
	}
}

// asked asks a daemon how it does, by each way that there is, and looks at the answers.
func (v *vault) asked(d *daemon) {
	v.t.Helper()
	report, err := json.Marshal(d.report())
	v.must(err)
	v.keptFrom(v.t, "the report", string(report))
	for verb, want := range map[string]string{"": "s1", "--json": `"panics": {`} {
		e, stdout, stderr := testEnv("")
		run(v.t.Context(), e, append(strings.Fields("status "+verb), "--socket", v.path("status.sock")))
		v.keptFrom(v.t, "status "+verb, stdout.String()+stderr.String())
		if !strings.Contains(stdout.String(), want) {
			v.t.Errorf("status %s tells nothing: %s%s", verb, stdout, stderr)
		}
	}
	over := func(network, at, path, want string) {
		client := http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, at)
			},
			DisableKeepAlives: true,
		}}
		answer, err := client.Get("http://localhost" + path)
		v.must(err)
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		v.must(err)
		v.keptFrom(v.t, path+" over "+network, fmt.Sprint(answer.Header)+string(text))
		if !strings.Contains(string(text), want) {
			v.t.Errorf("%s over %s tells nothing: %s", path, network, text)
		}
	}
	over("unix", v.path("status.sock"), "/status", `"panics":{"milter":{`)
	over("unix", v.path("status.sock"), "/metrics", "\nreputed_keys{")
	over("tcp", d.metricsAt.Addr().String(), "/metrics", "\nreputed_keys{")
	over("tcp", d.metricsAt.Addr().String(), "/status", "there is only /metrics")
}

// failing has panics and errors come out of the making of signatures, from those who hold the key in their hands.
func (v *vault) failing(d *daemon) {
	s := *d.current.Load()
	site := *s.site
	seal, n := site.Seal, 0
	site.Seal = func(tx *mail.Transaction) (milter.Seal, error) {
		switch n++; n {
		case 1:
			panic(fmt.Sprintf("%v %+v %#v", s.keys.ring.Keys(), *s.keys.ring.Keys()[0], s.keys))
		case 2:
			return nil, fmt.Errorf("no signature by %v, %+v", s.keys.ring.Keys()[0], s.cfg)
		case 3:
			panic(errors.New(fmt.Sprint(s.cfg.Signing.Publish, s.cfg.Policy)))
		}
		return seal(tx)
	}
	s.site = &site
	d.current.Store(&s)
}

// play has messages signed.
func (v *vault) play(at wire.Endpoint) {
	v.t.Helper()
	for range 4 {
		s, err := bridge.Dial(v.t.Context(), at, bridge.Options{})
		v.must(err)
		h := new(mail.Header)
		h.Add([]byte("From"), []byte(" ann@example.org"))
		r, err := s.Play(bridge.Message{
			Client:     wire.Peer{Name: "x", Family: wire.FamilyInet, Port: 4000, Addr: netip.MustParseAddr("127.0.0.1")},
			Sender:     "ann@example.org",
			Recipients: []bridge.Recipient{{Path: "b@elsewhere.example"}},
			Header:     h, QueueID: "X", Body: strings.NewReader("x\r\n"),
		})
		v.must(err)
		v.keptFrom(v.t, "the answer", fmt.Sprint(r))
		s.Close()
	}
}

// Nor is one printed by whoever prints what holds it.
func TestSecretsPrinted(t *testing.T) {
	v := newVault(t)
	cfg, _, err := loadConfig(v.path("reputed.toml"))
	v.must(err)
	keys := loadKeys(cfg, known{})
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	for _, k := range keys.ring.Keys() {
		for _, held := range []any{
			k, *k, []*signer.Key{k}, struct{ K signer.Key }{*k}, keys, *keys, keys.ring, cfg, *cfg, cfg.Signing,
		} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				fmt.Fprintf(&out, verb, held)
			}
			log.Info("x", "it", held)
		}
	}
	io.WriteString(&out, fmt.Sprint(keys.ring.Keys()))
	v.keptFrom(t, "fmt", out.String())
}
