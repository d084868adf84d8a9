package mail

import (
	"bytes"
	"errors"
	"strings"
)

// Address is a mailbox: local part and domain. The local part is kept as given, unquoted. The zero value is the null
// reverse-path.
type Address struct {
	Local  string
	Domain Domain
}

// ErrAddress is what every error of [ParsePath] is.
var ErrAddress = errors.New("not a mail address")

// IsZero tells that there is no address.
func (a Address) IsZero() bool { return a == Address{} }

// String gives local@domain, the local part quoted where RFC 5321, section 4.1.2 asks for it. Not escaped for display.
func (a Address) String() string {
	if a.IsZero() {
		return ""
	}
	if isDotAtom(a.Local) {
		return a.Local + "@" + a.Domain.String()
	}
	q := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	return `"` + q.Replace(a.Local) + `"@` + a.Domain.String()
}

// TrimPath removes the angle brackets of an envelope address. Postfix sends them for SMTP and none for sendmail(1).
func TrimPath(s string) string {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "<") && strings.HasSuffix(s, ">") && len(s) >= 2 {
		return s[1 : len(s)-1]
	}
	return s
}

// ParsePath reads an envelope address, with or without angle brackets and source route. The empty path gives the zero
// address. The error tells nothing but that it is none: show the text itself.
func ParsePath(s string) (Address, error) {
	s = TrimPath(s)
	if s == "" {
		return Address{}, nil
	}
	// RFC 5321, appendix C: source routes are accepted and ignored.
	if s[0] == '@' {
		route, rest, ok := strings.Cut(s, ":")
		if !ok || !isRoute(route) {
			return Address{}, ErrAddress
		}
		s = rest
	}
	at := strings.LastIndexByte(s, '@')
	if at <= 0 {
		return Address{}, ErrAddress
	}
	local, ok := unquote(s[:at])
	if !ok {
		return Address{}, ErrAddress
	}
	d, err := ParseDomain(s[at+1:])
	if err != nil {
		return Address{}, ErrAddress
	}
	return Address{Local: local, Domain: d}, nil
}

// isRoute tells whether a text is a source route: "@a.example,@b.example". Another text before the colon may hold an
// address, which some readers take.
func isRoute(s string) bool {
	for hop := range strings.SplitSeq(s, ",") {
		name, ok := strings.CutPrefix(hop, "@")
		if _, err := ParseDomain(name); !ok || err != nil {
			return false
		}
	}
	return true
}

// SameLocal compares local parts, or the names of logins, in any case of US-ASCII letters. More would not be safe: what
// [strings.EqualFold] takes for the same, octets that are no UTF-8 among it, are accounts of different people.
func SameLocal(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// unquote gives the local part without the quoting it may bear.
func unquote(local string) (string, bool) {
	if local == "" {
		return "", false
	}
	if local[0] != '"' {
		return local, !strings.ContainsAny(local, "\"<> \t\r\n\x00")
	}
	if len(local) < 2 || local[len(local)-1] != '"' {
		return "", false
	}
	var b strings.Builder
	inner := local[1 : len(local)-1]
	for i := 0; i < len(inner); i++ {
		if inner[i] == '"' {
			return "", false
		}
		if inner[i] == '\\' {
			if i++; i == len(inner) {
				return "", false
			}
		}
		b.WriteByte(inner[i])
	}
	return b.String(), true
}

// isDotAtom tells whether a local part needs no quotes (RFC 5321, section 4.1.2; RFC 6531 adds all above US-ASCII).
func isDotAtom(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c != '.' && !isAtext(c) {
			return false
		}
	}
	return true
}

