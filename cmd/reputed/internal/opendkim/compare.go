package opendkim

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"

	"reputed/policy/mail"
	"reputed/signer"
)

// Decision is what becomes of mail from a sender whose mail is to be signed.
type Decision struct {
	Signed   []string // the names of the records of the keys, sorted; none: it leaves unsigned
	Deferred bool     // it is held up, since a key cannot be used
}

// String gives the names, or "deferred", or "unsigned".
func (d Decision) String() string {
	switch {
	case d.Deferred:
		return "deferred"
	case len(d.Signed) == 0:
		return "unsigned"
	}
	return strings.Join(d.Signed, " ")
}

func (d Decision) equal(o Decision) bool {
	return d.Deferred == o.Deferred && slices.Equal(d.Signed, o.Signed)
}

// Comparison is what both programs do with mail from a sender.
type Comparison struct {
	Sender       mail.Address
	Theirs, Ours Decision
	Why          string // OpenDKIM defers it; "": it does not
}

// Same tells whether they do the same.
func (c *Comparison) Same() bool { return c.Theirs.equal(c.Ours) }

// comparer holds both readings of a configuration.
type comparer struct {
	choice   *choice
	ring     *signer.Ring
	unusable func(*key) string // why; "" if it can be used
}

// newComparer makes our ring of the configuration that was written, with the keys as they will lie.
func (im *importer) newComparer(o *Outcome) *comparer {
	var keys []*signer.Key
	var expected []mail.Domain
	for _, p := range im.places {
		expected = append(expected, p.ID.Domain)
		if p.Err == nil {
			keys = append(keys, p.key)
		}
	}
	ring, _ := signer.NewRing(o.Config.Rules(), expected, keys) // what it lacks is in the report, with the key
	unusable := func(k *key) string {
		l := im.load(k)
		if l.err != nil {
			return im.where(k) + ": " + l.err.Error()
		}
		if _, ed := l.private.(ed25519.PrivateKey); ed && im.choice.algorithm != "ed25519-sha256" && !im.dkimpy {
			return im.where(k) + ": not a key for " + im.choice.algorithm + ", the SignatureAlgorithm"
		}
		return ""
	}
	return &comparer{im.choice, ring, unusable}
}

// compare asks both.
func (c *comparer) compare(a mail.Address) Comparison {
	r := Comparison{Sender: a, Ours: c.ours(a.Domain)}
	v := c.choice.choose(a)
	r.Why = v.fault
	for _, w := range v.sign {
		if r.Why == "" {
			r.Why = c.unusable(&w.key)
		}
		if name := w.record(); !w.lost && !slices.Contains(r.Theirs.Signed, name) {
			r.Theirs.Signed = append(r.Theirs.Signed, name)
		}
	}
	slices.Sort(r.Theirs.Signed)
	if r.Why != "" {
		r.Theirs = Decision{Deferred: true}
	}
	return r
}

func (c *comparer) ours(from mail.Domain) (d Decision) {
	choice := c.ring.Choose(from)
	d.Deferred = choice.Status == signer.NoKey
	for _, k := range choice.Keys {
		d.Signed = append(d.Signed, k.ID().String())
	}
	slices.Sort(d.Signed)
	return d
}

// samples gives senders of every kind that the configuration speaks of, each once.
func (im *importer) samples() (all []mail.Address) {
	if t := im.choice.table; t != nil {
		for _, l := range t.lines {
			if l.name != "" {
				all = append(all, t.samplesOf(l.key)...)
			}
		}
	}
	for _, a := range im.areas() {
		all = append(all, a.sample())
	}
	for _, it := range im.choice.exempt.items {
		if d, err := mail.ParseDomain(it.key); err == nil {
			all = append(all, area{domain: d}.sample())
		}
	}
	seen := map[mail.Address]bool{}
	return slices.DeleteFunc(all, func(a mail.Address) bool {
		twice := seen[a]
		seen[a] = true
		return twice
	})
}

// tables tells of each line of the tables what became of it, and of whatever else differs.
func (im *importer) tables(o *Outcome) {
	c := im.newComparer(o)
	o.comparer, o.Samples = c, im.samples()
	told := map[mail.Address]bool{}
	if t := im.choice.table; t != nil {
		for n := range t.lines {
			im.signingLine(c, n, told)
		}
		for _, kt := range im.choice.keys {
			im.keyLines(kt)
		}
		if t.option.name != "" {
			im.note(t.option, Carried, "the [[domain]] entries; each of its lines is named below")
		}
	}
	for _, a := range o.Samples {
		if r := c.compare(a); !r.Same() && !told[a] {
			im.note(setting{at: Place{File: im.conf.file}, name: "mail from " + a.String()}, Different, "%s", r.difference())
		}
	}
}

