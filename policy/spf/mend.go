package spf

import (
	"slices"
	"strings"

	"reputed/policy/mail"
)

// Change is one term of a record that an advice does not leave as it is.
type Change struct {
	Old string `json:"old"` // as it stands in the record; "": the term is new
	New string `json:"new"` // "": the term goes
	Why string `json:"why"`
}

// mending is a record that is being put right.
type mending struct {
	terms   []string // without the version
	changes []Change
}

// mend gives the terms of a text that should be an SPF record, all of them right, and what was changed. What cannot be
// guessed from a term goes.
func mend(text string) ([]string, []Change) {
	m := &mending{}
	clean := cleaned(text)
	if clean != text {
		m.changes = append(m.changes, Change{text, clean, "quotes, dashes and blanks must be those of ASCII"})
	}
	fields := strings.Fields(m.version(clean))
	for i := 0; i < len(fields); i++ {
		term, old := fields[i], fields[i]
		for i+1 < len(fields) && belongs(term, fields[i+1]) {
			i++
			old += " " + fields[i]
			term = join(term, fields[i])
		}
		m.term(old, term)
	}
	m.once("redirect")
	m.once("exp")
	return m.terms, m.changes
}

// version takes the version off the text.
func (m *mending) version(text string) string {
	text = strings.TrimSpace(text)
	if IsRecord(text) {
		return text[len(version):]
	}
	at := strings.Index(strings.ToLower(text[:min(len(text), 16)]), "spf")
	if at < 0 {
		return text
	}
	end := at + len("spf")
	if end < len(text) && text[end] == '1' {
		end++
	}
	rest := strings.TrimLeft(text[end:], " ,;:.")
	old := strings.TrimSpace(text[:len(text)-len(rest)])
	m.changes = append(m.changes, Change{old, version, "a record begins with v=spf1 and a blank"})
	return rest
}

// term takes a term, which the fields old of the record have come to.
func (m *mending) term(old, term string) {
	if isVersion(term) {
		m.changes = append(m.changes, Change{old, "", "the version stands once, at the beginning"})
		return
	}
	if same(term, "all") {
		m.terms = append(m.terms, "~all")
		m.changes = append(m.changes, Change{old, "~all", "it would allow the whole world"})
		return
	}
	if old == term && isRight(term) && !isMistaken(term) {
		m.terms = append(m.terms, term)
		return
	}
	good, why := []string{term}, "there is no blank within a term"
	if !isRight(term) || isMistaken(term) {
		good, why = repair(term)
	}
	for i := range good {
		if same(good[i], "all") {
			good[i], why = "~all", "it would allow the whole world"
		}
	}
	m.terms = append(m.terms, good...)
	m.changes = append(m.changes, Change{old, strings.Join(good, " "), why})
}

// once drops all but the first of a modifier.
func (m *mending) once(name string) {
	seen := false
	m.terms = slices.DeleteFunc(m.terms, func(term string) bool {
		n, _, ok := modifier(term)
		if !ok || n != name {
			return false
		}
		drop := seen
		seen = true
		if drop {
			m.changes = append(m.changes, Change{term, "", name + "= may stand once"})
		}
		return drop
	})
}

// belongs tells whether a blank has crept into a term before the field next.
func belongs(term, next string) bool {
	if strings.Trim(term, "+-~?") == "" {
		return true
	}
	if strings.IndexByte(":=/", next[0]) >= 0 {
		return true
	}
	if isRight(next) || isVersion(next) {
		return false
	}
	name := strings.ToLower(strings.TrimLeft(strings.TrimRight(term, ":="), "+-~?"))
	k, known := kindOf(name)
	if !known || strings.ContainsAny(name, ":=/") {
		return false
	}
	// "mx mail.example.org" is an mx, and a host; "ip4 192.0.2.1" is one term.
	return term[len(term)-1] == ':' || term[len(term)-1] == '=' || !isRight(term) && k != "all"
}

func join(term, next string) string {
	last := term[len(term)-1]
	if strings.IndexByte("+-~?:=", last) >= 0 || strings.IndexByte(":=/", next[0]) >= 0 {
		return term + next
	}
	return term + ":" + next
}

func isVersion(term string) bool { return strings.EqualFold(strings.Trim(term, ",;"), version) }

// isRight tells a term without error.
func isRight(term string) bool {
	var r Record
	return term != "" && isPrintable(term) && strings.IndexByte(term, ' ') < 0 && r.term(term) == nil
}

// isMistaken tells a mechanism that is written like a modifier. It is no error, since modifiers that nobody knows are
// ignored: RFC 7208, section 6.
func isMistaken(term string) bool {
	name, _, ok := modifier(term)
	if !ok || name == "redirect" || name == "exp" {
		return false
	}
	_, known := aliases[name]
	return known || name == "v"
}

