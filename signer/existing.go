package signer

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	"reputed/policy/mail"
)

// ErrTags is what every error about the form of a signature field is.
var ErrTags = errors.New("signer: malformed tag list")

// tag is one tag of a list, with the place of its value in the text.
type tag struct {
	name, value string
	start, end  int
}

// parseTags reads a tag list: RFC 6376, section 3.2. White space around names and values is not part of them; a name
// that stands twice makes the list void.
func parseTags(text []byte) ([]tag, error) {
	var tags []tag
	for pos := 0; pos < len(text); {
		end := pos + len(text[pos:])
		if n := bytes.IndexByte(text[pos:], ';'); n >= 0 {
			end = pos + n
		}
		spec := text[pos:end]
		name, _, ok := bytes.Cut(spec, []byte{'='})
		t := tag{name: strings.Trim(string(name), blanks), start: pos + len(name) + 1, end: end}
		switch {
		case !ok && len(bytes.Trim(spec, blanks)) == 0 && end == len(text):
			return tags, nil // nothing after the last semicolon
		case !ok || t.name == "" || len(tags) == maxTags:
			return nil, ErrTags
		}
		for _, other := range tags {
			if other.name == t.name {
				return nil, ErrTags
			}
		}
		t.value = strings.Trim(string(text[t.start:end]), blanks)
		tags = append(tags, t)
		pos = end + 1
	}
	return tags, nil
}

const (
	blanks  = " \t\r\n"
	maxTags = 32
)

// Tags gives the tags of a signature field by name, for display. Values may hold white space where the field is folded.
func Tags(f mail.Field) (map[string]string, error) {
	list, err := parseTags(f.Value())
	if err != nil {
		return nil, err
	}
	tags := make(map[string]string, len(list))
	for _, t := range list {
		tags[t.name] = t.value
	}
	return tags, nil
}

// existing is a signature that names one of our keys.
type existing struct {
	key      *Key
	canon    Canonicalization
	header   []byte // its name, and its value without the signature
	value    []byte
	names    []string // h=, in lower case
	bodyHash []byte
	sig      []byte
}

// Bounds of what is looked at: signatures of a message, names in h=.
const (
	maxExisting = 8
	maxNames    = 256
)

// ownSignatures finds the signatures that name keys of the ring and may be valid. Whatever else is wrong with a
// signature field, it is another's matter and never a reason not to sign.
func (s *Signer) ownSignatures(h *mail.Header) []*existing {
	var found []*existing
	for i, seen := 0, 0; i < h.Len() && seen < maxExisting; i++ {
		f := h.At(i)
		if !f.Is(fieldName) {
			continue
		}
		seen++
		if e := s.ownSignature(f); e != nil {
			found = append(found, e)
		}
	}
	return found
}

// ownSignature reads a field. Nil means that it is not ours, or cannot be valid.
func (s *Signer) ownSignature(f mail.Field) *existing {
	tags, err := parseTags(f.Value())
	if err != nil {
		return nil
	}
	byName := make(map[string]tag, len(tags))
	for _, t := range tags {
		byName[t.name] = t
	}
	d, errD := mail.ParseDomain(byName["d"].value)
	sel, errS := mail.ParseDomain(byName["s"].value)
	if errD != nil || errS != nil {
		return nil
	}
	e := &existing{key: s.ring.find(ID{d, sel}), header: f.Name(), names: signedNames(byName["h"].value)}
	if e.key == nil || e.names == nil || byName["a"].value != e.key.algorithm || !s.acceptable(byName, d) {
		return nil
	}
	if e.canon, err = canonTag(byName["c"].value); err != nil {
		return nil
	}
	var errB, errBH error
	e.sig, errB = decode(byName["b"].value)
	e.bodyHash, errBH = decode(byName["bh"].value)
	if errB != nil || errBH != nil {
		return nil
	}
	value := f.Value()
	e.value = append(append(e.value, value[:byName["b"].start]...), value[byName["b"].end:]...)
	return e
}

