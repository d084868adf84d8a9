package config

import (
	"strconv"
	"strings"
)

// node says where a value of the file stands. The TOML library keeps positions to itself, so the text is read a second
// time, after the library has found it valid, for nothing but the lines of its keys.
type node struct {
	line  int              // from 1
	kids  map[string]*node // of a table
	items []*node          // of an array, of tables or of values
}

// kid gives the node of a key, or n itself where there is none: its line is the best that can be said.
func (n *node) kid(key string) *node {
	if k := n.kids[key]; k != nil {
		return k
	}
	return n
}

// item is kid for the elements of an array.
func (n *node) item(i int) *node {
	if i < len(n.items) {
		return n.items[i]
	}
	return n
}

// grow gives the node of a key for what follows it: a new one where there is none, and of an array of tables the
// last.
func (n *node) grow(key string, line int) *node {
	k := n.kids[key]
	if k == nil {
		k = &node{line: line}
		n.put(key, k)
	}
	if len(k.items) > 0 {
		return k.items[len(k.items)-1]
	}
	return k
}

func (n *node) put(key string, k *node) {
	if n.kids == nil {
		n.kids = make(map[string]*node)
	}
	n.kids[key] = k
}

// index reads where everything in a valid TOML text stands. Of an invalid text it makes something, and ends. It also
// gives the keys that are set a second time where a table stands already: the library drops these in silence.
func index(text string) (root *node, twice []repeat) {
	for _, mark := range []string{"\ufeff", "\xff\xfe", "\xfe\xff"} { // byte order marks, as the library takes them
		if rest, ok := strings.CutPrefix(text, mark); ok {
			text = rest
			break
		}
	}
	x := &indexer{rest: text, line: 1}
	root = &node{line: 1}
	table := root
	for x.space(); x.rest != ""; x.space() {
		if x.skip("[") {
			table = x.header(root)
		} else {
			x.pair(table)
		}
	}
	return root, x.twice
}

// repeat is a key set a second time.
type repeat struct {
	key         string
	line, first int
}

// indexer is a place in the text.
type indexer struct {
	rest  string
	line  int
	twice []repeat
}

// advance goes n bytes on, counting lines.
func (x *indexer) advance(n int) {
	x.line += strings.Count(x.rest[:n], "\n")
	x.rest = x.rest[n:]
}

// skip goes past s if it stands here.
func (x *indexer) skip(s string) bool {
	if !strings.HasPrefix(x.rest, s) {
		return false
	}
	x.advance(len(s))
	return true
}

// past goes behind the next end that no backslash stands before, or to the end of the text. In literal strings a
// backslash is a character like any other.
func (x *indexer) past(end string, literal bool) {
	for i := 0; i < len(x.rest); i++ {
		if x.rest[i] == '\\' && !literal {
			i++
		} else if strings.HasPrefix(x.rest[i:], end) {
			x.advance(i + len(end))
			return
		}
	}
	x.advance(len(x.rest))
}

// space goes past blanks, line ends and comments.
func (x *indexer) space() {
	for x.rest != "" {
		switch x.rest[0] {
		case ' ', '\t', '\r', '\n':
			x.advance(1)
		case '#':
			if n := strings.IndexByte(x.rest, '\n'); n >= 0 {
				x.advance(n)
			} else {
				x.advance(len(x.rest))
			}
		default:
			return
		}
	}
}

// header reads a table's header behind its first bracket, and gives the table.
func (x *indexer) header(root *node) *node {
	line := x.line
	array := x.skip("[")
	keys := x.keys()
	x.skip("]")
	table := root
	for i, key := range keys {
		if array && i == len(keys)-1 {
			return table.add(key, line)
		}
		table = table.grow(key, line)
	}
	return table
}

// add appends a table to the array of tables at key.
func (n *node) add(key string, line int) *node {
	array := n.kids[key]
	if array == nil {
		array = &node{line: line}
		n.put(key, array)
	}
	table := &node{line: line}
	array.items = append(array.items, table)
	return table
}

// pair reads "key = value" into a table.
func (x *indexer) pair(table *node) {
	line := x.line
	keys := x.keys()
	value := x.value()
	value.line = line
	for _, key := range keys[:len(keys)-1] {
		table = table.grow(key, line)
	}
	last := keys[len(keys)-1]
	if first := table.kids[last]; first != nil {
		x.twice = append(x.twice, repeat{strings.Join(keys, "."), line, first.line})
	}
	table.put(last, value)
}

// keys reads a dotted key and the "=" or "]" behind it. There is always one at least.
func (x *indexer) keys() []string {
	var keys []string
	for {
		x.space()
		keys = append(keys, x.key())
		x.space()
		if !x.skip(".") {
			break
		}
	}
	if x.rest != "" {
		x.advance(1)
	}
	return keys
}

// key reads one part of a dotted key.
func (x *indexer) key() string {
	whole := x.rest
	switch {
	case x.skip(`"`):
		x.past(`"`, false)
		raw := whole[:len(whole)-len(x.rest)]
		if key, err := strconv.Unquote(raw); err == nil {
			return key
		}
		return raw
	case x.skip("'"):
		x.past("'", true)
		return strings.Trim(whole[:len(whole)-len(x.rest)], "'")
	}
	n := strings.IndexAny(x.rest, " \t\r\n.=]#")
	if n < 0 {
		n = len(x.rest)
	}
	x.advance(n)
	return whole[:n]
}

// value reads a value.
func (x *indexer) value() *node {
	x.space()
	n := &node{line: x.line}
	switch {
	case x.skip(`"""`):
		x.past(`"""`, false)
		for x.skip(`"`) { // the text itself may end in one or two quotes
		}
	case x.skip("'''"):
		x.past("'''", true)
		for x.skip("'") {
		}
	case x.skip(`"`):
		x.past(`"`, false)
	case x.skip("'"):
		x.past("'", true)
	case x.skip("["):
		for x.space(); x.rest != "" && !x.skip("]"); x.space() {
			n.items = append(n.items, x.value())
			x.space()
			x.skip(",")
		}
	case x.skip("{"):
		for x.space(); x.rest != "" && !x.skip("}"); x.space() {
			x.pair(n)
			x.space()
			x.skip(",")
		}
	default:
		x.scalar()
	}
	return n
}

// scalar goes past a number, a date or a truth value.
func (x *indexer) scalar() {
	n := strings.IndexAny(x.rest, ",]}#\r\n")
	if n < 0 {
		n = len(x.rest)
	}
	x.advance(max(n, min(1, len(x.rest)))) // at least one byte, so that every loop ends
}
