package opendkim

import (
	"errors"
	"slices"
	"strings"
)

// readChoice reads how OpenDKIM chooses keys: its tables or, without any, Domain, Selector and KeyFile.
func (im *importer) readChoice() *choice {
	c := &choice{multiple: im.flag("MultipleSignatures"), subdomains: im.flag("SubDomains"), dkimpy: im.dkimpy}
	c.algorithm = "rsa-sha256"
	if s, ok := im.conf.get("SignatureAlgorithm"); ok {
		c.algorithm = strings.ToLower(s.value)
	}
	if s, ok := im.conf.get("Mode"); ok {
		c.verifies = !strings.ContainsAny(s.value, "sS")
	}
	if s, ok := im.conf.get("ExemptDomains"); ok {
		c.exempt, _ = im.dataset(s)
	}
	for _, name := range []string{"KeyTable", "KeyTableEd25519"} {
		if s, ok := im.conf.get(name); ok {
			if set, ok := im.dataset(s); ok {
				c.keys = append(c.keys, im.newKeyTable(s, set))
			}
		}
	}
	if s, ok := im.conf.get("SigningTable"); ok {
		set, _ := im.dataset(s)
		c.table = newSigningTable(s, set)
		if len(c.keys) == 0 && len(im.refused) == 0 {
			im.note(s, Broken, "there is no KeyTable; opendkim does not start")
		}
		return c
	}
	if len(c.keys) > 0 {
		im.note(c.keys[0].option, Broken, "there is no SigningTable to say who uses the keys; opendkim does not start, "+
			"unless a script chooses")
		c.table = newSigningTable(setting{}, dataset{})
		return c
	}
	im.readSingle(c)
	return c
}

// readSingle reads the set-up without tables.
func (im *importer) readSingle(c *choice) {
	if s, ok := im.conf.get("Domain"); ok {
		c.domains, _ = im.dataset(s)
	}
	for _, suffix := range []string{"", "Ed25519"} {
		file, hasFile := im.conf.get("KeyFile" + suffix)
		selector, hasSelector := im.conf.get("Selector" + suffix)
		switch {
		case hasFile && hasSelector:
			c.single = append(c.single, key{at: file.at, name: file.name, selector: selector.value,
				file: im.conf.absolute(file.value), seed: suffix != ""})
		case hasFile:
			im.note(file, Broken, "there is no Selector%s for it", suffix)
		case hasSelector:
			im.note(selector, Broken, "there is no KeyFile%s for it", suffix)
		}
	}
	if s, ok := im.conf.get("Domain"); ok && len(c.single) == 0 {
		im.note(s, Broken, "there is no key: Selector and KeyFile, or KeyTable and SigningTable, are missing")
	}
}

// algorithms may stand behind the key in a key table.
var algorithms = [...]string{"rsa-sha256", "rsa-sha1", "ed25519-sha256"}

// What is wrong with an entry of a key table. None of these errors quotes it: it may be, or hold, a private key.
var (
	errEntry = errors.New("not DOMAIN:SELECTOR:KEY")
	errBlank = errors.New("there is white space around the domain, the selector or the key")
)

func (im *importer) newKeyTable(option setting, set dataset) *keyTable {
	t := &keyTable{option: option, set: set}
	for _, it := range set.items {
		k, err := parseKey(it)
		k.seed = option.name != "" && strings.HasSuffix(strings.ToLower(option.name), "ed25519")
		if k.file != "" {
			k.file = im.conf.absolute(k.file)
		}
		t.keys, t.wrong = append(t.keys, k), append(t.wrong, err)
	}
	return t
}

// parseKey reads an entry of a key table.
func parseKey(it item) (key, error) {
	k := key{at: it.at, name: it.key}
	parts := strings.SplitN(it.value, ":", 3)
	if len(parts) < 3 {
		return k, errEntry
	}
	k.domain, k.selector = parts[0], parts[1]
	rest := parts[2]
	if i := strings.LastIndexByte(rest, ':'); i >= 0 && slices.Contains(algorithms[:], strings.ToLower(rest[i+1:])) {
		rest, k.algorithm = rest[:i], strings.ToLower(rest[i+1:])
	}
	for _, part := range []string{k.domain, k.selector, rest} {
		switch {
		case part == "":
			return k, errEntry
		case strings.TrimSpace(part) != part:
			return k, errBlank
		}
	}
	if strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, "./") || strings.HasPrefix(rest, "../") {
		k.file = rest
	} else {
		k.inline = secret(rest)
	}
	return k, nil
}

// named gives a word of the configuration, unless it may be part of a private key: those are long and hold no dots, or
// begin with hyphens.
func named(word string) string {
	if len(word) > 32 && !strings.Contains(word, ".") || strings.HasPrefix(word, "-----") || len(word) > 300 {
		return "(not shown)"
	}
	return printable(word)
}
