// Package keydir keeps private keys on disk: DIRECTORY/DOMAIN/SELECTOR.pem, one key a file, in PKCS#8 or PKCS#1.
//
// [Load] reads all of them, once. One bad file never hides the good ones: it becomes a [Problem], which says what is
// wrong and which command mends it. [Store] adds a key.
//
// # Security
//
// A key file must belong to the user who runs the daemon or to root, and nobody else may read it. Links that lead out of
// the directory are not followed. No error, and nothing else that leaves this package, holds bytes of a key.
package keydir

import (
	"crypto"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"reputed/policy/mail"
	"reputed/signer"
)

// Problem is a key or a directory that cannot be used.
type Problem struct {
	Path   string
	Text   string // what is wrong
	Remedy string // the command that mends it, or what to do; may be empty
}

func (p *Problem) Error() string {
	if p.Remedy == "" {
		return p.Path + ": " + p.Text
	}
	return p.Path + ": " + p.Text + " (" + p.Remedy + ")"
}

// Found is what a directory of keys holds.
type Found struct {
	Keys     []*signer.Key
	Domains  []mail.Domain // those that have a directory, with or without usable keys
	Problems []error       // each a *Problem
}

// Options change what Load demands. The zero value is for the process as it runs.
type Options struct {
	UID *int // who may own keys besides root; nil is the process's effective user
}

// Load reads a directory of keys. One that does not exist holds none.
func Load(dir string, o Options) Found {
	uid := os.Geteuid()
	if o.UID != nil {
		uid = *o.UID
	}
	l := loader{dir: dir, uid: uid, seen: map[mail.Domain]string{}}
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return l.found
	}
	if err != nil {
		l.problem(".", reason(err), "")
		return l.found
	}
	defer root.Close()
	l.root = root
	l.domains()
	return l.found
}

// loader reads one directory.
type loader struct {
	dir   string
	uid   int
	root  *os.Root
	seen  map[mail.Domain]string // which directory is a domain's
	found Found
}

func (l *loader) problem(name, text, remedy string) {
	l.found.Problems = append(l.found.Problems, &Problem{Path: filepath.Join(l.dir, name), Text: text, Remedy: remedy})
}

// passedOver tells what is not ours to judge: hidden files, backups of editors, state and notes beside the keys.
func passedOver(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") || name == "lost+found" ||
		slices.Contains([]string{".json", ".txt", ".bak", ".md"}, filepath.Ext(name))
}

func (l *loader) domains() {
	for _, e := range l.list(".") {
		name := e.Name()
		info, err := l.root.Stat(name) // a link is followed, if it stays inside
		if err != nil {
			l.problem(name, reason(err), "")
			continue
		}
		if !info.IsDir() {
			l.problem(name, "not a directory; keys lie in DOMAIN/SELECTOR.pem", "move it away")
			continue
		}
		d, err := mail.ParseDomain(name)
		if err != nil {
			l.problem(name, "the name is not a domain", "rename it, or move it away")
			continue
		}
		if other, twice := l.seen[d]; twice {
			l.problem(name, fmt.Sprintf("the same domain as %s", other), "move its keys there, and remove it")
			continue
		}
		l.seen[d] = name
		l.found.Domains = append(l.found.Domains, d)
		l.keys(d, name)
	}
}

// list gives the entries of a directory that are to be judged.
func (l *loader) list(name string) []fs.DirEntry {
	entries, err := fs.ReadDir(l.root.FS(), name)
	if err != nil {
		l.problem(name, reason(err), "let the daemon's user read it: chown "+l.owner()+" "+shell(filepath.Join(l.dir, name)))
		return nil
	}
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return passedOver(e.Name()) })
}

