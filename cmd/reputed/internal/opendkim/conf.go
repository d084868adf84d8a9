package opendkim

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Place is a line of a file.
type Place struct {
	File string
	Line int // from 1; 0: the file as a whole
}

// String gives "FILE:LINE", which editors can jump to.
func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// shown gives the place with a name that can be shown.
func (p Place) shown() Place { return Place{printable(p.File), p.Line} }

// setting is a line of opendkim.conf.
type setting struct {
	at    Place
	name  string // as written
	value string
}

// maxDepth is how deep OpenDKIM lets files include others.
const maxDepth = 5

// conf is opendkim.conf with what it includes.
type conf struct {
	file     string
	settings []setting
	last     map[string]int // by lower-case name: the setting that counts
	base     string         // BaseDirectory
}

// readConf reads opendkim.conf. What is wrong with it goes to the report, but for a file that cannot be read.
func (im *importer) readConf(file string) error {
	c := &conf{file: file, last: map[string]int{}, base: "/"}
	im.conf = c
	if err := im.include(file, 0); err != nil {
		return err
	}
	for i, s := range c.settings {
		name := strings.ToLower(s.name)
		if before, twice := c.last[name]; twice {
			im.note(c.settings[before], Different, "not used: %s sets it again, and the last one counts", s.at)
		}
		c.last[name] = i
	}
	if s, ok := c.get("BaseDirectory"); ok {
		c.base = s.value
	}
	return nil
}

// include reads one file.
func (im *importer) include(file string, depth int) error {
	text, err := readFile(im.root, file)
	if err != nil {
		return err
	}
	for i, line := range strings.Split(string(text), "\n") {
		at := Place{file, i + 1}
		line, _, _ = strings.Cut(line, "#")
		name, value := cutBlank(strings.TrimSpace(line))
		if name == "" {
			continue
		}
		s := setting{at, name, value}
		switch {
		case value == "":
			s.name = "a line"
			im.note(s, Broken, "it has no value; opendkim does not start")
		case !strings.EqualFold(name, "Include"):
			im.conf.settings = append(im.conf.settings, s)
		case depth == maxDepth:
			im.refuse(s, "files include each other more than %d deep", maxDepth)
		default:
			if err := im.include(im.conf.absolute(value), depth+1); err != nil {
				im.refuse(s, "%v", err)
			}
		}
	}
	return nil
}

// cutBlank cuts a text at its first white space.
func cutBlank(s string) (head, rest string) {
	if i := strings.IndexAny(s, " \t\r\f\v"); i >= 0 {
		return s[:i], strings.TrimSpace(s[i:])
	}
	return s, ""
}

// get gives the setting that counts.
func (c *conf) get(name string) (setting, bool) {
	i, ok := c.last[strings.ToLower(name)]
	if !ok {
		return setting{}, false
	}
	return c.settings[i], true
}

// effective gives the settings that count, in the order of the file.
func (c *conf) effective() []setting {
	var list []setting
	for i, s := range c.settings {
		if c.last[strings.ToLower(s.name)] == i {
			list = append(list, s)
		}
	}
	return list
}

// absolute gives the path of a file that the configuration names.
func (c *conf) absolute(file string) string {
	if !path.IsAbs(file) {
		file = path.Join(c.base, file)
	}
	return path.Clean(file)
}

// flag reads a Boolean, of which OpenDKIM looks at the first byte only.
func (im *importer) flag(name string) bool {
	s, ok := im.conf.get(name)
	if !ok {
		return false
	}
	switch s.value[0] {
	case 'T', 't', 'Y', 'y', '1':
		return true
	case 'F', 'f', 'N', 'n', '0':
		return false
	}
	im.note(s, Broken, "%q is neither yes nor no; opendkim does not start", s.value)
	return false
}

// readFile reads a file by its absolute path.
func readFile(root fs.FS, file string) ([]byte, error) {
	text, err := fs.ReadFile(root, rooted(file))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, reason(err))
	}
	return text, nil
}

// rooted gives a path as package fs wants it.
func rooted(file string) string {
	if rel := strings.TrimPrefix(path.Clean("/"+file), "/"); rel != "" {
		return rel
	}
	return "."
}

// reason gives an error without the path, which stands before it already.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
