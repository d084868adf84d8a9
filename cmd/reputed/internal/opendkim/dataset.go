package opendkim

import (
	"slices"
	"strings"
)

// kind is how a set is looked into.
type kind uint8

const (
	list   kind = iota // csl: or bare
	file               // one entry for each line
	refile             // the same, and keys are patterns
)

// item is an entry of a set. Its value may be a private key: it is never printed.
type item struct {
	at    Place
	key   string
	value string
}

// dataset is a set or a table of OpenDKIM's.
type dataset struct {
	kind  kind
	items []item
	first map[string]int // by lower-case key
	exact map[string]int // by key
}

// foreign says of what no more than its name is understood.
var foreign = []struct{ prefix, what string }{
	{"db:", "a Berkeley DB file"}, {"dsn:", "an SQL database"}, {"ldap:", "an LDAP directory"},
	{"ldaps:", "an LDAP directory"}, {"ldapi:", "an LDAP directory"}, {"lua:", "a Lua script"},
	{"memcache:", "a memcached"}, {"erlang:", "an Erlang node"}, {"mdb:", "an LMDB directory"},
	{"socket:", "a socket map"}, {"repute:", "a reputation service"},
}

// dataset reads the set that an option names, or refuses it.
func (im *importer) dataset(s setting) (d dataset, ok bool) {
	spec := s.value
	for _, f := range foreign {
		if strings.HasPrefix(spec, f.prefix) {
			im.refuse(s, "%s cannot be read here (write what is in it to a file, and say file:PATH)", f.what)
			return d, false
		}
	}
	path := ""
	switch {
	case strings.HasPrefix(spec, "file:"):
		d.kind, path = file, strings.TrimPrefix(spec, "file:")
	case strings.HasPrefix(spec, "refile:"):
		d.kind, path = refile, strings.TrimPrefix(spec, "refile:")
	case strings.HasSuffix(spec, ".db") && !strings.ContainsAny(spec, ", "):
		im.refuse(s, "a Berkeley DB file cannot be read here (write what is in it to a file, and say file:PATH)")
		return d, false
	case strings.HasPrefix(spec, "/"):
		d.kind, path = file, spec
	default:
		d.items = parseList(s.at, strings.TrimPrefix(spec, "csl:"))
	}
	if path != "" || d.kind != list {
		path = im.conf.absolute(path)
		text, err := readFile(im.root, path)
		if err != nil {
			im.refuse(s, "%v", err)
			return d, false
		}
		d.items = parseLines(path, string(text))
	}
	d.index()
	return d, true
}

// index finds the first entry of each key: it is the one that OpenDKIM finds.
func (d *dataset) index() {
	d.first, d.exact = make(map[string]int, len(d.items)), make(map[string]int, len(d.items))
	for i, it := range slices.Backward(d.items) {
		d.first[strings.ToLower(it.key)], d.exact[it.key] = i, i
	}
}

// parseList reads a list: entries between commas, and with a value behind "=".
func parseList(at Place, text string) []item {
	var items []item
	for entry := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(entry), "=")
		if key != "" {
			items = append(items, item{at, key, value})
		}
	}
	return items
}

// parseLines reads a file: one entry for each line, and its value behind white space.
func parseLines(file, text string) []item {
	var items []item
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		key, value := cutBlank(strings.TrimSpace(line))
		if key != "" {
			items = append(items, item{Place{file, i + 1}, key, value})
		}
	}
	return items
}

// find looks a key up, in any case or as it is, and gives the index of its entry, or -1.
func (d *dataset) find(key string, anyCase bool) int {
	index := d.exact
	if anyCase {
		index, key = d.first, strings.ToLower(key)
	}
	if d.kind == refile {
		return slices.IndexFunc(d.items, func(it item) bool { return glob(fold(it.key, anyCase), key) })
	}
	if i, ok := index[key]; ok {
		return i
	}
	return -1
}

func fold(s string, anyCase bool) string {
	if anyCase {
		return strings.ToLower(s)
	}
	return s
}

// glob tells whether a text fits a pattern, in which a star stands for any text, and everything else for itself.
func glob(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		_, rest, ok := strings.Cut(text, part)
		if !ok {
			return false
		}
		text = rest
	}
	return strings.HasSuffix(text, parts[last])
}

// words gives the keys.
func (d *dataset) words() (words []string) {
	for _, it := range d.items {
		words = append(words, it.key)
	}
	return words
}
