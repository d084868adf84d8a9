package dnsbl

import (
	"fmt"
	"time"
)

// Recall reads the state file of a monitor, for those who ask lists themselves. Since tells since when something is on
// a list, as far as the monitor knew; zero is that it knew of no listing. The file is not touched, and may be that of a
// monitor at work. The error says why nothing is known, and wraps [io/fs.ErrNotExist] when there is no file; since can
// be used nevertheless.
func Recall(path string) (since func(*List, Subject) time.Time, err error) {
	lists, err := readState(path)
	if err != nil {
		err = fmt.Errorf("dnsbl: state file %s: %w", path, err)
	}
	return func(l *List, s Subject) time.Time {
		kept := lists[l.ID]
		if kept == nil || kept.Zone != l.Zone {
			return time.Time{}
		}
		c := kept.Cells[s.String()]
		if c.Told != Listed || c.Since.After(c.Asked) {
			return time.Time{}
		}
		return c.Since
	}, err
}
