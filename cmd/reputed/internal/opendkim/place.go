package opendkim

import (
	"cmp"
	"crypto"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"reputed/signer"
	"reputed/signer/keydir"
)

// Placement is a key and where it goes: KEYS/DOMAIN/SELECTOR.pem.
type Placement struct {
	ID   signer.ID
	From string // the file that holds it, or the line of the table
	Err  error  // why it cannot be used; nil: it can

	private crypto.Signer
	key     *signer.Key
	plain   bool   // From is a PEM file, which can be copied
	at      Place  // the option or the line that names it
	name    string // of the entry in a key table
}

// Path gives the place in a directory of keys.
func (p *Placement) Path(dir string) string {
	return filepath.Join(dir, p.ID.Domain.String(), p.ID.Selector.String()+".pem")
}

// place gives a key its place. Two keys of one name cannot be.
func (im *importer) place(id signer.ID, k key) {
	l := im.load(&k)
	p := &Placement{ID: id, From: im.where(&k), Err: l.err, private: l.private, plain: l.plain, at: k.at, name: k.name}
	if l.err == nil {
		if p.key, p.Err = signer.NewKey(id, l.private); p.Err != nil {
			p.private = nil
		}
	}
	if other := im.byID[id]; other != nil {
		if other.key != nil && p.key != nil && !same(other.private, p.private) {
			other.Err = fmt.Errorf("%s holds another key of the same name", p.From)
		}
		return
	}
	im.places, im.byID[id] = append(im.places, p), p
}

// same tells whether two private keys are one.
func same(a, b crypto.Signer) bool {
	public, ok := a.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(b.Public())
}

func sortPlaces(places []*Placement) {
	slices.SortFunc(places, func(a, b *Placement) int {
		return cmp.Or(strings.Compare(a.ID.Domain.String(), b.ID.Domain.String()),
			strings.Compare(a.ID.Selector.String(), b.ID.Selector.String()))
	})
}

// daemonUser is who runs the daemon.
const daemonUser = "reputed"

// Commands gives the commands, for root's shell, that copy the keys to their places, and in comments what they cannot
// do.
func (o *Outcome) Commands() []string {
	dir := o.Config.Signing.Keys
	const give = "-o " + daemonUser + " -g " + daemonUser + " "
	var lines []string
	made := ""
	for _, p := range o.Keys {
		switch {
		case p.Err != nil:
			lines = append(lines, fmt.Sprintf("# %s: %s: %v", p.ID, printable(p.From), p.Err))
			continue
		case p.From != printable(p.From):
			lines = append(lines, fmt.Sprintf("# %s: %s: a name that cannot be shown; with --keys the key is copied", p.ID,
				printable(p.From)))
			continue
		case !p.plain:
			lines = append(lines, fmt.Sprintf("# %s: %s: no PEM file that could be copied; with --keys it is written",
				p.ID, p.From))
			continue
		case made == "":
			lines = append(lines, "install -d -m 0700 "+give+shell(dir))
		}
		sub := filepath.Join(dir, p.ID.Domain.String())
		if made != sub {
			lines, made = append(lines, "install -d -m 0700 "+give+shell(sub)), sub
		}
		lines = append(lines, "install -m 0600 "+give+shell(p.From)+" "+shell(p.Path(dir)))
	}
	return lines
}

// Stored is a key at its place.
type Stored struct {
	Path string
	New  bool // it was not there before
}

// Store copies the keys to their places, readable by the owner of the directory only. A key that is there already is
// left as it is; if it is a different one, that is an error, and so is everything else that keeps a key from its place.
// What could be done is done all the same.
func (o *Outcome) Store() (done []Stored, errs []error) {
	dir := o.Config.Signing.Keys
	if err := makeDir(dir); err != nil {
		return nil, []error{err}
	}
	held := map[signer.ID]*signer.Key{}
	for _, k := range keydir.Load(dir, keydir.Options{UID: ownerOf(dir)}).Keys {
		held[k.ID()] = k
	}
	for _, p := range o.Keys {
		path := p.Path(dir)
		if p.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.From, p.Err))
			continue
		}
		if k := held[p.ID]; k != nil {
			if k.Record() != p.key.Record() {
				errs = append(errs, fmt.Errorf("%s: holds another key than %s; it is left as it is", path, p.From))
				continue
			}
			done = append(done, Stored{path, false})
			continue
		}
		if _, err := keydir.Store(dir, p.ID, p.private); err != nil {
			errs = append(errs, err)
			continue
		}
		done = append(done, Stored{path, true})
	}
	return done, errs
}

// ownerOf gives the user to whom a directory belongs, who may own keys too; nil is the process's.
func ownerOf(dir string) *int {
	info, err := os.Stat(dir)
	if err != nil {
		return nil
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	uid := int(st.Uid)
	return &uid
}

// makeDir makes the directory of keys, and gives it to the daemon's user, if there is one and we may.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	u, err := user.Lookup(daemonUser)
	if err != nil || os.Geteuid() != 0 {
		return nil
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return os.Chown(dir, uid, gid)
}

// shell quotes a path for a command.
func shell(path string) string {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("/._-+@:", c)
	}
	if !strings.ContainsFunc(path, func(c rune) bool { return !plain(c) }) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
