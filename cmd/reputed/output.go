package main

import (
	"strconv"
	"strings"
)

// printable makes text from strangers fit for a terminal: what is no printable character is shown as in a Go string.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strings.Trim(strconv.Quote(s), `"`)
	}
	return s
}
