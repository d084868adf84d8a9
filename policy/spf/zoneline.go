package spf

import "strings"

// ZoneLine gives the new record as a line of a zone file, which can be pasted; "" when there is none.
func (a *Advice) ZoneLine() string {
	if a.New == "" {
		return ""
	}
	return a.Domain + `. IN TXT "` + strings.Join(a.Strings, `" "`) + `"`
}
