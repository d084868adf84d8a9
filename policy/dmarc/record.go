package dmarc

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Policy is what the owner of a domain wants done with mail that fails: a word of RFC 9989, section 4.7.
type Policy string

const (
	Unset      Policy = ""           // the tag is not there, or says nothing that is known
	None       Policy = "none"       // nothing
	Quarantine Policy = "quarantine" // it is suspicious
	Reject     Policy = "reject"     // it is to be refused
)

var strengths = []Policy{Unset, None, Quarantine, Reject}

// Weaker tells whether p asks for less than q.
func (p Policy) Weaker(q Policy) bool { return slices.Index(strengths, p) < slices.Index(strengths, q) }

// Boundary is what a record says of where the organization begins: psd=.
type Boundary string

const (
	Undetermined Boundary = "u" // that is for the tree walk to find
	Public       Boundary = "y" // it is a public suffix: organizations begin one label below
	Organization Boundary = "n" // it is that of an organization, with all below
)

// Record is a DMARC policy record: RFC 9989, section 4.7.
type Record struct {
	Policy      Policy   // p=
	Subdomains  Policy   // sp=, of names below that exist; Unset: as Policy
	Nonexistent Policy   // np=, of names below that do not; Unset: as Subdomains
	StrictDKIM  bool     // adkim=s
	StrictSPF   bool     // aspf=s
	Testing     bool     // t=y: receivers are asked for one step less
	Boundary    Boundary // psd=
	Aggregate   []URI    // rua=
	Failure     []URI    // ruf=
	Options     string   // fo=, as it stands there
	Percent     int      // pct=, of RFC 7489; 100: all, or it has none

	Deviations []Deviation // from the standards
	tags       []tag       // as they stand there
}

// ErrNoRecord says that a text is no DMARC record: it does not begin with v=DMARC1. Receivers take no notice of it.
var ErrNoRecord = errors.New("it does not begin with v=DMARC1")

type tag struct{ name, value string }

// maxTags is how many tags are read. Fourteen are known.
const maxTags = 64

const space = " \t\r\n"

// Parse reads the text of a TXT record, its strings joined. Whatever follows v=DMARC1 makes it no less of a record:
// what is wrong is in Deviations, and counts as if it were not there (RFC 9989, section 4.7). [Record.Ignored] tells
// whether anything is left.
func Parse(text string) (*Record, error) {
	specs := strings.Split(text, ";")
	if !isVersion(specs[0]) {
		return nil, ErrNoRecord
	}
	r := &Record{Boundary: Undetermined, Percent: 100}
	if len(specs) > maxTags {
		r.deviates(Deviation{What: TooMany})
		specs = specs[:maxTags]
	}
	for i, spec := range specs {
		spec = strings.Trim(spec, space)
		if spec == "" {
			if i < len(specs)-1 {
				r.deviates(Deviation{What: EmptyTag})
			}
			continue
		}
		r.add(spec)
	}
	r.set()
	return r, nil
}

// isVersion tells whether the first tag is that of a DMARC record: RFC 9989, section 4.8: its value has a case.
func isVersion(spec string) bool {
	name, value, ok := strings.Cut(spec, "=")
	return ok && strings.TrimRight(name, space) == "v" && strings.Trim(value, space) == "DMARC1"
}

// add reads one tag. Their names have no case, being alphabetic strings of a grammar (RFC 5234, section 2.3).
func (r *Record) add(spec string) {
	name, value, ok := strings.Cut(spec, "=")
	name, value = strings.ToLower(strings.Trim(name, space)), strings.Trim(value, space)
	switch {
	case !ok || !isAlpha(name):
		r.deviates(Deviation{What: NoTag, Value: spec})
	case slices.ContainsFunc(r.tags, func(t tag) bool { return t.name == name }):
		r.deviates(Deviation{What: Twice, Tag: name, Value: value})
	default:
		if strings.ContainsFunc(value, isOdd) {
			r.deviates(Deviation{What: OddOctets, Tag: name, Value: value})
		}
		r.tags = append(r.tags, tag{name, value})
	}
}

