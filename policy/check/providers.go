package check

import (
	"slices"
	"strings"

	"reputed/policy"
	"reputed/policy/mail"
	"reputed/policy/spf"
)

// Requirements of providers, the results of [Host.Providers].
const (
	needsEither = "spf-or-dkim" // SPF or DKIM passes
	needsSPF    = "spf"         // SPF passes
	needsDKIM   = "dkim"        // DKIM passes
	needsDMARC  = "dmarc"       // the domain of the author has a DMARC record, if only p=none
	needsAlign  = "align"       // what passes is of the domain of the author
	needsPTR    = "ptr"         // the address has a name that leads back to it
	needsKey    = "key"         // RSA keys have 1024 bits at least
	needsTLS    = "tls"         // mail is sent over TLS
)

// requirement is what a provider wants of those who send to it.
type requirement struct {
	what  string
	bulk  bool   // of who sends 5,000 messages a day, or near
	codes string // with which it refuses; "": it publishes none
}

// provider is one of those who publish what they want.
type provider struct {
	name  string
	pages string // where
	wants []requirement
}

// providers gives what is published, as read in July 2026.
func providers() []provider {
	return []provider{
		{"Gmail", "https://support.google.com/a/answer/81126", []requirement{
			{needsEither, false, "421 4.7.26, 550 5.7.26"},
			{needsSPF, true, "421 4.7.27, 550 5.7.27"},
			{needsDKIM, true, "421 4.7.30, 550 5.7.30"},
			{needsDMARC, true, "421 4.7.31, 550 5.7.40"},
			{needsAlign, true, "421 4.7.32, 550 5.7.32"},
			{needsPTR, false, "421 4.7.23, 550 5.7.25"},
			{needsTLS, false, "421 4.7.29, 550 5.7.29"},
			{needsKey, false, ""},
		}},
		{"Yahoo", "https://senders.yahooinc.com/best-practices/", []requirement{
			{needsEither, false, "553, 554"},
			{needsSPF, true, "553, 554"},
			{needsDKIM, true, "553, 554"},
			{needsDMARC, true, "553, 554"},
			{needsAlign, true, "553, 554"},
			{needsPTR, false, "553, 554"},
			{needsKey, false, ""},
		}},
		{"Microsoft", "https://sendersupport.olc.protection.outlook.com/pm/policies.aspx", []requirement{
			{needsSPF, true, "550 5.7.515"},
			{needsDKIM, true, "550 5.7.515"},
			{needsDMARC, true, "550 5.7.515"},
			{needsAlign, true, "550 5.7.515"},
		}},
		{"Apple", "https://support.apple.com/102322", []requirement{
			{needsSPF, true, ""},
			{needsDKIM, true, ""},
			{needsDMARC, true, ""},
			{needsPTR, false, ""},
		}},
	}
}

// Providers holds what a walk found against what large providers publish that they want of who sends to them. It asks
// nobody. Of each requirement there is one finding: its subject is the provider, its result the requirement. One of who
// sends much only is [policy.Warn] where it is not met. What no item can see, such as how many complain, is left out.
func (h *Host) Providers(outcomes []Outcome) (all []policy.Finding) {
	v := view{host: h, outcomes: outcomes}
	for _, p := range providers() {
		for _, want := range p.wants {
			if f := v.judge(want); f.Rule != "" {
				f.Subject = p.name
				if want.codes != "" {
					f.Evidence = append(f.Evidence, policy.Evidence{Name: "refused with", Value: want.codes})
				}
				f.Evidence = append(f.Evidence, policy.Evidence{Name: "published at", Value: p.pages})
				all = append(all, f)
			}
		}
	}
	return all
}

// measure is how it stands with something that is wanted.
type measure uint8

const (
	nothing measure = iota // there is nothing to look at
	met
	unsure
	unmet
)

// stand is how it stands with one thing, and where that was seen.
type stand struct {
	measure
	item string // that says more
	of   []string
}

// view is what the items say, as far as providers care.
type view struct {
	host     *Host
	outcomes []Outcome
}

// judge makes a finding of how it stands; without a rule: there is nothing to look at.
func (v *view) judge(want requirement) policy.Finding {
	s := v.stand(want.what)
	f := finding("providers", want.what, policy.Pass, wanted[want.what])
	switch s.measure {
	case nothing:
		return policy.Finding{}
	case unsure:
		f.Grade = policy.Unknown
		f.Reason = "whether " + f.Reason + " is not known"
	case unmet:
		f.Grade = policy.Fail
		f.Reason = "it is wanted that " + f.Reason + ", which is not so"
		if want.bulk {
			f.Grade = policy.Warn
			f.Reason += "; it counts for who sends 5,000 messages a day"
		}
	}
	if len(s.of) > 0 {
		f.Reason += ": " + strings.Join(s.of, ", ")
	}
	f.Advice = "see " + s.item
	return f
}

var wanted = map[string]string{
	needsEither: "SPF or DKIM passes",
	needsSPF:    "SPF passes",
	needsDKIM:   "DKIM passes",
	needsDMARC:  "the domain of the author has a DMARC record",
	needsAlign:  "the domain of SPF or DKIM is that of the author",
	needsPTR:    "each address has a name that leads back to it",
	needsKey:    "keys have 1024 bits or more",
	needsTLS:    "mail is sent over TLS",
}

