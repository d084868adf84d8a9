package keydir_test

import (
	"bytes"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"reputed/signer"
	"reputed/signer/keydir"
)

// ownName gives the name of the user who runs the tests.
func ownName(t testing.TB) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

// asRoot skips what only root can do.
func asRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
}

// daemonDir gives a directory of keys of user 4711, with one, and the path of that.
func daemonDir(t testing.TB) (dir, path string) {
	t.Helper()
	dir = filepath.Join(keyDir(t), "the keys") // a name to be quoted
	path = dir + "/example.org/a.pem"
	write(t, path, pemText(t, "PRIVATE KEY", pkcs8(t, edKey(t))), 0o600)
	active := state(`"state":"published"`, `"state":"active"`, `"published":`, `"active":`)
	write(t, dir+"/example.org/a.json", active, 0o600)
	chown(t, 4711, dir, dir+"/example.org", path, dir+"/example.org/a.json")
	return dir, path
}

func chown(t testing.TB, uid int, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.Lchown(path, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
}

// What root is told of the daemon's keys is what the daemon can do with them: a key that it cannot read is of no use,
// and one that another user owns could be changed by that one. The command that is named mends it all.
func TestDaemonsKeys(t *testing.T) {
	asRoot(t)
	tests := []struct {
		why  string
		make func(dir, path string)
		want string // below the directory; "": nothing is wrong
	}{
		{"all is the daemon's", func(dir, path string) {}, ""},
		{"root's key", func(dir, path string) { chown(t, 0, path) },
			"a.pem: user 4711, who is to read it, may not (chown 4711 "},
		{"root's key, open to others", func(dir, path string) { chown(t, 0, path); os.Chmod(path, 0o644) },
			"a.pem: mode 0644 lets others at the private key (chown 4711 "},
		{"another's", func(dir, path string) { chown(t, 4712, path) },
			"a.pem: owned by user 4712, who could change it (chown 4711 "},
		{"its own, and shut", func(dir, path string) { os.Chmod(path, 0) },
			"a.pem: user 4711, who is to read it, may not (chmod 0600 "},
		{"root's state", func(dir, path string) { chown(t, 0, dir+"/example.org/a.json") },
			"a.json: user 4711, who is to read it, may not; the key counts as active (chown 4711 "},
		{"root's state, open to all", func(dir, path string) {
			chown(t, 0, dir+"/example.org/a.json")
			os.Chmod(dir+"/example.org/a.json", 0o644)
		}, ""},
		{"root's directory", func(dir, path string) { chown(t, 0, dir+"/example.org") },
			": user 4711, who is to read it, may not (chown 4711 "},
		{"root's directory, open to all", func(dir, path string) {
			chown(t, 0, dir+"/example.org")
			os.Chmod(dir+"/example.org", 0o755)
		}, ""},
		{"its group's", func(dir, path string) {
			os.Chown(dir+"/example.org", 0, 4711) // of which nobody is a member, as there is no such user
			os.Chmod(dir+"/example.org", 0o750)
		}, ": user 4711, who is to read it, may not (chown 4711 "},
		{"another's directory", func(dir, path string) { chown(t, 4712, dir+"/example.org") },
			": owned by user 4712, who could change it (chown 4711 "},
		{"its own directory, shut and open", func(dir, path string) { os.Chmod(dir+"/example.org", 0o077) },
			": mode 0077 lets others put keys here (chmod u+rwx,go-w "},
	}
	for _, tt := range tests {
		dir, path := daemonDir(t)
		tt.make(dir, path)
		found := keydir.Load(dir, keydir.Options{})
		if tt.want == "" {
			if len(found.Problems) != 0 || len(found.Keys) != 1 {
				t.Errorf("%s: %v", tt.why, found.Problems)
			}
			continue
		}
		if len(found.Problems) != 1 {
			t.Fatalf("%s: %v", tt.why, found.Problems)
		}
		got := strings.TrimPrefix(strings.TrimPrefix(found.Problems[0].Error(), dir+"/example.org"), "/")
		if !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.why, got, tt.want)
		}
		pasted(t, found, "")
		if found = keydir.Load(dir, keydir.Options{}); len(found.Problems) != 0 || len(found.Keys) != 1 {
			t.Errorf("%s: mended, and: %v", tt.why, found.Problems)
		}
	}
}

// pasted runs the command that mends the only problem.
func pasted(t testing.TB, found keydir.Found, input string) {
	t.Helper()
	remedy := found.Problems[0].(*keydir.Problem).Remedy
	if i := strings.LastIndex(remedy, ": "); i >= 0 {
		remedy = remedy[i+2:]
	}
	cmd := exec.Command("sh", "-ec", remedy)
	cmd.Stdin = strings.NewReader(input)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // whoever asks for a passphrase finds no terminal
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", remedy, err, out)
	}
}