// signedNames reads h=. Nil means that receivers would refuse it, for From must be in it (RFC 6376, section 6.1.1), or
// that it is too long for us.
func signedNames(h string) (names []string) {
	from := false
	for name := range strings.SplitSeq(h, ":") {
		if len(names) == maxNames {
			return nil
		}
		name = string(appendLower(nil, []byte(strings.Trim(name, blanks))))
		from = from || name == "from"
		names = append(names, name)
	}
	if !from {
		return nil
	}
	return names
}

// acceptable tells whether receivers accept the tags, as RFC 6376, section 6.1.1 has it: i= lies within d=, and the
// time of x= is to come. One with l= covers a part of the body only, and is not as good as one of ours.
func (s *Signer) acceptable(tags map[string]tag, d mail.Domain) bool {
	if _, partial := tags["l"]; partial || tags["v"].value != "1" {
		return false
	}
	if i, ok := tags["i"]; ok {
		agent, err := mail.ParseDomain(i.value[strings.LastIndexByte(i.value, '@')+1:])
		if err != nil || !strings.Contains(i.value, "@") || !agent.Within(d) {
			return false
		}
	}
	x, ok := tags["x"]
	if !ok {
		return true
	}
	end, err := strconv.ParseInt(x.value, 10, 64)
	if t, ok := tags["t"]; ok && err == nil { // section 3.5: x= is after t=
		var made int64
		if made, err = strconv.ParseInt(t.value, 10, 64); made >= end {
			return false
		}
	}
	return err == nil && s.opt.Now().Unix() <= end
}

// canonTag reads c=, whose parts may be missing: RFC 6376, section 3.5.
func canonTag(s string) (Canonicalization, error) {
	header, body, _ := strings.Cut(s, "/")
	if header == "" {
		header = "simple"
	}
	if body == "" {
		body = "simple"
	}
	return ParseCanonicalization(header + "/" + body)
}

// decode reads base64 that may be folded.
func decode(s string) ([]byte, error) {
	s = strings.Map(func(r rune) rune {
		if strings.ContainsRune(blanks, r) {
			return -1
		}
		return r
	}, s)
	if s == "" {
		return nil, ErrTags
	}
	return base64.StdEncoding.DecodeString(s)
}

// checkOld verifies the signatures of our own keys, and gives the keys that need not sign again.
func (g *Signature) checkOld() map[*Key]bool {
	if len(g.old) == 0 {
		return nil
	}
	done := map[*Key]bool{}
	index := indexFields(g.header)
	for _, e := range g.old {
		if !done[e.key] && bytes.Equal(e.bodyHash, g.sums[e.canon.Body]) && e.key.verify(e.hash(g.header, index), e.sig) {
			done[e.key] = true
			g.verified = append(g.verified,
				mail.Signed{Domain: e.key.id.Domain, Selector: e.key.id.Selector, Algorithm: e.key.algorithm})
		}
	}
	return done
}

// indexFields places the fields of a header, from the top, by lower-case name.
func indexFields(h *mail.Header) map[string][]int {
	index := make(map[string][]int, h.Len())
	var name []byte
	for i := range h.Len() {
		name = appendLower(name[:0], h.At(i).Name())
		index[string(name)] = append(index[string(name)], i)
	}
	return index
}

// hash gives the hash of the header that the signature covers: RFC 6376, section 5.4.2 says which field a name stands
// for when there are several.
func (e *existing) hash(h *mail.Header, index map[string][]int) []byte {
	hash := sha256.New()
	taken := map[string]int{} // fields of a name, from the bottom
	var buf []byte
	for _, name := range e.names {
		at := index[name]
		if n := len(at) - taken[name]; n > 0 {
			taken[name]++
			buf = appendField(buf[:0], e.canon.Header, h.At(at[n-1]))
			hash.Write(buf)
		}
	}
	hash.Write(appendUnsigned(nil, e.canon.Header, e.header, e.value))
	return hash.Sum(nil)
}
