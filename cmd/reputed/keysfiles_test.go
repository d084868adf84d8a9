package main

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"reputed/cmd/reputed/internal/config"
	"reputed/signer"
)

// badFile is a key file that cannot be used.
type badFile struct {
	what string
	make func(r *running, path string) // of a good one
	says string                        // after the path, and with the command that mends it. PATH is the path of the file
}

// badFiles is what people do to key files.
func badFiles(t *testing.T) []badFile {
	t.Helper()
	text := func(text string) func(*running, string) {
		return func(r *running, path string) { r.must(os.WriteFile(path, []byte(text), 0o600)) }
	}
	dsa, err := asn1.Marshal(struct {
		Version    int
		Algorithm  pkix.AlgorithmIdentifier
		PrivateKey []byte
	}{0, pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10040, 4, 1}}, []byte{2, 1, 7}})
	if err != nil {
		t.Fatal(err)
	}
	const another = "make a new key: reputed keys new example.org"
	files := []badFile{
		{"mode 0644", func(r *running, path string) { r.must(os.Chmod(path, 0o644)) },
			": mode 0644 lets others at the private key (chmod 0600 PATH)"},
		{"a link that leads out", func(r *running, path string) {
			r.must(os.Rename(path, r.dir+"/elsewhere.pem"))
			r.must(os.Symlink(r.dir+"/elsewhere.pem", path))
		}, ": leads out of the key directory; links must stay inside (put a copy in its place: install -p -o "},
		{"truncated", func(r *running, path string) { r.must(os.Truncate(path, 60)) },
			":1: no PEM block in it; it may be cut off (put back the original from a backup, or " + another + ")"},
		{"emptied, as by a full disk", text(""),
			":1: the file is empty (put back the original from a backup, or " + another + ")"},
		{"512 bits", text(shortKey), ":1: RSA key of less than 1024 bits, which receivers ignore (" + another + ")"},
		{"encrypted", text(block("ENCRYPTED PRIVATE KEY", []byte("x"))), ":1: the key is encrypted, and nobody is there at " +
			"night to type its passphrase (decrypt it: openssl pkey -in PATH -out PATH.new && chown "},
		{"DSA", text(block("PRIVATE KEY", dsa)), ":1: a DSA key, which DKIM does not know (" + another + ")"},
		{"DSA in the old way", text(block("DSA PRIVATE KEY", []byte("x"))),
			":1: a DSA key, which DKIM does not know (" + another + ")"},
	}
	if os.Geteuid() == 0 { // nobody else can give files away
		files = append(files, badFile{"another's", func(r *running, path string) { r.must(os.Chown(path, 4711, -1)) },
			": owned by user 4711, who could change it (chown root PATH)"})
	}
	return files
}

// wantSaid wants a text in what was said, and nothing of a key.
func (f *badFile) wantSaid(t *testing.T, where, said, path string) {
	t.Helper()
	want := path + strings.ReplaceAll(f.says, "PATH", path)
	if quoted := strconv.Quote(want); !strings.Contains(said, want) && !strings.Contains(said, quoted[1:len(quoted)-1]) {
		t.Errorf("%s: %s: it does not say %q:\n%s", f.what, where, want, said)
	}
	if strings.Contains(said, "MIIB") || strings.Contains(said, "MC4C") {
		t.Errorf("%s: %s: it quotes the key:\n%s", f.what, where, said)
	}
}

// selectors names the keys in use.
func (r *running) selectors() string {
	var all []string
	for _, k := range r.daemon.current.Load().keys.ring.Keys() {
		all = append(all, k.ID().Selector.String())
	}
	return strings.Join(all, " ")
}

// A key file that cannot be used is named with what is wrong and the command that mends it, and keeps no other key from
// being used: at the start, at a reload, which is refused, and when the file changes. The keys that were in use go on.
func TestKeyFiles(t *testing.T) {
	for _, f := range badFiles(t) {
		t.Run(f.what, func(t *testing.T) {
			r := startRunning(t, "", "example.org/s1", "example.org/s2")
			path := r.path("example.org/s2.pem")
			f.make(r, path)
			err := r.reload()
			if err == nil {
				t.Fatal("the reload is not refused")
			}
			f.wantSaid(t, "reload", err.Error(), path)
			r.log.Reset()
			r.daemon.refresh(r.env, "key files have changed")
			f.wantSaid(t, "when the file changes", r.log.String(), path)
			if got := r.selectors(); got != "s1 s2" {
				t.Errorf("after the reload that was refused, %s are in use", got)
			}
			f.wantStart(t, r, path)
			e, out, errs := testEnv("")
			run(t.Context(), e, []string{"keys", "list", "--offline", "--json", "--config", r.file})
			var list struct{ Problems []keyProblem }
			if err := json.Unmarshal([]byte(out.String()), &list); err != nil || len(list.Problems) != 1 {
				t.Fatalf("%v: %s%s", err, out, errs)
			}
			p := list.Problems[0]
			f.says = strings.TrimPrefix(f.says, ":1") // a list of keys names the file only
			f.wantSaid(t, "keys list", p.Path+": "+p.Text+" ("+p.Remedy+")", path)
		})
	}
}

// wantStart wants a daemon that is started with the file to say what is wrong with it, and to use the other key.
func (f *badFile) wantStart(t *testing.T, r *running, path string) {
	t.Helper()
	cfg, _, err := loadConfig(r.file)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	keys := loadKeys(cfg, known{})
	keys.report(newLog(&log, config.Logfmt), cfg.Signing.OnNoKey)
	f.wantSaid(t, "start", log.String(), path)
	if c := keys.ring.Choose(domain(t, "example.org")); c.Status != signer.Usable || len(keys.ring.Keys()) != 1 {
		t.Errorf("%s: at the start %d keys can be used", f.what, len(keys.ring.Keys()))
	}
}
