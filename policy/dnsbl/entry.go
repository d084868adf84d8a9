package dnsbl

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"reputed/policy/mail"
)

// KeyError is what is wrong with one key of an entry.
type KeyError struct {
	Path []string // the key, and those below it: {"codes", "127.0.0.2", "severity"}
	Text string
}

func (e *KeyError) Error() string {
	if len(e.Path) == 0 {
		return e.Text
	}
	return strings.Join(e.Path, ".") + ": " + e.Text
}

// Read makes a list of an entry as a TOML decoder gives it, with the keys that [List] names. An entry whose id is in
// the catalogue changes that list: what it does not say stays. Any other makes a list of its own, which needs a zone
// and codes, and is watched by default. The error joins one [KeyError] for each thing that is wrong.
func (c *Catalogue) Read(entry map[string]any) (*List, error) {
	r := &reader{entry: entry, catalogue: c}
	if r.exposesKey(); len(r.errs) > 0 { // nothing else is said, for it might show the key
		return nil, errors.Join(r.errs...)
	}
	r.id()
	r.zone()
	r.words()
	r.tests()
	r.texts()
	r.codes()
	r.finish()
	if len(r.errs) > 0 {
		return nil, errors.Join(r.errs...)
	}
	return r.list, nil
}

// reader reads one entry. Each of its getters names its key, and so says which there are.
type reader struct {
	entry     map[string]any
	catalogue *Catalogue
	list      *List
	fresh     bool // not in the catalogue
	known     []string
	errs      []error
}

func (r *reader) wrong(format string, args []any, path ...string) {
	r.errs = append(r.errs, &KeyError{Path: path, Text: fmt.Sprintf(format, args...)})
}

func (r *reader) fail(err error, path ...string) {
	if err != nil {
		r.wrong("%v", []any{err}, path...)
	}
}

// get gives the value of a key, if it is there and of the right type.
func get[T any](r *reader, key, want string) (value T, ok bool) {
	r.known = append(r.known, key)
	v, there := r.entry[key]
	if !there {
		return value, false
	}
	value, ok = v.(T)
	if !ok {
		r.wrong("want %s", []any{want}, key)
	}
	return value, ok
}

func (r *reader) text(key string) (string, bool) { return get[string](r, key, "a text in quotes") }

// oneOf reads a word.
func oneOf[T ~uint8](r *reader, key string, words []string, dst *T) {
	s, ok := r.text(key)
	if !ok {
		return
	}
	v, err := parseWord[T](words, s)
	if err != nil {
		r.fail(err, key)
		return
	}
	*dst = v
}

// maxText bounds the texts of an entry: they appear in replies and in the log.
const maxText = 500

// line reads a text of one line.
func (r *reader) line(key string, dst *string) {
	s, ok := r.text(key)
	switch {
	case !ok:
	case len(s) > maxText || strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }):
		r.wrong("want one line of at most %d octets", []any{maxText}, key)
	default:
		*dst = s
	}
}

// id finds the list that the entry is about.
func (r *reader) id() {
	r.list = &List{}
	id, ok := r.text("id")
	if ok && !isID(id) {
		r.wrong("%q is not an id (small letters, digits and hyphens)", []any{id}, "id")
	}
	if _, there := r.entry["id"]; !there {
		r.wrong("there is none", nil, "id")
	}
	if base, known := r.catalogue.List(id); known {
		*r.list = *base
		return
	}
	r.fresh = true
	*r.list = List{ID: id, Name: id, Default: true, Families: IPv4 | IPv6, MinPoll: 30 * time.Minute, TestStatus: Assumed}
}

// isID tells whether a text can name a list. What begins with a hyphen would remove one.
func isID(s string) bool {
	ok := func(c rune) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' }
	return s != "" && len(s) <= 64 && s[0] != '-' && !strings.ContainsFunc(s, func(c rune) bool { return !ok(c) }) &&
		!slices.Contains(slices.Concat(tiers, []string{wordDefault, wordAll}), s)
}

