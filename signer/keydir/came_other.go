//go:build !linux

package keydir

import (
	"io/fs"
	"time"
)

// came gives the time when a file was put where it is, as far as it is known: that of its text.
func came(info fs.FileInfo) time.Time { return info.ModTime() }