// difference says what both do.
func (c *Comparison) difference() string {
	theirs := c.Theirs.String()
	if c.Why != "" {
		theirs += " (" + c.Why + ")"
	}
	return fmt.Sprintf("opendkim: %s; reputed: %s", theirs, c.Ours)
}

// signingLine tells of a line of the signing table.
func (im *importer) signingLine(c *comparer, n int, told map[mail.Address]bool) {
	t := im.choice.table
	l := &t.lines[n]
	at := setting{at: l.at, name: t.option.name + " " + named(l.key)}
	if l.name == "" { // a line of a private key, perhaps
		at.name = t.option.name
		im.note(at, Broken, "it names no key; opendkim does not start")
		return
	}
	if l.identity != "" {
		im.note(at, Different, "i= is not written")
	}
	if first := t.set.first[strings.ToLower(l.key)]; t.set.kind != refile && first != n {
		im.note(at, Broken, "it is never used, for %s has the same name", t.lines[first].at)
		return
	}
	samples := t.samplesOf(l.key)
	if len(samples) == 0 {
		why := "it fits no sender"
		if t.set.kind != refile && strings.Contains(l.key, "*") {
			why += ": a star stands for any text in tables that are opened with refile: only"
		}
		im.note(at, Broken, "%s", why)
		return
	}
	var same *Comparison
	used, differences := false, map[string]bool{}
	for _, a := range samples {
		if !slices.Contains(t.matches(a, im.choice.multiple), n) {
			continue
		}
		r := c.compare(a)
		used = true
		if how := r.difference(); im.choice.loses(a, n) {
			im.note(at, Different, "mail from %s fits more than two lines, of which opendkim 2.11 signs by the first "+
				"and the last; so does this", a)
			return
		} else if r.Same() {
			same = &r
		} else if told[a] = true; !differences[how] {
			differences[how] = true
			im.note(at, Different, "mail from %s: %s", a, how)
		}
	}
	switch {
	case !used:
		first := t.matches(samples[0], false)[0]
		im.note(at, Broken, "it is never used, for %s comes first", t.lines[first].at)
	case same != nil:
		im.note(at, Carried, "%s", same.Ours)
	case strings.Contains(strings.TrimPrefix(l.key, "*@"), "@"):
		im.note(at, Dropped, "keys are chosen by the domain of the sender here, not by the address")
	}
}

// keyLines tells of the lines of a key table.
func (im *importer) keyLines(t *keyTable) {
	for i, it := range t.set.items {
		at := setting{at: it.at, name: t.option.name + " " + named(it.key)}
		if it.value == "" { // a line of a private key, perhaps
			at.name = t.option.name
		}
		if t.wrong[i] != nil {
			im.note(at, Broken, "%v", t.wrong[i])
			continue
		}
		im.keyLine(at, &t.keys[i])
	}
	im.note(t.option, Carried, "the directory of keys; each of its lines is named below")
}

func (im *importer) keyLine(at setting, k *key) {
	example := k.of("some.example")
	if _, err := example.id(); err != nil {
		im.note(at, Dropped, "%v", err)
		return
	}
	placed := false
	for _, p := range im.places {
		if p.at != k.at || p.name != k.name {
			continue
		}
		placed = true
		if p.Err != nil {
			im.note(at, Broken, "%s: %v", p.From, p.Err)
		} else {
			im.note(at, Carried, "%s", p.Path(im.keysDir))
		}
	}
	if !placed {
		im.note(at, Dropped, "no [[domain]] entry uses it, so it is not among the keys")
	}
	switch k.algorithm {
	case "":
	case "rsa-sha1":
		im.note(at, Different, "it signs rsa-sha256 here (RFC 8301)")
	default:
		im.note(at, Different, "the key has its algorithm; opendkim 2.11 does not take a fourth field, and defers the mail")
	}
}

// Compare tells what both programs do with mail from each sender: OpenDKIM by its tables and its order of looking
// things up, this one by the configuration that was written and the keys at their places.
func (o *Outcome) Compare(senders []mail.Address) []Comparison {
	results := make([]Comparison, len(senders))
	for i, a := range senders {
		results[i] = o.comparer.compare(a)
	}
	return results
}