// stand tells how it stands with a requirement.
func (v *view) stand(what string) stand {
	switch what {
	case needsEither:
		one, other := v.stand(needsSPF), v.stand(needsDKIM)
		best := one
		if other.measure != nothing && (one.measure == nothing || other.measure < one.measure) {
			best = other
		}
		best.item = "spf, dkim"
		if best.measure != unmet {
			best.of = nil
		}
		return best
	case needsSPF:
		return v.of("spf", v.envelopes(), spfStanding)
	case needsDKIM:
		return v.dkim()
	case needsDMARC:
		return v.of("dmarc", nil, dmarcStanding)
	case needsAlign:
		return v.of("align", nil, alignStanding)
	case needsKey:
		return v.of("dkimstrength", nil, func(f policy.Finding) measure {
			if f.Result == "too-short" {
				return unmet
			}
			return graded(f)
		})
	case needsPTR:
		return v.of("ptr", nil, ptrStanding)
	}
	return v.tls()
}

// tls looks at the mail servers of this host: who leaves it to receivers whether to use TLS says nothing of it.
func (v *view) tls() stand {
	s := stand{item: "postfix, exim"}
	for _, id := range []string{"postfix", "exim"} {
		if o := v.outcome(id); o == nil || len(o.Findings) == 0 {
			continue
		}
		is := v.of(id, nil, func(f policy.Finding) measure {
			switch {
			case f.Result == "tls":
				return unmet
			case f.Grade == policy.Unknown:
				return unsure
			}
			return met
		})
		if is.measure > s.measure {
			s = is
		}
	}
	if s.measure == nothing {
		s.measure = unsure
	}
	return s
}

// of looks at what an item found about some subjects; nil: about all. The worst counts.
func (v *view) of(id string, subjects []string, stands func(policy.Finding) measure) stand {
	s := stand{item: id}
	o := v.outcome(id)
	if o == nil {
		s.measure = unsure
		return s
	}
	for _, f := range o.Findings {
		if subjects != nil && !slices.Contains(subjects, f.Subject) {
			continue
		}
		is := stands(f)
		if is > s.measure {
			s.measure, s.of = is, nil
		}
		if is == s.measure && is > met && f.Subject != "" && !slices.Contains(s.of, f.Subject) {
			s.of = append(s.of, f.Subject)
		}
	}
	return s
}

func (v *view) outcome(id string) *Outcome {
	for i := range v.outcomes {
		if o := &v.outcomes[i]; o.Item != nil && o.Item.ID == id {
			return o
		}
	}
	return nil
}

// envelopes gives the domains of the envelope senders. What the item spf says of the host's own name is another matter.
func (v *view) envelopes() []string {
	all := []string{}
	for _, d := range v.host.Domains {
		all = append(all, v.host.envelope(d).String())
	}
	return all
}

// dkim looks at each domain that mail is sent from: a key must sign it, and receivers must see one that does.
func (v *view) dkim() stand {
	s := stand{item: "dkim"}
	o := v.outcome("dkim")
	if o == nil || len(v.host.Keys) == 0 {
		return stand{measure: unsure, item: "dkim"}
	}
	for _, d := range v.host.Domains {
		if d.Private() {
			continue
		}
		is := v.signed(o, d)
		if is > s.measure {
			s.measure, s.of = is, nil
		}
		if is == s.measure && is > met {
			s.of = append(s.of, d.String())
		}
	}
	return s
}

// signed tells whether a key that signs mail from a domain can be seen.
func (v *view) signed(o *Outcome, from mail.Domain) measure {
	best := unmet
	for i := range v.host.Keys {
		k := &v.host.Keys[i]
		if !k.active() || k.Domain != v.host.signs(from) {
			continue
		}
		is := unsure
		for _, f := range o.Findings {
			if f.Subject == (&sighting{key: *k}).name() {
				is = graded(f)
			}
		}
		best = min(best, is)
	}
	return best
}

// graded goes by the grade: what works today is met.
func graded(f policy.Finding) measure {
	switch f.Grade {
	case policy.Fail:
		return unmet
	case policy.Unknown:
		return unsure
	}
	return met
}

// spfStanding: nothing but a pass passes. A failure of addresses that are guessed is no more than a warning there, and
// is not known here.
func spfStanding(f policy.Finding) measure {
	switch {
	case f.Grade == policy.Pass, f.Grade == policy.Unknown, f.Grade == policy.Fail:
		return graded(f)
	case f.Result == string(spf.Fail), f.Result == string(spf.PermError):
		return unsure
	}
	return unmet
}

// dmarcStanding: a record is wanted, whatever it asks for. Where its reports go is no matter.
func dmarcStanding(f policy.Finding) measure {
	switch f.Result {
	case None:
		return unmet
	case dmarcRefused, dmarcUnsure:
		return nothing
	}
	return graded(f)
}

func alignStanding(f policy.Finding) measure {
	if f.Result == alignDisputed { // it depends on the provider
		return unsure
	}
	return graded(f)
}

func ptrStanding(f policy.Finding) measure {
	if f.Grade == policy.Warn && (f.Result == None || f.Result == Unconfirmed) { // of a guessed address
		return unsure
	}
	return graded(f)
}
