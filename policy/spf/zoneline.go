package spf

import "strings"

// ZoneLine gives the new record as a line of a zone file, which can be pasted; "" when there is none.
func (a *Advice) ZoneLine() string {
	if a.New == "" {
		return ""
	}
	return zoneLine(a.Domain, a.Strings)
}

// ZoneLine gives a TXT record as a line of a zone file. The text is cut into strings of at most 255 octets: RFC 1035,
// section 3.3.
func ZoneLine(name, text string) string { return zoneLine(name, split(text)) }

// zoneLine escapes quotes and backslashes: RFC 1035, section 5.1.
func zoneLine(name string, strs []string) string {
	quoted := make([]string, len(strs))
	for i, s := range strs {
		quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
	}
	return name + ". IN TXT " + strings.Join(quoted, " ")
}
