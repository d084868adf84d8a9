package spf

import "strings"

// ZoneLine gives the new record as a line of a zone file, which can be pasted; "" when there is none. Quotes and
// backslashes are escaped: RFC 1035, section 5.1.
func (a *Advice) ZoneLine() string {
	if a.New == "" {
		return ""
	}
	quoted := make([]string, len(a.Strings))
	for i, s := range a.Strings {
		quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
	}
	return a.Domain + ". IN TXT " + strings.Join(quoted, " ")
}