func isAlpha(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return c < 'a' || c > 'z' })
}

func isOdd(c rune) bool { return c < ' ' || c > '~' }

// set makes the fields of the tags.
func (r *Record) set() {
	for i, t := range r.tags {
		switch t.name {
		case "v":
		case "p":
			r.Policy = r.policy(t)
			if i != 1 {
				r.deviates(Deviation{What: PolicyLater, Tag: "p", Value: t.value})
			}
		case "sp":
			r.Subdomains = r.policy(t)
		case "np":
			r.Nonexistent = r.policy(t)
		case "adkim":
			r.StrictDKIM = r.one(t, "r", "s") == "s"
		case "aspf":
			r.StrictSPF = r.one(t, "r", "s") == "s"
		case "t":
			r.Testing = r.one(t, "n", "y") == "y"
		case "psd":
			r.Boundary = Boundary(r.one(t, "u", "y", "n"))
		case "fo":
			r.Options = t.value
			r.options(t)
		case "rua":
			r.Aggregate = r.uris(t)
		case "ruf":
			r.Failure = r.uris(t)
		case "pct":
			r.percent(t)
		case "rf", "ri":
			r.deviates(Deviation{What: OldTag, Tag: t.name, Value: t.value})
		default:
			r.deviates(Deviation{What: UnknownTag, Tag: t.name, Value: t.value})
		}
	}
	if !slices.ContainsFunc(r.tags, func(t tag) bool { return t.name == "p" }) {
		r.deviates(Deviation{What: NoPolicy, Tag: "p"})
	}
}

// one reads a value that is one of several words, in any case. The first is the default.
func (r *Record) one(t tag, words ...string) string {
	if v := strings.ToLower(t.value); slices.Contains(words, v) {
		return v
	}
	r.deviates(Deviation{What: BadValue, Tag: t.name, Value: t.value})
	return words[0]
}

func (r *Record) policy(t tag) Policy {
	p := Policy(strings.ToLower(t.value))
	if p == Unset || !slices.Contains(strengths, p) {
		r.deviates(Deviation{What: BadPolicy, Tag: t.name, Value: t.value})
		return Unset
	}
	return p
}

// options reads fo=. RFC 7489, section 6.3, has any of the four with colons between.
func (r *Record) options(t tag) {
	for _, o := range strings.Split(strings.ToLower(t.value), ":") {
		if !slices.Contains([]string{"0", "1", "d", "s"}, strings.Trim(o, space)) {
			r.deviates(Deviation{What: BadValue, Tag: t.name, Value: t.value})
			return
		}
	}
}

func (r *Record) percent(t tag) {
	n, err := strconv.ParseUint(t.value, 10, 8)
	if err != nil || n > 100 {
		r.deviates(Deviation{What: BadValue, Tag: t.name, Value: t.value})
		return
	}
	r.Percent = int(n)
}

// Ignored tells that receivers apply no DMARC, as if there were no record: what should be done is not said, nor where
// reports go to. RFC 9989, section 4.10.1.
func (r *Record) Ignored() bool {
	return r.unsaid() && !slices.ContainsFunc(r.Aggregate, func(u URI) bool { return u.Err == nil })
}

// unsaid tells that a policy is missing or is none. With an address for reports, all of them count as none then.
func (r *Record) unsaid() bool {
	return r.Policy == Unset || slices.ContainsFunc(r.Deviations, func(d Deviation) bool { return d.What == BadPolicy })
}

// Applied gives the policy for mail of the record's own domain, or of names below that exist, or do not. It is what is
// written: [Record.Testing] and [Record.Percent] are for the caller to look at.
func (r *Record) Applied(below, exists bool) Policy {
	switch {
	case r.unsaid():
		return None
	case below && !exists && r.Nonexistent != Unset:
		return r.Nonexistent
	case below && r.Subdomains != Unset:
		return r.Subdomains
	}
	return r.Policy
}
