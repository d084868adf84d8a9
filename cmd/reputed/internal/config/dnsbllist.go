package config

import (
	"encoding/json"
	"errors"
	"strings"

	"reputed/policy/dnsbl"
)

// List is an own list, or one of the catalogue that the configuration changes: with all that holds for it.
type List struct{ *dnsbl.List }

// keyMark is what is written in the place of a key, and never read.
const keyMark = "{key}"

// listKeys are the keys of an entry, in the order in which they are written.
var listKeys = []string{
	"id", "name", "operator", "zone", "key", "subject", "kind", "families", "tier", "default", "access",
	"public_resolver", "min_poll", "test_listed", "test_unlisted", "test_status", "part_of", "replaces", "lookup_url",
	"removal_url", "expiry", "note", "confidence", "codes", "error_codes",
}

// entry gives the list as [dnsbl.Catalogue.Read] takes it, but for the key, in whose place its mark stands.
func (l List) entry() map[string]any {
	e := map[string]any{
		"id": l.ID, "name": l.Name, "operator": l.Operator, "zone": l.Zone,
		"subject": "ip", "kind": l.Kind.String(), "tier": l.Tier.String(), "default": l.Default,
		"access": l.Access.String(), "public_resolver": l.PublicResolver.String(),
		"min_poll": Duration(l.MinPoll).String(), "test_status": l.TestStatus.String(),
		"part_of": l.PartOf, "replaces": l.Replaces, "lookup_url": l.LookupURL, "removal_url": l.RemovalURL,
		"expiry": l.Expiry, "note": l.Note, "confidence": l.Confidence,
	}
	if !l.Key.IsZero() {
		e["key"] = keyMark
	}
	if l.Domains {
		e["subject"] = "domain"
	} else {
		e["families"] = families(l.Families)
	}
	if l.TestStatus != dnsbl.NoTest {
		e["test_listed"], e["test_unlisted"] = l.TestListed.String(), l.TestUnlisted.String()
	}
	codes, mistakes := make(map[string]any), make(map[string]any)
	for _, c := range l.Codes {
		codes[c.Pattern.String()] = map[string]any{"meaning": c.Meaning, "severity": c.Severity.String()}
	}
	for _, c := range l.ErrorCodes {
		mistakes[c.Pattern.String()] = c.Meaning
	}
	e["codes"], e["error_codes"] = codes, mistakes
	return e
}

func families(f dnsbl.Families) []any {
	words := []any{}
	for _, one := range []dnsbl.Families{dnsbl.IPv4, dnsbl.IPv6} {
		if f&one != 0 {
			words = append(words, one.String())
		}
	}
	return words
}

// MarshalJSON writes the list with the keys that it has in the file.
func (l List) MarshalJSON() ([]byte, error) { return json.Marshal(l.entry()) }

// readLists reads the [[policy.dnsbl.list]] entries, and makes the catalogue. It gives the ids of the entries that are
// wrong: nothing can be said of words that name them.
func (b *DNSBL) readLists(s *section, entries []*section) (spoiled []string) {
	builtin, err := dnsbl.Builtin()
	if err != nil {
		s.wrong("list", "%v", err)
		return nil
	}
	lines := make(map[string]int)
	var good []*section
	var lists []*dnsbl.List
	for _, e := range entries {
		id, _ := e.values["id"].(string)
		l := readList(e, builtin)
		if first := lines[id]; first != 0 && id != "" {
			e.wrong("id", "%q has an entry already, at line %d", id, first)
			l = nil
		} else {
			lines[id] = e.at.kid("id").line
		}
		if l == nil {
			spoiled = append(spoiled, id)
			continue
		}
		good, lists = append(good, e), append(lists, l)
		b.Lists = append(b.Lists, List{l})
	}
	if b.catalogue, err = builtin.With(lists...); err == nil {
		return spoiled
	}
	b.catalogue = builtin
	for i, l := range lists { // one after the other, to see which does not go with those before it
		next, err := b.catalogue.With(l)
		if err != nil {
			good[i].wrongEntry(err)
			spoiled = append(spoiled, l.ID)
			continue
		}
		b.catalogue = next
	}
	return spoiled
}

// readList reads one entry. It gives nil where something is wrong.
func readList(s *section, builtin *dnsbl.Catalogue) *dnsbl.List {
	entry := make(map[string]any)
	for _, key := range listKeys {
		if value, ok := s.ask(key); ok {
			entry[key] = value
		}
	}
	if !secretKept(s, builtin) {
		return nil
	}
	id, _ := entry["id"].(string)
	if _, err := builtin.Named(id); err != nil && id != "" && !s.has("zone") {
		s.wrong("id", "%v; a list of your own needs zone and codes", err)
		return nil
	}
	l, err := builtin.Read(entry)
	if err != nil {
		s.wrongEntry(err)
		return nil
	}
	if l.NeedsKey() {
		s.wrong("zone", "%q has a place for a key, and without one the list cannot be asked (key = \"...\")", l.Zone)
		return nil
	}
	return l
}

// secretKept notes a key that is not one, and one that stands in the zone, where it would be shown.
func secretKept(s *section, builtin *dnsbl.Catalogue) bool {
	key, _ := s.values["key"].(string)
	zone, _ := s.values["zone"].(string)
	if key == keyMark {
		s.wrong("key", "%q is what config show prints in the place of a key (write the key itself)", keyMark)
		return false
	}
	if strings.Contains(zone, keyMark) {
		return true
	}
	within := "." + strings.ToLower(strings.TrimSuffix(zone, "."))
	if key != "" && strings.Contains(within+".", "."+strings.ToLower(key)+".") {
		s.wrong("zone", "the key stands in it, and would be shown with it (write %s in its place)", keyMark)
		return false
	}
	for _, l := range builtin.Lists() {
		below, keyed := strings.CutPrefix(l.Zone, keyMark)
		if keyed && strings.HasSuffix(within, below) && strings.Trim(within, ".") != below[1:] {
			s.wrong("zone", "a key stands in it, and would be shown with it (zone = %q, and the key by itself: key = \"...\")",
				l.Zone)
			return false
		}
	}
	return true
}

// wrongEntry notes what is wrong with an entry, each at its own line.
func (s *section) wrongEntry(err error) {
	errs := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		errs = joined.Unwrap()
	}
	for _, err := range errs {
		e := Error{File: s.doc.file, Line: s.at.line, Key: s.path, Text: printable(err.Error())}
		if below := new(dnsbl.KeyError); errors.As(err, &below) {
			e.Text = printable(below.Text)
			at := s.at
			for _, part := range below.Path {
				at = at.kid(part)
				e.Key += "." + bare(part)
			}
			e.Line = at.line
		}
		s.doc.errs = append(s.doc.errs, e)
	}
}