func (l *loader) keys(d mail.Domain, dir string) {
	for _, e := range l.list(dir) {
		name := filepath.Join(dir, e.Name())
		selector, ok := strings.CutSuffix(e.Name(), ".pem")
		if !ok {
			l.problem(name, "not a key file; those end in .pem", "rename it, or move it away")
			continue
		}
		s, err := mail.ParseDomain(selector)
		if err != nil || s.String() != strings.ToLower(selector) {
			l.problem(name, "the name is not a selector", "rename it: letters, digits, hyphens and dots, then .pem")
			continue
		}
		l.key(signer.ID{Domain: d, Selector: s}, name)
	}
}

// maxKeyFile is more than any key of use needs.
const maxKeyFile = 64 << 10

func (l *loader) key(id signer.ID, name string) {
	f, err := l.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not stop us
	if err != nil {
		l.problem(name, reason(err), l.remedy(err, name))
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		l.problem(name, reason(err), "")
		return
	}
	if text, remedy := l.unsafe(info, filepath.Join(l.dir, name)); text != "" {
		l.problem(name, text, remedy)
		return
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil || len(text) > maxKeyFile {
		l.problem(name, "cannot be read, or is far too large for a key", "")
		return
	}
	key, err := parse(id, text)
	if err != nil {
		l.problem(name, err.Error(), keyRemedy(err, filepath.Join(l.dir, name)))
		return
	}
	l.found.Keys = append(l.found.Keys, key)
}

// unsafe tells why a file must not be trusted, and the command that mends it.
func (l *loader) unsafe(info fs.FileInfo, path string) (text, remedy string) {
	if !info.Mode().IsRegular() {
		return "not a regular file", "move it away"
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != l.uid && st.Uid != 0 {
		return fmt.Sprintf("owned by user %s, who could change it", userName(int(st.Uid))), "chown " + l.owner() + " " + shell(path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Sprintf("mode %04o lets others at the private key", mode), "chmod 0600 " + shell(path)
	}
	return "", ""
}

func (l *loader) remedy(err error, name string) string {
	if errors.Is(err, fs.ErrPermission) {
		return "chown " + l.owner() + " " + shell(filepath.Join(l.dir, name))
	}
	return ""
}

// owner names the user who should own keys.
func (l *loader) owner() string { return userName(l.uid) }

func userName(uid int) string {
	n := strconv.Itoa(uid)
	if u, err := user.LookupId(n); err == nil {
		return u.Username
	}
	return n
}

// shell quotes a path for the commands in remedies.
func shell(path string) string {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("/._-+@:", c)
	}
	if !strings.ContainsFunc(path, func(c rune) bool { return !plain(c) }) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// reason gives an error of the system without the path, which stands before it already.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	if strings.Contains(err.Error(), "escapes from parent") {
		return "leads out of the key directory; links must stay inside"
	}
	return err.Error()
}

// Store writes a new key, readable by its owner only, and gives the path. It makes the directories that are missing.
// When the directory of keys belongs to another user, as when root makes a key for the daemon, so will the key. A key
// that is there already is not replaced.
func Store(dir string, id signer.ID, private crypto.Signer) (string, error) {
	text, err := marshal(private)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	owner, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	sub := filepath.Join(dir, id.Domain.String())
	if err := os.Mkdir(sub, 0o700); err == nil {
		err = give(sub, owner)
	} else if !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	path := filepath.Join(sub, id.Selector.String()+".pem")
	if err := writeNew(path, text, owner); err != nil {
		return "", err
	}
	return path, nil
}

// writeNew writes a file that must not exist yet, whole or not at all.
func writeNew(path string, text []byte, owner fs.FileInfo) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Chmod(0o600), tmp.Sync(), tmp.Close(), give(tmp.Name(), owner))
	if err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: there is a key of that name already; selectors are never used again (RFC 6376, section 3.1)", path)
	} else if err != nil {
		return err
	}
	return nil
}

// give hands a file to the owner of another one. Only root can, and only root needs to.
func give(path string, like fs.FileInfo) error {
	st, ok := like.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == os.Geteuid() {
		return nil
	}
	return os.Chown(path, int(st.Uid), int(st.Gid))
}