// Links out of the directory, and keys with a passphrase, are mended by what is said to mend them: after it the daemon
// reads the key, whoever owned the file.
func TestRemedies(t *testing.T) {
	for _, at := range []string{"/example.org/a.pem", "/example.org"} {
		dir, outside := keyDir(t), keyDir(t)
		write(t, outside+"/example.org/a.pem", pemText(t, "PRIVATE KEY", pkcs8(t, edKey(t))), 0o600)
		os.Mkdir(filepath.Dir(dir+at), 0o700)
		if err := os.Symlink(outside+at, dir+at); err != nil {
			t.Fatal(err)
		}
		mended(t, dir, "")
		if info, err := os.Stat(outside + "/example.org/a.pem"); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("what the link led to: %v", err)
		}
	}
	dir, path := stored(t)
	os.Remove(path)
	enc := exec.Command("openssl", "pkey", "-aes128", "-passout", "pass:secret", "-out", dir+"/example.org/a.pem")
	enc.Stdin = bytes.NewReader([]byte(pemText(t, "PRIVATE KEY", pkcs8(t, rsaKey(t)))))
	if out, err := enc.CombinedOutput(); err != nil {
		t.Skipf("no key with a passphrase can be made: %v: %s", err, out)
	}
	os.Chmod(dir+"/example.org/a.pem", 0o600)
	mended(t, dir, "secret\n")
}

// mended does what is said to mend the only problem, as root for a daemon of another user if it can.
func mended(t *testing.T, dir, input string) {
	t.Helper()
	if os.Geteuid() == 0 {
		entries, _ := filepath.Glob(dir + "/*/*")
		chown(t, 4711, append(entries, dir)...)
		if info, err := os.Lstat(dir + "/example.org"); err == nil && info.IsDir() {
			chown(t, 4711, dir+"/example.org")
		}
	}
	found := keydir.Load(dir, keydir.Options{})
	if len(found.Problems) != 1 || len(found.Keys) != 0 {
		t.Fatalf("%v", found.Problems)
	}
	pasted(t, found, input)
	now := keydir.Load(dir, keydir.Options{})
	if len(now.Problems) != 0 || len(now.Keys) != 1 {
		t.Errorf("%v: mended, and: %v", found.Problems, now.Problems)
	}
}

// Who is neither root nor the daemon's user is not told to take the keys from that one: pasted later by root, it would
// lock the daemon out.
func TestStray(t *testing.T) {
	asRoot(t)
	dir, path := daemonDir(t)
	os.Chmod(filepath.Dir(dir), 0o755)
	look := func() keydir.Found {
		if err := syscall.Seteuid(4713); err != nil {
			t.Fatal(err)
		}
		defer syscall.Seteuid(0)
		return keydir.Load(dir, keydir.Options{})
	}
	for _, mode := range []os.FileMode{0o700, 0o711, 0o755} {
		os.Chmod(dir, mode)
		for _, p := range look().Problems {
			if !strings.HasSuffix(p.Error(), " (run it as root, or as the daemon's user)") {
				t.Errorf("%o: %v", mode, p)
			}
		}
	}
	chown(t, 0, dir)
	os.Chmod(dir, 0o700)
	if found := look(); found.Unreadable == nil || strings.Contains(found.Unreadable.Error(), "chown") {
		t.Errorf("root's: %v", found.Unreadable)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

// A key that was begun, or lost, is given up by the command that is named: it names the key.
func TestGivenUp(t *testing.T) {
	for _, text := range []string{
		state(`"state":"published"`, `"state":"created"`, `,"published":"2026-11-02T12:00:00Z"`, ""),
		state(`"state":"published"`, `"state":"active"`, `"published":`, `"active":`),
	} {
		dir, path := stored(t)
		os.Remove(dir + "/example.org/a.pem")
		write(t, path, text, 0o600)
		found := keydir.Load(dir, keydir.Options{})
		said := append(found.Problems, found.Warnings...)
		if len(said) != 1 || !strings.HasSuffix(said[0].Error(), "reputed keys revoke a._domainkey.example.org)") {
			t.Fatal(said)
		}
		for _, from := range []signer.State{signer.Created, signer.Active} {
			c := keydir.Change{ID: id(t, "example.org", "a"), From: from, To: signer.Revoked, At: noon}
			keydir.SetState(dir, c)
		}
		if found = keydir.Load(dir, keydir.Options{}); len(found.Problems)+len(found.Warnings) != 0 {
			t.Errorf("%+v", found)
		}
	}
}
