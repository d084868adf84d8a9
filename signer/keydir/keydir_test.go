package keydir_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"reputed/policy/mail"
	"reputed/signer"
	"reputed/signer/keydir"
)

func id(t testing.TB, domain, selector string) signer.ID {
	t.Helper()
	d, err := mail.ParseDomain(domain)
	if err != nil {
		t.Fatal(err)
	}
	s, err := mail.ParseDomain(selector)
	if err != nil {
		t.Fatal(err)
	}
	return signer.ID{Domain: d, Selector: s}
}

func edKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func rsaKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func pemText(t testing.TB, kind string, der []byte) string {
	t.Helper()
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// otherKey makes a key of an algorithm, in which there is nothing of use.
func otherKey(t testing.TB, algorithm ...int) []byte {
	t.Helper()
	der, err := asn1.Marshal(struct {
		Version    int
		Algorithm  pkix.AlgorithmIdentifier
		PrivateKey []byte
	}{0, pkix.AlgorithmIdentifier{Algorithm: algorithm}, []byte{4, 0}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// shortRSA makes a key of 512 bits, which the library itself refuses to generate.
func shortRSA(t testing.TB) []byte {
	t.Helper()
	var primes [2]*big.Int
	e, one := big.NewInt(65537), big.NewInt(1)
	for {
		for i := range primes {
			p, err := rand.Prime(rand.Reader, 256)
			if err != nil {
				t.Fatal(err)
			}
			primes[i] = p
		}
		n := new(big.Int).Mul(primes[0], primes[1])
		phi := new(big.Int).Mul(new(big.Int).Sub(primes[0], one), new(big.Int).Sub(primes[1], one))
		d := new(big.Int).ModInverse(e, phi)
		if d == nil || n.BitLen() != 512 {
			continue
		}
		k := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: 65537}, D: d, Primes: primes[:]}
		return x509.MarshalPKCS1PrivateKey(k)
	}
}

func write(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

// keyDir gives an empty directory that is nobody else's, whatever the umask.
func keyDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Both forms of RSA keys and Ed25519 keys are read; what lies beside them is passed over.
func TestLoad(t *testing.T) {
	dir := keyDir(t)
	r := rsaKey(t)
	write(t, dir+"/example.org/a.pem", pemText(t, "PRIVATE KEY", pkcs8(t, r)), 0o600)
	write(t, dir+"/example.org/b.pem", pemText(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r)), 0o400)
	write(t, dir+"/bücher.example/s1.2026.pem", "text before it\n"+pemText(t, "PRIVATE KEY", pkcs8(t, edKey(t))), 0o600)
	write(t, dir+"/example.org/a note.json", "{}", 0o644)
	write(t, dir+"/notes.json", "{}", 0o644)
	write(t, dir+"/example.org/.hidden", "", 0o644)
	write(t, dir+"/example.org/a.pem~", "", 0o644)
	write(t, dir+"/README.txt", "", 0o644)
	write(t, dir+"/notes.example.md", "", 0o644)
	write(t, dir+"/example.md/a.pem", pemText(t, "PRIVATE KEY", pkcs8(t, edKey(t))), 0o600) // of Moldova, and no note
	write(t, dir+"/example.md/a.md", "", 0o644)
	if err := os.Mkdir(dir+"/empty.example", 0o700); err != nil {
		t.Fatal(err)
	}
	found := keydir.Load(dir, keydir.Options{})
	for _, p := range found.Problems {
		t.Error(p)
	}
	var names []string
	for _, k := range found.Keys {
		names = append(names, k.ID().String()+"/"+k.Algorithm())
	}
	want := "s1.2026._domainkey.xn--bcher-kva.example/ed25519-sha256 a._domainkey.example.org/rsa-sha256 " +
		"b._domainkey.example.org/rsa-sha256 a._domainkey.example.md/ed25519-sha256"
	if got := strings.Join(names, " "); !sameWords(got, want) {
		t.Errorf("keys %s\nwant %s", got, want)
	}
	if len(found.Domains) != 4 {
		t.Errorf("domains %v", found.Domains)
	}
	if found.Absent || found.Unreadable != nil || len(found.Warnings) != 0 {
		t.Errorf("absent %v, unreadable %v, warnings %v", found.Absent, found.Unreadable, found.Warnings)
	}
	none := keydir.Load(dir+"/nowhere", keydir.Options{})
	if len(none.Keys)+len(none.Problems) != 0 || !none.Absent || none.Unreadable != nil {
		t.Errorf("a directory that does not exist: %+v", none)
	}
}

func sameWords(a, b string) bool {
	count := map[string]int{}
	for w := range strings.FieldsSeq(a) {
		count[w]++
	}
	for w := range strings.FieldsSeq(b) {
		count[w]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

// Each thing that can be wrong with a key says so, with the command that mends it, and hides no other key.
func TestProblems(t *testing.T) {
	good := pemText(t, "PRIVATE KEY", pkcs8(t, edKey(t)))
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := x509.MarshalPKIXPublicKey(ec.Public())
	if err != nil {
		t.Fatal(err)
	}
	user := ownName(t)
	tests := []struct {
		name string
		make func(path string)
		want string // after the path
	}{
		{"readable by others", func(p string) { write(t, p, good, 0o644) },
			": mode 0644 lets others at the private key (chmod 0600 PATH)"},
		{"readable by the group", func(p string) { write(t, p, good, 0o640) },
			": mode 0640 lets others at the private key (chmod 0600 PATH)"},
		{"empty", func(p string) { write(t, p, "\n", 0o600) }, ":1: the file is empty (put back"},
		{"cut off", func(p string) { write(t, p, good[:60], 0o600) }, ":1: no PEM block in it; it may be cut off (put back"},
		{"damaged", func(p string) { write(t, p, pemText(t, "PRIVATE KEY", []byte{0x30, 1, 2}), 0o600) },
			":1: the key is damaged (put back"},
		{"cut off, below a note", func(p string) { write(t, p, "a note\nof two lines\n"+good[:60], 0o600) }, ":3: no PEM block in it"},
		{"no key at all", func(p string) { write(t, p, "a note\n", 0o600) }, ":1: no PEM block in it"},
		{"damaged, below a note", func(p string) { write(t, p, "a note\n\n"+pemText(t, "PRIVATE KEY", []byte{0x30, 1, 2}), 0o600) },
			":3: the key is damaged"},
		{"a public key below what is no block", func(p string) {
			write(t, p, "-----BEGIN\n-----BEGIN X-----\n\n"+pemText(t, "PUBLIC KEY", pub), 0o600)
		}, ":4: a public key"},
		{"two keys and notes", func(p string) { write(t, p, "one\n"+good+"another\n"+good+"\n"+good, 0o600) }, ":6: more than one PEM block"},
		{"two keys", func(p string) { write(t, p, good+good, 0o600) }, ":4: more than one PEM block in it"},
		{"encrypted", func(p string) { write(t, p, pemText(t, "ENCRYPTED PRIVATE KEY", []byte("x")), 0o600) },
			":1: the key is encrypted, and nobody is there at night to type its passphrase " +
				"(decrypt it: openssl pkey -in PATH -out PATH.new && chown " + user + " PATH.new && mv PATH.new PATH)"},
		{"encrypted in the old way", func(p string) {
			write(t, p, "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n"+
				"-----END RSA PRIVATE KEY-----\n", 0o600)
		}, ":1: the key is encrypted"},
		{"public", func(p string) { write(t, p, pemText(t, "PUBLIC KEY", pub), 0o600) },
			":1: a public key, where the private one is needed"},
		{"ecdsa", func(p string) { write(t, p, pemText(t, "PRIVATE KEY", pkcs8(t, ec)), 0o600) },
			":1: an ECDSA key, which DKIM does not know"},
		{"dsa", func(p string) { write(t, p, pemText(t, "DSA PRIVATE KEY", []byte("x")), 0o600) },
			":1: a DSA key, which DKIM does not know"},
		{"512 bits", func(p string) { write(t, p, pemText(t, "RSA PRIVATE KEY", shortRSA(t)), 0o600) },
			":1: RSA key of less than 1024 bits"},
		{"a directory", func(p string) { os.Mkdir(p, 0o700) }, ": not a regular file"},
		{"a pipe", func(p string) { syscall.Mkfifo(p, 0o600) }, ": not a regular file"},
		{"dsa in the new way", func(p string) {
			write(t, p, pemText(t, "PRIVATE KEY", otherKey(t, 1, 2, 840, 10040, 4, 1)), 0o600)
		},
			":1: a DSA key, which DKIM does not know (make a new key: reputed keys new example.org)"},
		{"X25519", func(p string) { write(t, p, pemText(t, "PRIVATE KEY", otherKey(t, 1, 3, 101, 111)), 0o600) },
			":1: not an RSA or Ed25519 key (make a new key"},
		{"RSA that is damaged inside", func(p string) {
			write(t, p, pemText(t, "PRIVATE KEY", otherKey(t, 1, 2, 840, 113549, 1, 1, 1)), 0o600)
		}, ":1: the key is damaged (put back"},
		{"a link that leads out", func(p string) { os.Symlink("/etc/passwd", p) },
			": leads out of the key directory; links must stay inside (put a copy in its place: " +
				"install -p -o " + user + " -m 0600 \"$(readlink -f PATH)\" PATH)"},
		{"a link to nothing", func(p string) { os.Symlink("nothing", p) }, ": no such file"},
		{"huge", func(p string) { write(t, p, strings.Repeat("x", 100<<10), 0o600) },
			": cannot be read, or is far too large"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := keyDir(t)
			write(t, dir+"/example.org/good.pem", good, 0o600)
			path := dir + "/example.org/bad.pem"
			tt.make(path)
			found := keydir.Load(dir, keydir.Options{})
			if len(found.Keys) != 1 || len(found.Problems) != 1 {
				t.Fatalf("%d keys, problems %v", len(found.Keys), found.Problems)
			}
			got, want := found.Problems[0].Error(), path+strings.ReplaceAll(tt.want, "PATH", path)
			if !strings.HasPrefix(got, want) {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			encoded := strings.Split(good, "\n")[1]
			secret, _ := base64.StdEncoding.DecodeString(encoded)
			if strings.Contains(got, encoded[:20]) || strings.Contains(got, string(secret[:8])) {
				t.Errorf("key bytes in %q", got)
			}
		})
	}
}

// What is wrong with the directory itself. Whatever it is, each domain that has a place is known: without its keys its
// mail is deferred, and does not leave unsigned as a stranger's.
func TestDirectoryProblems(t *testing.T) {
	good := pemText(t, "PRIVATE KEY", pkcs8(t, edKey(t)))
	tests := []struct {
		why     string
		make    func(dir string)
		domains string
		want    string // "PATH: the problem", below the directory
		keys    int
	}{
		{"a key in the wrong place", func(dir string) { write(t, dir+"/stray.pem", good, 0o600) }, "stray.pem",
			"stray.pem: not a directory; keys lie in DOMAIN/SELECTOR.pem (move it away)", 0},
		{"a name that is no domain", func(dir string) { write(t, dir+"/not a domain/a.pem", good, 0o600) }, "",
			"not a domain: the name is not a domain (rename it, or move it away)", 0},
		{"two spellings of a domain", func(dir string) {
			write(t, dir+"/EXAMPLE.org/a.pem", good, 0o600)
			write(t, dir+"/example.org/b.pem", good, 0o600)
		}, "example.org", "example.org: the same domain as EXAMPLE.org (move its keys there, and remove it)", 1},
		{"a link that leads out", func(dir string) { os.Symlink(keyDir(t), dir+"/example.org") }, "example.org",
			"example.org: leads out of the key directory; links must stay inside", 0},
		{"a link to nothing", func(dir string) { os.Symlink("nothing", dir+"/example.org") }, "example.org",
			"example.org: no such file or directory", 0},
		{"a link to itself", func(dir string) { os.Symlink("example.org", dir+"/example.org") }, "example.org",
			"example.org: too many levels of symbolic links", 0},
		{"a file where keys should lie", func(dir string) { write(t, dir+"/example.org", good, 0o600) }, "example.org",
			"example.org: not a directory", 0},
		{"others may put keys there", func(dir string) {
			write(t, dir+"/example.org/a.pem", good, 0o600)
			os.Chmod(dir+"/example.org", 0o757)
		}, "example.org", "example.org: mode 0757 lets others put keys here (chmod go-w DIR/example.org)", 0},
		{"the group may put domains there", func(dir string) {
			write(t, dir+"/example.org/a.pem", good, 0o600)
			os.Chmod(dir, 0o775)
		}, "example.org", ": mode 0775 lets others put keys here (chmod go-w DIR)", 0},
		{"a selector with other letters", func(dir string) { write(t, dir+"/a.example/s_ü!.pem", good, 0o600) }, "a.example",
			"a.example/s_ü!.pem: the name is not a selector (rename it: letters, digits, hyphens inside and dots", 0},
		{"a selector that begins with a hyphen", func(dir string) { write(t, dir+"/a.example/-dash.pem", good, 0o600) },
			"a.example", "a.example/-dash.pem: the name is not a selector", 0},
		{"a selector with an empty label", func(dir string) { write(t, dir+"/a.example/a..b.pem", good, 0o600) },
			"a.example", "a.example/a..b.pem: the name is not a selector", 0},
		{"two spellings of a selector", func(dir string) {
			write(t, dir+"/a.example/S1.pem", good, 0o600)
			write(t, dir+"/a.example/s1.pem", good, 0o600)
		}, "a.example", "a.example/s1.pem: the same selector as S1.pem (move it away", 1},
		{"not a key file", func(dir string) { write(t, dir+"/a.example/a.key", good, 0o600) }, "a.example",
			"a.example/a.key: not a key file; those end in .pem", 0},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			dir := keyDir(t)
			tt.make(dir)
			found := keydir.Load(dir, keydir.Options{})
			if len(found.Problems) != 1 || len(found.Keys) != tt.keys || found.Absent || found.Unreadable != nil {
				t.Fatalf("%+v", found)
			}
			got := found.Problems[0].Error()
			below := strings.TrimPrefix(strings.TrimPrefix(got, dir), "/")
			if want := strings.ReplaceAll(tt.want, "DIR", dir); !strings.HasPrefix(below, want) {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			var domains []string
			for _, d := range found.Domains {
				domains = append(domains, d.String())
			}
			if strings.Join(domains, " ") != tt.domains {
				t.Errorf("domains %v, want %s", domains, tt.domains)
			}
		})
	}
}

// A directory that cannot be read is not an empty one: nobody knows whose mail it should sign. Where it is that of a
// domain, the domain is known.
func TestUnreadable(t *testing.T) {
	dir := keyDir(t)
	write(t, dir+"/file", "", 0o600)
	os.Symlink("loop", dir+"/loop")
	for name, want := range map[string]string{
		"file": "not a directory", "file/keys": "not a directory", "loop": "too many levels of symbolic links",
	} {
		found := keydir.Load(dir+"/"+name, keydir.Options{})
		if found.Unreadable == nil || found.Absent || len(found.Problems) != 1 || found.Problems[0] != found.Unreadable {
			t.Errorf("%s: %+v", name, found)
		} else if got := found.Unreadable.Error(); got != dir+"/"+name+": "+want {
			t.Errorf("%s: %s", name, got)
		}
	}
	if os.Geteuid() == 0 { // root may read everything
		return
	}
	for _, mode := range []os.FileMode{0, 0o100, 0o400} {
		os.Chmod(dir, mode)
		found := keydir.Load(dir, keydir.Options{})
		os.Chmod(dir, 0o700)
		if found.Unreadable == nil || len(found.Problems) != 1 ||
			!strings.Contains(found.Unreadable.Error(), "permission denied (") {
			t.Errorf("mode %o: %+v", mode, found)
		}
	}
	for _, mode := range []os.FileMode{0, 0o100, 0o400} {
		dir := keyDir(t)
		write(t, dir+"/example.org/a.pem", "", 0o600)
		os.Chmod(dir+"/example.org", mode)
		found := keydir.Load(dir, keydir.Options{})
		os.Chmod(dir+"/example.org", 0o700)
		if len(found.Domains) != 1 || found.Unreadable != nil || len(found.Problems) != 1 {
			t.Errorf("mode %o of the domain: %+v", mode, found)
		}
	}
}

// A weak key signs, and says that it should be replaced.
func TestWeakKey(t *testing.T) {
	dir := keyDir(t)
	k, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/example.org/a.pem", pemText(t, "PRIVATE KEY", pkcs8(t, k)), 0o600)
	found := keydir.Load(dir, keydir.Options{})
	if len(found.Keys) != 1 || len(found.Problems) != 0 || len(found.Warnings) != 1 {
		t.Fatalf("%+v", found)
	}
	want := dir + "/example.org/a.pem: RSA key of 1024 bits, which some receivers distrust; 2048 are good " +
		"(make a new key: reputed keys new example.org)"
	if got := found.Warnings[0].Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	for selector, private := range map[string]crypto.Signer{"r": rsaKey(t), "e": edKey(t)} {
		path, err := keydir.Store(dir, id(t, "example.org", selector), private)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
		_, err = keydir.Store(dir, id(t, "example.org", selector), private)
		if err == nil || !strings.Contains(err.Error(), "selectors are never used again") {
			t.Errorf("a second key of the name: %v", err)
		}
	}
	for _, selector := range []string{"-dash", "dash-", "a_b", "a.-b"} { // nobody could read it back
		if _, err := keydir.Store(dir, id(t, "example.org", selector), edKey(t)); !errors.Is(err, signer.ErrSelector) {
			t.Errorf("selector %s: %v", selector, err)
		}
	}
	found := keydir.Load(dir, keydir.Options{})
	if len(found.Keys) != 2 || len(found.Problems) != 0 {
		t.Errorf("%d keys, %v", len(found.Keys), found.Problems)
	}
	if entries, _ := os.ReadDir(dir + "/example.org"); len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
	if os.Geteuid() != 0 {
		return
	}
	// Root makes a key in the daemon's directory: the daemon must be able to read it.
	if err := os.Chown(dir, 4711, 4711); err != nil {
		t.Fatal(err)
	}
	path, err := keydir.Store(dir, id(t, "example.net", "a"), edKey(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, filepath.Dir(path)} {
		if info, err := os.Stat(p); err != nil || info.Sys().(*syscall.Stat_t).Uid != 4711 {
			t.Errorf("%s is not given to the daemon: %v", p, err)
		}
	}
}

// FuzzLoad reads any text as a key: no panic, and no key without its algorithm.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(pemText(f, "PRIVATE KEY", pkcs8(f, edKey(f)))))
	f.Add([]byte(pemText(f, "RSA PRIVATE KEY", shortRSA(f))))
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := keyDir(t)
		write(t, dir+"/example.org/a.pem", string(text), 0o600)
		found := keydir.Load(dir, keydir.Options{})
		if len(found.Keys)+len(found.Problems) != 1 {
			t.Fatalf("%d keys, problems %v", len(found.Keys), found.Problems)
		}
		for _, k := range found.Keys {
			if k.Algorithm() == "" || k.Record() == "" {
				t.Fatal("a key without algorithm")
			}
		}
	})
}
