package dmarc

import (
	"slices"
	"strings"
)

// Edit gives the text of a record like r, with some tags set to other values, or taken out where these are "". It has
// p= where all receivers look for it, and nothing that deviates: such tags are left out, and with them addresses for
// reports that are none. A nil record is an empty one.
func (r *Record) Edit(set map[string]string) string {
	var tags []tag
	if r != nil {
		tags = r.good()
	}
	for _, name := range []string{"p", "sp", "np", "adkim", "aspf", "fo", "rua", "ruf", "t", "psd", "pct"} {
		value, ok := set[name]
		if !ok {
			continue
		}
		if at := slices.IndexFunc(tags, func(t tag) bool { return t.name == name }); at >= 0 {
			tags[at].value = value
		} else {
			tags = append(tags, tag{name, value})
		}
	}
	parts := []string{"v=DMARC1", ""}
	for _, t := range tags {
		switch {
		case t.value == "":
		case t.name == "p":
			parts[1] = "p=" + t.value
		default:
			parts = append(parts, t.name+"="+t.value)
		}
	}
	if parts[1] == "" {
		parts[1] = "p=none"
	}
	return strings.Join(parts, "; ")
}

// good gives the tags that are as they should be.
func (r *Record) good() []tag {
	var all []tag
	for _, t := range r.tags {
		bad := slices.ContainsFunc(r.Deviations, func(d Deviation) bool {
			return d.Tag == t.name && (d.What == BadPolicy || d.What == BadValue || d.What == OddOctets ||
				d.What == OldTag || d.What == UnknownTag)
		})
		switch {
		case bad, t.name == "v":
			continue
		case t.name == "rua":
			t.value = join(r.Aggregate)
		case t.name == "ruf":
			t.value = join(r.Failure)
		}
		all = append(all, t)
	}
	return all
}

func join(uris []URI) string {
	var all []string
	for _, u := range uris {
		if u.Err == nil {
			all = append(all, u.Text)
		}
	}
	return strings.Join(all, ",")
}
