package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

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
}

// printer writes to standard output, coloured where that is a terminal and NO_COLOR is not set.
func (e *env) printer() printer {
	f, isFile := e.stdout.(*os.File)
	coloured := isFile && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return printer{e.stdout, coloured}
}

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
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		gap := indent
		for i, c := range row {
			if c.text != "" {
				b.WriteString(gap)
				b.WriteString(p.paint(c.colour, c.text))
				gap = ""
			}
			gap += strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)+2)
		}
		p.printf("%s\n", b.String())
	}
}

// wrap breaks a text at spaces into lines of at most so many characters, where it can.
func wrap(s string, width int) (lines []string) {
	for utf8.RuneCountInString(s) > width {
		at := len(string([]rune(s)[:width+1]))
		cut := strings.LastIndexByte(s[:at], ' ')
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
