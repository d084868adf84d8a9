package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// document is a file being read, with what was found wrong so far.
type document struct {
	file     string
	errs     Errors
	sections []*section
}

// parse reads the text. Of a text that is not TOML only the first error is known.
func parse(file string, text []byte) (*section, *document) {
	doc := &document{file: file}
	var values map[string]any
	if err := toml.Unmarshal(text, &values); err != nil {
		doc.syntax(err)
		return nil, doc
	}
	root, twice := index(string(text))
	for _, r := range twice {
		text := fmt.Sprintf("key %q is written already, at line %d", r.key, r.first)
		doc.errs = append(doc.errs, Error{File: file, Line: r.line, Text: text})
	}
	return doc.section("", values, root), doc
}

func (d *document) section(path string, values map[string]any, at *node) *section {
	s := &section{doc: d, path: path, values: values, at: at}
	d.sections = append(d.sections, s)
	return s
}

// syntax notes an error of the TOML library in our form.
func (d *document) syntax(err error) {
	e := Error{File: d.file, Line: 1, Text: err.Error()}
	parse := new(toml.ParseError)
	if errors.As(err, parse) {
		e.Line, e.Text = max(1, parse.Position.Line), parse.Message
	}
	if strings.HasPrefix(e.Text, "expected value but found") || strings.HasPrefix(e.Text, "Invalid integer") {
		e.Text += " (a text stands in quotes)"
	}
	e.Text = "not valid toml: " + plain(e.Text)
	if secretive(parse.LastKey) {
		e.Text = "not valid toml, at a key or behind it (it may be a secret, so none of it is shown; a text stands in quotes)"
	}
	d.errs = append(d.errs, e)
}

// secretive tells whether the value of a key may be a secret: the key of a list, or that of a name server.
func secretive(key string) bool {
	last := strings.ToLower(key[strings.LastIndexByte(key, '.')+1:])
	return last == "key" || strings.Contains(last, "secret")
}

