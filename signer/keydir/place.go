package keydir

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"reputed/policy/mail"
	"reputed/signer"
)

// Names of files: a key, its state beside it, and what is not whole yet.
const (
	pemSuffix   = ".pem"
	stateSuffix = ".json"
	newPrefix   = ".new-"
)

// How long to wait for others who change the keys of the same domain, which takes them milliseconds.
const (
	lockWait = 5 * time.Second
	lockPoll = 10 * time.Millisecond
)

// place is the directory of a domain, locked by us.
type place struct {
	writer
	name  string // below the directory of keys
	root  *os.Root
	lock  *os.File
	owner fs.FileInfo // of the directory of keys: whose everything here is
}

// enter opens and locks the place of a domain; with create, it makes one if there is none.
func (w writer) enter(d mail.Domain, create bool) (*place, error) {
	if create {
		if err := w.makeDir(); err != nil {
			return nil, err
		}
	}
	keys, err := os.OpenRoot(w.dir)
	if err != nil {
		return nil, err
	}
	defer keys.Close()
	p := &place{writer: w}
	if p.owner, err = keys.Stat("."); err != nil {
		return nil, err
	}
	if p.name, err = spelling(keys, d); err != nil {
		return nil, err
	}
	if p.name == "" && !create {
		return nil, fmt.Errorf("%s: %w", filepath.Join(w.dir, d.String()), fs.ErrNotExist)
	}
	if p.name == "" {
		p.name = d.String()
		if err := p.makePlace(keys); err != nil {
			return nil, err
		}
	}
	if p.root, err = keys.OpenRoot(p.name); err != nil {
		return nil, err
	}
	if err := p.settle(create); err != nil {
		p.leave()
		return nil, err
	}
	return p, nil
}

// makePlace makes the directory of a domain. It is there to stay before anything is put into it.
func (p *place) makePlace(keys *os.Root) error {
	p.step("mkdir")
	if err := keys.Mkdir(p.name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) { // another may have been quicker
		return err
	}
	p.step("sync above")
	return syncDir(keys.Name())
}

