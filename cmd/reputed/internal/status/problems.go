package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"reputed/policy"
	"reputed/policy/dnsbl"
)

// Level says how much a problem matters. The order is the meaning: the greatest counts.
type Level uint8

const (
	Well        Level = iota // there is none
	Unknown                  // something that mail may depend on is not known
	Warning                  // somebody should mend something
	Blocklisted              // an address that mail leaves from is on a list that makes receivers refuse it
)

// Problem is something to mend.
type Problem struct {
	Level  Level
	Text   string // may hold what strangers wrote; unescaped
	Remedy string // may be empty
}

// Problems gives what somebody should mend, the worst first, and how bad it is in all.
func (r *Report) Problems() (all []Problem, worst Level) {
	for i := range r.Egresses {
		all = append(all, r.ofEgress(&r.Egresses[i])...)
	}
	for i := range r.Domains {
		d := &r.Domains[i]
		all = append(all, listed(d.Name.String(), d.Listings)...)
	}
	all = append(all, r.ofResolver()...)
	all = append(all, r.ofSite()...)
	slices.SortStableFunc(all, func(a, b Problem) int { return cmp.Compare(b.Level, a.Level) })
	if len(all) > 0 {
		worst = all[0].Level
	}
	return all, worst
}

// ofEgress tells of its addresses.
func (r *Report) ofEgress(e *Egress) (all []Problem) {
	if e.Listed {
		all = append(all, Problem{Blocklisted, fmt.Sprintf("egress %s: %s", e.Name, r.consequence(e)), ""})
	}
	for i := range e.Addresses {
		a := &e.Addresses[i]
		all = append(all, listed(a.Addr.String(), a.Listings)...)
		if r.Resolver.Health == dnsbl.Healthy { // else that is the reason, and told once
			all = append(all, unknown(a)...)
		}
	}
	switch {
	case len(e.Addresses) == 0 && e.Via.IsZero():
		all = append(all, Problem{Warning,
			"no address that mail leaves from is known, so neither SPF nor lists are looked at",
			"write [[egress]] with the addresses that mail leaves from"})
	case e.Guessed:
		all = append(all, Problem{Warning, "the addresses that mail leaves from are guessed, so no mail is refused for them",
			"write [[egress]] with these addresses, if they are right"})
	}
	return all
}

// consequence tells what becomes of mail while every address of an egress is listed.
func (r *Report) consequence(e *Egress) string {
	const listed = "every address is listed"
	at := slices.IndexFunc(r.Rules, func(rule Rule) bool { return rule.Name == "dnsbl" })
	if at < 0 {
		return listed
	}
	rule := &r.Rules[at]
	act := rule.On["listed"]
	fate := map[policy.Action]string{policy.Hold: "held", policy.Defer: "deferred", policy.Reject: "refused"}[act]
	switch {
	case act == policy.Log:
		return listed + ", which is only logged"
	case rule.Observe || e.Guessed:
		return listed + ", for which mail would be " + fate
	}
	return listed + ", so mail that leaves is " + fate
}

// listed tells of the lists that something is on, to its harm.
func listed(what string, listings []Listing) (all []Problem) {
	for i := range listings {
		l := &listings[i]
		if l.State != dnsbl.Listed || l.Severity < dnsbl.Warn {
			continue
		}
		level := Warning
		if l.blocks() {
			level = Blocklisted
		}
		text := fmt.Sprintf("%s is on %s (%s) since %s", what, l.List, l.Meaning, l.Since.UTC().Format(time.RFC3339))
		all = append(all, Problem{level, text, l.Remedy})
	}
	return all
}

// unknown tells of lists that may act and of which is not known whether they list an address.
func unknown(a *Address) []Problem {
	var lists []string
	var first *Listing
	for i := range a.Listings {
		l := &a.Listings[i]
		if !l.Acts || l.State == dnsbl.Clear || l.State == dnsbl.Listed {
			continue
		}
		if first == nil {
			first = l
		}
		lists = append(lists, l.List)
	}
	if len(lists) == 0 {
		return nil
	}
	text := fmt.Sprintf("it is not known whether %s is on %s: %s", a.Addr, strings.Join(lists, ", "), first.Reason)
	return []Problem{{Unknown, text, first.Remedy}}
}

func (r *Report) ofResolver() []Problem {
	switch {
	case len(r.Lists) == 0 || r.Resolver.Health == dnsbl.Healthy:
		return nil
	case r.Resolver.Health == dnsbl.Untested:
		return []Problem{{Unknown,
			"the lists are being tested, so nothing is known of addresses yet", "ask again in some minutes"}}
	}
	text := "the resolver is " + r.Resolver.Health.String()
	if r.Resolver.Reason != "" {
		text += ": " + r.Resolver.Reason
	}
	return []Problem{{Unknown, text, r.Resolver.Remedy}}
}

// ofSite tells of configuration and keys.
func (r *Report) ofSite() (all []Problem) {
	if r.Reload.Error != "" {
		all = append(all, Problem{Warning, "the last reload was refused, so all is as before: " + r.Reload.Error,
			"mend it, then: systemctl reload reputed"})
	}
	if len(r.Keys) == 0 {
		all = append(all, Problem{Warning, "there are no keys, so no mail is signed", "reputed keys new DOMAIN"})
	}
	for _, k := range r.Keys {
		if k.Weak {
			all = append(all, Problem{Warning, fmt.Sprintf("the key %s/%s is weak: %d bits", k.Domain, k.Selector, k.Bits),
				"reputed keys new " + k.Domain.String()})
		}
	}
	return all
}
