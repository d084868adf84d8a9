package keydir

import (
	"io/fs"
	"syscall"
	"time"
)

// came gives the time when a file was put where it is, at the latest. The time of its text may be that of a copy made
// long ago.
func came(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Ctim.Unix())
	}
	return info.ModTime()
}
