package watch

import (
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// files notices changes in a directory of keys.
type files struct {
	known  uint64 // how it was when it was last read
	latest uint64 // how it was when it was last looked at
}

// note keeps in mind that the directory is read as it is now.
func (f *files) note(dir string) {
	f.known = fingerprint(dir)
	f.latest = f.known
}

// changed tells whether the directory is other than it was when it was read, and at rest: whoever puts several files
// there is given the time from one look to the next, for a key without the state beside it would sign.
func (f *files) changed(dir string) bool {
	last := f.latest
	f.latest = fingerprint(dir)
	return f.latest != f.known && f.latest == last
}

// fingerprint sums up which files there are, of which size and when they were changed, without reading any. Links are
// followed, as those of a system that swaps whole directories by a link.
func fingerprint(dir string) uint64 {
	h := fnv.New64a()
	note := func(path string) fs.FileInfo {
		info, err := os.Stat(path)
		if err != nil {
			io.WriteString(h, path+" "+err.Error()+"\n")
			return nil
		}
		of := []uint64{uint64(info.Mode())}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			of = append(of, st.Ino, uint64(st.Uid))
		}
		if !info.IsDir() { // of directories, what is in them counts
			of = append(of, uint64(info.Size()), uint64(info.ModTime().UnixNano()))
		}
		sum(h, path, of)
		return info
	}
	each := func(dir string, do func(path string)) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			io.WriteString(h, dir+" "+err.Error()+"\n")
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") { // what is not whole yet
				do(filepath.Join(dir, e.Name()))
			}
		}
	}
	note(dir)
	each(dir, func(path string) {
		if info := note(path); info != nil && info.IsDir() {
			each(path, func(path string) { note(path) })
		}
	})
	return h.Sum64()
}

// sum adds a file to a fingerprint.
func sum(h io.Writer, path string, of []uint64) {
	line := []byte(path)
	for _, n := range of {
		line = strconv.AppendUint(append(line, ' '), n, 16)
	}
	h.Write(append(line, '\n'))
}
