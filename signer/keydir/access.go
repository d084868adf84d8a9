package keydir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// access is who may own keys, and is to read them.
type access struct {
	uid    int
	judged bool            // root looks at the keys of another user, and it counts what that one may
	stray  bool            // neither root looks, nor whose keys they are
	groups func() []string // of the user
}

// access tells whose keys are in a directory.
func (o Options) access(dir string) access {
	self := os.Geteuid()
	a := access{uid: self}
	if info, err := os.Stat(dir); err == nil {
		above, known := ownerOf(info)
		a.stray = known && self != 0 && above != 0 && above != self
		if known && self == 0 { // root looks at the daemon's keys
			a.uid = above
		}
	}
	if o.UID != nil {
		a.uid = *o.UID
	}
	a.judged = self == 0 && a.uid != 0
	a.groups = sync.OnceValue(func() []string {
		u, err := user.LookupId(strconv.Itoa(a.uid))
		if err != nil {
			return nil
		}
		groups, _ := u.GroupIds() // of none that cannot be had is he a member
		return groups
	})
	return a
}

func ownerOf(info fs.FileInfo) (uid int, known bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}

// foreign tells of what belongs to neither the daemon's user nor root.
func (a *access) foreign(info fs.FileInfo) bool {
	uid, known := ownerOf(info)
	return known && uid != a.uid && uid != 0
}

// reads tells whether the daemon's user may read a file, or what lies in a directory. Who looks without being root
// finds out by himself.
func (a *access) reads(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !a.judged {
		return true
	}
	mode, need := info.Mode().Perm(), fs.FileMode(0o4)
	if info.IsDir() {
		need = 0o5
	}
	switch {
	case int(st.Uid) == a.uid:
		mode >>= 6
	case slices.Contains(a.groups(), strconv.Itoa(int(st.Gid))):
		mode >>= 3
	}
	return mode&need == need
}

// Rights that nobody else may have: to a private key, and to what decides which one signs.
const (
	othersAny   fs.FileMode = 0o077
	othersWrite fs.FileMode = 0o022
)

// guarded tells whether a directory is one, the daemon can read it, and nobody else can put keys into it.
func (l *loader) guarded(name string) bool {
	info, err := l.root.Stat(name) // a link is followed, if it stays inside
	text, remedy := "", ""
	switch {
	case err != nil:
		text, remedy = reason(err), l.remedy(err, name)
	case !info.IsDir():
		text, remedy = "not a directory; keys lie in DOMAIN/SELECTOR.pem", "move it away"
	default:
		text, remedy = l.unfit(info, name, othersWrite, "lets others put keys here"), l.mend(info, name, othersWrite)
	}
	if text != "" {
		l.problem(name, text, remedy)
	}
	return text == ""
}

// unsafe tells why a file must not be trusted or cannot be read, and the command that mends it. Nobody else may have
// the rights that are forbidden, for the reason that is given.
func (l *loader) unsafe(info fs.FileInfo, name string, forbidden fs.FileMode, why string) (text, remedy string) {
	if !info.Mode().IsRegular() {
		return "not a regular file", "move it away"
	}
	if text = l.unfit(info, name, forbidden, why); text != "" {
		remedy = l.mend(info, name, forbidden)
	}
	return text, remedy
}

// unfit tells what is wrong with the rights to a file or a directory; "": nothing.
func (l *loader) unfit(info fs.FileInfo, name string, forbidden fs.FileMode, why string) string {
	switch mode := info.Mode().Perm(); {
	case l.foreign(info):
		uid, _ := ownerOf(info)
		return fmt.Sprintf("owned by user %s, who could change it", userName(uid))
	case mode&forbidden != 0:
		return fmt.Sprintf("mode %04o %s", mode, why)
	case !l.reads(info):
		return fmt.Sprintf("user %s, who is to read it, may not", l.owner())
	}
	return ""
}

// mend gives the command that sets the rights to a file or a directory, all at once.
func (l *loader) mend(info fs.FileInfo, name string, forbidden fs.FileMode) string {
	if l.stray {
		return elsewhere
	}
	mode, rights, need := info.Mode().Perm(), "0600", fs.FileMode(0o400)
	if info.IsDir() {
		if rights, need = "go-w", 0o500; mode&need != need {
			rights = "u+rwx,go-w"
		}
	}
	chmod := mode&forbidden != 0 || mode&need != need
	uid, _ := ownerOf(info)
	var do []string
	if l.foreign(info) || l.judged && uid != l.uid && (chmod && !info.IsDir() || !l.reads(info)) {
		do = append(do, l.give(name))
	}
	if chmod {
		do = append(do, "chmod "+rights+" "+l.shell(name))
	}
	return strings.Join(do, " && ")
}

// remedy says what to do about a file that cannot be opened.
func (l *loader) remedy(err error, name string) string {
	path := l.shell(name)
	switch {
	case errors.Is(err, fs.ErrPermission):
		info, err := os.Lstat(filepath.Join(l.dir, name))
		if err != nil {
			return elsewhere // the way there is shut
		}
		switch uid, _ := ownerOf(info); {
		case uid == l.uid:
			return l.mend(info, name, othersWrite)
		case l.stray || name == ".":
			return elsewhere
		}
		return l.give(name)
	case escapes(err) && filepath.Dir(name) == ".": // the directory of a domain
		const copied = `from=$(readlink -f %s) && rm %[1]s && cp -pr "$from" %[1]s && chown -R %s %[1]s`
		return "put a copy in its place: " + fmt.Sprintf(copied, path, l.owner())
	case escapes(err):
		return fmt.Sprintf(`put a copy in its place: install -p -o %s -m 0600 "$(readlink -f %s)" %[2]s`, l.owner(), path)
	}
	return ""
}

// elsewhere is said to who is neither root nor the daemon's user, and must not be told to take the keys from that one.
const elsewhere = "run it as root, or as the daemon's user"

// give is the command that gives a file to the daemon's user.
func (l *loader) give(name string) string { return "chown " + l.owner() + " " + l.shell(name) }

// owner names the user who should own keys.
func (l *loader) owner() string { return userName(l.uid) }

func userName(uid int) string {
	n := strconv.Itoa(uid)
	if u, err := user.LookupId(n); err == nil {
		return u.Username
	}
	return n
}