// syncDir makes sure that what was made in a directory is there after a loss of power.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// makeDir makes the directory of keys, if there is none. What root makes belongs to the owner of the directory that it
// is made in, or the daemon could not read it.
func (w writer) makeDir() error {
	var made []string
	above := filepath.Clean(w.dir)
	info, err := os.Stat(above)
	for ; errors.Is(err, fs.ErrNotExist) && above != filepath.Dir(above); info, err = os.Stat(above) {
		made = append(made, above)
		above = filepath.Dir(above)
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return err
	}
	for _, dir := range made {
		if err := syncDir(filepath.Dir(dir)); err != nil && !errors.Is(err, fs.ErrPermission) { // it cannot be opened
			return err
		}
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 || owner.Uid == 0 {
		return nil
	}
	for _, dir := range made {
		if err := os.Lchown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	return nil
}

// settle locks the place and clears what an interruption has left.
func (p *place) settle(create bool) (err error) {
	if p.lock, err = p.root.Open("."); err != nil {
		return err
	}
	if err := flock(p.lock, p.path("."), cmp.Or(p.wait, lockWait)); err != nil {
		return err
	}
	if create {
		if err := p.give(p.lock); err != nil {
			return err
		}
	}
	entries, err := fs.ReadDir(p.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), newPrefix) {
			p.step("clear")
			if err := p.root.Remove(e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// flock waits for the lock, which ends with the process, whatever ends that.
func flock(f *os.File, path string, wait time.Duration) error {
	for end := time.Now().Add(wait); ; time.Sleep(lockPoll) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("%s: cannot be locked: %w", path, err)
		case time.Now().After(end):
			return fmt.Errorf("%s: %w, for %v already", path, ErrBusy, wait)
		}
	}
}

func (p *place) leave() {
	if p.lock != nil {
		p.lock.Close()
	}
	p.root.Close()
}

func (p *place) path(name string) string { return filepath.Join(p.dir, p.name, name) }

func (w writer) step(name string) {
	if w.before != nil {
		w.before(name)
	}
}

// spelling gives the name of a domain's directory, which may be spelt in other ways than ours; "" without one. Of
// several it is the one that Load takes.
func spelling(keys *os.Root, d mail.Domain) (string, error) {
	entries, err := fs.ReadDir(keys.FS(), ".")
	for _, e := range entries {
		if passedOver(e) {
			continue
		}
		if found, err := mail.ParseDomain(e.Name()); err == nil && found == d {
			return e.Name(), nil
		}
	}
	return "", err
}

// stem gives the name of a key's files, without what it ends in; "" when there is neither a key nor a state.
func (p *place) stem(selector mail.Domain) (stem string, err error) {
	entries, err := fs.ReadDir(p.root.FS(), ".")
	if err != nil {
		return "", err
	}
	for _, e := range entries { // a key goes before a state that lies there alone
		name, isKey := strings.CutSuffix(e.Name(), pemSuffix)
		name, isState := strings.CutSuffix(name, stateSuffix)
		if s, err := signer.ParseSelector(name); err != nil || s != selector || isKey == isState {
			continue
		}
		if isKey {
			return name, nil
		}
		if stem == "" {
			stem = name
		}
	}
	return stem, nil
}

// life reads what is known of a key, and gives the stem of its files.
func (p *place) life(id signer.ID) (stem string, l signer.Life, err error) {
	if stem, err = p.stem(id.Selector); err != nil {
		return "", l, err
	}
	if stem == "" {
		return "", l, fmt.Errorf("%s: %w", p.path(id.Selector.String()+pemSuffix), fs.ErrNotExist)
	}
	text, _, err := readFile(p.root, stem+stateSuffix)
	switch {
	case err == nil:
		l, err = parseState(id, text)
	case errors.Is(err, fs.ErrNotExist):
		l, err = p.stateless(id, stem)
	}
	return stem, l, err
}

// stateless gives the life of a key beside which there is no state.
func (p *place) stateless(id signer.ID, stem string) (signer.Life, error) {
	l := signer.Life{ID: id, State: signer.Active}
	info, err := p.root.Stat(stem + pemSuffix)
	if err != nil {
		return l, err
	}
	l.Times[signer.Created] = info.ModTime()
	if key := p.key(id, stem); key != nil {
		l = key.In(l).Life()
	}
	return l, nil
}

// key reads a private key; nil: there is none of use.
func (p *place) key(id signer.ID, stem string) *signer.Key {
	text, _, err := readFile(p.root, stem+pemSuffix)
	if err != nil {
		return nil
	}
	defer clear(text)
	key, _, err := Parse(id, "", text)
	if err != nil {
		return nil
	}
	return key
}

// lost tells of a state that says nothing, and may be written anew.
func lost(err error) bool {
	return errors.Is(err, errNotState) || errors.Is(err, errRead) || err != nil && escapes(err)
}

// forgotten gives the life of a key that is to be revoked, and whose state is lost: it is where it is thought to be,
// and may have signed.
func (p *place) forgotten(c Change, stem string) signer.Life {
	l, _ := p.stateless(c.ID, stem) // there may be no private key either
	l.State = c.From
	l.Times[signer.Active] = earlier(l.Made(), c.At)
	return l
}

// explain says what mends a state that cannot be read.
func (p *place) explain(stem string, err error) error {
	if errors.Is(err, errNotState) || errors.Is(err, errNewer) {
		return damaged(p.path(stem+stateSuffix), err)
	}
	return err
}

func (p *place) writeState(stem string, l signer.Life) error {
	text, err := marshalState(l)
	if err != nil {
		return err
	}
	return p.write(stem+stateSuffix, text, true)
}

// write puts a file in its place, whole or not at all. If it may not replace what is there, it does not.
func (p *place) write(name string, text []byte, replace bool) error {
	tmp := newPrefix + rand.Text()
	p.step("create")
	f, err := p.root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	p.step("write")
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o600), p.give(f))
	p.step("sync")
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		p.step("rename")
		err = p.put(tmp, name, replace)
	}
	if err != nil {
		p.root.Remove(tmp)
		return err
	}
	return p.sync()
}

func (p *place) put(tmp, name string, replace bool) error {
	if replace {
		return p.root.Rename(tmp, name)
	}
	if err := p.root.Link(tmp, name); err != nil {
		return err
	}
	p.step("unlink")
	return p.root.Remove(tmp)
}

// remove makes a file go away, if it is there.
func (p *place) remove(name string) error {
	p.step("remove")
	if err := p.root.Remove(name); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return p.sync()
}

// sync makes sure that what was done is not undone by a loss of power, while something that was done later is not.
func (p *place) sync() error {
	p.step("sync directory")
	return p.lock.Sync()
}

// give hands a file of root's to the owner of the directory of keys, so that the daemon can read what root makes. Only
// root can, and only root needs to.
func (p *place) give(f *os.File) error {
	info, err := f.Stat()
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	to, ok := p.owner.Sys().(*syscall.Stat_t)
	if is, known := info.Sys().(*syscall.Stat_t); !ok || !known || is.Uid != 0 || to.Uid == 0 {
		return nil
	}
	p.step("chown")
	return f.Chown(int(to.Uid), int(to.Gid))
}
