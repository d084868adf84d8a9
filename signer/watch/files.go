package watch

import (
	"hash/fnv"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"reputed/policy/mail"
)

// files notices changes in a directory of keys.
type files struct {
	known  prints // how it was when it was last read
	latest prints // how it was when it was last looked at; where that is the same, the same map
}

// prints sums up which files there are, of which size and when they were changed.
type prints struct {
	top  uint64            // the directory, and which directories are in it
	each map[string]uint64 // of each of these: what is in it
}

func (p prints) equal(q prints) bool { return p.top == q.top && maps.Equal(p.each, q.each) }

// note keeps in mind that the directory is read as it was then.
func (f *files) note(then prints) {
	f.known, f.latest = then, then
}

// noteDomain keeps in mind that the directory of a domain is read as it was then.
func (f *files) noteDomain(name string, then uint64) {
	f.known.each[name], f.latest.each[name] = then, then
}

// changed tells what is other than it was when it was read, and at rest: whoever puts several files there is given the
// time from one look to the next, for a key without the state beside it would sign. All is that this is more than the
// directories that are named.
func (f *files) changed(dir string) (names []string, all bool) {
	last := f.latest
	f.latest = fingerprint(dir)
	if f.latest.equal(f.known) {
		f.latest = f.known
		return nil, false
	}
	if f.latest.top != f.known.top {
		return nil, f.latest.equal(last)
	}
	for name, now := range f.latest.each {
		if now != f.known.each[name] && now == last.each[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, false
}

// plain tells whether a directory is that of a domain, spelt as we spell it.
func plain(name string) (d mail.Domain, is bool) {
	d, err := mail.ParseDomain(name)
	return d, err == nil && d.String() == name
}

// fingerprint sums up a directory of keys, without reading any. Links are followed, as those of a system that swaps
// whole directories by a link.
func fingerprint(dir string) prints {
	p := prints{each: map[string]uint64{}}
	h := fnv.New64a()
	printFile(h, dir)
	visible(h, dir, func(name string) {
		path := filepath.Join(dir, name)
		if info := printFile(h, path); info != nil && info.IsDir() {
			p.each[name] = printDomain(path)
		}
	})
	p.top = h.Sum64()
	return p
}

// printDomain sums up the files of the directory of a domain.
func printDomain(dir string) uint64 {
	h := fnv.New64a()
	visible(h, dir, func(name string) { printFile(h, filepath.Join(dir, name)) })
	return h.Sum64()
}

// visible does something for each name in a directory, but for what is not whole yet.
func visible(h io.Writer, dir string, do func(name string)) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		io.WriteString(h, dir+" "+err.Error()+"\n")
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			do(e.Name())
		}
	}
}

// printFile sums up one file.
func printFile(h io.Writer, path string) fs.FileInfo {
	info, err := os.Stat(path)
	if err != nil {
		io.WriteString(h, path+" "+err.Error()+"\n")
		return nil
	}
	line := strconv.AppendUint(append([]byte(path), ' '), uint64(info.Mode()), 16)
	add := func(n uint64) { line = strconv.AppendUint(append(line, ' '), n, 16) }
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		add(st.Ino)
		add(uint64(st.Uid))
	}
	if !info.IsDir() { // of directories, what is in them counts
		add(uint64(info.Size()))
		add(uint64(info.ModTime().UnixNano()))
	}
	h.Write(append(line, '\n'))
	return info
}