// plain gives a message of the TOML library as ours are written: lower case at the start, no full stop, and nothing
// that a terminal would obey.
func plain(s string) string {
	s = printable(strings.TrimSuffix(s, "."))
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

// printable gives a text with nothing in it that a terminal would obey.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// finish notes every key that nobody asked for, and gives all errors: nil if there are none.
func (d *document) finish() error {
	for _, s := range d.sections {
		for _, key := range slices.Sorted(maps.Keys(s.values)) {
			if !slices.Contains(s.known, key) {
				text := fmt.Sprintf("unknown key %q%s", s.name(key), d.meant(s, key))
				d.errs = append(d.errs, Error{File: d.file, Line: s.at.kid(key).line, Text: text})
			}
		}
	}
	if len(d.errs) == 0 {
		return nil
	}
	d.errs.sort()
	d.errs.conceal()
	return d.errs
}

// meant guesses what an unknown key was to be: one of this section with a slip, or a key of another section. Of several
// sections it is rather one that this one lies below.
func (d *document) meant(s *section, key string) string {
	if w := nearest(key, s.known); w != "" && distance(strings.ToLower(key), w) == 1 {
		return didYouMean(key, s.known)
	}
	var home *section
	for _, other := range d.sections {
		if slices.Contains(other.known, key) && (home == nil || strings.HasPrefix(s.path, other.path+".")) {
			home = other
		}
	}
	switch {
	case home == nil:
		return didYouMean(key, s.known)
	case home.path == "":
		return " (write it at the top of the file, before the first [section])"
	}
	return fmt.Sprintf(" (it belongs in %s)", home.title())
}

// didYouMean gives the parenthesis for a word with a slip.
func didYouMean(s string, words []string) string {
	if w := nearest(s, words); w != "" {
		return fmt.Sprintf(" (did you mean %q?)", w)
	}
	return ""
}

// section is a cursor over one table of the file. Its getters leave the destination as it is, at its default, when the
// key is absent or wrong. Each names its key, and so says which keys exist: what nobody asked for is unknown.
type section struct {
	doc    *document
	path   string         // "" at the top, "milter", "domain"
	many   bool           // written [[path]]
	values map[string]any // nil when the table is absent
	at     *node
	known  []string
}

// name gives the full name of a key.
func (s *section) name(key string) string {
	if s.path == "" {
		return key
	}
	return s.path + "." + key
}

// title gives the header that the section has in a file.
func (s *section) title() string {
	if s.many {
		return "[[" + s.path + "]]"
	}
	return "[" + s.path + "]"
}

// has tells whether the key is written.
func (s *section) has(key string) bool {
	_, ok := s.values[key]
	return ok
}

// blank tells whether the key is absent, or set to an empty text or list: nothing is meant by it.
func (s *section) blank(key string) bool {
	switch value := s.values[key].(type) {
	case nil:
		return true
	case string:
		return value == ""
	case []any:
		return len(value) == 0
	}
	return false
}

// wrong notes that something is wrong with a key.
func (s *section) wrong(key, format string, args ...any) {
	s.wrongAt(s.at.kid(key), key, fmt.Sprintf(format, args...))
}

func (s *section) wrongAt(at *node, key, text string) {
	s.doc.errs = append(s.doc.errs, Error{File: s.doc.file, Line: at.line, Key: s.name(key), Text: text})
}

// ask gives the value of a key.
func (s *section) ask(key string) (value any, ok bool) {
	s.known = append(s.known, key)
	value, ok = s.values[key]
	return value, ok
}

// table gives the section below a key. It is there even when the file has none.
func (s *section) table(key string) *section {
	value, ok := s.ask(key)
	values, is := value.(map[string]any)
	if ok && !is {
		s.wrong(key, "a section is wanted, not %s (write [%s] on a line of its own)", kind(value), s.name(key))
	}
	return s.doc.section(s.name(key), values, s.at.kid(key))
}

// tables gives the sections of an array of tables.
func (s *section) tables(key string) []*section {
	value, ok := s.ask(key)
	if !ok {
		return nil
	}
	var list []map[string]any
	switch value := value.(type) {
	case []map[string]any:
		list = value
	case []any:
		for _, v := range value {
			table, is := v.(map[string]any)
			if !is {
				s.wrong(key, "sections are wanted, not %s (write [[%s]])", kind(v), s.name(key))
				return nil
			}
			list = append(list, table)
		}
	default:
		s.wrong(key, "there may be several of these sections (write [[%s]], with two brackets)", s.name(key))
		return nil
	}
	found := make([]*section, len(list))
	for i, values := range list {
		found[i] = s.doc.section(s.name(key), values, s.at.kid(key).item(i))
		found[i].many = true
	}
	return found
}

// flag reads true or false.
func (s *section) flag(key string, dst *bool) {
	value, ok := s.ask(key)
	if !ok {
		return
	}
	if b, is := value.(bool); is {
		*dst = b
		return
	}
	s.wrong(key, "want true or false, without quotes, not %s", kind(value))
}

// text reads a value that stands in quotes, and parses it.
func text[T any](s *section, key string, parse func(string) (T, error), dst *T) {
	value, ok := s.ask(key)
	if !ok {
		return
	}
	str, is := value.(string)
	if !is {
		s.wrong(key, "want a text in quotes, not %s", kind(value))
		return
	}
	parsed, err := parse(str)
	if err != nil {
		s.wrong(key, "%v", err)
		return
	}
	*dst = parsed
}

// list reads a list of values that stand in quotes, and parses each. All errors are noted, each at its own line.
func list[T comparable](s *section, key string, parse func(string) (T, error), dst *[]T) {
	values, ok := s.array(key)
	if !ok {
		return
	}
	parsed := make([]T, 0, len(values))
	for i, value := range values {
		v, err := element(value, parse)
		if err == nil && slices.Contains(parsed, v) {
			err = fmt.Errorf("%q is listed twice", value)
		}
		if err != nil {
			s.wrongAt(s.at.kid(key).item(i), key, err.Error())
			continue
		}
		parsed = append(parsed, v)
	}
	if len(parsed) == len(values) {
		*dst = parsed
	}
}

// element parses one element of a list.
func element[T any](value any, parse func(string) (T, error)) (v T, err error) {
	word, is := value.(string)
	if !is {
		return v, fmt.Errorf("want texts in quotes in the list, not %s", kind(value))
	}
	return parse(word)
}

// array gives the elements of a list.
func (s *section) array(key string) ([]any, bool) {
	value, ok := s.ask(key)
	if !ok {
		return nil, false
	}
	values, is := value.([]any)
	if !is {
		s.wrong(key, `want a list, such as ["a", "b"], not %s`, kind(value))
	}
	return values, is
}

// kind names the type of a value in words.
func kind(value any) string {
	switch value.(type) {
	case string:
		return "a text"
	case bool:
		return "true or false"
	case int64, float64:
		return "a number"
	case time.Time:
		return "a date"
	case []any:
		return "a list"
	case map[string]any:
		return "a section"
	case []map[string]any:
		return "several sections"
	}
	return "this" // TOML has no other types
}
