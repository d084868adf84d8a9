package dmarc

import "fmt"

// Deviation is something that a record should not have.
type Deviation struct {
	What  Kind
	Tag   string // "sp"; "": it is about no tag
	Value string // what stands there
}

// Kind is a kind of deviation. The words do not change.
type Kind string

const (
	NoPolicy    Kind = "no-policy"    // it has no p=: the same as p=none where it has rua=, else no record at all
	BadPolicy   Kind = "bad-policy"   // p=, sp= or np= is no policy: the same
	PolicyLater Kind = "policy-later" // p= is not the second tag: receivers of RFC 7489 take no notice of the record
	Twice       Kind = "twice"        // a tag stands twice: RFC 6376, section 3.2: the whole list is invalid
	NoTag       Kind = "no-tag"       // something that is no tag
	BadValue    Kind = "bad-value"    // a tag with a value that it cannot have: the default counts
	BadURI      Kind = "bad-uri"      // an address for reports that is none
	OddScheme   Kind = "odd-scheme"   // an address for reports that is not mailto:, which receivers need not know
	SizeLimit   Kind = "size-limit"   // an address for reports with "!10m" behind it: removed by RFC 9989
	EmptyTag    Kind = "empty-tag"    // two semicolons with nothing between
	OldTag      Kind = "old-tag"      // rf= or ri=: removed by RFC 9989
	UnknownTag  Kind = "unknown-tag"  // a tag that nobody knows: misspelt, perhaps
	OddOctets   Kind = "odd-octets"   // octets that are no printable ASCII characters
	TooMany     Kind = "too-many"     // more than 64 tags: the rest is not read
)

// Fatal tells that some receivers take no notice of the record for it, or of its policy.
func (k Kind) Fatal() bool {
	switch k {
	case NoPolicy, BadPolicy, PolicyLater, Twice, TooMany:
		return true
	}
	return false
}

// Harmless tells that nothing comes of it.
func (k Kind) Harmless() bool {
	switch k {
	case EmptyTag, OldTag, SizeLimit:
		return true
	}
	return false
}

// Text says what it is, as a clause about the record.
func (d Deviation) Text() string {
	v := quote(d.Value)
	switch d.What {
	case NoPolicy:
		return "it has no p="
	case BadPolicy:
		return fmt.Sprintf("its %s= is %s, which is no policy (none, quarantine, reject)", d.Tag, v)
	case PolicyLater:
		return "its p= does not stand directly after v=DMARC1"
	case Twice:
		return "its tag " + d.Tag + "= stands twice"
	case NoTag:
		return "it has " + v + ", which is no tag"
	case BadValue:
		return fmt.Sprintf("its %s= is %s, which means nothing there", d.Tag, v)
	case BadURI:
		return fmt.Sprintf("its %s= has %s, which is no address for reports (mailto:user@host)", d.Tag, v)
	case OddScheme:
		return fmt.Sprintf("its %s= has %s, where receivers need to know mailto: only", d.Tag, v)
	case SizeLimit:
		return fmt.Sprintf("its %s= has %s with a limit of size, which is not used any more", d.Tag, v)
	case EmptyTag:
		return "there is nothing between two of its semicolons"
	case OldTag:
		return "it has the tag " + d.Tag + "=, which is not used any more"
	case UnknownTag:
		return "it has the tag " + quote(d.Tag) + ", which nobody knows"
	case OddOctets:
		return "its " + d.Tag + "= has octets that are no printable ASCII characters"
	case TooMany:
		return fmt.Sprintf("it has more than %d tags", maxTags)
	}
	return string(d.What)
}

// deviates notes a deviation, each once.
func (r *Record) deviates(d Deviation) {
	for _, known := range r.Deviations {
		if known == d || d.What == EmptyTag && known.What == EmptyTag {
			return
		}
	}
	r.Deviations = append(r.Deviations, d)
}

// quote shows a piece of a record, not too long.
func quote(s string) string {
	const most = 60
	if len(s) > most {
		return fmt.Sprintf("%q...", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
