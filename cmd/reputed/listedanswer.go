package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/dnsbl"
)

// standing is how an address or domain stands, and all of them together. The order is how much it matters.
type standing uint8

const (
	standsClear   standing = iota // on no list, of those that answered
	standsUnknown                 // not known to be listed, and a critical list did not answer
	standsWarn                    // on a list that large providers do not refuse mail by, or with a lesser code
	standsListed                  // on a critical list, with a code of severity block
)

func (s standing) String() string { return [...]string{"clear", "unknown", "warn", "listed"}[s] }

// MarshalText writes the word of [standing.String].
func (s standing) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s standing) colour() colour { return [...]colour{green, amber, amber, red}[s] }

// Exit statuses of a look.
const (
	exitWarn    = 1
	exitListed  = 2
	exitUnknown = 3
)

// listedAnswer is what the lists say. Its JSON is a promise to other programs.
type listedAnswer struct {
	At       time.Time       `json:"at"`
	Verdict  standing        `json:"verdict"`
	Subjects []subjectAnswer `json:"subjects"` // the worst first
	Refused  *refusal        `json:"resolver_refused,omitempty"`
	NeedKey  []string        `json:"need_key,omitempty"`  // lists that were not asked, for want of a key
	Cut      string          `json:"cut_short,omitempty"` // "timeout" or "interrupted": not every list was asked
}

// subjectAnswer is what the lists say of one address or domain.
type subjectAnswer struct {
	Subject dnsbl.Subject `json:"subject"`
	Origin  string        `json:"origin,omitempty"` // "egress NAME", "guessed", "signed for"; "" when it was named
	Verdict standing      `json:"verdict"`
	Listed  []onList      `json:"listed"` // the worst first; praise is here too, with severity good
	Clear   []string      `json:"clear"`
	Unknown []noAnswer    `json:"unknown"`
}

// onList is one listing.
type onList struct {
	List       string         `json:"list"`
	Name       string         `json:"name"`
	Tier       dnsbl.Tier     `json:"tier"`
	Severity   dnsbl.Severity `json:"severity"`
	Codes      []dnsbl.Match  `json:"codes"`
	Since      time.Time      `json:"since,omitzero"` // since when, if a daemon that runs here knows
	Text       string         `json:"text,omitempty"` // what the list says
	LookupURL  string         `json:"lookup_url,omitempty"`
	RemovalURL string         `json:"removal_url,omitempty"`
	Expiry     string         `json:"expiry,omitempty"`
}

// noAnswer is a list from which nothing is known.
type noAnswer struct {
	List   string      `json:"list"`
	Tier   dnsbl.Tier  `json:"tier"`
	State  dnsbl.State `json:"state"` // unknown, refused, broken
	Reason string      `json:"reason"`
	Remedy string      `json:"remedy,omitempty"`
}

// refusal is that lists which matter decline to answer the resolver, as they do for public ones.
type refusal struct {
	Lists  []string `json:"lists"`
	Reason string   `json:"reason"`
	Remedy string   `json:"remedy"`
}

// read sorts the results out.
func (a *listedAnswer) read(subjects []asked, results []dnsbl.Result) {
	open := false
	for _, s := range subjects {
		of := subjectAnswer{
			Subject: s.Subject, Origin: s.origin,
			Listed: []onList{}, Clear: []string{}, Unknown: []noAnswer{}, // [] in JSON, not null
		}
		for _, r := range results {
			if r.Subject == s.Subject {
				of.add(r)
				a.refuse(r)
			}
		}
		open = open || len(of.Unknown) > 0
		a.Subjects = append(a.Subjects, of)
	}
	if !open { // the time was up when nothing was left to ask
		a.Cut = ""
	}
	for i := range a.Subjects {
		of := &a.Subjects[i]
		slices.SortStableFunc(of.Listed, func(x, y onList) int {
			return cmp.Or(cmp.Compare(y.Severity, x.Severity), cmp.Compare(y.Tier, x.Tier))
		})
		of.Verdict = of.judge(a.Cut == "interrupted")
		a.Verdict = max(a.Verdict, of.Verdict)
	}
	slices.SortStableFunc(a.Subjects, func(x, y subjectAnswer) int { return cmp.Compare(y.Verdict, x.Verdict) })
}

// add takes the result of one list.
func (s *subjectAnswer) add(r dnsbl.Result) {
	l := r.List
	switch r.State {
	case dnsbl.Listed:
		s.Listed = append(s.Listed, onList{
			List: l.ID, Name: l.Name, Tier: l.Tier, Severity: r.Severity(), Codes: r.Codes, Text: r.Text,
			LookupURL: l.LookupURL, RemovalURL: l.RemovalURL, Expiry: l.Expiry,
		})
	case dnsbl.Clear:
		s.Clear = append(s.Clear, l.ID)
	default:
		n := noAnswer{List: l.ID, Tier: l.Tier, State: r.State, Reason: r.Reason, Remedy: r.Remedy}
		s.Unknown = append(s.Unknown, n)
	}
}

// judge says how a subject stands. What is known to be bad weighs more than what is not known.
func (s *subjectAnswer) judge(interrupted bool) standing {
	worst := standsClear
	for _, n := range s.Unknown {
		if n.Tier == dnsbl.Critical || interrupted {
			worst = standsUnknown
		}
	}
	for _, l := range s.Listed {
		worst = max(worst, l.standing())
	}
	return worst
}

// standing is by the rule that reputed check goes by.
func (l *onList) standing() standing {
	grade := check.ListingGrade(l.Tier, l.Severity)
	return map[policy.Grade]standing{policy.Warn: standsWarn, policy.Fail: standsListed}[grade]
}

