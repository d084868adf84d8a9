package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"
)

// printable makes text from strangers fit for a terminal: what is no printable character is shown as in a Go string.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strings.Trim(strconv.Quote(s), `"`)
	}
	return s
}

// colour is how a word is shown on a terminal; elsewhere it is plain.
type colour string

const (
	plain colour = ""
	green colour = "32"
	amber colour = "33"
	red   colour = "31"
	faint colour = "2"
	bold  colour = "1"
)

// printer writes for people.
type printer struct {
	io.Writer
	coloured bool
	width    int // of the terminal; 0: none, and no line is broken to fit
}

// printer writes to standard output: where that is a terminal it fits, and is coloured unless NO_COLOR is set.
func (e *env) printer() printer {
	width := terminalWidth(e.stdout)
	coloured := width > 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return printer{e.stdout, coloured, width}
}

// terminalWidth gives the columns of a terminal, or 0 if it is none.
func terminalWidth(w io.Writer) int {
	f, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		return width
	}
	return 80
}

// progress is a line on a terminal that says how far a verb has come. The zero value shows nothing.
type progress struct {
	terminal io.Writer
	width    int
}

// progress shows on standard error, if that is a terminal that can take a line back.
func (e *env) progress() progress {
	width := terminalWidth(e.stderr)
	if width == 0 || os.Getenv("TERM") == "dumb" {
		return progress{}
	}
	return progress{e.stderr, width}
}

const (
	lineStart = "\r"
	eraseRest = "\x1b[K"
)

// show puts a text in the place of the last one.
func (l progress) show(text string) {
	if l.terminal == nil {
		return
	}
	text = text[:fitting(text, l.width-1)] // a line that breaks cannot be taken back
	fmt.Fprint(l.terminal, lineStart+text+eraseRest)
}

// clear takes the line back.
func (l progress) clear() { l.show("") }

func (p printer) paint(c colour, s string) string {
	if !p.coloured || c == plain || s == "" {
		return s
	}
	return "\x1b[" + string(c) + "m" + s + "\x1b[0m"
}

func (p printer) printf(format string, args ...any) { fmt.Fprintf(p, format, args...) }

// cell is a field of a table.
type cell struct {
	text string // printable
	colour
}

// table writes rows with their columns aligned, two spaces apart, and indented.
func (p printer) table(indent string, rows [][]cell) {
	for _, line := range p.layout(indent, rows) {
		p.printf("%s\n", line)
	}
}

// leastWrapped is how wide a column must be for its text to be broken.
const leastWrapped = 20

// layout gives a text for each row of a table. The last cell of a row is broken into lines where that makes it fit. A
// row of one cell is no part of the columns, and does not widen them.
func (p printer) layout(indent string, rows [][]cell) []string {
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			if len(row) > 1 {
				widths[i] = max(widths[i], columns(c.text))
			}
		}
	}
	texts := make([]string, len(rows))
	for n, row := range rows {
		var b strings.Builder
		at, gap := columns(indent), indent
		for i, c := range row {
			if c.text != "" {
				b.WriteString(gap)
				b.WriteString(p.field(c, at, i == len(row)-1))
				gap = ""
			}
			at += widths[i] + 2
			gap += strings.Repeat(" ", max(0, widths[i]-columns(c.text))+2)
		}
		texts[n] = b.String()
	}
	return texts
}

// field gives a cell that begins at a column.
func (p printer) field(c cell, at int, last bool) string {
	if !last || p.width-at < leastWrapped {
		return p.paint(c.colour, c.text)
	}
	lines := wrap(c.text, p.width-at)
	for i := range lines {
		lines[i] = p.paint(c.colour, lines[i])
	}
	return strings.Join(lines, "\n"+strings.Repeat(" ", at))
}

// wrap breaks a text at spaces into lines of at most so many columns, where it can.
func wrap(s string, width int) (lines []string) {
	for columns(s) > width {
		at := fitting(s, width)
		cut := strings.LastIndexByte(s[:at+1], ' ') // after what fits there is one more character at least
		if cut <= 0 {
			if cut = strings.IndexByte(s, ' '); cut < 0 {
				break
			}
		}
		lines = append(lines, s[:cut])
		s = s[cut+1:]
	}
	return append(lines, s)
}