// repair gives what a term that is not right was meant to be, and why; nothing when that cannot be told.
func repair(term string) ([]string, string) {
	trimmed := strings.Trim(term, ",;.")
	if isRight(trimmed) && !isMistaken(trimmed) {
		return []string{trimmed}, "terms are divided by blanks only"
	}
	if strings.ContainsAny(trimmed, ",;") && !strings.Contains(trimmed, "%{") {
		var all []string
		for _, piece := range strings.FieldsFunc(trimmed, func(r rune) bool { return r == ',' || r == ';' }) {
			good := []string{piece}
			if !isRight(piece) || isMistaken(piece) {
				good, _ = repair(piece)
			}
			all = append(all, good...)
		}
		return all, "terms are divided by blanks only"
	}
	body := strings.TrimLeft(trimmed, "+-~?")
	qualifier := ""
	if len(body) < len(trimmed) && trimmed[0] != '+' {
		qualifier = trimmed[:1]
	}
	made, why := rebuild(body)
	if strings.HasPrefix(made, "redirect=") || strings.HasPrefix(made, "exp=") {
		qualifier = "" // modifiers have none
	}
	if made = qualifier + made; isRight(made) {
		return []string{made}, why
	}
	return nil, "it is no term of SPF, and what was meant cannot be told"
}

// rebuild gives what a term without qualifier was meant to be, and why.
func rebuild(body string) (string, string) {
	if made := network(body); made != "" {
		return made, "an address needs ip4: or ip6: before it"
	}
	at := strings.IndexAny(body, ":=/")
	if at < 0 {
		if kind, ok := kindOf(strings.ToLower(body)); ok {
			return kind, "the mechanism is called " + kind
		}
		return glued(body)
	}
	name, value := strings.ToLower(body[:at]), body[at:]
	kind, ok := kindOf(name)
	if !ok {
		return "", ""
	}
	if value[0] != '/' {
		value = strings.TrimLeft(value, ":=")
	}
	made := argument(kind, strings.Trim(value, ",;<>()"))
	switch {
	case !strings.HasPrefix(made, kind):
		return made, "the argument wants another mechanism"
	case kind != name:
		return made, "the mechanism is called " + kind
	case body[at] == '=' && strings.HasPrefix(made, kind+":"):
		return made, "mechanisms have a colon; with an equals sign it is ignored"
	case strings.HasPrefix(made, kind+"="):
		return made, "modifiers have an equals sign"
	}
	return made, "the argument is wrong"
}

// glued gives what a term without any division was meant to be.
func glued(body string) (string, string) {
	for _, name := range []string{"include", "exists", "redirect", "ip4", "ip6"} {
		if len(body) > len(name) && strings.EqualFold(body[:len(name)], name) {
			return argument(name, body[len(name):]), "a colon is missing"
		}
	}
	domain := asciiDomain(body)
	switch {
	case domain == "":
		return "", ""
	case domain[0] == '_' || strings.HasPrefix(domain, "spf"):
		return "include:" + domain, "a name needs include: before it"
	}
	return "a:" + domain, "a host needs a: before it"
}

// argument puts a mechanism or modifier and its argument together, with the mechanism that the argument wants.
func argument(kind, value string) string {
	if kind == "all" {
		return kind
	}
	if kind != "exists" && kind != "exp" && kind != "redirect" {
		if made := network(value); made != "" {
			return made
		}
	}
	sign := ":"
	switch kind {
	case "redirect", "exp":
		sign = "="
	case "ip4", "ip6":
		kind = "a" // what is no address may be a host
	}
	host, length, _ := strings.Cut(value, "/")
	if host == "" && (kind == "a" || kind == "mx") {
		if made := kind + "/" + length; isRight(made) {
			return made
		}
		return kind
	}
	if strings.Contains(host, "%") {
		host = braced(host)
	} else if host = asciiDomain(host); host == "" {
		return ""
	}
	if made := kind + sign + host + "/" + length; (kind == "a" || kind == "mx") && isRight(made) {
		return made
	}
	return kind + sign + host
}

// braced writes %d as %{d}.
func braced(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+1 < len(s) && strings.IndexByte("slodiphv", s[i+1]|0x20) >= 0 {
			b.WriteString("%{" + s[i+1:i+2] + "}")
			i++
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// asciiDomain gives a name of several labels in A-labels; "" when it is none.
func asciiDomain(s string) string {
	d, err := mail.ParseDomain(s)
	if err != nil || !isHostName(d.String()) {
		return ""
	}
	return d.String()
}
