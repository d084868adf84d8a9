// Package keydir keeps private keys on disk: DIRECTORY/DOMAIN/SELECTOR.pem, one key a file, in PKCS#8 or PKCS#1.
//
// [Load] reads all of them, once. One bad file never hides the good ones: it becomes a [Problem], which says what is
// wrong and which command mends it. [Store] adds a key.
//
// # Security
//
// A key file must belong to the user who runs the daemon or to root, and nobody else may read it, nor write to the
// directories above it. Links that lead out of the directory are not followed. No error, and nothing else that leaves
// this package, holds bytes of a key.
package keydir

import (
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
	Keys       []*signer.Key
	Domains    []mail.Domain // those that have a place, with or without usable keys
	Problems   []error       // each a *Problem
	Warnings   []error       // each a *Problem: what works, and should be mended
	Absent     bool          // there is no such directory
	Unreadable error         // one of Problems: the directory cannot be read, so its domains are not known; nil: it can
}

// Options change what Load demands. The zero value is for the process as it runs.
type Options struct {
	UID *int // who may own keys besides root; nil is the process's effective user
}

// Load reads a directory of keys. One that does not exist holds none. With a directory that cannot be read the caller
// must not go on as if it were empty: the mail of all its domains would leave unsigned.
func Load(dir string, o Options) Found {
	uid := os.Geteuid()
	if o.UID != nil {
		uid = *o.UID
	}
	l := loader{dir: dir, uid: uid, seen: map[mail.Domain]string{}}
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		l.found.Absent = true
		return l.found
	}
	if err != nil {
		l.problem(".", reason(err), l.remedy(err, "."))
		l.found.Unreadable = l.found.Problems[0]
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

// domains takes in every domain that has a place here, before anything about it can fail: without its keys, its mail is
// deferred and not sent unsigned.
func (l *loader) domains() {
	entries, ok := l.list(".")
	if !ok {
		l.found.Unreadable = l.found.Problems[0]
	}
	usable := ok && l.guarded(".")
	for _, e := range entries {
		name := e.Name()
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
		if usable && l.guarded(name) {
			l.keys(d, name)
		}
	}
}

// guarded tells whether a directory is one, and nobody else can put keys into it.
func (l *loader) guarded(name string) bool {
	info, err := l.root.Stat(name) // a link is followed, if it stays inside
	if err != nil {
		l.problem(name, reason(err), l.remedy(err, name))
		return false
	}
	if !info.IsDir() {
		l.problem(name, "not a directory; keys lie in DOMAIN/SELECTOR.pem", "move it away")
		return false
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		l.problem(name, fmt.Sprintf("mode %04o lets others put keys here", mode), "chmod go-w "+l.shell(name))
		return false
	}
	return true
}

// list gives the entries of a directory that are to be judged, and tells whether these are all.
func (l *loader) list(name string) (entries []fs.DirEntry, ok bool) {
	entries, err := fs.ReadDir(l.root.FS(), name)
	if err != nil {
		l.problem(name, reason(err), "let the daemon's user read it: chown "+l.owner()+" "+l.shell(name))
	}
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return passedOver(e.Name()) }), err == nil
}

func (l *loader) keys(d mail.Domain, dir string) {
	entries, _ := l.list(dir)
	seen := map[mail.Domain]string{}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		selector, ok := strings.CutSuffix(e.Name(), ".pem")
		if !ok {
			l.problem(name, "not a key file; those end in .pem", "rename it, or move it away")
			continue
		}
		s, err := signer.ParseSelector(selector)
		if err != nil {
			l.problem(name, "the name is not a selector", "rename it: letters, digits, hyphens inside and dots, then .pem")
			continue
		}
		if other, twice := seen[s]; twice {
			l.problem(name, fmt.Sprintf("the same selector as %s", other), "move it away; case does not count in the DNS")
			continue
		}
		seen[s] = e.Name()
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
	if key.Weak() {
		l.found.Warnings = append(l.found.Warnings, &Problem{
			Path:   filepath.Join(l.dir, name),
			Text:   fmt.Sprintf("RSA key of %d bits, which some receivers distrust; %d are good", key.Bits(), signer.GoodBits),
			Remedy: "make a new key: reputed keys new " + id.Domain.String(),
		})
	}
}

// unsafe tells why a file must not be trusted, and the command that mends it.
func (l *loader) unsafe(info fs.FileInfo, path string) (text, remedy string) {
	if !info.Mode().IsRegular() {
		return "not a regular file", "move it away"
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != l.uid && st.Uid != 0 {
		text = fmt.Sprintf("owned by user %s, who could change it", userName(int(st.Uid)))
		return text, "chown " + l.owner() + " " + shell(path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Sprintf("mode %04o lets others at the private key", mode), "chmod 0600 " + shell(path)
	}
	return "", ""
}

func (l *loader) remedy(err error, name string) string {
	if errors.Is(err, fs.ErrPermission) {
		return "chown " + l.owner() + " " + l.shell(name)
	}
	return ""
}

// shell gives the path of what lies in the directory, for the commands in remedies.
func (l *loader) shell(name string) string { return shell(filepath.Join(l.dir, name)) }

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
