package dnsbl

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"reputed/policy/mail"
)

// Catalogue is the lists that are known, and the zones that must not be asked. It does not change once it is made.
type Catalogue struct {
	built time.Time
	lists []*List
	byID  map[string]*List
	dead  []Dead
}

// Dead is a zone that must not be asked any more. Asking it is slow at best; at worst it lists the world.
type Dead struct {
	Zone     string   `json:"zone"`               // with everything below it; "*." before it says that all of it was lists
	Includes []string `json:"includes,omitempty"` // names under which it was asked too
	Since    string   `json:"since,omitempty"`    // a date or a year, as well as it is known
	Reason   string   `json:"reason"`
}

// ErrDead is what the error for a dead zone is.
var ErrDead = errors.New("must not be asked")

//go:embed catalogue.toml
var builtin string

// Builtin gives the catalogue that is part of the program.
func Builtin() (*Catalogue, error) { return parseCatalogue(builtin) }

// catalogueSchema is the form of catalogue.toml.
const catalogueSchema = 1

func parseCatalogue(text string) (*Catalogue, error) {
	var file struct {
		Schema int
		Built  time.Time
		List   []map[string]any
		Dead   []Dead
	}
	meta, err := toml.Decode(text, &file)
	if err != nil {
		return nil, fmt.Errorf("dnsbl: catalogue: %w", err)
	}
	for _, key := range meta.Undecoded() {
		if key[0] != "list" { // read below
			return nil, fmt.Errorf("dnsbl: catalogue: unknown key %s", key)
		}
	}
	if file.Schema != catalogueSchema {
		return nil, fmt.Errorf("dnsbl: catalogue: schema %d is not known", file.Schema)
	}
	c := &Catalogue{built: file.Built, dead: file.Dead}
	lists := make([]*List, len(file.List))
	for i, entry := range file.List {
		if entry["default"] == nil {
			entry["default"] = false
		}
		if lists[i], err = c.Read(entry); err != nil {
			return nil, fmt.Errorf("dnsbl: catalogue: list %v: %w", entry["id"], err)
		}
	}
	return c.With(lists...)
}

// Built says when the facts of the catalogue were gathered.
func (c *Catalogue) Built() time.Time { return c.built }

// Lists gives all lists: of addresses, of domains, and allow lists, within these the most important first; then those
// of the configuration.
func (c *Catalogue) Lists() []*List { return slices.Clone(c.lists) }

// List gives the list of an id.
func (c *Catalogue) List(id string) (*List, bool) {
	l, ok := c.byID[id]
	return l, ok
}

// Dead gives the zones that must not be asked.
func (c *Catalogue) Dead() []Dead { return slices.Clone(c.dead) }

// With gives a catalogue with lists in it, each in the place of the one with its id, or at the end. The error joins
// what is wrong between them.
func (c *Catalogue) With(own ...*List) (*Catalogue, error) {
	n := &Catalogue{built: c.built, dead: c.dead, lists: slices.Clone(c.lists), byID: map[string]*List{}}
	var errs []error
	for i, l := range own {
		if slices.ContainsFunc(own[:i], func(o *List) bool { return o.ID == l.ID }) {
			errs = append(errs, fmt.Errorf("list %q is there twice", l.ID))
			continue
		}
		at := slices.IndexFunc(n.lists, func(o *List) bool { return o.ID == l.ID })
		if at < 0 {
			n.lists = append(n.lists, l)
			continue
		}
		n.lists[at] = l
	}
	for i, l := range n.lists {
		copied := *l
		copied.keyed = ""
		n.lists[i], n.byID[l.ID] = &copied, &copied
	}
	errs = append(errs, n.connect()...)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return n, nil
}

// connect looks at what lists say of each other.
func (c *Catalogue) connect() (errs []error) {
	zones := map[string]string{}
	for _, l := range c.lists {
		for _, other := range []string{l.PartOf, l.Replaces} {
			if o := c.byID[other]; other != "" && (o == nil || o == l || o.Domains != l.Domains) {
				errs = append(errs, fmt.Errorf("list %q: %q, which it names, is no other list of its kind", l.ID, other))
			}
		}
		if o := c.byID[l.Replaces]; o != nil {
			o.keyed = l.ID
		}
		zone := fmt.Sprint(l.Domains, l.Zone)
		if first, twice := zones[zone]; twice {
			errs = append(errs, fmt.Errorf("list %q: zone %q is that of list %q (change that one)", l.ID, l.Zone, first))
		}
		zones[zone] = l.ID
	}
	return errs
}

// DeadZone tells whether a zone must not be asked, and why.
func (c *Catalogue) DeadZone(zone string) (Dead, bool) {
	name, err := mail.ParseDomain(strings.TrimPrefix(strings.ReplaceAll(zone, keyMark+".", ""), "*."))
	if err != nil {
		return Dead{}, false
	}
	for _, d := range c.dead {
		for _, z := range append([]string{d.Zone}, d.Includes...) {
			if top, err := mail.ParseDomain(strings.TrimPrefix(z, "*.")); err == nil && name.Within(top) {
				return d, true
			}
		}
	}
	return Dead{}, false
}

// refuse gives the error for a zone that is dead.
func (c *Catalogue) refuse(zone string) error {
	d, dead := c.DeadZone(zone)
	switch {
	case !dead:
		return nil
	case d.Since == "":
		return fmt.Errorf("%q %w: %s", zone, ErrDead, d.Reason)
	}
	return fmt.Errorf("%q %w: dead since %s (%s)", zone, ErrDead, d.Since, d.Reason)
}
