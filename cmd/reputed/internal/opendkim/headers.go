package opendkim

import (
	"slices"
	"strings"

	"reputed/signer"
)

// OpenDKIM's lists: RFC 6376, section 5.4.1 less what it calls optional, and what section 5.4 says not to sign.
var (
	defaultSign = []string{
		"From", "Reply-To", "Subject", "Date", "To", "Cc", "Resent-Date", "Resent-From", "Resent-To", "Resent-Cc",
		"In-Reply-To", "References", "List-Id", "List-Help", "List-Unsubscribe", "List-Subscribe", "List-Post",
		"List-Owner", "List-Archive",
	}
	defaultOmit = []string{"Return-Path", "Received", "Comments", "Keywords", "Bcc", "Resent-Bcc", "DKIM-Signature"}
)

// signing carries over how mail is signed.
func (im *importer) signing() {
	if im.keys != "" {
		preset(&im.out.signing, "--keys", "keys", quote(im.keys))
	}
	im.canonicalization()
	im.fields()
	if s, ok := im.conf.get("SignatureTTL"); ok {
		if s.value == "0" {
			im.note(s, Carried, "signatures do not expire")
		} else {
			im.carry(s, "signing", "expire", quote(s.value+"s"))
		}
	}
}

// canonicalization carries Canonicalization over. One name alone is about the header; the body is simple then.
func (im *importer) canonicalization() {
	s, ok := im.conf.get("Canonicalization")
	c, from := s.value, s
	switch {
	case !ok && im.dkimpy:
		c = "relaxed/simple"
	case !ok:
		c = "simple"
	}
	if !strings.Contains(c, "/") {
		c += "/simple"
	}
	if !ok {
		from = setting{at: Place{File: im.conf.file}, name: "Canonicalization"}
		im.note(from, Carried, "unset, so %s", c)
		preset(&im.out.signing, "Canonicalization is not set", "canonicalization", quote(c))
		return
	}
	im.carry(from, "signing", "canonicalization", quote(strings.ToLower(c)))
}

// fields carries over which fields are signed.
func (im *importer) fields() {
	_, signSet := im.conf.get("SignHeaders")
	_, overSet := im.conf.get("OversignHeaders")
	if im.dkimpy && !signSet && !overSet {
		at := setting{at: Place{File: im.conf.file}, name: "SignHeaders"}
		im.note(at, Different, "dkimpy-milter has a list of its own; signing.headers and signing.oversign stay at their "+
			"defaults")
		return
	}
	sign := im.fieldList("SignHeaders", defaultSign, true)
	omit := im.fieldList("OmitHeaders", defaultOmit, true)
	over := im.fieldList("OversignHeaders", nil, false)
	sign = slices.DeleteFunc(sign, func(name string) bool {
		return has(omit, name) && !strings.EqualFold(name, "From")
	})
	if !has(sign, "From") {
		sign = append([]string{"From"}, sign...)
	}
	sign, dropped := signable(sign)
	over, droppedOver := signable(over)
	at := setting{at: Place{File: im.conf.file}, name: "SignHeaders"}
	if s, ok := im.conf.get("SignHeaders"); ok {
		at = s
		im.note(s, Carried, "signing.headers")
	} else {
		im.note(at, Carried, "unset, so OpenDKIM's list: signing.headers; without that key, ours covers more of what "+
			"people see")
	}
	if dropped = append(dropped, droppedOver...); len(dropped) > 0 {
		im.note(at, Different, "%s: fields that change on the way are never signed here", strings.Join(dropped, ", "))
	}
	for _, name := range over {
		if !has(sign, name) {
			s, _ := im.conf.get("OversignHeaders")
			im.note(s, Different, "%s is not in SignHeaders, so OpenDKIM makes signatures that break where it is there; "+
				"here it is signed too", printable(name))
		}
	}
	set(&im.out.signing, at, "headers", quoteAll(sign))
	if len(over) == 0 {
		preset(&im.out.signing, "OpenDKIM's OversignHeaders has none: nor has this", "oversign", quoteAll(noOversign()))
		return
	}
	preset(&im.out.signing, "OpenDKIM's OversignHeaders", "oversign", quoteAll(over))
}

// noOversign takes every field out of the default: an empty list would be the default itself.
func noOversign() []string {
	names := signer.DefaultOversign()
	for i, name := range names {
		names[i] = "-" + name
	}
	return names
}

// has looks a field up, in any case.
func has(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}

// signable tells fields that our configuration takes from others.
func signable(names []string) (good, bad []string) {
	for _, name := range names {
		switch _, err := signer.ParseHeaders(nil, []string{name}); {
		case err != nil:
			bad = append(bad, printable(name))
		case !has(good, name):
			good = append(good, name)
		}
	}
	return good, bad
}

// fieldList reads a list of fields: the whole of it or, if "*" is in it, changes to the default.
func (im *importer) fieldList(option string, defaults []string, deltas bool) []string {
	s, ok := im.conf.get(option)
	if !ok {
		return slices.Clone(defaults)
	}
	set, ok := im.dataset(s)
	if !ok {
		return nil
	}
	var names []string
	delta := set.find("*", false) >= 0 && set.kind != refile
	if delta {
		names = slices.Clone(defaults)
	}
	for _, it := range set.items {
		name := strings.TrimLeft(it.key, "+-")
		switch {
		case it.key == "*" || it.key == "." || name == "":
		case strings.Contains(it.key, "*"):
			im.note(setting{at: it.at, name: option}, Dropped, "%s: fields are named one by one here", printable(it.key))
		case delta && strings.HasPrefix(it.key, "-"):
			names = slices.DeleteFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
		case !has(names, name):
			names = append(names, name)
		}
	}
	switch {
	case option == "SignHeaders":
	case delta && !deltas:
		im.note(s, Different, "OpenDKIM knows no changes to a default here, and takes \"*\" and \"+NAME\" for names of "+
			"fields; signing.oversign has the names without the signs")
	case option == "OmitHeaders":
		im.note(s, Carried, "such fields are not in signing.headers")
	default:
		im.note(s, Carried, "signing.oversign")
	}
	return names
}
