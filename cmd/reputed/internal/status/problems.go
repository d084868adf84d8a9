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
	all = append(all, r.unknown()...)
	all = append(all, r.ofResolver()...)
	all = append(all, r.ofSite()...)
	all = append(all, r.ofChecklist()...)
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

// unknown tells of lists that may act and of which is not known whether they list addresses: those with the same cause
// together, and none that the resolver is the cause of.
func (r *Report) unknown() (all []Problem) {
	type cause struct{ lists, reason, remedy string }
	var causes []cause
	addresses := map[cause][]string{}
	for i := range r.Egresses {
		for n := range r.Egresses[i].Addresses {
			a := &r.Egresses[i].Addresses[n]
			lists, first := r.silentFor(a)
			if first == nil {
				continue
			}
			c := cause{strings.Join(lists, ", "), first.Reason, first.Remedy}
			if addresses[c] == nil {
				causes = append(causes, c)
			}
			if name := a.Addr.String(); !slices.Contains(addresses[c], name) {
				addresses[c] = append(addresses[c], name)
			}
		}
	}
	for _, c := range causes {
		is := "is"
		if len(addresses[c]) > 1 {
			is = "are"
		}
		text := fmt.Sprintf("it is not known whether %s %s on %s: %s", Few(addresses[c]), is, c.lists, c.reason)
		all = append(all, Problem{Unknown, text, c.remedy})
	}
	return all
}

// silentFor names the lists that may act and do not tell of an address, and gives what is known of the first.
func (r *Report) silentFor(a *Address) (lists []string, first *Listing) {
	for i := range a.Listings {
		l := &a.Listings[i]
		if !l.Acts || l.State == dnsbl.Clear || l.State == dnsbl.Listed || r.Blame(l) == BlameResolver {
			continue
		}
		if first == nil {
			first = l
		}
		lists = append(lists, l.List)
	}
	return lists, first
}

// Few names three of many, and counts the others.
func Few(names []string) string {
	if more := len(names) - 3; more > 1 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), more)
	}
	return strings.Join(names, ", ")
}

// ofResolver tells who is asked and does not answer as it should, and what that means for mail.
func (r *Report) ofResolver() []Problem {
	v := &r.Resolver
	answers, is := "answers", "is"
	if len(v.Servers) > 1 {
		answers, is = "answer", "are"
	}
	text := "the " + v.Name()
	switch {
	case len(r.Lists) == 0 || v.Health == dnsbl.Healthy:
		return nil
	case v.Health == dnsbl.Untested:
		return []Problem{{Unknown,
			"the lists are being tested, so nothing is known of addresses yet", "ask again in some minutes"}}
	case v.Health == dnsbl.Silent:
		text += " " + answers + " nothing"
	default:
		text += " " + is + " " + v.Health.String()
	}
	if !v.Since.IsZero() {
		text += " since " + Clock(r.At, v.Since)
	}
	if v.Health != dnsbl.Silent && v.Reason != "" {
		text += " (" + v.Reason + ")"
	}
	return []Problem{{Unknown, text + ": " + r.meanwhile(), v.remedy()}}
}

// meanwhile tells what it means for mail that lists are not heard. What is not known refuses nothing.
func (r *Report) meanwhile() string {
	unheard := 0
	for i := range r.Lists {
		if r.Lists[i].Health != dnsbl.Healthy {
			unheard++
		}
	}
	switch unheard {
	case 0:
		return "what the lists said before counts until it is too old"
	case len(r.Lists):
		return "no list is known; no mail is refused for lists meanwhile"
	}
	return fmt.Sprintf("%d of %d lists not known; no mail is refused for those meanwhile", unheard, len(r.Lists))
}

// remedy says what to do. Of a server on this host, it can be said how to look.
func (v *Resolver) remedy() string {
	switch {
	case v.Health != dnsbl.Silent:
		return v.Remedy
	case len(v.Servers) > 0 && v.Servers[0].Addr().IsLoopback():
		return "see that it runs and reaches the world (systemctl status unbound), or set [dns] servers"
	}
	return "see that it runs, answers this host and reaches the world, or set [dns] servers"
}

// Name names the resolver by the servers that are asked.
func (v *Resolver) Name() string {
	var names []string
	for _, s := range v.Servers {
		names = append(names, s.String())
	}
	switch len(names) {
	case 0:
		return "resolver of /etc/resolv.conf"
	case 1:
		return "resolver " + names[0]
	}
	return "resolvers " + strings.Join(names, ", ")
}

// Clock shows a time in UTC, as the log does; of the day of a report the hours only.
func Clock(now, t time.Time) string {
	now, t = now.UTC(), t.UTC()
	if now.Format(time.DateOnly) == t.Format(time.DateOnly) {
		return t.Format("15:04Z")
	}
	return t.Format("2006-01-02 15:04Z")
}

// ofSite tells of configuration and keys.
func (r *Report) ofSite() (all []Problem) {
	if r.Reload.Error != "" {
		all = append(all, Problem{Warning, "the last reload was refused, so all is as before: " + r.Reload.Error,
			"mend it, then: systemctl reload reputed"})
	}
	if n := r.Panics.Total(); n > 0 {
		all = append(all, Problem{Warning, fmt.Sprintf("reputed itself has failed since its start, panics: %d", n),
			"journalctl -u reputed | grep msg=panic, and report it with what the log has"})
	}
	if r.LogLost > 0 {
		all = append(all, Problem{Warning, fmt.Sprintf("lines of the log are lost since the start: %d", r.LogLost),
			"see that what reads it runs, and has room (systemctl status systemd-journald); the log says when they " +
				"were"})
	}
	if len(r.Keys) == 0 {
		all = append(all, Problem{Warning, "there are no keys, so no mail is signed", "reputed keys new DOMAIN"})
	}
	for _, k := range r.Keys {
		if k.Weak {
			all = append(all, Problem{Warning, fmt.Sprintf("the key %s/%s is weak: %d bits", k.Domain, k.Selector, k.Bits),
				"reputed keys rotate " + k.Domain.String()})
		}
		if k.Unseen {
			all = append(all, Problem{Warning, fmt.Sprintf("nobody sees the key %s/%s: %s", k.Domain, k.Selector, k.Reason), k.Remedy})
		}
		if k.Held {
			all = append(all, Problem{Warning, fmt.Sprintf("the new key %s/%s does not sign, as it is not seen everywhere: %s",
				k.Domain, k.Selector, k.Reason), k.Remedy})
		}
	}
	return all
}