// zone reads the zone and the key that may stand in it.
func (r *reader) zone() {
	l := r.list
	if s, ok := r.text("zone"); ok {
		zone, err := parseZone(s)
		if err == nil {
			err = r.catalogue.refuse(zone)
		}
		r.fail(err, "zone")
		l.Zone = zone
	} else if r.fresh && r.entry["zone"] == nil {
		r.wrong("there is none", nil, "zone")
	}
	if s, ok := r.text("key"); ok {
		key, err := NewKey(s)
		switch {
		case err != nil:
			r.fail(err, "key")
		case !strings.Contains(l.Zone, keyMark):
			r.wrong("the zone %q has no place for it (write {key} into the zone)", []any{l.Zone}, "key")
		}
		l.Key, l.Default = key, true
	}
	if l.Operator == "" {
		l.Operator = l.Zone
	}
}

// parseZone gives the canonical form of a zone, in which one label may be {key}.
func parseZone(s string) (string, error) {
	const stand = "k-e-y"
	plain := s
	if before, after, ok := strings.Cut(s, keyMark); ok {
		if before != "" && !strings.HasSuffix(before, ".") || !strings.HasPrefix(after, ".") {
			return "", errors.New("{key} must be a label of its own")
		}
		plain = before + stand + after
	}
	d, err := mail.ParseDomain(plain)
	if err != nil || strings.ContainsAny(plain, "{}") {
		return "", fmt.Errorf("%q is not a zone", s)
	}
	if _, err := netip.ParseAddr(d.String()); err == nil {
		return "", fmt.Errorf("%q is an address, not a zone", s)
	}
	if d.Parent().IsZero() {
		return "", fmt.Errorf("%q is a top-level domain", s)
	}
	if plain == s {
		return d.String(), nil
	}
	return strings.Replace(d.String(), stand, keyMark, 1), nil
}

// words reads what is said in words of a vocabulary.
func (r *reader) words() {
	l := r.list
	domains := uint8(0)
	if l.Domains {
		domains = 1
	}
	oneOf(r, "subject", []string{"ip", "domain"}, &domains)
	l.Domains = domains == 1
	oneOf(r, "kind", kinds, &l.Kind)
	oneOf(r, "tier", tiers, &l.Tier)
	oneOf(r, "access", accesses, &l.Access)
	oneOf(r, "public_resolver", publics, &l.PublicResolver)
	if b, ok := get[bool](r, "default", "true or false, without quotes"); ok {
		l.Default = b
	}
	r.families()
	r.minPoll()
}

func (r *reader) families() {
	values, ok := get[[]any](r, "families", `a list such as ["ipv4", "ipv6"]`)
	if r.list.Domains {
		if len(values) > 0 {
			r.wrong("a list of domains has none", nil, "families")
		}
		r.list.Families = 0
		return
	}
	if !ok {
		return
	}
	r.list.Families = 0
	for _, v := range values {
		switch v {
		case "ipv4":
			r.list.Families |= IPv4
		case "ipv6":
			r.list.Families |= IPv6
		default:
			r.wrong("%q is not a family (ipv4, ipv6)", []any{fmt.Sprint(v)}, "families")
		}
	}
	if len(values) == 0 {
		r.wrong("want ipv4, ipv6 or both", nil, "families")
	}
}

// The bounds of min_poll: no list needs to be asked more often, and none should be believed for longer.
const (
	leastPoll = time.Minute
	mostPoll  = 7 * 24 * time.Hour
)

func (r *reader) minPoll() {
	s, ok := r.text("min_poll")
	if !ok {
		return
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < leastPoll || d > mostPoll {
		r.wrong("%q is not a time span from 1m to 168h (such as \"30m\")", []any{s}, "min_poll")
		return
	}
	r.list.MinPoll = d
}

// tests reads the test points. Without them, they are those of RFC 5782, section 5.
func (r *reader) tests() {
	l := r.list
	oneOf(r, "test_status", testStatuses, &l.TestStatus)
	listed, unlisted := "127.0.0.2", "127.0.0.1"
	switch {
	case l.Domains:
		listed, unlisted = "test", "invalid"
	case l.Families == IPv6:
		listed, unlisted = "::ffff:127.0.0.2", "::ffff:127.0.0.1"
	}
	changed := r.fresh || r.entry["subject"] != nil || r.entry["families"] != nil
	r.testPoint("test_listed", listed, changed, &l.TestListed)
	r.testPoint("test_unlisted", unlisted, changed, &l.TestUnlisted)
	if l.TestStatus == NoTest {
		l.TestListed, l.TestUnlisted = Subject{}, Subject{}
	}
}

func (r *reader) testPoint(key, otherwise string, changed bool, dst *Subject) {
	s, ok := r.text(key)
	if !ok {
		if !changed && !dst.IsZero() {
			return
		}
		s = otherwise
	}
	var point Subject
	if err := point.UnmarshalText([]byte(s)); err != nil || !r.list.Takes(point) {
		r.wrong("%q is nothing that this list can be asked about", []any{s}, key)
		return
	}
	*dst = point
}

// texts reads what is shown to people, and the ids of other lists.
func (r *reader) texts() {
	l := r.list
	r.line("name", &l.Name)
	r.line("operator", &l.Operator)
	r.line("expiry", &l.Expiry)
	r.line("note", &l.Note)
	r.line("confidence", &l.Confidence)
	r.line("part_of", &l.PartOf)
	r.line("replaces", &l.Replaces)
	r.url("lookup_url", &l.LookupURL)
	r.url("removal_url", &l.RemovalURL)
}

// url reads the address of a web page: it goes into SMTP replies.
func (r *reader) url(key string, dst *string) {
	s := *dst
	r.line(key, &s)
	web := strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://")
	if s != "" && (!web || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })) {
		r.wrong("%q is not the address of a web page (https://..., without blanks)", []any{s}, key)
		return
	}
	*dst = s
}

