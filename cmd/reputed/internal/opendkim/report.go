package opendkim

import (
	"fmt"
	"strings"
)

// Fate is what becomes of an option or of a line of a table.
type Fate uint8

const (
	Carried   Fate = iota // it means the same here
	Different             // something stands for it, but it is not the same
	Dropped               // nothing stands for it
	Broken                // it is wrong as it is, for OpenDKIM too
)

var fates = [...]string{"carried over", "different", "no counterpart", "wrong"}

func (f Fate) String() string { return fates[f] }

// Note says what became of an option or of a line of a table.
type Note struct {
	At      Place
	Subject string // the option, or what the line is about
	Fate    Fate
	Text    string // to what, how, or why
}

// String gives "FILE:LINE: SUBJECT: FATE: TEXT".
func (n Note) String() string { return fmt.Sprintf("%s: %s: %s: %s", n.At, n.Subject, n.Fate, n.Text) }

// Refusal is why a configuration cannot be imported.
type Refusal struct {
	At     Place
	Option string
	Text   string
}

func (r Refusal) Error() string { return fmt.Sprintf("%s: %s: %s", r.At, r.Option, r.Text) }

// Refusals is everything for which a configuration cannot be imported.
type Refusals []Refusal

// Error gives one line for each.
func (rs Refusals) Error() string {
	lines := make([]string, len(rs))
	for i, r := range rs {
		lines[i] = r.Error()
	}
	return strings.Join(lines, "\n")
}

func (im *importer) note(s setting, f Fate, format string, args ...any) {
	im.report = append(im.report, Note{s.at.shown(), printable(s.name), f, printable(fmt.Sprintf(format, args...))})
}

func (im *importer) refuse(s setting, format string, args ...any) {
	im.refused = append(im.refused, Refusal{s.at.shown(), printable(s.name), printable(fmt.Sprintf(format, args...))})
}
