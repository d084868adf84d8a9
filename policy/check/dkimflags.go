package check

import (
	"fmt"
	"slices"
	"strings"

	"reputed/policy"
	"reputed/policy/dkim"
	"reputed/policy/spf"
)

// itemDKIMFlags: RFC 6376, section 3.6.1.
func itemDKIMFlags() Item {
	return perKey("dkimflags", "whether the records of keys say nothing that keeps receivers from using them",
		(*sighting).flags)
}

// shownVerdict is what one server shows of a key.
type shownVerdict struct {
	at string
	*dkim.Verdict
}

// verdicts gives what each server shows, and the resolver where none of them could be asked.
func (s *sighting) verdicts() (all []shownVerdict) {
	for i := range s.seen.Servers {
		all = append(all, shownVerdict{s.seen.Servers[i].Host, &s.seen.Servers[i].Verdict})
	}
	if s.seen.Via == dkim.Resolver && s.seen.Resolver != nil {
		all = append(all, shownVerdict{"the resolver", s.seen.Resolver})
	}
	return all
}

// record gives the record that the server shows, if it is one alone, and can be read.
func (v shownVerdict) record() *dkim.Record {
	if len(v.Texts) != 1 || v.Result == dkim.Transient || v.Result == dkim.Wildcard {
		return nil
	}
	r, err := dkim.Parse(v.Texts[0])
	if err != nil {
		return nil
	}
	return r
}

// keyFlaw is something that a record says, and should not.
type keyFlaw struct {
	result string
	grade  policy.Grade
	text   string
}

// flags judges what the records say besides the key. Nothing is said of a key that is not to be seen any more, nor
// where there is no record: that is told by the item dkim.
func (s *sighting) flags() (policy.Finding, bool) {
	f := finding("dkimflags", "none", policy.Pass, "the record says nothing but what it should")
	f.Subject, f.Evidence = s.name(), s.evidence()
	if !s.key.active() && !s.key.fresh() {
		return f, false
	}
	read := false
	var texts []string
	for _, v := range s.verdicts() {
		r := v.record()
		if r == nil {
			if v.Result != dkim.WrongType {
				continue
			}
			r = &dkim.Record{}
		}
		read = true
		for _, w := range s.flaws(v, r) {
			if f.Grade == policy.Pass || f.Grade == policy.Warn && w.grade == policy.Fail {
				f.Result, f.Grade = w.result, w.grade
			}
			if !slices.Contains(texts, w.text) {
				texts = append(texts, w.text)
			}
		}
	}
	if len(texts) > 0 {
		f.Reason = strings.Join(texts, "; ")
		s.mendFlags(&f)
	}
	return f, read
}

// mendFlags gives the record as it should be.
func (s *sighting) mendFlags(f *policy.Finding) {
	f.Advice = "publish the record of the key at " + s.seen.At + " in place of what is there"
	switch {
	case f.Result == string(dkim.Revoked):
		f.Advice = "a revoked selector is not used again; make a new one: reputed keys rotate " + s.key.Domain.String()
	case s.key.Text() != "":
		f.Fix = spf.ZoneLine(s.seen.At, s.key.Text())
	}
}

// flaws lists what is wrong with a record, besides the key in it.
func (s *sighting) flaws(v shownVerdict, r *dkim.Record) (all []keyFlaw) {
	add := func(is bool, result dkim.Result, grade policy.Grade, text string) {
		if is {
			all = append(all, keyFlaw{string(result), grade, text})
		}
	}
	add(v.Result == dkim.WrongType, dkim.WrongType, policy.Fail, v.Reason)
	add(r.Revoked, dkim.Revoked, policy.Fail, "p= is empty, which revokes the key, though it is in use")
	add(len(r.Services) > 0 && !r.Email(), dkim.NoEmail, policy.Fail,
		fmt.Sprintf("the record is not for mail (s=%s)", cut(strings.Join(r.Services, ":"))))
	add(slices.Contains(r.Deviations, dkim.VersionLater), "version", policy.Warn, // most receivers do not look
		"v= does not stand first, as it must: some receivers discard such a record")
	add(r.Has("y"), dkim.Testing, policy.Warn,
		"the domain is testing (t=y): receivers may treat its mail as if it were not signed")
	add(r.Has("s") && s.key.Subdomains, dkim.Strict, policy.Warn,
		"the record is strict (t=s), and names below the domain are signed for too")
	for _, d := range r.Deviations {
		add(d != dkim.VersionLater && d != dkim.Large && d != dkim.NoVersion, dkim.Odd, policy.Warn,
			"some receivers may not read the record: "+d.Text())
	}
	add(slices.Contains(r.Deviations, dkim.NoVersion), dkim.Odd, policy.Warn,
		"the record lacks v=DKIM1, which it should have")
	return all
}
