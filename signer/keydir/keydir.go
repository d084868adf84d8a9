// Package keydir keeps private keys on disk: DIRECTORY/DOMAIN/SELECTOR.pem, one key a file, in PKCS#8 or PKCS#1. How
// far a key has come stands in SELECTOR.json beside it; a key without is active: whoever put it there uses it already.
//
// [Load] reads all of them, once. One bad file never hides the good ones: it becomes a [Problem], which says what is
// wrong and which command mends it. [Store] adds a key that is in use, [Create] a new one, and [SetState] takes a key
// a step further.
//
// # Changes
//
// Changes of a domain's keys are made one after the other, under a lock (flock(2)) on its directory, whichever process
// makes them. Each file is put in its place by rename(2), whole; the state of a new key before the key, and the state
// of a revoked one before its private key is removed. So an interruption at any point leaves a directory that can be
// read, and the step can be taken again. The state of a revoked key stays for ever: its selector is not used again
// (RFC 6376, section 3.1).
//
// # Security
//
// A key file must belong to the user who runs the daemon or to root, and nobody else may read it, nor own or write to
// the directories above it. Root is told as well what that user cannot read. Links that lead out of the directory are
// not followed. No error, and nothing else that leaves this package, holds bytes of a private key.
package keydir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"reputed/policy/mail"
	"reputed/policy/parallel"
	"reputed/signer"
)

// Problem is a key or a directory that cannot be used.
type Problem struct {
	Path   string
	Line   int    // of the file, where its text is what is wrong; 0: it is not
	Text   string // what is wrong
	Remedy string // the command that mends it, or what to do; may be empty
}

func (p *Problem) Error() string {
	text := p.Place() + ": " + p.Text
	if p.Remedy == "" {
		return text
	}
	return text + " (" + p.Remedy + ")"
}

// Place gives the path, with the line if there is one, as in "example.org/s1.pem:1".
func (p *Problem) Place() string {
	if p.Line == 0 {
		return p.Path
	}
	return p.Path + ":" + strconv.Itoa(p.Line)
}

// Found is what a directory of keys holds.
type Found struct {
	Keys       []*signer.Key // those that are not revoked
	Records    []Record      // instead of Keys, where these are what is wanted
	Gone       []signer.Life // of the keys that are, and of retiring ones without private key
	Domains    []mail.Domain // those that have a place, unless all there is in it is keys that never signed
	Problems   []error       // each a *Problem
	Warnings   []error       // each a *Problem: what works, and should be mended
	Absent     bool          // there is no such directory
	Unreadable error         // one of Problems: the directory cannot be read, so its domains are not known; nil: it can
}

// Record is a key without its private half, which is given up as soon as it is read.
type Record struct {
	Life signer.Life
	Text string // to be published
}

// Lives gives what is known of all keys, as [signer.Plan] takes it.
func (f *Found) Lives() []signer.Life {
	lives := slices.Grow(slices.Clone(f.Gone), len(f.Keys)+len(f.Records))
	for _, k := range f.Keys {
		lives = append(lives, k.Life())
	}
	for i := range f.Records {
		lives = append(lives, f.Records[i].Life)
	}
	signer.SortLives(lives)
	return lives
}

// Options change what Load demands. The zero value is for the process as it runs.
type Options struct {
	// UID may own keys besides root, and is to read them; nil: the user, and to root who owns the directory.
	UID *int

	Known map[signer.ID]signer.Life // stands in for states that cannot be read; a key that is not in it is active then

	// Domain is the only one that is read; zero: all are. Of the others nothing is said.
	Domain mail.Domain

	Records bool // no keys are wanted, but the records of them
}

// Load reads a directory of keys. One that does not exist holds none. With a directory that cannot be read the caller
// must not go on as if it were empty: the mail of all its domains would leave unsigned.
func Load(dir string, o Options) Found {
	l := loader{
		dir: dir, access: o.access(dir), known: o.Known, only: o.Domain, records: o.Records, seen: map[mail.Domain]string{},
	}
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
	access
	dir     string
	known   map[signer.ID]signer.Life
	only    mail.Domain // zero: all
	records bool        // instead of keys
	root    *os.Root
	seen    map[mail.Domain]string // which directory is a domain's
	found   Found
}