// codes reads both kinds of codes. Those of an entry take the place of all that the catalogue has.
func (r *reader) codes() {
	if values, ok := get[map[string]any](r, "codes", `codes with their meaning`); ok {
		r.list.Codes = nil
		for _, key := range slices.Sorted(maps.Keys(values)) {
			r.code(key, values[key])
		}
		slices.SortFunc(r.list.Codes, func(a, b Code) int { return byPrecision(a.Pattern, b.Pattern) })
	}
	if _, there := r.entry["codes"]; len(r.list.Codes) == 0 && (r.fresh || there) {
		r.wrong(`there are none, and without them nothing is a listing (such as `+
			`codes = { "127.0.0.2" = { meaning = "spam source", severity = "block" } })`, nil, "codes")
	}
	if values, ok := get[map[string]any](r, "error_codes", "codes with their meaning"); ok {
		r.list.ErrorCodes = nil
		for _, key := range slices.Sorted(maps.Keys(values)) {
			r.errorCode(key, values[key])
		}
		slices.SortFunc(r.list.ErrorCodes, func(a, b ErrorCode) int { return byPrecision(a.Pattern, b.Pattern) })
	}
}

func (r *reader) code(key string, value any) {
	p, err := ParsePattern(key)
	if err != nil {
		r.fail(err, "codes", key)
		return
	}
	if _, is := isQueryError(netip.AddrFrom4(p.lo)); is {
		r.wrong("127.255.255.0/24 is an error on every list, and never a listing", nil, "codes", key)
		return
	}
	values, ok := value.(map[string]any)
	if !ok {
		r.wrong(`want { meaning = "...", severity = "..." }`, nil, "codes", key)
		return
	}
	in := &reader{entry: values}
	c := Code{Pattern: p}
	in.line("meaning", &c.Meaning)
	oneOf(in, "severity", severities[Good:], &c.Severity)
	c.Severity += Good
	in.finish()
	for _, need := range []string{"meaning", "severity"} {
		if values[need] == nil {
			in.wrong("there is none", nil, need)
		}
	}
	for _, err := range in.errs {
		below := err.(*KeyError)
		r.wrong("%s", []any{below.Text}, append([]string{"codes", key}, below.Path...)...)
	}
	r.list.Codes = append(r.list.Codes, c)
}

func (r *reader) errorCode(key string, value any) {
	p, err := ParsePattern(key)
	if err != nil {
		r.fail(err, "error_codes", key)
		return
	}
	in := &reader{entry: map[string]any{key: value}}
	c := ErrorCode{Pattern: p}
	in.line(key, &c.Meaning)
	for _, err := range in.errs {
		r.wrong("%s", []any{err.(*KeyError).Text}, "error_codes", key)
	}
	r.list.ErrorCodes = append(r.list.ErrorCodes, c)
}

// finish notes the keys that nobody asked for.
func (r *reader) finish() {
	for _, key := range slices.Sorted(maps.Keys(r.entry)) {
		if !slices.Contains(r.known, key) {
			r.wrong("there is no such key%s", []any{hint(" (did you mean %q?)", key, r.known)}, key)
		}
	}
}
