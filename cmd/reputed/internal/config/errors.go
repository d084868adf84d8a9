package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing that is wrong with a file.
type Error struct {
	File string `json:"file"`
	Line int    `json:"line"`          // from 1
	Key  string `json:"key,omitempty"` // "milter.listen"; empty where Text says it all, as with an unknown key
	Text string `json:"text"`          // what is wrong and, in parentheses, what is right
}

// Error gives "FILE:LINE: KEY: TEXT", which editors can jump to.
func (e Error) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text)
	}
	return fmt.Sprintf("%s:%d: %s: %s", e.File, e.Line, e.Key, e.Text)
}

// Errors is everything that is wrong with a file, by line.
type Errors []Error

// Error gives one line for each error.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

func (es Errors) sort() {
	slices.SortStableFunc(es, func(a, b Error) int { return cmp.Compare(a.Line, b.Line) })
}

// conceal takes private keys out of what is shown, which somebody has put into the file where something else belongs.
func (es Errors) conceal() {
	for i := range es {
		if strings.Contains(es[i].Text, "PRIVATE KEY-----") || strings.Contains(es[i].Key, "PRIVATE KEY-----") {
			es[i].Key = ""
			es[i].Text = "a private key stands here, where none belongs (a key has a file of its own: reputed keys import)"
		}
	}
}