func isAtext(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c >= 0x80 ||
		strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// Author is what the From fields of a header say.
type Author struct {
	Fields    int       // From fields: RFC 5322, section 3.6 wants exactly one
	Addresses []Address // of all of them, in order, each once
	Broken    bool      // some From field holds text that is no address
}

// maxAuthors bounds the addresses kept of one header. Honest mail has one, seldom two.
const maxAuthors = 32

// Domains gives the domains of the addresses, in order, each once.
func (a Author) Domains() []Domain {
	var ds []Domain
next:
	for _, addr := range a.Addresses {
		for _, d := range ds {
			if d == addr.Domain {
				continue next
			}
		}
		ds = append(ds, addr.Domain)
	}
	return ds
}

// ReadAuthor reads the From fields.
func (h *Header) ReadAuthor() Author {
	var a Author
	for i := range h.Len() {
		f := h.At(i)
		if !f.Is("From") {
			continue
		}
		a.Fields++
		found, ok := ParseMailboxes(f.Value())
		a.Broken = a.Broken || !ok
		for _, m := range found {
			a.add(m)
		}
	}
	return a
}

func (a *Author) add(m Address) {
	for _, have := range a.Addresses {
		if have == m {
			return
		}
	}
	if len(a.Addresses) == maxAuthors {
		a.Broken = true
		return
	}
	a.Addresses = append(a.Addresses, m)
}

// ParseMailboxes reads the addresses of a From field as receivers do: display names, comments, quoted strings, encoded
// words and groups are passed over, folds are white space (RFC 5322, section 3.4, with the obsolete forms of section
// 4.4). It tells whether every entry was understood; what was understood is returned all the same.
func ParseMailboxes(value []byte) ([]Address, bool) {
	p := mailboxes{in: value, ok: true}
	p.list()
	return p.found, p.ok
}

// mailboxes is the parser of one field. It collects one entry at a time: the text outside angle brackets, and the text
// inside the last ones.
type mailboxes struct {
	in    []byte
	pos   int
	found []Address
	ok    bool
}

func (p *mailboxes) list() {
	for p.pos < len(p.in) {
		p.entry()
	}
}

// entry reads up to the next comma or the end of a group.
func (p *mailboxes) entry() {
	var plain, angle []byte
	inAngle, hadAngle := false, false
	put := func(b ...byte) {
		switch {
		case inAngle:
			angle = append(angle, b...)
		case !hadAngle:
			plain = append(plain, b...)
		case len(bytes.Trim(b, " \t\r\n")) > 0:
			p.ok = false // text behind the brackets: perhaps another address
		}
	}
	for p.pos < len(p.in) {
		c := p.in[p.pos]
		switch {
		case c == '"':
			put(p.quoted()...)
			continue
		case c == '(':
			p.comment()
			put(' ')
			continue
		case c == '[':
			put(p.literal()...)
			continue
		case c == '<' && !inAngle && !hadAngle:
			inAngle = true
		case c == '<':
			p.ok = false // a second bracket: nobody agrees on what this is
		case c == '>':
			p.ok = p.ok && inAngle
			inAngle, hadAngle = false, true
		case (c == ',' || c == ';') && !inAngle:
			p.pos++
			p.done(plain, angle, hadAngle)
			return
		case c == ':' && !inAngle && !hadAngle:
			p.ok = p.ok && !hasAt(plain)
			plain = plain[:0] // what stood there was the name of a group
		default:
			put(c)
		}
		p.pos++
	}
	p.ok = p.ok && !inAngle
	p.done(plain, angle, hadAngle || inAngle)
}

// hasAt tells whether an at sign stands outside of quotes. RFC 5322, section 3.4 has none in the name of a group; a reader
// who knows no groups takes an address there.
func hasAt(name []byte) bool {
	for i := 0; i < len(name); i++ {
		switch name[i] {
		case '"':
			i = quotedEnd(name, i) - 1
		case '@':
			return true
		}
	}
	return false
}

// done takes what entry collected.
func (p *mailboxes) done(plain, angle []byte, hadAngle bool) {
	spec := plain
	if hadAngle {
		spec = angle
	}
	spec = bytes.Trim(spec, " \t\r\n")
	if len(spec) == 0 {
		p.ok = p.ok && !hadAngle // empty entries are harmless, empty brackets are not
		return
	}
	spec = squeeze(spec)
	addr, err := ParsePath(string(spec))
	if err != nil || addr.IsZero() || ambiguous(spec, addr.Local) {
		p.ok = false
		return
	}
	p.found = append(p.found, addr)
}

// ambiguous tells that a local part holds, without quotes, what stands between addresses: of <a@x.example,b@y.example>
// one reader takes the first address and another the last. RFC 5322, section 3.2.3 allows no such character there.
func ambiguous(spec []byte, local string) bool {
	return bytes.IndexByte(spec, '"') < 0 && strings.ContainsAny(local, `@,;:()[]\`)
}

// squeeze removes the white space that RFC 5322, section 4.4 allows around the dots and the at sign. White space between
// two words stays, and makes the text no address.
func squeeze(spec []byte) []byte {
	out := spec[:0:0]
	for i := 0; i < len(spec); i++ {
		c := spec[i]
		if c == '"' {
			end := quotedEnd(spec, i)
			out = append(out, spec[i:end]...)
			i = end - 1
			continue
		}
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			out = append(out, c)
			continue
		}
		rest := bytes.TrimLeft(spec[i:], " \t\r\n")
		joined := len(out) == 0 || bytes.IndexByte([]byte(".@:,"), out[len(out)-1]) >= 0 ||
			len(rest) == 0 || bytes.IndexByte([]byte(".@:,"), rest[0]) >= 0
		if !joined {
			out = append(out, ' ')
		}
		i = len(spec) - len(rest) - 1
	}
	return out
}

// quotedEnd gives the position after the quoted string that starts at i, or the end of the text.
func quotedEnd(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// quoted reads a quoted string, and gives it with its quotes and without its folds.
func (p *mailboxes) quoted() []byte {
	end := quotedEnd(p.in, p.pos)
	q := p.in[p.pos:end]
	p.pos = end
	if len(q) < 2 || q[len(q)-1] != '"' {
		p.ok = false
	}
	return bytes.ReplaceAll(q, []byte("\r\n"), nil)
}

// comment passes over a comment, which may hold others.
func (p *mailboxes) comment() {
	for depth := 0; p.pos < len(p.in); p.pos++ {
		switch p.in[p.pos] {
		case '\\':
			p.pos++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				p.pos++
				return
			}
		}
	}
	p.pos = min(p.pos, len(p.in))
	p.ok = false
}

// literal reads a domain literal.
func (p *mailboxes) literal() []byte {
	start := p.pos
	if n := bytes.IndexByte(p.in[start:], ']'); n >= 0 {
		p.pos = start + n + 1
	} else {
		p.pos = len(p.in)
	}
	return p.in[start:p.pos]
}
