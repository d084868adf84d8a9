package main

import (
	"slices"
	"strings"
	"time"

	"reputed/policy"
	"reputed/policy/check"
	"reputed/policy/mail"
)

// checkAnswer is what the checklist comes to. Its JSON is a promise to other programs.
type checkAnswer struct {
	At      time.Time    `json:"at"`
	Verdict policy.Grade `json:"verdict"`
	Counts  checkCounts  `json:"counts"`
	Host    checkedHost  `json:"host"`
	Items   []itemAnswer `json:"items"`
	Cut     string       `json:"cut_short,omitempty"` // not everything was asked

	walked map[string]bool // items that were asked, with something to look at or not
}

// Why not everything was asked.
const (
	cutTimeout     = "timeout"
	cutInterrupted = "interrupted"
)

// checkCounts is how many findings have each grade, of those that count in the whole.
type checkCounts struct {
	Pass    int `json:"pass"`
	Warn    int `json:"warn"`
	Fail    int `json:"fail"`
	Unknown int `json:"unknown"`
}

func (c *checkCounts) add(g policy.Grade) {
	switch g {
	case policy.Pass:
		c.Pass++
	case policy.Warn:
		c.Warn++
	case policy.Fail:
		c.Fail++
	default:
		c.Unknown++
	}
}

// checkedHost is what was checked.
type checkedHost struct {
	Name    string   `json:"name"`    // or the address that it greets as; "": not known
	Egress  []string `json:"egress"`  // addresses, and smarthosts as "via NAME"
	Guessed bool     `json:"guessed"` // the egress is guessed from the interfaces of this host
	Domains []string `json:"domains"`
	Keys    int      `json:"keys"`
}

// itemAnswer is what one item of the checklist found.
type itemAnswer struct {
	ID       string           `json:"id"`
	Group    string           `json:"group"`
	About    string           `json:"about"`
	Info     bool             `json:"info,omitempty"` // it counts only when it fails
	Verdict  policy.Grade     `json:"verdict"`
	Findings []policy.Finding `json:"findings"`
}

// counts tells whether a grade counts in the whole.
func (i *itemAnswer) counts(g policy.Grade) bool { return !i.Info || g == policy.Fail }

// newCheckAnswer sorts out what was found. An item that found nothing to look at is left out.
func newCheckAnswer(h *check.Host, outcomes []check.Outcome, now time.Time) *checkAnswer {
	a := &checkAnswer{
		At: now.UTC().Truncate(time.Second), Host: newCheckedHost(h), Items: []itemAnswer{}, walked: map[string]bool{},
	}
	optional := map[string]bool{"port25": h.Options.Port25, "role": h.Options.Role, "banner": h.Options.Banner}
	for _, o := range outcomes {
		wanted, only := optional[o.Item.ID]
		a.walked[o.Item.ID] = wanted || !only
		if len(o.Findings) == 0 {
			continue
		}
		i := itemAnswer{ID: o.Item.ID, Group: o.Item.Group, About: o.Item.About, Info: o.Item.Info, Findings: o.Findings}
		for _, f := range o.Findings {
			i.Verdict = worse(i.Verdict, f.Grade)
			if i.counts(f.Grade) {
				a.Counts.add(f.Grade)
				a.Verdict = worse(a.Verdict, f.Grade)
			}
		}
		a.Items = append(a.Items, i)
	}
	switch {
	case len(a.Items) == 0:
		a.Verdict = policy.Unknown
	case a.Counts == checkCounts{}: // only what is good to know was asked for, so that is what the answer is about
		for i := range a.Items {
			a.Verdict = worse(a.Verdict, a.Items[i].Verdict)
		}
	}
	return a
}

const groupProviders = "what providers want"

// addProviders adds what large providers want: an item for each, that counts no further, for what it rests on has
// counted.
func (a *checkAnswer) addProviders(findings []policy.Finding) {
	for _, f := range findings {
		id := strings.ToLower(f.Subject)
		last := len(a.Items) - 1
		if last < 0 || a.Items[last].ID != id {
			a.Items = append(a.Items, itemAnswer{
				ID: id, Group: groupProviders, About: "published requirements of " + f.Subject, Info: true,
			})
			last++
		}
		a.Items[last].Findings = append(a.Items[last].Findings, f)
		a.Items[last].Verdict = worse(a.Items[last].Verdict, f.Grade)
	}
}

func newCheckedHost(h *check.Host) checkedHost {
	of := checkedHost{Name: h.Name.String(), Egress: []string{}, Domains: []string{}, Keys: len(h.Keys)}
	if h.Name.IsZero() {
		of.Name = h.Literal
	}
	for _, r := range h.Routes {
		of.Guessed = of.Guessed || r.Egress.Guessed
		for _, a := range r.Egress.Addresses {
			if !slices.Contains(of.Egress, a.String()) {
				of.Egress = append(of.Egress, a.String())
			}
		}
		if !r.Egress.Via.IsZero() {
			of.Egress = append(of.Egress, "via "+r.Egress.Via.String())
		}
	}
	for _, d := range h.Domains {
		of.Domains = append(of.Domains, d.String())
	}
	return of
}

// called is the host for people.
func (h *checkedHost) called() string {
	if h.Name == "" {
		return "a host without a name"
	}
	return h.Name
}

// print writes the headline: what was checked. Names are as they stand in the DNS, with what people read beside them.
func (h *checkedHost) print(p printer) {
	egress := strings.Join(h.Egress, ", ")
	switch {
	case egress == "":
		egress = "no known address"
	case h.Guessed:
		egress += " (guessed)"
	}
	parts := []string{readable(h.called()), egress}
	switch n := len(h.Domains); {
	case n == 0:
		parts = append(parts, "no known domain (name it: reputed check DOMAIN)")
	case n > 3:
		parts = append(parts, count(n, "domain"))
	default:
		var names []string
		for _, d := range h.Domains {
			names = append(names, readable(d))
		}
		parts = append(parts, strings.Join(names, ", "))
	}
	line := strings.Join(parts, " · ")
	if p.width > 0 && columns(line) > p.width {
		line = ""
		for _, part := range parts {
			p.table("", [][]cell{{{part, bold}}})
		}
		return
	}
	p.table("", [][]cell{{{line, bold}}})
}

// readable adds to a name in A-labels how people read it.
func readable(name string) string {
	d, err := mail.ParseDomain(name)
	if err != nil || d.Unicode() == name {
		return name
	}
	return name + " (" + printable(d.Unicode()) + ")"
}

// badness orders grades by how much they matter: what is known to be wrong weighs more than what is not known.
func badness(g policy.Grade) int {
	return map[policy.Grade]int{policy.Pass: 0, policy.Unknown: 1, policy.Warn: 2, policy.Fail: 3}[g]
}

func worse(a, b policy.Grade) policy.Grade {
	if badness(b) > badness(a) {
		return b
	}
	return a
}

// exitFail is the exit status of a check that failed, as Nagios expects it. With the others see [exitWarn].
const exitFail = 2

// status gives the exit status.
func (a *checkAnswer) status() error {
	code := map[policy.Grade]int{policy.Warn: exitWarn, policy.Fail: exitFail, policy.Unknown: exitUnknown}[a.Verdict]
	if code == exitOK {
		return nil
	}
	return status{code: code}
}