func (l *loader) problem(name, text, remedy string) {
	l.found.Problems = append(l.found.Problems, &Problem{Path: filepath.Join(l.dir, name), Text: text, Remedy: remedy})
}

func (l *loader) warn(name, text, remedy string) {
	l.found.Warnings = append(l.found.Warnings, &Problem{Path: filepath.Join(l.dir, name), Text: text, Remedy: remedy})
}

// passedOver tells which entries of the directory are not ours to judge. What may be the place of a domain is, whatever
// it ends in: there are domains below md.
func passedOver(e fs.DirEntry) bool {
	if _, err := mail.ParseDomain(e.Name()); err == nil && !e.Type().IsRegular() {
		return false
	}
	return aside(e) || filepath.Ext(e.Name()) == stateSuffix
}

// aside tells which files beside keys are not ours to judge: hidden files, backups of editors, notes.
func aside(e fs.DirEntry) bool {
	name := e.Name()
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") || name == "lost+found" ||
		slices.Contains([]string{".txt", ".bak", ".md"}, filepath.Ext(name))
}

// domains takes in every domain that has a place here, before anything about it can fail: without its keys, its mail is
// deferred and not sent unsigned.
func (l *loader) domains() {
	entries, ok := l.list(".", passedOver)
	if !ok {
		l.found.Unreadable = l.found.Problems[0]
	}
	usable := ok && l.guarded(".")
	parts := make([]loader, len(entries))
	var read []func()
	for i, e := range entries {
		part := &parts[i]
		*part = loader{access: l.access, dir: l.dir, known: l.known, records: l.records, root: l.root}
		if d, ok := l.place(part, e.Name()); ok && usable {
			read = append(read, func() {
				if part.guarded(e.Name()) && part.prepared(d, e.Name()) {
					part.found.Domains = nil // its mail goes on as it did before
				}
			})
		}
	}
	parallel.AtMost(runtime.GOMAXPROCS(0), len(read), func(i int) { read[i]() })
	for i := range parts {
		l.found.add(&parts[i].found)
	}
}

// place takes in what may be the directory of a domain.
func (l *loader) place(part *loader, name string) (d mail.Domain, ok bool) {
	d, err := mail.ParseDomain(name)
	other, twice := l.seen[d]
	switch {
	case !l.only.IsZero() && d != l.only:
		return d, false
	case err != nil:
		part.problem(name, "the name is not a domain", "rename it, or move it away")
		return d, false
	case twice:
		part.problem(name, fmt.Sprintf("the same domain as %s", other), "move its keys there, and remove it")
		return d, false
	}
	l.seen[d] = name
	part.found.Domains = []mail.Domain{d}
	return d, true
}

// add takes in what else was found.
func (f *Found) add(more *Found) {
	f.Keys = append(f.Keys, more.Keys...)
	f.Records = append(f.Records, more.Records...)
	f.Gone = append(f.Gone, more.Gone...)
	f.Domains = append(f.Domains, more.Domains...)
	f.Problems = append(f.Problems, more.Problems...)
	f.Warnings = append(f.Warnings, more.Warnings...)
}

// list gives the entries of a directory that are to be judged, and tells whether these are all.
func (l *loader) list(name string, skip func(fs.DirEntry) bool) (entries []fs.DirEntry, ok bool) {
	entries, err := fs.ReadDir(l.root.FS(), name)
	if err != nil {
		l.problem(name, reason(err), l.remedy(err, name))
	}
	return slices.DeleteFunc(entries, skip), err == nil
}

// escapes tells of a link that [os.Root] does not follow; its error has no name.
func escapes(err error) bool { return strings.Contains(err.Error(), "escapes from parent") }

// shell gives the path of what lies in the directory, for the commands in remedies.
func (l *loader) shell(name string) string { return shell(filepath.Join(l.dir, name)) }

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
	if escapes(err) {
		return "leads out of the key directory; links must stay inside"
	}
	return err.Error()
}
