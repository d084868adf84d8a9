package opendkim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"reputed/policy/mail"
)

// tomlText is our configuration to be: what differs from the defaults, and where each comes from.
type tomlText struct {
	milter, outbound, dns, signing []string
	domains                        []string
}

// set adds a key with its origin.
func set(section *[]string, from setting, key, value string) {
	origin := from.at.String() + " " + from.name
	*section = append(*section, "# "+printable(origin)+"\n"+key+" = "+value+"\n")
}

// preset adds a key with a reason.
func preset(section *[]string, why, key, value string) {
	*section = append(*section, "# "+why+"\n"+key+" = "+value+"\n")
}

// domain adds a [[domain]].
func (t *tomlText) domain(e entry, selectors []mail.Domain) {
	var b strings.Builder
	fmt.Fprintf(&b, "name = %s\n", quote(e.area.String()))
	if e.signAs != e.area.domain {
		fmt.Fprintf(&b, "sign_as = %s\n", quote(e.signAs.String()))
	}
	if len(selectors) > 0 {
		fmt.Fprintf(&b, "selectors = %s\n", quoteAll(selectors))
	}
	if e.subdomains {
		b.WriteString("subdomains = true\n")
	}
	t.domains = append(t.domains, b.String())
}

// text gives the whole file.
func (t *tomlText) text(from string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# From %s. What became of each of its options: reputed config import-opendkim %s\n"+
		"# Keys that are not here have their defaults: reputed config example\n", printable(from), printable(shell(from)))
	for _, s := range []struct {
		header string
		keys   []string
	}{{"milter", t.milter}, {"outbound", t.outbound}, {"dns", t.dns}, {"signing", t.signing}} {
		if len(s.keys) > 0 {
			fmt.Fprintf(&b, "\n[%s]\n%s", s.header, strings.Join(s.keys, ""))
		}
	}
	for _, d := range t.domains {
		b.WriteString("\n[[domain]]\n" + d)
	}
	return []byte(b.String())
}

// quote writes a text as TOML's basic string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// quoteAll writes a list, over several lines where one would be long.
func quoteAll[T any](list []T) string {
	quoted := make([]string, len(list))
	total := 0
	for i, v := range list {
		quoted[i] = quote(fmt.Sprint(v))
		total += len(quoted[i]) + 2
	}
	if total < 90 {
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	var b strings.Builder
	b.WriteString("[\n")
	for row := range slices.Chunk(quoted, 5) {
		b.WriteString("  " + strings.Join(row, ", ") + ",\n")
	}
	b.WriteString("]")
	return b.String()
}

// printable gives a text with nothing in it that a terminal would obey, nor a second line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