// refuse notes that a list which matters refuses the resolver with an error code. Who must register first is another
// case, and has a remedy of its own.
func (a *listedAnswer) refuse(r dnsbl.Result) {
	l := r.List
	coded := strings.HasPrefix(r.Reason, "answers ")
	matters := l.Kind != dnsbl.AllowList && l.Tier >= dnsbl.Important
	if r.State != dnsbl.Refused || !coded || !matters || l.PublicResolver != dnsbl.PublicRefused {
		return
	}
	if a.Refused == nil {
		a.Refused = &refusal{Reason: r.Reason, Remedy: r.Remedy}
	}
	if !slices.Contains(a.Refused.Lists, l.ID) {
		a.Refused.Lists = append(a.Refused.Lists, l.ID)
	}
}

// status gives the exit status.
func (a *listedAnswer) status() error {
	code := map[standing]int{standsWarn: exitWarn, standsListed: exitListed, standsUnknown: exitUnknown}[a.Verdict]
	if code == exitOK {
		return nil
	}
	return status{code: code}
}

// print writes the answer for people.
func (a *listedAnswer) print(p printer) {
	for i := range a.Subjects {
		a.Subjects[i].print(p)
	}
	if a.Refused != nil {
		a.Refused.print(p)
	}
	a.printUnknown(p)
	if len(a.NeedKey) > 0 {
		p.table("", [][]cell{{{"not asked, for want of a key:", plain}, {strings.Join(a.NeedKey, ", "), plain}}})
	}
	switch a.Cut {
	case "timeout":
		p.printf("the time was up before every list was asked: give it more, such as --timeout 5m\n")
	case "interrupted":
		p.printf("interrupted: what was not asked is not known\n")
	}
}

// print writes the one message that matters before all others.
func (r *refusal) print(p printer) {
	p.printf("%s: %s\n", p.paint(red, "the resolver is refused by lists that matter"), strings.Join(r.Lists, ", "))
	p.table("  ", [][]cell{
		{{"why", faint}, {printable(r.Reason), plain}},
		{{"to do", faint}, {printable(r.Remedy), plain}},
	})
	p.printf("\n")
}

// print writes what is known of one subject.
func (s *subjectAnswer) print(p printer) {
	origin := ""
	if s.Origin != "" {
		origin = " (" + s.Origin + ")"
	}
	verdict := p.paint(s.Verdict.colour(), s.Verdict.String())
	p.printf("%s%s: %s\n", p.paint(bold, s.Subject.String()), p.paint(faint, printable(origin)), verdict)
	var rows [][]cell
	for i := range s.Listed {
		rows = append(rows, s.Listed[i].rows()...)
	}
	p.table("  ", rows)
	line := "clear on " + count(len(s.Clear), "list")
	if len(s.Unknown) > 0 {
		line += fmt.Sprintf(", not known on %d", len(s.Unknown))
	}
	p.printf("  %s\n\n", line)
}

// rows lays a listing out: what it means, and below that what to do.
func (l *onList) rows() (rows [][]cell) {
	head := []cell{{l.Severity.String(), l.colour()}, {l.List, plain}, {l.Tier.String(), plain}}
	add := func(text string, c colour) {
		rows = append(rows, append(head, cell{text, c}))
		head = []cell{{}, {}, {}}
	}
	for _, m := range l.Codes {
		add(fmt.Sprintf("%s (%s)", printable(m.Meaning), m.Answer), plain)
	}
	if !l.Since.IsZero() {
		add("since "+clock(l.Since), plain)
	}
	if l.Text != "" {
		add("says: "+printable(l.Text), faint)
	}
	if l.Severity == dnsbl.Good {
		return rows
	}
	switch {
	case l.LookupURL == l.RemovalURL && l.LookupURL != "":
		add("look up and remove: "+l.LookupURL, plain)
	default:
		if l.LookupURL != "" {
			add("look up: "+l.LookupURL, plain)
		}
		if l.RemovalURL != "" {
			add("remove: "+l.RemovalURL, plain)
		}
	}
	if l.Expiry != "" {
		add("ends: "+printable(l.Expiry), faint)
	}
	return rows
}

func (l *onList) colour() colour {
	switch l.Severity {
	case dnsbl.Good:
		return green
	case dnsbl.Info:
		return plain
	}
	return l.standing().colour()
}

// printUnknown writes which lists did not answer, those with the same cause together.
func (a *listedAnswer) printUnknown(p printer) {
	var unknown causes
	for _, s := range a.Subjects {
		for _, n := range s.Unknown {
			told := a.Refused != nil && n.State == dnsbl.Refused && slices.Contains(a.Refused.Lists, n.List)
			if !told {
				unknown.add(cause{n.State.String(), n.Reason, n.Remedy}, causing{id: n.List})
			}
		}
	}
	if len(unknown.all) == 0 {
		return
	}
	p.printf("no answer, so nothing is known from them:\n")
	var rows [][]cell
	for _, c := range unknown.all {
		rows = append(rows, []cell{{c.state, amber}, {unknown.names(c) + ": " + printable(c.reason), plain}})
		if c.remedy != "" {
			rows = append(rows, []cell{{}, {printable(c.remedy), plain}})
		}
	}
	if a.mostlyUnknown() {
		p.printf("  so many lists at once: the resolver in [dns] servers is likelier to be at fault than they\n")
	}
	p.table("  ", rows)
	p.printf("\n")
}

// mostlyUnknown tells that hardly any list answers, so that the cause is likely here.
func (a *listedAnswer) mostlyUnknown() bool {
	known, unknown := 0, 0
	for _, s := range a.Subjects {
		known += len(s.Clear) + len(s.Listed)
		unknown += len(s.Unknown)
	}
	return a.Cut == "" && unknown >= 5 && unknown > 3*known
}
